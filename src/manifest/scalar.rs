//! What a plain scalar is, by the core schema of YAML 1.2: `yes`, `on` and dates are text.

use serde_json::Number;

use super::place::Value;

/// Reads a plain scalar; the error is a number that cannot be kept exactly.
pub(super) fn resolve(text: String, offset: Option<usize>) -> Result<Value, String> {
    Ok(match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match number(&text) {
            Ok(Some(number)) => Value::Number(number),
            Ok(None) => Value::Text(text, offset),
            Err(Unfit) => return Err(text),
        },
    })
}

/// A number that does not fit into 64 bits, or is none of the finite ones.
struct Unfit;

/// A number as it is written, if it is one.
fn number(text: &str) -> Result<Option<Number>, Unfit> {
    if matches!(text, ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" | ".nan" | ".NaN" | ".NAN") {
        return Err(Unfit);
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let plain = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
            return if plain { fitting(i64::from_str_radix(digits, radix).ok()) } else { Ok(None) };
        }
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return fitting(text.parse::<i64>().ok());
    }
    if is_float(digits) { fitting(text.parse().ok().and_then(Number::from_f64)) } else { Ok(None) }
}

fn fitting(number: Option<impl Into<Number>>) -> Result<Option<Number>, Unfit> {
    number.map(Into::into).map(Some).ok_or(Unfit)
}

/// Digits with a point or an exponent, or both: `1.5`, `.5`, `1.`, `1e3`.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match mantissa.split_once('.') {
        Some((before, after)) => {
            (digits(before) && (after.is_empty() || digits(after))) || (before.is_empty() && digits(after))
        }
        None => digits(mantissa),
    };
    whole && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_read_as_yaml_1_2_does() {
        let kind = |text: &str| match resolve(text.to_owned(), None) {
            Ok(Value::Null) => "null".to_owned(),
            Ok(Value::Bool(truth)) => truth.to_string(),
            Ok(Value::Number(number)) => number.to_string(),
            Ok(_) => "text".to_owned(),
            Err(_) => "too large".to_owned(),
        };
        for text in
            ["yes", "no", "on", "off", "y", "2026-01-01", "1_000", "0b1", "1:30", "1.2.3", "0x", "e3", "+"]
        {
            assert_eq!(kind(text), "text", "{text}");
        }
        let cases = [
            ("~", "null"),
            ("", "null"),
            ("True", "true"),
            ("-7", "-7"),
            ("+7", "7"),
            ("010", "10"),
            ("0o10", "8"),
            ("0x1F", "31"),
            (".5", "0.5"),
            ("1e3", "1000.0"),
            ("-1.5E-2", "-0.015"),
            ("9223372036854775808", "too large"),
            ("1e999", "too large"),
            (".inf", "too large"),
        ];
        for (text, expected) in cases {
            assert_eq!(kind(text), expected, "{text}");
        }
    }
}
