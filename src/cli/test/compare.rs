//! Compares what is there in the end with what must be.

use std::collections::{BTreeMap, BTreeSet};

use bson::{Bson, Document};
use serde_json::{Value as Json, json};

use super::stage::Stage;
use crate::api::read::json as plain;
use crate::manifest::{Emitted, Expected, ExpectedDocument};
use crate::replication::{State, Why};
use crate::store::Parked;

/// What is nearcopy's own in a document.
const OWN: &str = "_nearcopy";

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wrong {
    /// A value is another one.
    Differs(Difference),
    /// Something else, in words.
    Says(String),
}

/// A value that is not as it must be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    /// Which document, or which message.
    pub(super) of: String,
    /// Where in it; nowhere, if it is the whole.
    pub(super) path: String,
    /// What must be there, if anything.
    pub(super) expected: Option<Json>,
    /// What is there, if anything.
    pub(super) found: Option<Json>,
    /// Why nothing is, if that is known.
    pub(super) why: Option<&'static str>,
}

/// All that is not as it must be.
pub(super) fn compare(stage: &Stage, expected: &Expected) -> Vec<Wrong> {
    let mut wrong: Vec<Wrong> = Vec::new();
    for document in &expected.documents {
        wrong.extend(compare_document(stage, document).into_iter().map(Wrong::Differs));
    }
    wrong.extend(put_aside(&stage.memory.put_aside(), expected.parked));
    if let Some(emitted) = &expected.emitted {
        wrong.extend(compare_emitted(stage, emitted).into_iter().map(Wrong::Differs));
    }
    wrong
}

fn compare_document(stage: &Stage, expected: &ExpectedDocument) -> Vec<Difference> {
    let found = find(stage, &expected.of, &expected.id);
    let of = format!("{} {}", expected.of, expected.id);
    match (&expected.fields, found) {
        (None, Err(_)) => Vec::new(),
        (Some(fields), Ok(mut found)) => {
            if fields.get("_id").is_none() {
                found.remove("_id");
            }
            let mut differences = Vec::new();
            differ(&of, "", Some(fields), Some(&found.into()), &mut differences);
            differences
        }
        (fields, found) => {
            let why = found.as_ref().err().copied().flatten();
            let found = found.ok().map(|found| plain(&stripped(found).into()));
            vec![Difference { of, path: String::new(), expected: fields.clone(), found, why }]
        }
    }
}

/// What is there under a name and an id; the error is why nothing is, as far as that is known.
fn find(stage: &Stage, of: &str, id: &str) -> Result<Document, Option<&'static str>> {
    if let Ok(replica) = stage.declaration.replica(of) {
        let records = stage.memory.records(&replica.name);
        let record = records.into_values().find(|record| record.id.to_string() == id).ok_or(None)?;
        return match record.state {
            State::Live => Ok(record.fields),
            State::Pending => Err(Some("it is wanted, and not known yet")),
            State::Gone(Why::NotFound) => Err(Some("its owner does not know it")),
            State::Gone(Why::Out) => Err(Some("it is not one of those that are kept")),
            State::Gone(Why::Deleted | Why::Erased) => Err(Some("it is deleted")),
        };
    }
    let is_it = |document: &Document| document.get("_id").is_some_and(|known| named(known) == id);
    let found = stage.memory.all(of).into_iter().find(is_it).ok_or(None)?;
    let state = found.get_document(OWN).ok().and_then(|own| own.get_str("state").ok());
    if state == Some("pending") { Err(Some("events wait for it")) } else { Ok(found) }
}

/// An id as it is written in a test.
fn named(id: &Bson) -> String {
    match plain(id) {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

/// A document without what is nearcopy's own in it.
fn stripped(mut document: Document) -> Document {
    document.remove(OWN);
    document
}

/// Notes every difference between two values.
fn differ(of: &str, path: &str, expected: Option<&Json>, found: Option<&Bson>, into: &mut Vec<Difference>) {
    let within = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (expected, found) {
        (Some(Json::Object(expected)), Some(Bson::Document(found))) => {
            let names = expected.keys().chain(found.keys().filter(|name| *name != OWN));
            for name in names.collect::<BTreeSet<_>>() {
                differ(of, &within(name), expected.get(name), found.get(name), into);
            }
        }
        (Some(Json::Array(expected)), Some(Bson::Array(found))) => {
            for at in 0..expected.len().max(found.len()) {
                differ(of, &format!("{path}[{at}]"), expected.get(at), found.get(at), into);
            }
        }
        (Some(expected), Some(found)) if is_same(expected, found) => {}
        (expected, found) => into.push(Difference {
            of: of.to_owned(),
            path: path.to_owned(),
            expected: expected.cloned(),
            found: found.map(plain),
            why: None,
        }),
    }
}

/// Numbers are compared by value, and a date with text that says the same time.
fn is_same(expected: &Json, found: &Bson) -> bool {
    match (expected, found) {
        (Json::String(text), Bson::DateTime(time)) => {
            let expected: Option<jiff::Timestamp> = text.parse().ok();
            expected.is_some_and(|expected| expected.as_millisecond() == time.timestamp_millis())
        }
        (Json::Number(number), Bson::Decimal128(decimal)) => {
            number.as_f64().is_some_and(|number| decimal.to_string().parse() == Ok(number))
        }
        (Json::Number(number), Bson::Double(double)) => number.as_f64() == Some(*double),
        (Json::Number(number), Bson::Int32(_) | Bson::Int64(_)) if number.is_f64() => {
            number.as_f64() == plain(found).as_f64()
        }
        _ => *expected == plain(found),
    }
}

/// Compares how many events were put aside, and says which were if it is another number.
fn put_aside(parked: &[Parked], expected: usize) -> Vec<Wrong> {
    if parked.len() == expected {
        return Vec::new();
    }
    let counted = match parked.len() {
        0 => "no event is put aside".to_owned(),
        1 => "1 event is put aside".to_owned(),
        more => format!("{more} events are put aside"),
    };
    let meant = if expected == 0 { "none".to_owned() } else { expected.to_string() };
    let told = parked.iter().map(|parked| {
        let kind = parked.kind.as_deref().unwrap_or("something");
        let whose = parked.replica.as_ref().map(|replica| format!(", about `{replica}`")).unwrap_or_default();
        let id = parked.entity.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
        format!("{kind} from `{}`{whose}{id}: {}: {}", parked.source, parked.reason, parked.detail)
    });
    let counted = format!("{counted}, where there should be {meant}");
    std::iter::once(counted).chain(told).map(Wrong::Says).collect()
}

/// Compares what rules told. Read models are folded side by side, so only what has the same type, exchange and key has an
/// order.
fn compare_emitted(stage: &Stage, expected: &[Emitted]) -> Vec<Difference> {
    type Said<'s> = (Vec<&'s Emitted>, Vec<Json>);
    let mut kinds: BTreeMap<[&str; 3], Said<'_>> = BTreeMap::new();
    let heard = stage.listener.heard();
    for message in expected {
        let kind = [&*message.kind, &*message.exchange, &*message.key];
        kinds.entry(kind).or_default().0.push(message);
    }
    for alert in &heard {
        let body: Json = serde_json::from_str(&alert.body).unwrap_or_default();
        let kind = [&*alert.kind, &*alert.exchange, &*alert.routing_key];
        kinds.entry(kind).or_default().1.push(body["data"].clone());
    }
    let mut differences = Vec::new();
    for ([kind, exchange, key], (expected, found)) in &kinds {
        let of = format!("emitted {kind}");
        for at in 0..expected.len().max(found.len()) {
            let whole = |data: &Json| json!({ "exchange": exchange, "key": key, "type": kind, "data": data });
            match (expected.get(at), found.get(at)) {
                (Some(Emitted { data: Some(expected), .. }), Some(found)) => {
                    let found = Bson::try_from(found.clone()).unwrap_or(Bson::Null);
                    differ(&of, "data", Some(expected), Some(&found), &mut differences);
                }
                (Some(_), Some(_)) => {}
                (expected, found) => differences.push(Difference {
                    of: of.clone(),
                    path: String::new(),
                    expected: expected.map(|expected| whole(expected.data.as_ref().unwrap_or(&Json::Null))),
                    found: found.map(whole),
                    why: None,
                }),
            }
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    fn differences(expected: &Json, found: Document) -> Vec<String> {
        let mut differences = Vec::new();
        differ("d", "", Some(expected), Some(&found.into()), &mut differences);
        differences.into_iter().map(|found| found.path).collect()
    }

    #[test]
    fn values_are_the_same_that_mean_the_same() {
        let time = bson::DateTime::from_millis(1_767_225_600_000);
        let price: bson::Decimal128 = "12.50".parse().unwrap();
        let found =
            doc! { "a": 1_i64, "b": 2.0, "c": time, "d": price, "e": [1, { "f": null }], "_nearcopy": 1 };
        let expected =
            json!({ "a": 1.0, "b": 2, "c": "2026-01-01T01:00:00+01:00", "d": 12.5, "e": [1, { "f": null }] });
        assert_eq!(differences(&expected, found), [""; 0]);
    }

    #[test]
    fn each_difference_is_found_at_its_place() {
        let found = doc! { "a": "1", "e": [1, { "f": 2 }, 3], "more": true, "in": { "x": 1 } };
        let expected = json!({ "a": 1, "e": [1, { "f": null }], "less": 1, "in": { "x": 1 } });
        assert_eq!(differences(&expected, found), ["a", "e[1].f", "e[2]", "less", "more"]);
    }
}
