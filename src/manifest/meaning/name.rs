//! Which names can name what they name.

use super::super::place::Place;
use super::super::{Code, Diagnostic};

/// MongoDB's bound on a collection's full name is 255 bytes, the database's name included.
const LONGEST_COLLECTION: usize = 120;
/// Names of other things are kept short, since they stand in every document and log line.
const LONGEST: usize = 100;

/// The name of the consuming service.
pub(super) fn service(name: &str, at: Place<'_>) -> Result<(), Diagnostic> {
    let bad = |why: &str| {
        Diagnostic::new(Code::BadName, at.mark(), "this cannot name a service")
            .why(why)
            .help("use the name the service has everywhere else, such as `product-service`")
    };
    match name {
        "" => Err(bad("it is empty")),
        _ if name.len() > LONGEST => Err(bad("it is longer than 100 bytes")),
        _ if name.contains(|letter: char| letter.is_whitespace() || letter.is_control()) => {
            Err(bad("it contains blanks or control characters"))
        }
        _ => Ok(()),
    }
}

/// The name of a replica or a read model, which is its collection's, too.
pub(super) fn own_collection(name: &str, of: &str, at: Place<'_>) -> Result<(), Diagnostic> {
    let why = if name.contains('.') { Some("it contains a dot") } else { not_a_collection(name) };
    match why {
        None => Ok(()),
        Some(why) => {
            Err(Diagnostic::new(Code::BadName, at.key, format!("`{name}` cannot be the name of a {of}"))
                .why(why)
                .help("it is the collection's name, too: letters, digits, `_` and `-`, such as `users`"))
        }
    }
}

/// The name of one of the service's own collections.
pub(super) fn collection(name: &str, at: Place<'_>) -> Result<(), Diagnostic> {
    match not_a_collection(name) {
        None => Ok(()),
        Some(why) => Err(Diagnostic::new(Code::BadName, at.mark(), "this cannot be one of your collections")
            .why(why)
            .help("`in` names the collection of this service whose documents show the fields")),
    }
}

/// The name of one of the service's own collections that is followed.
pub(super) fn followed(name: &str, at: Place<'_>) -> Result<(), Diagnostic> {
    match not_a_collection(name) {
        None => Ok(()),
        Some(why) => Err(Diagnostic::new(Code::BadName, at.mark(), "this cannot be one of your collections")
            .why(why)
            .help("name a collection of this service's own database that the service writes itself")),
    }
}

fn not_a_collection(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("it is empty"),
        _ if name.len() > LONGEST_COLLECTION => Some("it is longer than 120 bytes"),
        _ if name.contains('$') => Some("it contains `$`"),
        _ if name.contains('\0') => Some("it contains NUL"),
        _ if name == "system" || name.starts_with("system.") => Some("`system.` is MongoDB's own"),
        _ if name == "nearcopy" || name.starts_with("nearcopy.") => Some("`nearcopy.` is nearcopy's own"),
        _ if name.starts_with('.') || name.ends_with('.') => Some("a dot is at its end"),
        _ => None,
    }
}

/// The name of a field in a record.
pub(super) fn field(name: &str, at: Place<'_>) -> Result<(), Diagnostic> {
    let why = match name {
        "" => "it is empty",
        "_id" => "`_id` is the record's id, which is always kept",
        "_nearcopy" => "`_nearcopy` is nearcopy's own",
        _ if name.starts_with('$') => "it begins with `$`",
        _ if name.contains('.') => "it contains a dot",
        _ if name.contains('\0') => "it contains NUL",
        _ => return Ok(()),
    };
    Err(Diagnostic::new(Code::BadName, at.key, format!("`{name}` cannot be the name of a field"))
        .why(why)
        .help("choose a plain name; where the value comes from is said by its path"))
}

/// The name of an embed, under which documents keep its stamp.
pub(super) fn embed(name: &str, at: Place<'_>) -> Result<(), Diagnostic> {
    let why = match name {
        "" => "it is empty",
        _ if name.len() > LONGEST => "it is longer than 100 bytes",
        _ if name.contains('.') => "it contains a dot",
        _ if name.contains('$') => "it contains `$`",
        _ if name.contains('\0') => "it contains NUL",
        _ => return Ok(()),
    };
    Err(Diagnostic::new(Code::BadName, at.key, format!("`{name}` cannot be the name of an embed"))
        .why(why)
        .help("documents keep its stamp under this name: letters, digits, `_` and `-`"))
}
