//! Rules: what is told of what a document has become, and of what it has been for a while.

use bson::DateTime;
use nearcopy::event::{EntityId, Headers, Message};
use nearcopy::manifest;
use nearcopy::replication::{Alert, Bench, Declaration, Facts, ReadModel};
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000_000_000;
const LIBRARY: &str = include_str!("../../config/examples/library.yaml");
/// When the first event happens, in milliseconds since 1970: 2026-01-01.
const BEGIN: i64 = 1_767_225_600_000;
const DAY: i64 = 86_400_000;

/// A read model of a manifest, and what its rules have told.
struct Ruled {
    declaration: Declaration,
    name: &'static str,
    bench: Bench,
    place: u64,
    told: Vec<Value>,
}

impl Ruled {
    fn of(manifest: &str, name: &'static str) -> Self {
        let declaration = manifest::parse("nearcopy.yaml", manifest, &|_| None).unwrap();
        Self { declaration, name, bench: Bench::default(), place: 0, told: Vec::new() }
    }

    fn model(&self) -> ReadModel {
        let mut models = self.declaration.read_models.iter();
        ReadModel::clone(models.find(|model| model.name.as_str() == self.name).unwrap())
    }

    /// An event so many days after the beginning; `None` is one without a time.
    fn event(&mut self, day: Option<i64>, kind: &str, data: &Value) -> Vec<String> {
        let time = day.map(|day| DateTime::from_millis(BEGIN + day * DAY).try_to_rfc3339_string().unwrap());
        let body =
            json!({ "id": format!("e{}", self.place), "type": kind, "at": time, "data": data }).to_string();
        let (headers, model) = (Headers::new(), self.model());
        let message = Message { body: body.as_bytes(), content_type: None, headers: &headers };
        let notice = self.declaration.streams[0].envelope.open(&message).unwrap();
        let facts: Facts = model.interpret(&notice).unwrap().unwrap();
        let event = model.lookup.find(&notice).unwrap();
        let (mut alerts, mut failed, place) = (Vec::new(), Vec::new(), self.place.to_string());
        let held = self.bench.fold_seen(&facts, NOW, &mut |seen| {
            let (told, wrong) = model.alerts(&event, &place, seen);
            alerts.extend(told);
            failed.extend(wrong.into_iter().map(|(rule, error)| format!("{rule}: {}", error.detail)));
        });
        assert_eq!(held, []);
        self.place += 1;
        self.tell(&alerts);
        failed
    }

    fn lends(&mut self, day: i64, member: &str, copy: &str) {
        let data = json!({ "memberId": member, "copyId": copy });
        assert_eq!(self.event(Some(day), "BookBorrowed", &data), [""; 0]);
    }

    fn takes_back(&mut self, day: i64, member: &str, copy: &str) {
        let data = json!({ "memberId": member, "copyId": copy });
        assert_eq!(self.event(Some(day), "BookReturned", &data), [""; 0]);
    }

    /// Nothing more comes until that day.
    fn quiet_until(&mut self, day: i64, copy: &str) {
        let until = DateTime::from_millis(BEGIN + day * DAY);
        let alerts = self.bench.pass_deadlines(&self.model(), &[EntityId::String(copy.into())], until);
        self.tell(&alerts);
    }

    fn tell(&mut self, alerts: &[Alert]) {
        for alert in alerts {
            let body: Value = serde_json::from_str(&alert.body).unwrap();
            assert_eq!(body["id"], json!(alert.id.to_string()));
            assert_eq!(body["type"], json!(alert.kind));
            self.told.push(json!([alert.kind, body["time"], body["data"]]));
        }
    }
}

/// What the library tells of these events, read model by read model.
fn told(events: &[(&str, &str, &str)]) -> Vec<Value> {
    let mut told = Vec::new();
    for name in ["members", "copies"] {
        let mut ruled = Ruled::of(LIBRARY, name);
        for (kind, member, copy) in events {
            match *kind {
                "lent" => ruled.lends(0, member, copy),
                _ => ruled.takes_back(0, member, copy),
            }
        }
        told.extend(ruled.told);
    }
    told
}

#[test]
fn rules_tell_of_what_a_document_has_become() {
    let quiet = [
        ("lent", "ann", "1"),
        ("lent", "ann", "2"),
        ("lent", "ann", "3"),
        ("back", "ann", "1"),
        ("lent", "ann", "4"),
        ("lent", "ann", "4"),
    ];
    assert_eq!(told(&quiet), [json!(null); 0]);
    let more = [
        ("lent", "ann", "5"),
        ("lent", "ann", "6"),
        ("lent", "bob", "5"),
        ("back", "bob", "5"),
        ("lent", "bob", "5"),
    ];
    let loud = [&quiet[..], &more].concat();
    assert_eq!(
        told(&loud),
        [
            json!(["TooManyBooks", "2026-01-01T00:00:00Z", { "memberId": "ann", "borrowed": ["2", "3", "4", "5"] }]),
            json!(["CopyLentTwice", "2026-01-01T00:00:00Z", { "copyId": "5", "to": "bob", "before": "ann" }]),
        ]
    );
}

fn overdue(copy: &str, member: &str, since: &str, until: &str) -> Value {
    json!(["CopyOverdue", until, { "copyId": copy, "memberId": member, "since": since }])
}

#[test]
fn a_deadline_tells_of_what_has_not_changed_and_only_once() {
    let mut copies = Ruled::of(LIBRARY, "copies");
    copies.lends(0, "ann", "1");
    copies.quiet_until(13, "1");
    assert_eq!(copies.told, [json!(null); 0]);
    copies.quiet_until(14, "1");
    copies.quiet_until(15, "1");
    let late = overdue("1", "ann", "2026-01-01T00:00:00Z", "2026-01-15T00:00:00Z");
    assert_eq!(copies.told, std::slice::from_ref(&late));
    // Brought back and lent again, it has another deadline.
    copies.takes_back(20, "ann", "1");
    copies.lends(21, "bob", "1");
    copies.quiet_until(34, "1");
    assert_eq!(copies.told.len(), 1);
    copies.quiet_until(35, "1");
    assert_eq!(copies.told, [late, overdue("1", "bob", "2026-01-22T00:00:00Z", "2026-02-05T00:00:00Z")]);
}

#[test]
fn what_changes_in_time_tells_nothing() {
    let mut copies = Ruled::of(LIBRARY, "copies");
    copies.lends(0, "ann", "1");
    copies.takes_back(13, "ann", "1");
    copies.quiet_until(100, "1");
    assert_eq!(copies.told, [json!(null); 0]);
}

/// A stream that is read long after it was written tells what it would have told then.
#[test]
fn time_is_that_of_the_events() {
    let mut copies = Ruled::of(LIBRARY, "copies");
    copies.lends(0, "ann", "1");
    copies.takes_back(15, "ann", "1");
    let late = overdue("1", "ann", "2026-01-01T00:00:00Z", "2026-01-15T00:00:00Z");
    assert_eq!(copies.told, [late], "it was brought back too late");
    copies.quiet_until(100, "1");
    assert_eq!(copies.told.len(), 1);
}

/// A rule that tells of what has been open for a day.
const OPEN: &str = "
service: test
sources:
  s: { stream: { name: s }, event: { time: at } }
read_models:
  things:
    source: s
    key: data.id
    on:
      Opened: { set: { open: true } }
    rules:
      still-open:
        when: after.open
        for: 1d
        emit: { exchange: alerts, key: open, type: StillOpen, data: { id: data.id } }
";

#[test]
fn a_deadline_needs_a_time_to_be_reckoned_from() {
    let mut things = Ruled::of(OPEN, "things");
    let failed = things.event(None, "Opened", &json!({ "id": "1" }));
    assert_eq!(failed, ["still-open: the event has no time that can be read"]);
    things.quiet_until(100, "1");
    assert_eq!(things.told, [json!(null); 0]);
    assert_eq!(things.event(Some(0), "Opened", &json!({ "id": "1" })), [""; 0]);
    things.quiet_until(1, "1");
    assert_eq!(things.told, [json!(["StillOpen", "2026-01-02T00:00:00Z", { "id": "1" }])]);
}

/// CloudEvents of two publishers may have the same id. What is told of each has an id of its own.
#[test]
fn messages_of_two_publishers_have_two_ids() {
    let manifest = OPEN.replace("event: { time: at }", "format: cloudevents");
    let declaration = manifest::parse("nearcopy.yaml", &manifest, &|_| None).unwrap();
    let model = ReadModel::clone(&declaration.read_models[0]);
    let told = |source: &str| {
        let body = json!({ "specversion": "1.0", "source": source, "id": "1", "type": "Opened",
            "time": "2026-01-01T00:00:00Z", "data": { "id": "1" } })
        .to_string();
        let (headers, mut bench) = (Headers::new(), Bench::default());
        let content_type = Some("application/cloudevents+json");
        let message = Message { body: body.as_bytes(), content_type, headers: &headers };
        let notice = declaration.streams[0].envelope.open(&message).unwrap();
        let facts: Facts = model.interpret(&notice).unwrap().unwrap();
        let event = model.lookup.find(&notice).unwrap();
        bench.fold_seen(&facts, NOW, &mut |seen| assert_eq!(model.alerts(&event, "0", seen).1.len(), 0));
        let key = EntityId::String("1".into());
        bench.pass_deadlines(&model, &[key], DateTime::from_millis(BEGIN + DAY)).remove(0).id
    };
    assert_ne!(told("/one"), told("/two"));
    assert_eq!(told("/one"), told("/one"));
}
