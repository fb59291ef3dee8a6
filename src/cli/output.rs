//! The form of an answer: columns for a person, JSON or YAML for a program.

use clap::ValueEnum;
use serde_json::Value;

/// Plain, these would be read as something else than text.
const TAKEN: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"];

/// The form of an answer: columns for a person, or JSON or YAML for a program.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Table,
    Json,
    Yaml,
}

impl Output {
    /// An answer in this form; a program gets the same by JSON and by YAML.
    pub(super) fn say(self, table: impl FnOnce() -> String, value: impl FnOnce() -> Value) -> String {
        match self {
            Self::Table => table(),
            Self::Json => format!("{:#}", value()),
            Self::Yaml => block(&value()).join("\n"),
        }
    }
}

/// A value as lines of YAML.
fn block(value: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (name, value) in entries {
                match (block(value).as_slice(), is_flat(value)) {
                    ([flat], true) => lines.push(format!("{}: {flat}", text(name))),
                    (below, _) => {
                        lines.push(format!("{}:", text(name)));
                        lines.extend(below.iter().map(|line| format!("  {line}")));
                    }
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let marks = std::iter::once("- ").chain(std::iter::repeat("  "));
                lines.extend(marks.zip(block(item)).map(|(mark, line)| format!("{mark}{line}")));
            }
        }
        Value::String(plain) => lines.push(text(plain)),
        flat => lines.push(flat.to_string()),
    }
    lines
}

fn is_flat(value: &Value) -> bool {
    match value {
        Value::Object(entries) => entries.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Text stands in quotes unless nobody can take it for anything else. What JSON escapes is escaped in YAML alike.
pub(super) fn text(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./ ".contains(letter);
    let is_plain = text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && !text.ends_with(' ')
        && text.chars().all(plain)
        && !TAKEN.contains(&text.to_ascii_lowercase().as_str());
    if is_plain {
        return text.to_owned();
    }
    let escaped = |letter: char| match letter {
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => format!("\\u{:04x}", u32::from(letter)),
        plain => plain.to_string(),
    };
    Value::from(text).to_string().chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_says_what_json_says() {
        let value = json!({
            "errors": [],
            "service": "shop",
            "nothing": {},
            "parked": [
                { "id": "7", "headers": { "content-type": "text/plain" }, "version": null },
                ["a", -1.5, [true]],
            ],
            "words": ["yes", "a: b", "Null", "x y", "x ", "#", "", "line\nline", "\u{85}\u{1b}", "häh"],
        });
        insta::assert_snapshot!(Output::Yaml.say(String::new, || value), @r##"
        errors: []
        nothing: {}
        parked:
          - headers:
              content-type: text/plain
            id: "7"
            version: null
          - - a
            - -1.5
            - - true
        service: shop
        words:
          - "yes"
          - "a: b"
          - "Null"
          - x y
          - "x "
          - "#"
          - ""
          - "line\nline"
          - "\u0085\u001b"
          - "häh"
        "##);
    }
}
