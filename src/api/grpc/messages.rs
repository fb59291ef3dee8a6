//! The messages of the published file: what is asked for, and answers, each made from what every face tells.

use std::collections::BTreeMap;

use prost::Message;
use prost_reflect::prost_types::value::Kind;
use prost_reflect::prost_types::{Duration, ListValue, Struct, Value};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json};

/// How fresh it must be.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Wish {
    #[prost(int64, optional, tag = "1")]
    pub(super) min_version: Option<i64>,
    #[prost(message, optional, tag = "2")]
    pub(super) max_staleness: Option<Duration>,
    #[prost(string, tag = "3")]
    pub(super) wait_for: String,
    #[prost(bool, tag = "4")]
    pub(super) local: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GetRequest {
    #[prost(string, tag = "1")]
    pub(super) replica: String,
    #[prost(string, tag = "2")]
    pub(super) id: String,
    #[prost(message, optional, tag = "3")]
    pub(super) wish: Option<Wish>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchGetRequest {
    #[prost(string, tag = "1")]
    pub(super) replica: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) ids: Vec<String>,
    #[prost(message, optional, tag = "3")]
    pub(super) wish: Option<Wish>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListRequest {
    #[prost(string, tag = "1")]
    pub(super) replica: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) r#where: BTreeMap<String, String>,
    #[prost(int32, tag = "3")]
    pub(super) page_size: i32,
    #[prost(string, tag = "4")]
    pub(super) page_token: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExistsRequest {
    #[prost(string, tag = "1")]
    pub(super) replica: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) r#where: BTreeMap<String, String>,
    #[prost(bool, tag = "3")]
    pub(super) owner: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchRequest {
    #[prost(string, tag = "1")]
    pub(super) replica: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) ids: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) position: String,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub(super) struct Entity {
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "id")]
    id: String,
    #[prost(message, optional, tag = "2")]
    #[serde(deserialize_with = "fields")]
    fields: Option<Struct>,
    #[prost(int64, optional, tag = "3")]
    version: Option<i64>,
    #[prost(int64, tag = "4")]
    epoch: i64,
    #[prost(string, tag = "5")]
    origin: String,
    #[prost(string, tag = "6")]
    event: String,
    #[prost(string, tag = "7")]
    changed_at: String,
    #[prost(int64, tag = "8")]
    age_ms: i64,
    #[prost(bool, tag = "9")]
    stale: bool,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub(super) struct Missing {
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "id")]
    id: String,
    #[prost(string, tag = "2")]
    state: String,
    #[prost(string, tag = "3")]
    why: String,
    #[prost(bool, tag = "4")]
    late: bool,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub(super) struct BatchGetResponse {
    #[prost(message, repeated, tag = "1")]
    found: Vec<Entity>,
    #[prost(message, repeated, tag = "2")]
    missing: Vec<Missing>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub(super) struct ListResponse {
    #[prost(message, repeated, tag = "1")]
    items: Vec<Entity>,
    #[prost(string, tag = "2")]
    next_page_token: String,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub(super) struct ExistsResponse {
    #[prost(bool, tag = "1")]
    exists: bool,
    #[prost(string, repeated, tag = "2")]
    #[serde(deserialize_with = "ids")]
    ids: Vec<String>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub(super) struct WatchResponse {
    #[prost(message, repeated, tag = "1")]
    changed: Vec<Entity>,
    #[prost(message, repeated, tag = "2")]
    gone: Vec<Missing>,
    #[prost(string, tag = "3")]
    position: String,
}

/// Ids are text in messages, whatever the replica declares.
fn id<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Json::deserialize(from).map(as_text)
}

fn ids<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Vec::<Json>::deserialize(from).map(|ids| ids.into_iter().map(as_text).collect())
}

fn as_text(id: Json) -> String {
    match id {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

fn fields<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Struct>, D::Error> {
    Map::deserialize(from).map(|fields| Some(structure(fields)))
}

fn structure(fields: Map<String, Json>) -> Struct {
    Struct { fields: fields.into_iter().map(|(name, value)| (name, any(value))).collect() }
}

/// A value of any kind. Numbers are floating there, so large ones lose digits; that is what the standard message has.
fn any(value: Json) -> Value {
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(truth) => Kind::BoolValue(truth),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(values) => Kind::ListValue(ListValue { values: values.into_iter().map(any).collect() }),
        Json::Object(fields) => Kind::StructValue(structure(fields)),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
    use serde_json::json;

    use super::*;

    fn described(name: &str) -> MessageDescriptor {
        let (pool, _) = super::super::described().unwrap();
        pool.get_message_by_name(&format!("nearcopy.v1.{name}")).unwrap()
    }

    /// What a client that has the published file makes of an answer.
    fn as_read<A: Message + for<'de> Deserialize<'de>>(name: &str, answer: Json) -> Json {
        let sent = serde_json::from_value::<A>(answer).unwrap().encode_to_vec();
        let read = DynamicMessage::decode(described(name), sent.as_slice()).unwrap();
        assert_eq!(read.unknown_fields().count(), 0);
        let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
        read.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
    }

    #[test]
    fn answers_are_what_the_published_file_says() {
        let entity = json!({
            "id": "ann", "version": 7, "epoch": 2, "origin": "event", "event": "e7", "stale": true,
            "changed_at": "2026-01-02T03:04:05Z", "age_ms": 12,
            "fields": { "no": null, "yes": true, "half": 0.5, "text": "Ann", "all": [1.0, { "a": "b" }], "in": {} },
        });
        assert_eq!(as_read::<Entity>("Entity", entity.clone()), entity);
        let missing = json!({ "id": "bob", "state": "gone", "why": "404", "late": true });
        let answers = [
            as_read::<BatchGetResponse>(
                "BatchGetResponse",
                json!({ "found": [entity], "missing": [missing] }),
            ),
            as_read::<ListResponse>("ListResponse", json!({ "items": [entity], "next_page_token": "more" })),
            as_read::<ExistsResponse>("ExistsResponse", json!({ "exists": true, "ids": [7, "ann"] })),
            as_read::<WatchResponse>(
                "WatchResponse",
                json!({ "changed": [entity], "gone": [missing], "position": "p" }),
            ),
        ];
        let expected = [
            json!({ "found": [entity], "missing": [missing] }),
            json!({ "items": [entity], "next_page_token": "more" }),
            json!({ "exists": true, "ids": ["7", "ann"] }),
            json!({ "changed": [entity], "gone": [missing], "position": "p" }),
        ];
        assert_eq!(answers, expected);
        let unversioned =
            json!({ "id": 7, "version": null, "fields": {}, "origin": "fetch", "age_ms": 1, "stale": false });
        let told = json!({ "id": "7", "fields": {}, "origin": "fetch", "age_ms": 1 });
        assert_eq!(as_read::<Entity>("Entity", unversioned), told);
    }

    /// What is made of a request of a client that has the published file.
    fn as_asked<Q: Message + Default>(name: &str, request: Json) -> Q {
        let request = DynamicMessage::deserialize(described(name), request).unwrap();
        Q::decode(request.encode_to_vec().as_slice()).unwrap()
    }

    #[test]
    fn requests_are_what_the_published_file_says() {
        let wish = json!({ "min_version": 3, "max_staleness": "1.5s", "wait_for": "e3", "local": true });
        let wished = Some(Wish {
            min_version: Some(3),
            max_staleness: Some(Duration { seconds: 1, nanos: 500_000_000 }),
            wait_for: "e3".into(),
            local: true,
        });
        let replica = || "users".to_owned();
        let r#where = BTreeMap::from([("city".to_owned(), "Berlin".to_owned())]);
        assert_eq!(
            as_asked::<GetRequest>("GetRequest", json!({ "replica": "users", "id": "ann", "wish": wish })),
            GetRequest { replica: replica(), id: "ann".into(), wish: wished.clone() }
        );
        assert_eq!(
            as_asked::<BatchGetRequest>(
                "BatchGetRequest",
                json!({ "replica": "users", "ids": ["a", "b"], "wish": wish })
            ),
            BatchGetRequest { replica: replica(), ids: vec!["a".into(), "b".into()], wish: wished }
        );
        let list =
            json!({ "replica": "users", "where": { "city": "Berlin" }, "page_size": 5, "page_token": "t" });
        assert_eq!(
            as_asked::<ListRequest>("ListRequest", list),
            ListRequest {
                replica: replica(),
                r#where: r#where.clone(),
                page_size: 5,
                page_token: "t".into()
            }
        );
        let exists = json!({ "replica": "users", "where": { "city": "Berlin" }, "owner": true });
        assert_eq!(
            as_asked::<ExistsRequest>("ExistsRequest", exists),
            ExistsRequest { replica: replica(), r#where, owner: true }
        );
        assert_eq!(
            as_asked::<WatchRequest>(
                "WatchRequest",
                json!({ "replica": "users", "ids": ["a"], "position": "p" })
            ),
            WatchRequest { replica: replica(), ids: vec!["a".into()], position: "p".into() }
        );
    }
}
