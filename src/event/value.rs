//! JSON values become BSON values of the declared type, without loss or not at all.

use std::borrow::Cow;
use std::fmt;

use bson::raw::CStr;
use bson::{Bson, Document, RawBson, RawDocumentBuf};
use serde_json::value::RawValue;

use super::extract::{Members, broken, text};
use super::{DecodeError, Reason, version::parse_time};

/// The BSON type a field is stored as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldType {
    /// Whatever JSON type it comes as; whole numbers become 64-bit integers.
    #[default]
    Any,
    /// Text.
    String,
    /// A 64-bit integer.
    Int,
    /// A double; whole numbers beyond 2^53 that it cannot hold are refused.
    Double,
    /// A decimal128, from a JSON number or from text.
    Decimal,
    /// True or false.
    Bool,
    /// A date, from RFC 3339 text or milliseconds since 1970.
    Date,
    /// An ObjectId, from 24 hexadecimal digits.
    ObjectId,
    /// A UUID, stored as binary of subtype 4.
    Uuid,
    /// A document.
    Object,
    /// An array.
    Array,
}

impl FieldType {
    /// Converts one JSON value; null is accepted by every type, because owners write it for "none".
    pub fn read(self, raw: &RawValue, depth: usize) -> Result<Bson, DecodeError> {
        let text = raw.get();
        if text == "null" {
            return Ok(Bson::Null);
        }
        match self {
            Self::Any => any(text, depth),
            Self::Object if text.starts_with('{') => any(text, depth),
            Self::Array if text.starts_with('[') => any(text, depth),
            Self::Object | Self::Array => Err(self.mismatch(text)),
            _ => self.scalar(text).ok_or_else(|| self.mismatch(text)),
        }
    }

    /// Converts one JSON value and puts it behind those that are encoded already.
    pub fn write(
        self,
        raw: &RawValue,
        depth: usize,
        name: &CStr,
        into: &mut RawDocumentBuf,
    ) -> Result<(), DecodeError> {
        if self == Self::String
            && let Some(text) = text(raw.get())
        {
            into.append(name, text.as_ref());
            return Ok(());
        }
        let value = RawBson::try_from(self.read(raw, depth)?);
        into.append(name, value.map_err(|_| DecodeError::new(Reason::BadField, "it cannot be stored"))?);
        Ok(())
    }

    fn scalar(self, text: &str) -> Option<Bson> {
        match self {
            Self::String => string(text).map(Bson::String),
            Self::Int => text.parse().ok().map(Bson::Int64),
            Self::Double => double(text).map(Bson::Double),
            Self::Decimal => decimal(string(text).as_deref().unwrap_or(text)).map(Bson::Decimal128),
            Self::Bool => text.parse().ok().map(Bson::Boolean),
            Self::Date => date(text).map(Bson::DateTime),
            Self::ObjectId => bson::oid::ObjectId::parse_str(string(text)?).ok().map(Bson::ObjectId),
            Self::Uuid => {
                let uuid = uuid::Uuid::parse_str(&string(text)?).ok()?;
                Some(super::EntityId::Uuid(uuid).to_bson())
            }
            Self::Any | Self::Object | Self::Array => None,
        }
    }

    fn mismatch(self, text: &str) -> DecodeError {
        let found = json_type(text);
        DecodeError::new(Reason::BadField, format!("{found} cannot be stored as {self} without loss"))
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::String => "string",
            Self::Int => "int",
            Self::Double => "double",
            Self::Decimal => "decimal",
            Self::Bool => "bool",
            Self::Date => "date",
            Self::ObjectId => "objectId",
            Self::Uuid => "uuid",
            Self::Object => "object",
            Self::Array => "array",
        })
    }
}

/// What kind of JSON value a text is, in words for a person.
fn json_type(text: &str) -> &'static str {
    match text.bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        _ => "a number",
    }
}

fn any(text: &str, depth: usize) -> Result<Bson, DecodeError> {
    let depth = depth.checked_sub(1).ok_or_else(|| {
        DecodeError::new(Reason::TooDeep, "a value is nested deeper than the source accepts")
    })?;
    let broken = |error| broken(&error);
    match text.bytes().next() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text).map_err(broken)?;
            members_to_document(members, depth).map(Bson::Document)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(broken)?;
            items.into_iter().map(|item| any(item.get(), depth)).collect::<Result<_, _>>().map(Bson::Array)
        }
        Some(b'"') => serde_json::from_str(text).map(Bson::String).map_err(broken),
        Some(b't' | b'f') => serde_json::from_str(text).map(Bson::Boolean).map_err(broken),
        Some(b'n') => Ok(Bson::Null),
        _ => number(text),
    }
}

fn members_to_document(
    members: Vec<(Cow<'_, str>, &RawValue)>,
    depth: usize,
) -> Result<Document, DecodeError> {
    let mut document = Document::new();
    for (name, value) in members {
        if name.contains('\0') {
            return Err(DecodeError::new(Reason::BadField, "a key contains a NUL character"));
        }
        let value = any(value.get(), depth)?;
        if document.insert(name.as_ref(), value).is_some() {
            return Err(DecodeError::new(Reason::DuplicateKey, "a key stands twice in an object"));
        }
    }
    Ok(document)
}

/// A whole number becomes an integer, any other a double; what fits neither is refused.
fn number(text: &str) -> Result<Bson, DecodeError> {
    if text.contains(['.', 'e', 'E']) {
        return double(text).map(Bson::Double).ok_or_else(|| FieldType::Double.mismatch(text));
    }
    text.parse().map(Bson::Int64).map_err(|_| {
        DecodeError::new(
            Reason::BadField,
            "a whole number does not fit 64 bits; declare the field as `type: decimal` to keep it",
        )
    })
}

/// The nearest double, as every reader of JSON takes a fraction for; but a whole number just as it is, and nothing
/// becomes zero that is not.
fn double(text: &str) -> Option<f64> {
    let number: f64 = number_text(text)?.parse().ok()?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let same = if text.contains(['.', 'e', 'E']) {
        number != 0.0 || !mantissa.contains(|digit| matches!(digit, '1'..='9'))
    } else {
        number.is_finite() && format!("{:.0}", number.abs()) == text.trim_start_matches('-')
    };
    (number.is_finite() && same).then_some(number)
}

/// A decimal128 knows infinities and "not a number", too; owners who write one of them do not mean an amount.
fn decimal(text: &str) -> Option<bson::Decimal128> {
    if is_decimal(text) { text.parse().ok() } else { None }
}

/// A sign, digits with a point among them or not, a power of ten or not. Decimal128's own reader takes more, such as
/// an empty text for zero.
fn is_decimal(text: &str) -> bool {
    let unsigned = |text: &str| text.strip_prefix(['+', '-']).unwrap_or(text).to_owned();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    digits(&unsigned(mantissa).replacen('.', "", 1)) && digits(&unsigned(power))
}

fn number_text(text: &str) -> Option<&str> {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit()).then_some(text)
}

fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

fn date(text: &str) -> Option<bson::DateTime> {
    if let Ok(millis) = text.parse::<i64>() {
        return Some(bson::DateTime::from_millis(millis));
    }
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    parse_time(raw).map(|micros| bson::DateTime::from_millis(micros.div_euclid(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::bson;

    fn read(kind: FieldType, json: &str) -> Result<Bson, Reason> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        kind.read(raw, 8).map_err(|error| error.reason)
    }

    #[test]
    fn values_keep_their_meaning_or_are_refused() {
        use FieldType::{Any, Bool, Date, Decimal, Double, Int, Object, String, Uuid};
        let bad = Err(Reason::BadField);
        let decimal = |text: &str| Ok(Bson::Decimal128(text.parse().unwrap()));
        let cases = [
            (Any, "9223372036854775807", Ok(Bson::Int64(i64::MAX))),
            (Any, "9223372036854775808", bad.clone()),
            (Any, "1.5", Ok(Bson::Double(1.5))),
            (Any, "1e400", bad.clone()),
            (Any, "-0.0", Ok(Bson::Double(-0.0))),
            (Any, r#"{"a": [1, "x", null, true]}"#, Ok(bson!({"a": [1_i64, "x", null, true]}))),
            (Any, r#"{"$where": "x", "a.b": 1, "": 2}"#, Ok(bson!({"$where": "x", "a.b": 1_i64, "": 2_i64}))),
            (Any, r#"{"a": 1, "a": 2}"#, Err(Reason::DuplicateKey)),
            (Any, r#"{"a\u0000": 1}"#, bad.clone()),
            (Any, "[[[[[[[[1]]]]]]]]", Err(Reason::TooDeep)),
            (Int, "1.5", bad.clone()),
            (Int, "\"1\"", bad.clone()),
            (Double, "9007199254740993", bad.clone()),
            (Double, "9007199254740992", Ok(Bson::Double(9_007_199_254_740_992.0))),
            (Double, "1e400", bad.clone()),
            (Double, "1e-400", bad.clone()),
            (Double, "-0e9", Ok(Bson::Double(-0.0))),
            (Double, "100000000000000000000000000000000000000001", bad.clone()),
            (Decimal, "12345678901234567890.5", decimal("12345678901234567890.5")),
            (Decimal, "\"0.10\"", decimal("0.10")),
            (Decimal, "true", bad.clone()),
            (Decimal, "\"\"", bad.clone()),
            (Decimal, "\"e5\"", bad.clone()),
            (Decimal, "\"0+1.\"", bad.clone()),
            (Decimal, "\"1e\"", bad.clone()),
            (Decimal, "\"+1.\"", decimal("1")),
            (Decimal, "\"NaN\"", bad.clone()),
            (Decimal, "\"-Infinity\"", bad.clone()),
            (String, "1", bad.clone()),
            (String, "null", Ok(Bson::Null)),
            (Bool, "\"true\"", bad.clone()),
            (Object, "[]", bad.clone()),
            (Uuid, "\"nope\"", bad.clone()),
            (
                Date,
                "\"2026-01-01T00:00:00Z\"",
                Ok(Bson::DateTime(bson::DateTime::from_millis(1_767_225_600_000))),
            ),
            (Date, "1767225600000", Ok(Bson::DateTime(bson::DateTime::from_millis(1_767_225_600_000)))),
            (Date, "\"1969-12-31T23:59:59.999999995Z\"", Ok(Bson::DateTime(bson::DateTime::from_millis(-1)))),
            (Date, "\"yesterday\"", bad),
        ];
        for (kind, json, expected) in cases {
            assert_eq!(read(kind, json), expected, "{kind} from {json}");
        }
    }
}
