//! The messages of the published file: what is asked for, and answers, each made from what every face tells.

use std::collections::BTreeMap;

use prost::Message;
use prost_reflect::prost_types::value::Kind;
use prost_reflect::prost_types::{Duration, ListValue, Struct, Value};
use serde_json::{Map, Value as Json};

use super::super::read::{self, Absent, Batch, Exists, One, Page};

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

#[derive(Clone, PartialEq, Message)]
pub(super) struct Entity {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
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

#[derive(Clone, PartialEq, Message)]
pub(super) struct Missing {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    state: String,
    #[prost(string, tag = "3")]
    why: String,
    #[prost(bool, tag = "4")]
    late: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchGetResponse {
    #[prost(message, repeated, tag = "1")]
    found: Vec<Entity>,
    #[prost(message, repeated, tag = "2")]
    missing: Vec<Missing>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListResponse {
    #[prost(message, repeated, tag = "1")]
    items: Vec<Entity>,
    #[prost(string, tag = "2")]
    next_page_token: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExistsResponse {
    #[prost(bool, tag = "1")]
    exists: bool,
    #[prost(string, repeated, tag = "2")]
    ids: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchResponse {
    #[prost(message, repeated, tag = "1")]
    changed: Vec<Entity>,
    #[prost(message, repeated, tag = "2")]
    gone: Vec<Missing>,
    #[prost(string, tag = "3")]
    position: String,
}

// Ids are text in messages, whatever the replica declares.

impl From<&read::Entity<'_>> for Entity {
    fn from(told: &read::Entity<'_>) -> Self {
        let fresh = &told.freshness;
        let fields = told.fields.iter().map(|(name, value)| ((*name).to_owned(), any(value.json())));
        Self {
            id: told.id.0.to_string(),
            fields: Some(Struct { fields: fields.collect() }),
            version: fresh.version,
            epoch: fresh.epoch.unwrap_or_default(),
            origin: fresh.origin.to_owned(),
            event: fresh.event.unwrap_or_default().to_owned(),
            changed_at: fresh.changed_at.clone().unwrap_or_default(),
            age_ms: i64::try_from(fresh.age_ms).unwrap_or(i64::MAX),
            stale: fresh.stale,
        }
    }
}

impl From<&One> for Entity {
    fn from(one: &One) -> Self {
        (&one.entity()).into()
    }
}

impl From<&Absent> for Missing {
    fn from(told: &Absent) -> Self {
        let (state, why) = (told.known.state.to_owned(), told.known.why.unwrap_or_default().to_owned());
        Self { id: told.id.0.to_string(), state, why, late: told.late }
    }
}

impl From<Batch> for BatchGetResponse {
    fn from(told: Batch) -> Self {
        Self { found: all(&told.found), missing: all(&told.missing) }
    }
}

impl From<Page> for ListResponse {
    fn from(told: Page) -> Self {
        Self { items: all(&told.items), next_page_token: told.next_page_token.unwrap_or_default() }
    }
}

impl From<Exists> for ExistsResponse {
    fn from(told: Exists) -> Self {
        Self { exists: told.exists, ids: told.ids.iter().map(|id| id.0.to_string()).collect() }
    }
}

impl WatchResponse {
    /// These have changed, up to there.
    pub(super) fn new(changed: &[One], gone: &[Absent], position: &str) -> Self {
        Self { changed: all(changed), gone: all(gone), position: position.to_owned() }
    }
}

fn all<'t, T, M: From<&'t T>>(told: &'t [T]) -> Vec<M> {
    told.iter().map(M::from).collect()
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
    use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
    use serde_json::json;

    use super::*;
    use crate::api::read::{Freshness, Id, Known, Shown};
    use crate::event::EntityId;

    fn described(name: &str) -> MessageDescriptor {
        let pool = DescriptorPool::decode(super::super::described().unwrap().as_slice()).unwrap();
        pool.get_message_by_name(&format!("nearcopy.v1.{name}")).unwrap()
    }

    /// What a client that has the published file makes of an answer.
    fn as_read(name: &str, answer: &impl Message) -> Json {
        let read = DynamicMessage::decode(described(name), answer.encode_to_vec().as_slice()).unwrap();
        assert_eq!(read.unknown_fields().count(), 0);
        let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
        read.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
    }

    fn absent(id: EntityId) -> Absent {
        Absent { id: Id(id), known: Known { state: "gone", why: Some("404") }, late: true }
    }

    #[test]
    fn answers_are_what_the_published_file_says() {
        let held = bson::doc! { "no": null, "yes": true, "half": 0.5, "text": "Ann", "all": [1, { "a": "b" }], "in": {} };
        let fresh = Freshness {
            version: Some(7),
            epoch: Some(2),
            origin: "event",
            event: Some("e7"),
            changed_at: Some("2026-01-02T03:04:05Z".into()),
            age_ms: 12,
            stale: true,
        };
        let mut fields: Vec<_> =
            held.iter().map(|(name, value)| (name.as_str(), Shown::Held(value))).collect();
        fields.push(("made", Shown::Made("clear".into())));
        let ann = || EntityId::String("ann".into());
        let told = read::Entity { id: Id(ann()), fields, freshness: fresh };
        let entity = json!({
            "id": "ann", "version": 7, "epoch": 2, "origin": "event", "event": "e7", "stale": true,
            "changed_at": "2026-01-02T03:04:05Z", "age_ms": 12,
            "fields": {
                "no": null, "yes": true, "half": 0.5, "text": "Ann", "all": [1.0, { "a": "b" }], "in": {},
                "made": "clear",
            },
        });
        assert_eq!(as_read("Entity", &Entity::from(&told)), entity);
        let fresh = Freshness {
            version: None,
            epoch: None,
            origin: "fetch",
            event: None,
            changed_at: None,
            age_ms: 1,
            stale: false,
        };
        let unversioned = read::Entity { id: Id(EntityId::Int(7)), fields: Vec::new(), freshness: fresh };
        let seven = json!({ "id": "7", "fields": {}, "origin": "fetch", "age_ms": 1 });
        assert_eq!(as_read("Entity", &Entity::from(&unversioned)), seven);

        let missing = json!({ "id": "ann", "state": "gone", "why": "404", "late": true });
        let batch = Batch { found: Vec::new(), missing: vec![absent(ann())] };
        assert_eq!(
            as_read("BatchGetResponse", &BatchGetResponse::from(batch)),
            json!({ "missing": [missing] })
        );
        let page = Page { items: Vec::new(), next_page_token: Some("more".into()) };
        assert_eq!(as_read("ListResponse", &ListResponse::from(page)), json!({ "next_page_token": "more" }));
        let exists = Exists { exists: true, ids: vec![Id(EntityId::Int(7)), Id(ann())] };
        assert_eq!(
            as_read("ExistsResponse", &ExistsResponse::from(exists)),
            json!({ "exists": true, "ids": ["7", "ann"] })
        );
        let watched = WatchResponse::new(&[], &[absent(ann())], "p");
        assert_eq!(as_read("WatchResponse", &watched), json!({ "gone": [missing], "position": "p" }));
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
