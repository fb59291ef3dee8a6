//! What an owner publishes, found in its AsyncAPI 3 description: where, and events as they would look.

use serde_json::{Map, Value};

use super::reference::resolve;
use super::sample::Sample;

/// How deep the form of a message is followed: it may refer to itself.
const DEEPEST: usize = 8;
/// Under which names a type may stand that the form of a message leaves open.
const TYPES: [&str; 4] = ["type", "eventType", "event_type", "event"];

/// What a description promises.
#[derive(Debug, Default)]
pub(super) struct Promised {
    pub(super) title: Option<String>,
    /// Exchanges, in the order in which they are named.
    pub(super) exchanges: Vec<String>,
    /// Routing keys, with `*` for their parameters.
    pub(super) keys: Vec<String>,
    pub(super) samples: Vec<Sample>,
}

/// The description is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum AsyncApiError {
    #[error("this is no AsyncAPI description of version 3: `asyncapi` is {0}")]
    Version(String),
    #[error("the description has no message under `channels`")]
    Nothing,
}

/// Reads a description.
pub(super) fn read(document: &Value) -> Result<Promised, AsyncApiError> {
    let version = document.get("asyncapi").and_then(Value::as_str);
    if !version.is_some_and(|version| version.starts_with("3.")) {
        return Err(AsyncApiError::Version(
            version.map_or("missing".into(), |version| format!("`{version}`")),
        ));
    }
    let title = document.pointer("/info/title").and_then(Value::as_str).map(str::to_owned);
    let mut promised = Promised { title, ..Promised::default() };
    let channels = document.get("channels").and_then(Value::as_object);
    for (name, channel) in channels.into_iter().flatten() {
        let channel = resolve(document, channel);
        let amqp = channel.pointer("/bindings/amqp");
        let exchange = amqp.and_then(|amqp| amqp.pointer("/exchange/name")).and_then(Value::as_str);
        if let Some(exchange) = exchange.filter(|exchange| !exchange.is_empty()) {
            note(&mut promised.exchanges, exchange.to_owned());
        }
        let is_queue = amqp.and_then(|amqp| amqp.get("is")).is_some_and(|is| is == "queue");
        let address = channel.get("address").and_then(Value::as_str).unwrap_or(name);
        if !is_queue {
            note(&mut promised.keys, key(address));
        }
        let messages = channel.get("messages").and_then(Value::as_object);
        for (name, message) in messages.into_iter().flatten() {
            promised.samples.extend(samples(document, name, resolve(document, message)));
        }
    }
    if promised.samples.is_empty() { Err(AsyncApiError::Nothing) } else { Ok(promised) }
}

fn note(known: &mut Vec<String>, name: String) {
    if !known.contains(&name) {
        known.push(name);
    }
}

/// An address as a binding: a parameter stands for one word.
fn key(address: &str) -> String {
    let word = |word: &str| if word.contains('{') { "*".to_owned() } else { word.to_owned() };
    address.split('.').map(word).collect::<Vec<_>>().join(".")
}

/// The examples of a message, or an event made of its form.
fn samples(document: &Value, name: &str, message: &Value) -> Vec<Sample> {
    let name = message.get("name").and_then(Value::as_str).unwrap_or(name);
    let examples = message.get("examples").and_then(Value::as_array);
    let told = examples.into_iter().flatten().filter_map(|example| example.get("payload"));
    let mut events: Vec<Value> = told.filter(|event| event.is_object()).cloned().collect();
    if events.is_empty() {
        let payload = message.get("payload").map(|payload| resolve(document, payload));
        let schema = payload.map(|payload| payload.get("schema").unwrap_or(payload));
        let made = schema.map(|schema| make(document, schema, &mut Vec::new()));
        events.extend(made.map(|event| typed(document, schema, event, name)).filter(Value::is_object));
    }
    events.into_iter().map(|event| Sample { event, name: Some(name.to_owned()) }).collect()
}

/// Gives an event that was made of a form its type, where the form leaves that open.
fn typed(document: &Value, schema: Option<&Value>, mut event: Value, name: &str) -> Value {
    for kind in TYPES {
        let form = schema.and_then(|schema| schema.get("properties")?.get(kind));
        let form = form.map(|form| resolve(document, form));
        let is_open = form.is_some_and(|form| fixed(form).is_none());
        if let (true, Some(slot)) = (is_open, event.get_mut(kind).filter(|slot| slot.is_string())) {
            *slot = name.into();
        }
    }
    event
}

/// The value that a form names.
fn fixed(schema: &Value) -> Option<&Value> {
    let first = |name: &str| schema.get(name).and_then(Value::as_array).and_then(|all| all.first());
    schema
        .get("const")
        .or_else(|| first("examples"))
        .or_else(|| schema.get("example"))
        .or_else(|| first("enum"))
}

/// A value of a form. `within` are the forms that it is a part of, so that one that refers to itself comes to an end.
fn make<'d>(document: &'d Value, schema: &'d Value, within: &mut Vec<&'d Value>) -> Value {
    let schema = resolve(document, schema);
    if let Some(value) = fixed(schema).or_else(|| schema.get("default")) {
        return value.clone();
    }
    if within.len() > DEEPEST || within.iter().any(|known| std::ptr::eq(*known, schema)) {
        return Value::Object(Map::new());
    }
    within.push(schema);
    let value = parts(document, schema, within).unwrap_or_else(|| plain(schema));
    within.pop();
    value
}

/// A value of a form that is made of others.
fn parts<'d>(document: &'d Value, schema: &'d Value, within: &mut Vec<&'d Value>) -> Option<Value> {
    let list = |name: &str| schema.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut entries = Map::new();
    for part in list("allOf") {
        if let Value::Object(of_part) = make(document, part, within) {
            entries.extend(of_part);
        }
    }
    for (name, form) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        entries.insert(name.clone(), make(document, form, within));
    }
    if !entries.is_empty() {
        return Some(entries.into());
    }
    let first = list("oneOf").first().or_else(|| list("anyOf").first())?;
    Some(make(document, first, within))
}

/// A value of a type.
fn plain(schema: &Value) -> Value {
    let kinds = schema.get("type").map(|kind| kind.as_array().cloned().unwrap_or_else(|| vec![kind.clone()]));
    let kind = kinds.into_iter().flatten().find(|kind| kind != "null");
    let format = schema.get("format").and_then(Value::as_str);
    match (kind.as_ref().and_then(Value::as_str), format) {
        (Some("object"), _) => Value::Object(Map::new()),
        (Some("array"), _) => Value::Array(Vec::new()),
        (Some("integer"), _) => 1.into(),
        (Some("number"), _) => 1.5.into(),
        (Some("boolean"), _) => true.into(),
        (_, Some("date-time")) => "2026-01-01T00:00:00Z".into(),
        _ => "text".into(),
    }
}
