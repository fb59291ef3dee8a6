//! A read model as it is written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, IgnoredAny};
use serde_json::Value as Json;

use super::{Id, Reads, Short};

/// Documents that are folded from the events of a stream or a queue.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "a read model", deny_unknown_fields)]
#[expect(dead_code, reason = "events and rules are read entry by entry, so that a broken one hides no other")]
pub(in crate::manifest) struct ReadModel {
    /// The source of the events, by its name under `sources`.
    pub source: String,
    /// Which document an event is about: a CEL expression over `data` and `event` that gives its id.
    pub key: Option<Short<Id>>,
    /// What each type of event does; other types are passed by.
    on: Each<OneOrMany<Effect>>,
    /// What every event adds to an array of each document that it changes.
    #[serde(default)]
    pub append: BTreeMap<String, Value>,
    /// The field that has the time of the last event that changed the document.
    pub stamp: Option<String>,
    /// How long the ids of events are remembered, such as `7d`, so that one that comes again is not folded again; from 1m to
    /// 365d. Where events come from a queue, 7d if nothing is said; else only if it is.
    #[schemars(regex(pattern = r"^[0-9]+(ms|s|m|h|d)$|\$\{"))]
    pub remember: Option<String>,
    /// What is told to others when a document has become so, by name.
    #[serde(default)]
    rules: Each<Rule>,
    /// How it may be read.
    #[serde(default)]
    pub reads: Reads,
}

/// What is told to others when a document has become so.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "a rule", deny_unknown_fields)]
pub(in crate::manifest) struct Rule {
    /// A CEL expression over `data`, `event`, and the document `before` and `after` it, that is true then.
    pub when: String,
    /// How long it must have been so without a break, such as `14d`, by the times of the events; left out, it is told at once.
    #[serde(rename = "for")]
    pub lasting: Option<String>,
    /// What is told.
    pub emit: Emit,
}

/// A message to be published.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "a message", deny_unknown_fields)]
pub(in crate::manifest) struct Emit {
    /// The exchange on RabbitMQ; it has to exist.
    pub exchange: String,
    /// The routing key.
    pub key: String,
    /// The message's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it says: values over `data`, `event`, `before` and `after`.
    #[serde(default)]
    pub data: BTreeMap<String, Value>,
}

/// What an event does to one document, or to all that match. Values are CEL expressions over `data` and `event`, numbers,
/// truths, objects of these, or `{ from: data.due, type: date, default: null }`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "an effect", deny_unknown_fields)]
pub(in crate::manifest) struct Effect {
    /// Another document than that of the read model's `key`.
    pub key: Option<String>,
    /// All documents in which these fields have these values, or arrays with them.
    #[serde(rename = "where")]
    pub matching: Option<BTreeMap<String, Value>>,
    /// Fields that get a value.
    pub set: BTreeMap<String, Value>,
    /// Fields that are taken away.
    pub unset: Vec<String>,
    /// Numbers that are increased.
    pub inc: BTreeMap<String, Value>,
    /// Values that are replaced by lesser ones.
    pub min: BTreeMap<String, Value>,
    /// Values that are replaced by greater ones.
    pub max: BTreeMap<String, Value>,
    /// Arrays that have the value once.
    pub add_to_set: BTreeMap<String, Value>,
    /// Arrays that lose the value.
    pub pull: BTreeMap<String, Value>,
    /// Arrays that end with the value: `history: data.note`, or `history: { value: data.note, last: 10 }`.
    pub append: BTreeMap<String, Value>,
    /// Numbers that say how many there are: each member counts once, however often it comes.
    pub count: BTreeMap<String, Value>,
    /// The same for members that are there no more.
    pub uncount: BTreeMap<String, Value>,
    /// Whether the document goes.
    pub delete: bool,
}

/// Entries by name, each of which is read by itself, so that one that is broken hides nothing that is wrong with others.
#[derive(Debug)]
pub(in crate::manifest) struct Each<T>(PhantomData<T>);

impl<T> Default for Each<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T> Deserialize<'de> for Each<T> {
    fn deserialize<D: Deserializer<'de>>(parser: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(parser).map(|_| Self::default())
    }
}

impl<T: JsonSchema> JsonSchema for Each<T> {
    fn schema_name() -> Cow<'static, str> {
        BTreeMap::<String, T>::schema_name()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, T>::json_schema(generator)
    }
}

/// One, or a list of them.
#[derive(Debug)]
pub(in crate::manifest) enum OneOrMany<T> {
    /// `FooCreated: { set: … }`
    One(Box<T>),
    /// `FooMoved: [{ … }, { … }]`
    Many(Vec<T>),
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(parser: D) -> Result<Self, D::Error> {
        match Json::deserialize(parser)? {
            Json::Array(items) => {
                let items = items.into_iter().map(serde_json::from_value);
                items.collect::<Result<_, _>>().map(Self::Many).map_err(D::Error::custom)
            }
            one => serde_json::from_value(one).map(|one| Self::One(Box::new(one))).map_err(D::Error::custom),
        }
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}OrMany", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// Whatever may stand for a value.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(in crate::manifest) struct Value(pub Json);

impl JsonSchema for Value {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "a value", "description": "A CEL expression over `data` and `event`; a number, a truth or `null`; an object of such values; or `{ from: …, type: …, default: … }`." })
    }
}
