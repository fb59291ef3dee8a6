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
            let at = at.at("where");
            let (mark, why) = match syntax_error(&error) {
                Some((column, why)) => (at.part(column, 1), why),
                None => (at.mark(), error.as_str()),
            };
            Diagnostic::new(Code::BadCondition, mark, "this condition cannot be asked")
                .why(why)
                .help("write a CEL expression over `data`, such as `data.country == 'DE'`")
        }),
    }
}

/// Takes the first of CEL's `ERROR: <input>:1:14: Syntax error: …` apart: the column from 0, and what it says.
pub(super) fn syntax_error(error: &str) -> Option<(usize, &str)> {
    let (_, position) = error.lines().next()?.split_once("<input>:1:")?;
    let (column, why) = position.split_once(": ")?;
    let why = why.strip_prefix("Syntax error: ").unwrap_or(why);
    Some((column.parse::<usize>().ok()?.checked_sub(1)?, why))
}
