//! Read models: what events make of documents, by the manifests that declare it.

use bson::{Bson, Document, doc};
use nearcopy::event::{EntityId, Headers, Message, Reason};
use nearcopy::manifest;
use nearcopy::replication::{Aim, Bench, Declaration, Deed, Held, ReadModel};
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000_000_000;

/// A declared read model, and the documents folded so far.
struct Folded {
    declaration: Declaration,
    name: &'static str,
    bench: Bench,
    documents: std::collections::BTreeMap<String, Document>,
}

impl Folded {
    fn of(manifest: &str, name: &'static str) -> Self {
        let declaration = manifest::parse("nearcopy.yaml", manifest, &|_| None);
        let declaration = declaration.unwrap_or_else(|wrong| panic!("{wrong}"));
        Self { declaration, name, bench: Bench::default(), documents: std::collections::BTreeMap::new() }
    }

    /// One read model, with these lines beneath its key.
    fn model(lines: &str) -> Self {
        Self::of(&manifest_of(lines), "things")
    }

    fn read_model(&self) -> &ReadModel {
        let mut models = self.declaration.read_models.iter();
        models.find(|model| model.name.as_str() == self.name).unwrap()
    }

    /// Folds an event, and says what had to wait.
    fn event(&mut self, kind: &str, data: &Value) -> Vec<Held> {
        let body = json!({ "id": "e1", "type": kind, "time": "2026-01-01T00:00:00Z", "at": "2026-01-01T00:00:00Z",
            "occurredAt": "2026-01-01T00:00:00Z", "data": data });
        self.says(&body.to_string()).unwrap()
    }

    fn says(&mut self, body: &str) -> Result<Vec<Held>, Reason> {
        let headers = Headers::new();
        let message = Message { body: body.as_bytes(), content_type: None, headers: &headers };
        let inflow = self.declaration.inflow(self.read_model()).unwrap();
        let notice = inflow.envelope().open(&message).unwrap();
        let facts = self.read_model().interpret(&notice).map_err(|error| error.reason)?;
        let held = facts.map(|facts| self.bench.fold(&facts, NOW)).unwrap_or_default();
        let (stored, deleted) = self.bench.take_changed();
        for document in stored.into_iter().map(|document| Document::try_from(document.unwrap()).unwrap()) {
            self.documents.insert(document.get_str("_id").unwrap().to_owned(), document);
        }
        for key in deleted {
            self.documents.remove(&key.to_string());
        }
        Ok(held)
    }

    /// A document without what is nearcopy's own.
    fn document(&self, key: &str) -> Option<Document> {
        let mut document = self.documents.get(key)?.clone();
        document.remove("_nearcopy");
        Some(document)
    }
}

fn manifest_of(lines: &str) -> String {
    format!(
        "service: test\nsources:\n  s: {{ stream: {{ name: s }} }}\nread_models:\n  things:\n    source: s\n    key: data.id\n{lines}"
    )
}

#[test]
fn events_are_folded_into_documents() {
    let mut folded = Folded::model(
        "    on:
      Made: { set: { name: data.name, open: true, size: { from: data.size, default: 0 } } }
      Grown: { inc: { size: data.by }, max: { largest: data.by }, unset: [open] }
      Gone: { delete: true }
    append: { history: { last: 2, value: { type: event.type, at: event.time } } }
    stamp: lastUpdated
",
    );
    assert_eq!(folded.event("Made", &json!({ "id": "1", "name": "ann" })), []);
    let at = bson::DateTime::from_millis(1_767_225_600_000);
    let history = |kinds: &[&str]| -> Bson {
        kinds.iter().map(|kind| Bson::from(doc! { "type": *kind, "at": at })).collect::<Vec<_>>().into()
    };
    let made = doc! { "_id": "1", "name": "ann", "open": true, "size": 0_i64, "history": history(&["Made"]), "lastUpdated": at };
    assert_eq!(folded.document("1"), Some(made));
    folded.event("Grown", &json!({ "id": "1", "by": 3 }));
    folded.event("Grown", &json!({ "id": "1", "by": 2 }));
    folded.event("Unheard", &json!({ "id": "1" }));
    let grown = doc! { "_id": "1", "name": "ann", "size": 5_i64, "history": history(&["Grown", "Grown"]), "largest": 3_i64, "lastUpdated": at };
    let document = folded.document("1").unwrap();
    let sorted =
        |document: &Document| document.clone().into_iter().collect::<std::collections::BTreeMap<_, _>>();
    assert_eq!(sorted(&document), sorted(&grown));
    folded.event("Gone", &json!({ "id": "1" }));
    assert_eq!(folded.document("1"), None);
}

#[test]
fn a_key_can_be_computed() {
    let mut folded = Folded::of(
        include_str!("../../config/examples/foo-stream.yaml").split("\ngrpc:").next().unwrap(),
        "foos",
    );
    folded.event("FooCreated", &json!({ "barId": "a", "bazId": "b", "title": "T" }));
    let key = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_DNS, b"a/b").to_string();
    assert_eq!(folded.document(&key).unwrap().get_str("status").unwrap(), "IN_REVIEW");
    folded.event("IsActiveUpdated", &json!({ "barId": "a", "bazId": "b", "isActive": true }));
    assert_eq!(folded.document(&key).unwrap().get_str("status").unwrap(), "ACTIVE");
}

#[test]
fn an_event_can_be_about_several_documents() {
    let festival = include_str!("../../config/examples/festival.yaml");
    let (mut events, mut teams) = (Folded::of(festival, "events"), Folded::of(festival, "teams"));
    let mut tell = |kind: &str, data: &Value| {
        assert_eq!(events.event(kind, data), []);
        assert_eq!(teams.event(kind, data), []);
    };
    for event in ["rock", "jazz"] {
        tell("EventPlanned", &json!({ "eventId": event, "title": event }));
    }
    for (team, event) in [("red", "rock"), ("blue", "rock"), ("green", "jazz")] {
        tell("TeamCreated", &json!({ "teamId": team, "eventId": event, "name": team }));
    }
    tell("TeamMoved", &json!({ "teamId": "blue", "from": "rock", "to": "jazz" }));
    tell("TeamDropped", &json!({ "teamId": "green" }));
    tell("EventCancelled", &json!({ "eventId": "rock" }));
    assert_eq!(events.document("rock"), None);
    let jazz = events.document("jazz").unwrap();
    assert_eq!(jazz.get_array("teamIds").unwrap(), &vec![Bson::from("blue")]);
    assert_eq!(teams.document("red"), None, "it goes with its event");
    assert_eq!(teams.document("blue").unwrap().get_str("eventId").unwrap(), "jazz");
    assert_eq!(teams.document("green"), None);
}

/// P4: what cannot be folded holds back only what comes after it for the same document.
#[test]
fn a_bad_event_holds_back_its_own_document_only() {
    let mut folded = Folded::model("    on: { Grown: { inc: { size: data.by } } }\n");
    folded.event("Grown", &json!({ "id": "1", "by": 1 }));
    let held = folded.event("Grown", &json!({ "id": "1", "by": "much" }));
    assert_eq!(held.len(), 1);
    assert_eq!(
        (held[0].number, held[0].error.as_ref().map(|error| error.reason)),
        (1, Some(Reason::BadField))
    );
    let behind = folded.event("Grown", &json!({ "id": "1", "by": 2 }));
    assert_eq!((behind[0].number, &behind[0].error), (2, &None));
    assert!(matches!(&behind[0].deed, Some(Deed::Change(_))));
    assert_eq!(folded.event("Grown", &json!({ "id": "2", "by": 5 })), []);
    assert_eq!(folded.document("1").unwrap().get_i64("size").unwrap(), 1);
    assert_eq!(folded.document("2").unwrap().get_i64("size").unwrap(), 5);
}

#[test]
fn what_an_event_does_not_say_is_no_value() {
    let mut folded = Folded::model("    on: { Made: { set: { name: data.name, n: \"data.a + 1\" } } }\n");
    let held = folded.event("Made", &json!({ "id": "1", "a": 1 }));
    assert_eq!(held[0].error.as_ref().map(|error| error.reason), Some(Reason::BadField));
    assert!(folded.document("1").is_none_or(|document| !document.contains_key("name")));
    assert_eq!(
        folded.says(r#"{"id":"e","type":"Made","data":{"name":"x"}}"#),
        Err(Reason::BadField),
        "no key"
    );
    assert_eq!(folded.says(r#"{"id":"e","type":"Made","data":{"id":7,"name":"x"}}"#), Err(Reason::BadId));
}

/// Whole, or by its words; an event that came under none has no document.
#[test]
fn a_routing_key_is_read_like_any_part_of_an_event() {
    let folded = Folded::model(
        "    on: { Made: { key: \"event.routing_key.split('.')[1]\", set: { by: event.routing_key } } }\n",
    );
    let headers = Headers::new();
    let body = br#"{"id":"e","type":"Made","data":{}}"#;
    let message = Message { body, content_type: None, headers: &headers };
    let notice = folded.declaration.streams[0].envelope.open(&message).unwrap();
    assert!(folded.read_model().reads_routing_key());
    assert_eq!(folded.read_model().interpret(&notice).unwrap_err().reason, Reason::BadField);
    let facts = folded.read_model().interpret(&notice.under("shop.7.made")).unwrap().unwrap();
    assert_eq!(facts.moves[0].aim, Aim::Key(EntityId::String("7".into())));
    let mut bench = Bench::default();
    bench.fold(&facts, NOW);
    let made = bench.document(&EntityId::String("7".into())).unwrap();
    assert_eq!(made.get_str("by").unwrap(), "shop.7.made");
}

#[test]
fn where_finds_values_and_members_of_arrays() {
    let folded = Folded::model("    on: { Gone: { where: { tags: data.tag }, set: { gone: true } } }\n");
    let headers = Headers::new();
    let body = br#"{"id":"e","type":"Gone","data":{"tag":"x"}}"#;
    let message = Message { body, content_type: None, headers: &headers };
    let notice = folded.declaration.streams[0].envelope.open(&message).unwrap();
    let facts = folded.read_model().interpret(&notice).unwrap().unwrap();
    assert!(matches!(&facts.moves[0].aim, Aim::Where(_)));
    let mut bench = Bench::default();
    let lay = |bench: &mut Bench, key: &str, tags: Bson| {
        bench.lay(EntityId::String(key.into()), Some(doc! { "_id": key, "tags": tags }));
    };
    lay(&mut bench, "a", Bson::from("x"));
    lay(&mut bench, "b", Bson::Array(vec!["y".into(), "x".into()]));
    lay(&mut bench, "c", Bson::from("y"));
    bench.fold(&facts, NOW);
    let (stored, _) = bench.take_changed();
    let stored: Vec<Document> =
        stored.into_iter().map(|document| Document::try_from(document.unwrap()).unwrap()).collect();
    let keys: Vec<&str> = stored.iter().map(|document| document.get_str("_id").unwrap()).collect();
    assert_eq!(keys, ["a", "b"]);
}

#[test]
fn news_count_their_comments_once_each() {
    let bookings = include_str!("../../config/examples/bookings.yaml");
    let mut news = Folded::of(bookings, "news");
    for (kind, of, comment) in
        [("insert", "data", "a"), ("insert", "data", "b"), ("update", "data", "b"), ("insert", "data", "a")]
            .into_iter()
            .chain([("delete", "before", "b"), ("insert", "data", "c")])
    {
        let at = "2026-01-01T00:00:00Z";
        let event = json!({ "type": kind, "key": comment, "version": 1, of: { "newsId": "n", "at": at } });
        assert_eq!(news.says(&event.to_string()), Ok(Vec::new()));
    }
    assert_eq!(news.document("n").unwrap().get_i64("comments").unwrap(), 2);
}
