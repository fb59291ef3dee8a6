//! A file of tests as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// An object of whatever is in it.
type Object = Map<String, Value>;

/// Tests of a manifest: what is given, what is published, and what must be there in the end.
#[derive(Debug, JsonSchema)]
#[schemars(title = "a test file", deny_unknown_fields)]
#[expect(dead_code, reason = "the whole is read test by test, so that one broken test hides no other")]
pub(in crate::manifest) struct Suite {
    /// The manifest, from this file's folder; left out: `x.yaml` beside `x.test.yaml`.
    manifest: Option<String>,
    /// The tests.
    tests: Vec<Test>,
}

/// One test.
#[derive(Debug, JsonSchema)]
#[schemars(title = "a test", deny_unknown_fields)]
#[expect(dead_code, reason = "see above")]
pub(in crate::manifest) struct Test {
    /// What is promised, in words.
    name: String,
    /// What there is before anything is published.
    given: Option<Given>,
    /// What is published, in its order.
    events: Option<Vec<Event>>,
    /// What must be there in the end.
    then: Then,
}

/// What there is before anything is published.
#[derive(Debug, JsonSchema)]
#[schemars(title = "what is given", deny_unknown_fields)]
#[expect(dead_code, reason = "see above")]
struct Given {
    /// Your own documents, by collection, as you wrote them, each with its `_id`.
    documents: Option<BTreeMap<String, Vec<Object>>>,
    /// What owners answer when they are asked, by replica and id. Who is not there is a 404.
    owners: Option<BTreeMap<String, BTreeMap<String, Object>>>,
    /// The replicas whose owners do not answer; one of which nothing is given does not either.
    down: Option<Vec<String>>,
}

/// A message as it is published.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "an event", deny_unknown_fields)]
pub(in crate::manifest) struct Event {
    /// The source that it comes from; it may be left out where there is only one.
    pub source: Option<String>,
    /// The routing key; it must be one that the source is bound by.
    pub key: Option<String>,
    /// Headers, such as those of a CloudEvent in binary mode.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Object,
}

/// What must be there in the end.
#[derive(Debug, JsonSchema)]
#[schemars(title = "what must be there", deny_unknown_fields)]
#[expect(dead_code, reason = "see above")]
struct Then {
    /// Documents by collection, replica or read model, and by id, just as they must be, without `_id` and `_nearcopy`. Nothing,
    /// where there must be none.
    documents: Option<BTreeMap<String, BTreeMap<String, Option<Object>>>>,
    /// How many events are put aside; 0, if it is left out.
    #[schemars(range(min = 0, max = 100_000))]
    parked: Option<u32>,
    /// What rules tell others, in its order; left out: whatever they tell.
    emitted: Option<Vec<Emitted>>,
}

/// A message that a rule has others told.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "a message", deny_unknown_fields)]
pub(in crate::manifest) struct Emitted {
    /// The exchange that it goes to.
    pub exchange: String,
    /// Its routing key.
    pub key: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it says; left out: nothing is demanded of it.
    pub data: Option<Value>,
}
