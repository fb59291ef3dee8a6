//! What is remembered of events, so that none is folded twice.

use nearcopy::event::{EventId, Headers, Message, Reason};
use nearcopy::manifest;
use nearcopy::replication::{Facts, Memory};
use serde_json::json;

const MANIFEST: &str = "
service: test
sources:
  s: { stream: { name: s } }
read_models:
  things:
    source: s
    key: data.id
    on: { Grown: { inc: { size: 1 } } }
";

/// What an event says that has this id, if any, as JSON.
fn facts(id: &str) -> Facts {
    facts_of(MANIFEST, &format!(r#"{{ {id} "type": "Grown", "data": {{ "id": "1" }} }}"#))
}

fn facts_of(manifest: &str, body: &str) -> Facts {
    let declaration = manifest::parse("nearcopy.yaml", manifest, &|_| None).unwrap();
    let (headers, content_type) = (Headers::new(), Some("application/cloudevents+json"));
    let message = Message { body: body.as_bytes(), content_type, headers: &headers };
    let notice = declaration.streams[0].envelope.open(&message).unwrap();
    declaration.read_models[0].interpret(&notice).unwrap().unwrap()
}

/// P7: whether an event came in an earlier turn or earlier in this one, it is met for the first time once.
#[test]
fn an_event_is_met_for_the_first_time_once() {
    let mut memory = Memory::of(["e1".to_owned()].into());
    let met: Vec<bool> =
        [r#""id": "e1","#, r#""id": "e2","#, r#""id": 3,"#, r#""id": "e2","#, r#""id": "3","#]
            .map(|id| memory.meet(&facts(id)).unwrap())
            .to_vec();
    assert_eq!(met, [false, true, true, false, false]);
    assert_eq!(memory.into_new(), ["e2", "3"]);
}

#[test]
fn an_event_that_nobody_could_know_again_is_refused() {
    let mut memory = Memory::default();
    for id in ["", r#""id": "","#, r#""id": null,"#, r#""id": { "a": 1 },"#] {
        assert_eq!(memory.meet(&facts(id)).unwrap_err().reason, Reason::NoId, "{id}");
    }
    assert!(memory.into_new().is_empty());
}

/// Ids of CloudEvents are unique within their source only.
#[test]
fn a_cloud_event_is_known_by_its_source_too() {
    let manifest = MANIFEST.replace("{ name: s } }", "{ name: s }, format: cloudevents }");
    let event = |source: &str| {
        let body = json!({ "specversion": "1.0", "id": "1", "source": source, "type": "Grown", "data": { "id": "1" } });
        facts_of(&manifest, &body.to_string())
    };
    let mut memory = Memory::default();
    assert_eq!(["/a", "/b", "/a"].map(|source| memory.meet(&event(source)).unwrap()), [true, true, false]);
    assert_eq!(event("/a").event.as_deref(), Some("1"));
}

/// Ids are cut where they are long; two that are alike up to there stay two.
#[test]
fn long_ids_are_not_taken_for_one_another() {
    let long = |end: &str| format!("{}{end}", "ü".repeat(1_000));
    let [one, other] = ["a", "b"].map(|end| EventId::new(&long(end)));
    assert!(one != other && one == EventId::new(&long("a")));
    assert!(one.as_str().len() <= 256 && one.as_str().starts_with('ü'));
    let exact = "x".repeat(256);
    assert_eq!(EventId::new(&exact).as_str(), exact);
}
