//! Values of declared fields: stored as they are, or the event is put aside.

use bson::Bson;
use nearcopy::event::{Change, Headers, Message};

use super::Case;
use super::declared::{DECLARED, TIME_OF_DAY, read};

/// A field of `users`, which has the name of its type, and its JSON; the value that is stored, or the reason.
pub(crate) const CASES: &[Case] = &[
    ("string", r#""""#, r#""""#),
    ("string", r#""\u0000""#, r#""\u0000""#),
    ("string", r#""\ud83e\udd80""#, "\"🦀\""),
    ("string", r#""\ud83e""#, "bad_field"),
    ("string", r#""\udd80\ud83e""#, "bad_field"),
    ("string", "\"\u{feff}x\"", "\"\u{feff}x\""),
    ("string", r#""\x41""#, "not_json"),
    ("string", r#""\u12""#, "not_json"),
    ("string", "'x'", "not_json"),
    ("string", "1.5", "bad_field"),
    ("string", "[]", "bad_field"),
    ("string", "null", "null"),
    ("int", "-9223372036854775808", "-9223372036854775808"),
    ("int", "-9223372036854775809", "bad_field"),
    ("int", "-0", "0"),
    ("int", "1.0", "bad_field"),
    ("int", "1e0", "bad_field"),
    ("int", r#""1""#, "bad_field"),
    ("int", "true", "bad_field"),
    ("int", "[1]", "bad_field"),
    ("int", "{}", "bad_field"),
    ("int", "00", "not_json"),
    ("int", "+1", "not_json"),
    ("int", "0x10", "not_json"),
    ("int", "1_000", "not_json"),
    ("int", "1,000", "not_json"),
    ("int", "--1", "not_json"),
    ("double", "0.1", "0.1"),
    ("double", "-0.0", "-0.0"),
    ("double", "5e-324", "5e-324"),
    ("double", "1e-400", "bad_field"),
    ("double", "1.7976931348623159e308", "bad_field"),
    ("double", "-1e400", "bad_field"),
    ("double", "-9007199254740993", "bad_field"),
    ("double", "1000000000000000000000000000000000000000000000001", "bad_field"),
    ("double", "9007199254740993.0", "9007199254740992.0"),
    ("double", "NaN", "not_json"),
    ("double", "-Infinity", "not_json"),
    ("double", ".5", "not_json"),
    ("double", "5.", "not_json"),
    ("double", "1e", "not_json"),
    ("double", r#""0.1""#, "bad_field"),
    ("decimal", "0.10", "decimal 0.10"),
    ("decimal", r#""1e3""#, "decimal 1E+3"),
    ("decimal", "1e6144", "decimal 1.000000000000000000000000000000000E+6144"),
    ("decimal", "1e6145", "bad_field"),
    ("decimal", "1e-6176", "decimal 1E-6176"),
    ("decimal", "1e-6177", "bad_field"),
    ("decimal", "1234567890123456789012345678901234", "decimal 1234567890123456789012345678901234"),
    ("decimal", "12345678901234567890123456789012345", "bad_field"),
    ("decimal", "0.12345678901234567890123456789012345", "bad_field"),
    ("decimal", r#""""#, "bad_field"),
    ("decimal", r#"" 1""#, "bad_field"),
    ("decimal", r#""1,5""#, "bad_field"),
    ("decimal", r#""١""#, "bad_field"),
    ("decimal", r#""0x1""#, "bad_field"),
    ("decimal", r#""--1""#, "bad_field"),
    ("decimal", r#"".""#, "bad_field"),
    ("decimal", r#""0+1.""#, "bad_field"),
    ("decimal", r#""++1""#, "bad_field"),
    ("decimal", r#""1e""#, "bad_field"),
    ("decimal", r#""1e+""#, "bad_field"),
    ("decimal", r#""1.2.3""#, "bad_field"),
    ("decimal", r#""e5""#, "bad_field"),
    ("decimal", r#""-inf""#, "bad_field"),
    ("decimal", r#""sNaN""#, "bad_field"),
    ("decimal", r#""1 EUR""#, "bad_field"),
    ("decimal", "{}", "bad_field"),
    ("decimal", "false", "bad_field"),
    ("bool", "0", "bad_field"),
    ("bool", "1", "bad_field"),
    ("bool", r#""""#, "bad_field"),
    ("bool", r#""false""#, "bad_field"),
    ("bool", "[]", "bad_field"),
    ("bool", "True", "not_json"),
    ("bool", "undefined", "not_json"),
    ("bool", "null", "null"),
    ("date", r#""2026-01-01""#, "bad_field"),
    ("date", r#""2026-01-01T00:00:00""#, "bad_field"),
    ("date", r#""2026-01-01T25:00:00Z""#, "bad_field"),
    ("date", r#""2026-02-30T00:00:00Z""#, "bad_field"),
    ("date", r#""2026-01-01T00:00:00+99:00""#, "bad_field"),
    ("date", r#""10000-01-01T00:00:00Z""#, "bad_field"),
    ("date", r#""01/02/2026""#, "bad_field"),
    ("date", r#""1767225600000""#, "bad_field"),
    ("date", r#""""#, "bad_field"),
    ("date", r#""now""#, "bad_field"),
    ("date", "1.5", "bad_field"),
    ("date", "1e3", "bad_field"),
    ("date", "9223372036854775808", "bad_field"),
    ("date", "-1", "date -1"),
    ("date", r#""2016-12-31T23:59:60Z""#, "date 1483228799000"),
    ("date", r#""2026-01-01T02:00:00.0009+02:00""#, "date 1767225600000"),
    ("date", "{\"$date\":0}", "bad_field"),
    ("objectId", r#""507f1f77bcf86cd799439011""#, "id 507f1f77bcf86cd799439011"),
    ("objectId", r#""507F1F77BCF86CD799439011""#, "id 507f1f77bcf86cd799439011"),
    ("objectId", r#""507f1f77bcf86cd79943901""#, "bad_field"),
    ("objectId", r#""507f1f77bcf86cd7994390111""#, "bad_field"),
    ("objectId", r#""507f1f77bcf86cd79943901g""#, "bad_field"),
    ("objectId", r#""abcdefghijkl""#, "bad_field"),
    ("objectId", r#"{"$oid":"507f1f77bcf86cd799439011"}"#, "bad_field"),
    ("objectId", "507", "bad_field"),
    ("uuid", r#""67e55044-10b1-426f-9247-bb680e5fe0c""#, "bad_field"),
    ("uuid", r#""67e55044-10b1-426f-9247-bb680e5fe0cg""#, "bad_field"),
    ("uuid", r#""67e55044-10b1-426f-9247-bb680e5fe0c8 ""#, "bad_field"),
    ("uuid", r#""""#, "bad_field"),
    ("uuid", "0", "bad_field"),
    ("object", "[]", "bad_field"),
    ("object", r#""{}""#, "bad_field"),
    ("object", "{}", "{}"),
    ("object", r#"{"":{"":1}}"#, r#"{"":{"":1}}"#),
    ("object", r#"{"a":{"b":1,"b":2}}"#, "duplicate_key"),
    ("object", r#"{"a":1,"\u0061":2}"#, "duplicate_key"),
    ("object", r#"{"a\u0000":1}"#, "bad_field"),
    ("object", r#"{"\ud800":1}"#, "not_json"),
    ("object", r#"{"a":1,}"#, "not_json"),
    ("object", "{a:1}", "not_json"),
    ("object", r#"{"__proto__":null,"constructor":1}"#, r#"{"__proto__":null,"constructor":1}"#),
    ("array", "{}", "bad_field"),
    ("array", r#""[]""#, "bad_field"),
    ("array", "[1e400]", "bad_field"),
    ("array", "[18446744073709551616]", "bad_field"),
    ("array", r#"[{"a":1,"a":1}]"#, "duplicate_key"),
    ("array", "[NaN]", "not_json"),
    ("array", "[1,]", "not_json"),
    ("array", "[,1]", "not_json"),
    ("array", "[1 2]", "not_json"),
    ("array", "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "too_deep"),
    ("any", "18446744073709551615", "bad_field"),
    ("any", "-9223372036854775809", "bad_field"),
    ("any", r#"{"a":[{"b":1e999}]}"#, "bad_field"),
    ("any", r#"[["\ud800"]]"#, "not_json"),
    ("any", "nul", "not_json"),
    ("any", "//x\n1", "not_json"),
    ("any", r#"{"$date":"never"}"#, r#"{"$date":"never"}"#),
    ("any", r#"[{"$where":"1"},"$$NOW"]"#, r#"[{"$where":"1"},"$$NOW"]"#),
];

pub(crate) fn became(field: &str, json: &str) -> String {
    let body = format!(r#"{{"id":"e","type":"upsert","data":{{"id":"1","version":1,"{field}":{json}}}}}"#);
    let headers = Headers::new();
    let message = Message { body: body.as_bytes(), content_type: None, headers: &headers };
    read("users", &message);
    let of = DECLARED.replica("users").unwrap();
    let opened =
        DECLARED.sources.iter().find(|source| source.name == of.source).unwrap().envelope.open(&message);
    let meaning = opened.map(|notice| of.interpret(&notice, TIME_OF_DAY).map_err(|misread| misread.error));
    match meaning.and_then(|meaning| meaning) {
        Err(error) => error.reason.to_string(),
        Ok(event) => match event.unwrap().change {
            Change::Upsert(fields) => shown(fields.to_document().get(field).unwrap()),
            other => format!("{other:?}"),
        },
    }
}

/// A value as JSON, with a word before what JSON does not know.
pub(crate) fn shown(value: &Bson) -> String {
    match value {
        Bson::Document(members) => {
            let members =
                members.iter().map(|(name, value)| format!("{}:{}", serde_json::json!(name), shown(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Bson::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(",")),
        Bson::String(text) => serde_json::json!(text).to_string(),
        Bson::Double(number) => format!("{number:?}"),
        Bson::Decimal128(number) => format!("decimal {number}"),
        Bson::DateTime(time) => format!("date {}", time.timestamp_millis()),
        Bson::ObjectId(id) => format!("id {id}"),
        plain => plain.to_string(),
    }
}
