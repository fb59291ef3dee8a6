//! Which entities are kept.

use super::super::place::Place;
use super::super::{Code, Diagnostic, raw};
use crate::replication::{Condition, Keep};

/// Reads what a replica keeps; `referred` says whether any embed refers to it.
pub(super) fn read(raw: &raw::Keep, at: Place<'_>, referred: bool) -> Result<Keep, Diagnostic> {
    match raw {
        raw::Keep::All => Ok(Keep::All),
        raw::Keep::Referenced if referred => Ok(Keep::Referenced),
        raw::Keep::Referenced => {
            Err(Diagnostic::new(Code::NeverKept, at.mark(), "nothing would ever be kept here")
                .why("no embed refers to this replica")
                .help("declare an embed with `from:` this replica, or keep `all`"))
        }
        raw::Keep::Where(text) => Condition::compile(text).map(Keep::Where).map_err(|error| {
            let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
            Diagnostic::new(Code::BadCondition, at.at("where").mark(), "this condition cannot be asked")
                .why(error)
                .help("write a CEL expression over `data`, such as `data.country == 'DE'`")
        }),
    }
}
