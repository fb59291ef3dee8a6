//! The manifest as it is written: these types are its JSON Schema, and nothing else describes its form.
//!
//! Unknown keys are refused by the comparison with the schema, which knows places; serde itself lets them
//! pass, so that one of them does not hide what else is wrong with the same entry.

mod embed;
mod grpc;
mod read_model;
mod replica;
mod short;
mod source;
mod suite;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use embed::{Embed, WhenDeleted};
pub(super) use grpc::{Get, Grpc, List, Mapped, Method};
pub(super) use read_model::{Effect, OneOrMany, ReadModel, Rule, Value as ReadModelValue};
pub(super) use replica::{
    AnswerPaths, Fetch, Field, FieldType, Gaps, Id, IdType, Keep, Listing, Next, Protect, Reaction, Reads,
    Replica, Version, VersionPath,
};
pub(super) use short::Short;
pub(super) use source::{Collection, EventPaths, Feed, Format, HashedBy, Property, RabbitMq, Source, Stream};
pub(super) use suite::{Emitted, Event, Suite};

/// What this sidecar keeps near, for which service, and which of the service's documents show it.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "a manifest", deny_unknown_fields)]
#[expect(dead_code, reason = "the whole is read entry by entry, so that one broken entry hides no other")]
pub(super) struct Manifest {
    /// The consuming service. It fences the database: a second service's sidecar is refused there.
    service: String,
    /// Where events come from, by name.
    #[serde(default)]
    sources: BTreeMap<String, Source>,
    /// Which of other services' entities are kept here, by name; the name is also the collection's.
    #[serde(default)]
    replicas: BTreeMap<String, Replica>,
    /// Which of the service's own documents show which fields of a replica, by name.
    #[serde(default)]
    embeds: BTreeMap<String, Embed>,
    /// Which documents are folded from streams of events, by name; the name is also the collection's.
    #[serde(default)]
    read_models: BTreeMap<String, ReadModel>,
    /// Your own gRPC services, answered from replicas.
    grpc: Option<Grpc>,
}
