//! JSON values become BSON of the declared type: the same value, or none.

use bson::Bson;
use nearcopy::event::FieldType;
use serde_json::value::RawValue;

const TYPES: [FieldType; 11] = [
    FieldType::Any,
    FieldType::String,
    FieldType::Int,
    FieldType::Double,
    FieldType::Decimal,
    FieldType::Bool,
    FieldType::Date,
    FieldType::ObjectId,
    FieldType::Uuid,
    FieldType::Object,
    FieldType::Array,
];
const DEPTH: usize = 16;

/// The input is the JSON; it is read as each type.
pub(super) fn run(input: &[u8]) {
    let Ok(raw) = serde_json::from_slice::<&RawValue>(input) else { return };
    for kind in TYPES {
        let Ok(value) = kind.read(raw, DEPTH) else { continue };
        assert!(is_same(&value, raw.get()), "{} is read as {kind}: {value:?}", raw.get());
    }
}

/// Whether a value is what the JSON says, by another way than the one it came.
fn is_same(value: &Bson, json: &str) -> bool {
    match value {
        Bson::Null => json == "null",
        Bson::Boolean(truth) => json == truth.to_string(),
        Bson::Int64(number) => decimal(json).is_some_and(|said| Some(said) == decimal(&number.to_string())),
        Bson::Double(number) => is_nearest(*number, json),
        Bson::Decimal128(number) => {
            let said = text(json).unwrap_or_else(|| json.to_owned());
            decimal(&said).is_some_and(|said| Some(said) == decimal(&number.to_string()))
        }
        Bson::String(held) => text(json).as_ref() == Some(held),
        Bson::ObjectId(id) => text(json).is_some_and(|said| said.eq_ignore_ascii_case(&id.to_hex())),
        Bson::Binary(held) => text(json)
            .and_then(|said| uuid::Uuid::parse_str(&said).ok())
            .is_some_and(|said| said.as_bytes()[..] == held.bytes),
        Bson::DateTime(time) => is_time(time.timestamp_millis(), json),
        Bson::Array(items) => {
            let said: Vec<&RawValue> = serde_json::from_str(json).unwrap();
            items.len() == said.len() && items.iter().zip(said).all(|(item, said)| is_same(item, said.get()))
        }
        Bson::Document(members) => {
            let said: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(json).unwrap();
            members.len() == said.len()
                && members
                    .iter()
                    .all(|(name, value)| said.get(name).is_some_and(|said| is_same(value, said.get())))
        }
        _ => false,
    }
}

/// A whole number is just that one, and any other the nearest double, as every reader of JSON has it; what is not
/// zero does not become it.
fn is_nearest(number: f64, json: &str) -> bool {
    let is_whole = !json.contains(['.', 'e', 'E']);
    let exactly = || decimal(json) == decimal(&format!("{number:.0}"));
    let is_zero = |json: &str| decimal(json).is_some_and(|said| said.1.is_empty());
    json.parse() == Ok(number) && (!is_whole || exactly()) && (number != 0.0 || is_zero(json))
}

fn is_time(millis: i64, json: &str) -> bool {
    match text(json) {
        None => json.parse() == Ok(millis),
        Some(said) => said
            .parse::<jiff::Timestamp>()
            .is_ok_and(|said| said.as_nanosecond().div_euclid(1_000_000) == i128::from(millis)),
    }
}

fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// Sign, digits without the zeros around them, and the power of ten of the last one; zero is zero, however written.
fn decimal(text: &str) -> Option<(bool, String, i128)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, digits) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = digits
        .strip_prefix('+')
        .unwrap_or(digits)
        .split_once('.')
        .unwrap_or((digits.strip_prefix('+').unwrap_or(digits), ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = all.trim_end_matches('0');
    let shift = i128::try_from(all.len() - kept.len()).ok()? - i128::try_from(fraction.len()).ok()?;
    let digits = kept.trim_start_matches('0').to_owned();
    if digits.is_empty() {
        return Some((false, digits, 0));
    }
    Some((sign, digits, exponent.parse::<i128>().ok()?.checked_add(shift)?))
}
