//! The headers of a message as text.

use jiff::Timestamp;
use lapin::types::{AMQPValue, FieldTable};

use crate::event::Headers;

/// How many headers are taken from one message.
const MOST: usize = 128;
/// How many bytes of names and values are taken from one message.
const ROOM: usize = 64 * 1024;

/// The broker's own header in what comes from a stream: the place, which each delivery has anyhow.
pub(super) const OFFSET: &str = "x-stream-offset";

/// The headers that are text, numbers, truths or times. Nested and binary ones are left out, and so is what
/// goes beyond the bounds: headers come from others, and each waiting delivery holds its own.
pub(super) fn headers(table: &FieldTable) -> Headers {
    let mut room = ROOM;
    let mut headers = Headers::new();
    for (name, value) in table.inner().iter().filter(|(name, _)| name.as_str() != OFFSET) {
        let Some(value) = text(value) else { continue };
        let size = name.as_str().len() + value.len();
        if size > room || headers.len() == MOST {
            continue;
        }
        room -= size;
        headers.insert(name.as_str().to_owned(), value);
    }
    headers
}

fn text(value: &AMQPValue) -> Option<String> {
    Some(match value {
        AMQPValue::LongString(text) => utf8(text.as_bytes())?,
        AMQPValue::ShortString(text) => text.as_str().to_owned(),
        AMQPValue::ByteArray(bytes) => utf8(bytes.as_slice())?,
        AMQPValue::Boolean(truth) => truth.to_string(),
        AMQPValue::ShortShortInt(number) => number.to_string(),
        AMQPValue::ShortShortUInt(number) => number.to_string(),
        AMQPValue::ShortInt(number) => number.to_string(),
        AMQPValue::ShortUInt(number) => number.to_string(),
        AMQPValue::LongInt(number) => number.to_string(),
        AMQPValue::LongUInt(number) => number.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        AMQPValue::Float(number) => number.to_string(),
        AMQPValue::Double(number) => number.to_string(),
        AMQPValue::Timestamp(seconds) => {
            Timestamp::from_second(i64::try_from(*seconds).ok()?).ok()?.to_string()
        }
        AMQPValue::DecimalValue(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::Void => {
            return None;
        }
    })
}

fn utf8(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use lapin::types::{ByteArray, FieldArray};

    use super::*;

    fn rendered(value: AMQPValue) -> Option<String> {
        let mut table = FieldTable::default();
        table.insert("h".into(), value);
        headers(&table).remove("h")
    }

    #[test]
    fn scalars_become_text() {
        let values = [
            (AMQPValue::LongString("user.created".into()), "user.created"),
            (AMQPValue::ByteArray(ByteArray::from("bytes".as_bytes())), "bytes"),
            (AMQPValue::Boolean(true), "true"),
            (AMQPValue::LongLongInt(-7), "-7"),
            (AMQPValue::Double(0.5), "0.5"),
            (AMQPValue::Timestamp(1_700_000_000), "2023-11-14T22:13:20Z"),
        ];
        for (value, text) in values {
            assert_eq!(rendered(value).as_deref(), Some(text));
        }
    }

    #[test]
    fn binary_and_nested_values_are_left_out() {
        let values = [
            AMQPValue::LongString(vec![0xff, 0xfe].into()),
            AMQPValue::FieldArray(FieldArray::default()),
            AMQPValue::FieldTable(FieldTable::default()),
            AMQPValue::Timestamp(u64::MAX),
            AMQPValue::Void,
        ];
        for value in values {
            assert_eq!(rendered(value), None);
        }
    }

    #[test]
    fn a_flood_of_headers_is_cut() {
        let mut table = FieldTable::default();
        for number in 0..1000 {
            table.insert(format!("h{number}").as_str().into(), AMQPValue::LongInt(number));
        }
        assert_eq!(headers(&table).len(), MOST);

        let mut table = FieldTable::default();
        table.insert("a".into(), AMQPValue::LongString("x".repeat(ROOM).into()));
        table.insert("b".into(), AMQPValue::LongString("small".into()));
        assert_eq!(headers(&table).into_keys().collect::<Vec<_>>(), ["b"]);
    }
}
