//! A team's own gRPC services as they are written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Short;

/// The gRPC services that are answered from replicas.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "the section `grpc`", deny_unknown_fields)]
#[expect(dead_code, reason = "files and methods are read one by one, so that a broken one hides no other")]
pub(in crate::manifest) struct Grpc {
    /// The files that declare them, beside the manifest. What they import is looked for beside them; Google's own files
    /// are there.
    pub protos: Vec<String>,
    /// Which methods are answered, by their names as they are called: `acme.v1.Foos/GetFoo`.
    pub methods: BTreeMap<String, Method>,
}

/// How a method is answered.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "a method", deny_unknown_fields)]
pub(in crate::manifest) struct Method {
    /// The replica, by its name under `replicas`.
    pub from: String,
    /// One entity is asked for: the field of the request that holds its id. Either this or `list`.
    pub get: Option<Short<Get>>,
    /// Several are asked for. Either this or `get`.
    pub list: Option<List>,
    /// What fields of the answer say, where it is not the field of the same name:
    /// `created_time: created_at`, `city: address.city`, `revision: _version`.
    #[serde(default)]
    pub fields: BTreeMap<String, Short<Mapped>>,
}

/// One entity is asked for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(title = "a get", deny_unknown_fields)]
pub(in crate::manifest) struct Get {
    /// The field of the request that holds the id.
    pub id: String,
    /// The field of the answer that holds the entity; left out: the answer is the entity.
    pub into: Option<String>,
}

/// Several entities are asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "a list", deny_unknown_fields)]
pub(in crate::manifest) struct List {
    /// The conditions, each on a field of `reads.filters`, with the field of the request that holds the value:
    /// `status: status`, `age.gte: min_age`. One that is not set is no condition.
    #[serde(rename = "where", default)]
    pub conditions: BTreeMap<String, String>,
    /// The field of the request that says how many; left out: `page_size`, if there is one.
    pub page_size: Option<String>,
    /// The field of the request that says from where on; left out: `page_token`, if there is one.
    pub page_token: Option<String>,
    /// The field of the answer that says from where it goes on; left out: `next_page_token`, if there is one.
    pub next_page_token: Option<String>,
    /// The field of the answer that holds the entities; left out: its only repeated message.
    pub into: Option<String>,
}

/// What a field says.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(title = "a field of an answer", deny_unknown_fields)]
pub(in crate::manifest) struct Mapped {
    /// The field of the replica, or a path into it; `_id`, `_version`, `_epoch`, `_origin`, `_event`, `_changed_at`,
    /// `_age_ms` or `_stale`.
    pub from: String,
    /// The message that a `google.protobuf.Any` holds; left out: the value has its own `@type`.
    pub any: Option<String>,
}
