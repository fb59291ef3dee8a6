//! BSON values as the JSON that everybody gets to see, readers and those who read a collection's changes.

use bson::spec::BinarySubtype;
use bson::{Bson, Document};
use serde::{Serialize, Serializer};

/// A stored value as JSON: dates as RFC 3339, decimals, ids and UUIDs as text, so that nothing is lost.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(pub &'a Bson);

/// A stored document as JSON, its fields in their order.
#[derive(Clone, Copy, Debug)]
pub struct PlainDocument<'a>(pub &'a Document);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Bson::Null | Bson::Undefined => into.serialize_unit(),
            Bson::Boolean(value) => into.serialize_bool(*value),
            Bson::Int32(value) => into.serialize_i32(*value),
            Bson::Int64(value) => into.serialize_i64(*value),
            Bson::Double(value) => into.serialize_f64(*value),
            Bson::String(value) => into.serialize_str(value),
            Bson::Array(values) => into.collect_seq(values.iter().map(Plain)),
            Bson::Document(fields) => PlainDocument(fields).serialize(into),
            Bson::DateTime(at) => plain_time(at.timestamp_millis()).serialize(into),
            Bson::ObjectId(id) => into.serialize_str(&id.to_hex()),
            Bson::Decimal128(value) => into.collect_str(value),
            Bson::Binary(binary) if binary.subtype == BinarySubtype::Uuid => {
                uuid::Uuid::from_slice(&binary.bytes).map(|uuid| uuid.to_string()).ok().serialize(into)
            }
            other => into.collect_str(other),
        }
    }
}

impl Serialize for PlainDocument<'_> {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.collect_map(self.0.iter().map(|(name, value)| (name, Plain(value))))
    }
}

/// A time in milliseconds since 1970 as RFC 3339 text; none for one that has no such text.
pub fn plain_time(millis: i64) -> Option<String> {
    jiff::Timestamp::from_millisecond(millis).ok().map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn fields_keep_their_order_and_values_lose_nothing() {
        let document = doc! {
            "z": 1_i64 << 60,
            "a": [1, 2.5, f64::NAN, Bson::Null],
            "id": bson::oid::ObjectId::parse_str("65a000000000000000000001").unwrap(),
            "at": bson::DateTime::from_millis(1_700_000_000_123),
            "price": "12.50".parse::<bson::Decimal128>().unwrap(),
            "inner": { "$date": "no date" },
        };
        let json = serde_json::to_string(&PlainDocument(&document)).unwrap();
        let expected = concat!(
            r#"{"z":1152921504606846976,"a":[1,2.5,null,null],"id":"65a000000000000000000001","#,
            r#""at":"2023-11-14T22:13:20.123Z","price":"12.50","inner":{"$date":"no date"}}"#
        );
        assert_eq!(json, expected);
    }
}
