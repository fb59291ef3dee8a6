//! An embed as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Which documents of this service show which fields of a replica.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "an embed", deny_unknown_fields)]
pub(in crate::manifest) struct Embed {
    /// The service's own collection.
    #[serde(rename = "in")]
    pub collection: String,
    /// Where its documents refer to the entity: `userId`, or `contributors[].userId` with `[]` after arrays.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The replica, by its name under `replicas`.
    pub from: String,
    /// The object that shows the fields, beside the reference; wholly nearcopy's. Either this or `set`.
    pub into: Option<String>,
    /// Which fields the object has; left out: all of the replica's. Only with `into`.
    pub fields: Option<Vec<String>>,
    /// Single values, by the name they have in the document: `client_name: username`. Either this or `into`.
    pub set: Option<BTreeMap<String, String>>,
    /// What is shown of an entity that is gone.
    #[serde(default)]
    pub when_deleted: WhenDeleted,
}

/// What documents show of an entity that is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::manifest) enum WhenDeleted {
    /// What they showed last.
    #[default]
    Keep,
    /// Nothing.
    Clear,
    /// What they showed last, and that it is deleted.
    Mark,
    /// The document goes, too.
    Delete,
}
