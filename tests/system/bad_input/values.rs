//! Events whose id, version or fields are not what they should be, or are and look as if they were not.

use bson::{Bson, bson, doc};

use super::Expected::{self, Ignored, Parked, Stored};
use super::{Case, UNWANTED, VALUE, json};

pub(super) fn cases() -> Vec<Case> {
    [ids(), whole_ids(), versions(), times(), fields(), numbers(), keys(), nobodys()]
        .into_iter()
        .flatten()
        .collect()
}

/// A user whose id is this JSON.
fn id(name: &str, id: &str, expected: Expected) -> Case {
    json(
        name,
        "user.updated",
        &format!(r#"{{"id":{id},"version":1,"name":"{VALUE}","x":"{UNWANTED}"}}"#),
        expected,
    )
}

fn ids() -> Vec<Case> {
    let stored = |id: &str| Stored("users", id.into(), doc! { "name": VALUE });
    let (longest, too_long) = ("i".repeat(1024), "i".repeat(2048));
    let mut cases = vec![
        json("no id", "user.updated", &format!(r#"{{"version":1,"name":"{VALUE}"}}"#), Parked("no_id")),
        id("an id of null", "null", Parked("bad_id")),
        id("an empty id", "\"\"", Parked("bad_id")),
        id("an id that is a number", "42", Parked("bad_id")),
        id("an id that is a truth", "true", Parked("bad_id")),
        id("an id that is an object", r#"{"$ne":null}"#, Parked("bad_id")),
        id("an id that is an array", r#"["a"]"#, Parked("bad_id")),
        id("an id of 2 KB", &format!("\"{too_long}\""), Parked("bad_id")),
        id("the longest id", &format!("\"{longest}\""), stored(&longest)),
        id("an id with NUL", r#""a\u0000b""#, Parked("bad_id")),
        id("an id with half a character", r#""\ud800""#, Parked("bad_id")),
        id("an id that stands twice", r#""a1","id":"a2""#, Parked("duplicate_key")),
        id("an id that stands twice, once in disguise", r#""a1","\u0069d":"a2""#, Parked("duplicate_key")),
        id("an id in escapes", r#""\u0061\/b""#, stored("a/b")),
    ];
    let odd = [
        "Zoë-日本-🦀",
        "Zoe\u{308}",
        "\u{202E}txet",
        " ",
        "a b\tc",
        "line\\nbreak",
        "../x",
        "a/b?c=d#e",
        "..",
        "%2e%2e",
        "$where",
        "a.b.c",
        "__proto__",
        "null",
        "42",
        "1.0",
        "'; drop table users; --",
        "{id}",
        "_id",
        "\u{FEFF}bom",
    ];
    for text in odd {
        let held = text.replace("\\n", "\n").replace("\\t", "\t");
        cases.push(id(
            &format!("the id {text:?}"),
            &format!("\"{}\"", text.replace('\t', "\\t")),
            stored(&held),
        ));
    }
    cases
}

/// Ids of a replica that declares whole numbers.
fn whole_ids() -> Vec<Case> {
    let account = |name: &str, id: &str, expected| {
        json(name, "account.updated", &format!(r#"{{"id":{id},"version":1,"name":"{VALUE}"}}"#), expected)
    };
    let stored = |id: i64| Stored("accounts", Bson::Int64(id), doc! { "name": VALUE });
    vec![
        account("a whole id", "7", stored(7)),
        account("a whole id below zero", "-7", stored(-7)),
        account("the largest whole id", "9223372036854775807", stored(i64::MAX)),
        account("a whole id of 2^63", "9223372036854775808", Parked("bad_id")),
        account("a whole id of 2^64", "18446744073709551616", Parked("bad_id")),
        account("a whole id as text", "\"8\"", Parked("bad_id")),
        account("a whole id with a fraction", "9.0", Parked("bad_id")),
        account("a whole id with an exponent", "1e3", Parked("bad_id")),
        account("a whole id beyond all bounds", "1e400", Parked("bad_id")),
        account("minus zero", "-0", Parked("bad_id")),
    ]
}

fn versions() -> Vec<Case> {
    let version = |name: &str, at: usize, version: &str, expected| {
        json(name, "user.updated", &format!(r#"{{"id":"v{at}",{version}"name":"{VALUE}"}}"#), expected)
    };
    let stored = |at: usize| Stored("users", format!("v{at}").into(), doc! { "name": VALUE });
    let mut cases = vec![
        version("no version", 0, "", Parked("no_version")),
        version("a version of null", 1, "\"version\":null,", Parked("no_version")),
        version("a version that stands twice", 2, "\"version\":1,\"version\":2,", Parked("duplicate_key")),
        version("a version of zero", 3, "\"version\":0,", stored(3)),
        version("a version as text", 4, "\"version\":\"7\",", stored(4)),
        version("a version as padded text", 5, "\"version\":\"007\",", stored(5)),
        version("the largest version", 6, "\"version\":9223372036854775807,", stored(6)),
    ];
    let bad = [
        "-1",
        "1.5",
        "1.0",
        "1e3",
        "9223372036854775808",
        "18446744073709551616",
        "1e400",
        "-0",
        "true",
        "{}",
        "[]",
        "\"\"",
        "\" 7\"",
        "\"-7\"",
        "\"+7\"",
        "\"7.0\"",
        "\"v7\"",
        "\"٧\"",
        "\"0x10\"",
    ];
    for (at, text) in bad.iter().enumerate() {
        let name = format!("the version {text}");
        cases.push(version(&name, 100 + at, &format!("\"version\":{text},"), Parked("bad_version")));
    }
    let digits = "9".repeat(100_000);
    cases.push(version(
        "a version of a hundred thousand digits",
        90,
        &format!("\"version\":{digits},"),
        Parked("bad_version"),
    ));
    cases
}

/// Versions of a replica that orders by time.
fn times() -> Vec<Case> {
    let stamp = |at: usize, time: &str, expected| {
        let data = format!(r#"{{"id":"s{at}","updatedAt":{time},"name":"{VALUE}"}}"#);
        json(&format!("the time {time}"), "stamp.updated", &data, expected)
    };
    let stored = |at: usize| Stored("stamps", format!("s{at}").into(), doc! { "name": VALUE });
    vec![
        stamp(0, "\"2026-01-01T00:00:00.123456789+02:00\"", stored(0)),
        stamp(1, "\"1900-01-01T00:00:00Z\"", stored(1)),
        stamp(2, "\"yesterday\"", Parked("bad_version")),
        stamp(3, "\"2026-13-01T00:00:00Z\"", Parked("bad_version")),
        stamp(4, "\"2026-01-01T00:00:00\"", Parked("bad_version")),
        stamp(5, "1767225600", Parked("bad_version")),
        stamp(6, "null", Parked("no_version")),
        stamp(7, "\"99999-01-01T00:00:00Z\"", Parked("bad_version")),
    ]
}

/// A user with this JSON in one field.
fn field(at: usize, name: &str, value: &str, expected: Expected) -> Case {
    let data = format!(r#"{{"id":"f{at}","version":1,"{name}":{value},"x":"{UNWANTED}"}}"#);
    json(&format!("{name} of {value:.40}"), "user.updated", &data, expected)
}

fn stored(at: usize, name: &str, value: impl Into<Bson>) -> Expected {
    Stored("users", format!("f{at}").into(), doc! { name: value.into() })
}

fn fields() -> Vec<Case> {
    let value = format!("\"{VALUE}\"");
    let mut cases = vec![
        field(0, "email", "null", stored(0, "email", Bson::Null)),
        field(1, "active", "false", stored(1, "active", false)),
        field(2, "key", "\"67E55044-10B1-426F-9247-BB680E5FE0C8\"", Stored("users", "f2".into(), doc! {})),
        field(3, "seen", "1767225600000", stored(3, "seen", bson::DateTime::from_millis(1_767_225_600_000))),
        field(4, "name", r#""half \ud800""#, Parked("not_json")),
        field(5, "name", r#""a\u0000b""#, stored(5, "name", "a\0b")),
        field(6, "name", &value, stored(6, "name", VALUE)),
    ];
    let mismatched = [
        ("email", "7"),
        ("email", "true"),
        ("email", "{}"),
        ("email", "[\"CANARY-value\"]"),
        ("age", "\"7\""),
        ("age", "1.5"),
        ("age", &value),
        ("active", "\"true\""),
        ("active", "1"),
        ("active", "\"yes\""),
        ("key", "\"nope\""),
        ("key", "7"),
        ("key", &value),
        ("seen", "\"tomorrow\""),
        ("seen", &value),
        ("seen", "1.5"),
        ("profile", "[]"),
        ("profile", &value),
        ("tags", "{}"),
        ("tags", "7"),
        ("amount", "\"1\""),
        ("amount", &value),
        ("price", "true"),
        ("price", &value),
    ];
    cases.extend(
        mismatched
            .iter()
            .enumerate()
            .map(|(at, (name, value))| field(100 + at, name, value, Parked("bad_field"))),
    );
    cases
}

fn numbers() -> Vec<Case> {
    let digits = "7".repeat(200_000);
    let decimal = |text: &str| Bson::Decimal128(text.parse().unwrap());
    vec![
        field(200, "age", "9223372036854775807", stored(200, "age", i64::MAX)),
        field(201, "age", "9223372036854775808", Parked("bad_field")),
        field(202, "age", "1e2", Parked("bad_field")),
        field(203, "name", "9223372036854775808", Parked("bad_field")),
        field(204, "name", "1e400", Parked("bad_field")),
        field(205, "name", "-1.25", stored(205, "name", -1.25)),
        field(206, "amount", "1e400", Parked("bad_field")),
        field(207, "amount", "9007199254740993", Parked("bad_field")),
        field(208, "price", "1e400", stored(208, "price", decimal("1e400"))),
        field(209, "price", "\"0.10\"", stored(209, "price", decimal("0.10"))),
        field(
            210,
            "price",
            "9223372036854775808.55",
            stored(210, "price", decimal("9223372036854775808.55")),
        ),
        field(211, "price", "1e9999", Parked("bad_field")),
        field(212, "price", "12345678901234567890123456789012345678.9", Parked("bad_field")),
        field(213, "price", &digits, Parked("bad_field")),
        field(214, "name", &digits, Parked("bad_field")),
        field(215, "age", &digits, Parked("bad_field")),
        field(216, "price", "\"NaN\"", Parked("bad_field")),
        field(217, "price", "\"Infinity\"", Parked("bad_field")),
        field(218, "seen", "9223372036854775808", Parked("bad_field")),
        field(219, "x", "1e400", Stored("users", "f219".into(), doc! {})),
    ]
}

fn keys() -> Vec<Case> {
    let kept = [
        (300, "name", r#""{\"$where\":\"sleep(9)\"}""#, bson!(r#"{"$where":"sleep(9)"}"#)),
        (301, "profile", r#"{"$where":"1","$set":{"x":1}}"#, bson!({"$where": "1", "$set": {"x": 1_i64}})),
        (
            302,
            "profile",
            r#"{"a.b":1,"":2,"$":3,".":4}"#,
            bson!({"a.b": 1_i64, "": 2_i64, "$": 3_i64, ".": 4_i64}),
        ),
        (303, "profile", r#"{"__proto__":{"admin":true}}"#, bson!({"__proto__": {"admin": true}})),
        (304, "profile", r#"{"$literal":"$$ROOT"}"#, bson!({"$literal": "$$ROOT"})),
        (305, "name", r#""$$ROOT""#, bson!("$$ROOT")),
        (306, "name", r#""$name""#, bson!("$name")),
        (307, "name", r#"{"$oid":"507f1f77bcf86cd799439011"}"#, bson!({"$oid": "507f1f77bcf86cd799439011"})),
        (
            308,
            "profile",
            r#"{"_id":1,"_nearcopy":{"state":"gone"}}"#,
            bson!({"_id": 1_i64, "_nearcopy": {"state": "gone"}}),
        ),
        (320, "profile", r#"{"$date":"never"}"#, bson!({"$date": "never"})),
        (321, "profile", r#"{"$oid":7}"#, bson!({"$oid": 7_i64})),
        (322, "profile", r#"{"$numberLong":"x"}"#, bson!({"$numberLong": "x"})),
        (323, "profile", r#"{"$binary":{"base64":"!"}}"#, bson!({"$binary": {"base64": "!"}})),
        (324, "profile", r#"{"$timestamp":{"t":-1}}"#, bson!({"$timestamp": {"t": -1_i64}})),
    ];
    let mut cases: Vec<Case> = kept
        .into_iter()
        .map(|(at, name, json, value)| field(at, name, json, stored(at, name, value)))
        .collect();
    let twice = r#"{"id":"f312","version":1,"x":1,"x":2,"name":"n"}"#;
    let ours = r#"{"id":"f313","version":1,"_nearcopy":{"state":"gone"},"_id":"other","name":"n"}"#;
    cases.extend([
        field(309, "profile", r#"{"a":1,"a":2}"#, Parked("duplicate_key")),
        field(310, "profile", r#"{"a\u0000b":1}"#, Parked("bad_field")),
        field(311, "name", r#"1,"name":2"#, Parked("duplicate_key")),
        json("a key that nobody wants, twice", "user.updated", twice, stored(312, "name", "n")),
        json("what only looks like ours", "user.updated", ours, stored(313, "name", "n")),
    ]);
    cases
}

/// Events of entities that nobody wants: however broken, nothing of them is kept.
fn nobodys() -> Vec<Case> {
    let nobody = |name: &str, data: String| json(name, "member.updated", &data, Ignored);
    vec![
        nobody("an event of nobody", format!(r#"{{"id":"n0","version":1,"name":"{UNWANTED}"}}"#)),
        nobody(
            "an event of nobody, with a bad field",
            format!(r#"{{"id":"n1","version":1,"name":["{UNWANTED}"]}}"#),
        ),
        nobody(
            "an event of nobody, with a bad version",
            format!(r#"{{"id":"n2","version":"{UNWANTED}","name":"{UNWANTED}"}}"#),
        ),
        nobody("an event of nobody, without a version", format!(r#"{{"id":"n3","name":"{UNWANTED}"}}"#)),
        nobody(
            "an event of nobody, too deep",
            format!(r#"{{"id":"n4","version":1,"name":[[["{UNWANTED}"]]]}}"#),
        ),
        json("a deletion of nobody", "member.deleted", r#"{"id":"n5","version":1}"#, Ignored),
    ]
}
