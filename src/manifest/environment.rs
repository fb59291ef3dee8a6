//! `${NAME}` and `${NAME:-default}` in values; `$${` stands for `${` itself.

/// Finds an environment variable's value.
pub(super) type Lookup<'l> = &'l dyn Fn(&str) -> Option<String>;

/// The longest value that may come of it, in bytes.
const LONGEST: usize = 16 * 1024;

/// What is wrong with a `${…}`, and in which bytes of the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub from: usize,
    pub length: usize,
    pub why: Why,
}

/// The kinds of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Why {
    Unset(String),
    Unclosed,
    BadName,
    TooLong,
}

/// Replaces the variables in a text; `None` where there are none.
pub(super) fn replace(text: &str, lookup: Lookup<'_>) -> Result<Option<String>, Fault> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let from = text.len() - rest.len() + at;
        let before = &rest[..at];
        let body = &rest[at + 2..];
        if let Some(before) = before.strip_suffix('$') {
            replaced.push_str(before);
            replaced.push_str("${");
            rest = body;
            continue;
        }
        let end = body.find('}').ok_or(Fault { from, length: 2, why: Why::Unclosed })?;
        let fault = |why| Fault { from, length: end + 3, why };
        replaced.push_str(before);
        replaced.push_str(&value(&body[..end], lookup).map_err(fault)?);
        if replaced.len() > LONGEST {
            return Err(fault(Why::TooLong));
        }
        rest = &body[end + 1..];
    }
    replaced.push_str(rest);
    Ok(Some(replaced))
}

/// The value of `NAME` or `NAME:-default`; as in a shell, the default also stands in for an empty value.
fn value(inside: &str, lookup: Lookup<'_>) -> Result<String, Why> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let first = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    if !name.starts_with(first) || !name.chars().all(|letter| letter.is_ascii_digit() || first(letter)) {
        return Err(Why::BadName);
    }
    match (lookup(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Why::Unset(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(text: &str) -> Result<Option<String>, Why> {
        let lookup = |name: &str| match name {
            "HOST" => Some("users".to_owned()),
            "EMPTY" => Some(String::new()),
            "LONG" => Some("x".repeat(LONGEST)),
            _ => None,
        };
        replace(text, &lookup).map_err(|fault| fault.why)
    }

    #[test]
    fn variables_are_replaced_once_and_everything_else_is_left() {
        let cases = [
            ("http://${HOST}/{id}", "http://users/{id}"),
            ("${NONE:-http://a}${HOST}", "http://ausers"),
            ("${EMPTY:-x}-${EMPTY}-", "x--"),
            ("$${HOST} costs $5", "${HOST} costs $5"),
            ("${NONE:-}", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(replaced(text), Ok(Some(expected.to_owned())), "{text}");
        }
        assert_eq!(replaced("$HOST {id}"), Ok(None));
    }

    #[test]
    fn what_cannot_be_replaced_is_refused() {
        assert_eq!(replaced("${NONE}"), Err(Why::Unset("NONE".to_owned())));
        assert_eq!(replaced("${HOST"), Err(Why::Unclosed));
        assert_eq!(replaced("${}"), Err(Why::BadName));
        assert_eq!(replaced("${a-b}"), Err(Why::BadName));
        assert_eq!(replaced("${LONG}x${HOST}"), Err(Why::TooLong));
    }
}
