//! Paths, and what they may begin with.

use super::super::place::Place;
use super::super::raw::Format;
use super::super::{Code, Diagnostic};
use crate::event::FieldPath;

/// Reads a path; the caret stands where it stops being one.
pub(super) fn read(text: &str, at: Place<'_>) -> Result<FieldPath, Diagnostic> {
    FieldPath::parse(text).map_err(|error| {
        Diagnostic::new(Code::BadPath, at.part(error.at(), 1), format!("`{text}` is no path"))
            .why(error.to_string())
            .help("a path is names with dots between them; a dot inside a name is written `\\.`")
    })
}

/// Reads a path that may not be empty.
pub(super) fn not_empty(text: &str, at: Place<'_>) -> Result<FieldPath, Diagnostic> {
    if text.is_empty() {
        return Err(super::empty(at, "this path leads nowhere", "name the place of the value, such as `id`"));
    }
    read(text, at)
}

/// Reads a path into an event: `data…`, `body…`, or an attribute's name.
pub(super) fn in_event(text: &str, at: Place<'_>, format: Option<Format>) -> Result<FieldPath, Diagnostic> {
    let path = not_empty(text, at)?;
    let [head, tail @ ..] = path.names() else { return Ok(path) };
    let known = match (head.as_str(), format) {
        ("data" | "body", _) | ("before", Some(Format::Change)) => true,
        ("id" | "type" | "time", _) | ("key" | "version", Some(Format::Change)) => tail.is_empty(),
        (_, Some(Format::Json | Format::Change)) => false,
        (name, Some(Format::CloudEvents) | None) => tail.is_empty() && is_attribute(name),
    };
    if known {
        return Ok(path);
    }
    let roots = match format {
        Some(Format::CloudEvents) => {
            "a path begins with `data` or `body`, or is one attribute's name in lower case"
        }
        Some(Format::Change) => {
            "a path begins with `data` or `before`, or is `id`, `type`, `time`, `key` or `version`"
        }
        Some(Format::Json) | None => "a path begins with `data` or `body`, or is `id`, `type` or `time`",
    };
    Err(nowhere(text, head, at, "an event").help(roots))
}

/// Reads a field's path where the owner can be asked: events and answers have only `data` in common.
pub(super) fn in_data(text: &str, at: Place<'_>) -> Result<FieldPath, Diagnostic> {
    let path = not_empty(text, at)?;
    match path.names() {
        [head, ..] if head != "data" => Err(nowhere(text, head, at, "an owner's answer")
            .help("with `fetch`, fields are read from events and from answers, so they begin with `data`")),
        _ => Ok(path),
    }
}

/// Reads a path into the owner's answer, and makes it one that a selection understands.
pub(super) fn in_answer(text: &str, at: Place<'_>) -> Result<FieldPath, Diagnostic> {
    not_empty(text, at)?;
    read(&format!("body.{text}"), at)
}

fn nowhere(text: &str, head: &str, at: Place<'_>, whole: &str) -> Diagnostic {
    let message = format!("the path `{text}` leads nowhere");
    let why = if matches!(head, "id" | "type" | "time") && text != head {
        format!("`{head}` is one value, and nothing leads into it")
    } else {
        format!("{whole} has no `{head}` here")
    };
    let found = Diagnostic::new(Code::BadRoot, at.part(0, head.len()), message).why(why);
    if matches!(head, "data" | "body") { found } else { found.help(format!("did you mean `data.{text}`?")) }
}

/// CloudEvents names attributes with lower-case letters and digits.
fn is_attribute(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}
