//! A replica as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::Short;

/// Which entities of another service are kept here, and which of their fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "a replica", deny_unknown_fields)]
pub(in crate::manifest) struct Replica {
    /// The service that owns the entities.
    pub owner: String,
    /// The source their events come from, by its name under `sources`.
    pub source: String,
    /// Which entities are kept.
    pub keep: Keep,
    /// Where an event says which entity it speaks of.
    pub id: Short<Id>,
    /// Where an event says which version of the entity it describes. Without it, events only say that
    /// something changed, and the owner is asked each time: `fetch` is then needed.
    pub version: Option<Short<Version>>,
    /// What is made of versions that are left out.
    #[serde(default)]
    pub gaps: Gaps,
    /// The fields that are kept, by the name they have here. Nothing else is stored, logged or parked in clear.
    pub fields: BTreeMap<String, Short<Field>>,
    /// What each type of event means; events of other types are passed by.
    pub on: BTreeMap<String, Reaction>,
    /// How the owner is asked for entities that are missing here.
    pub fetch: Option<Fetch>,
    /// How the replica may be read, besides by id.
    #[serde(default)]
    pub reads: Reads,
}

/// How a replica may be read, besides by id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "the reads of a replica", deny_unknown_fields)]
pub(in crate::manifest) struct Reads {
    /// The fields by which lists can be asked for. Each gets an index.
    pub filters: Vec<String>,
    /// The fields of which no two entities should have the same value, so that one can ask whether it is taken. Each
    /// gets an index, which keeps nothing out: the owner alone decides.
    pub unique: Vec<String>,
    /// How long an entity that was missing when somebody read it stays wanted, though no document refers to it; from 1s
    /// to 720h.
    #[schemars(regex(pattern = r"^[0-9]+(ms|s|m|h|d)$|\$\{"))]
    pub wanted: String,
}

impl Default for Reads {
    fn default() -> Self {
        Self { filters: Vec::new(), unique: Vec::new(), wanted: "1h".into() }
    }
}

/// Which entities a replica keeps.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(deny_unknown_fields)]
pub(in crate::manifest) enum Keep {
    /// Every one.
    All,
    /// Those that a document of this service refers to, by one of the `embeds`.
    Referenced,
    /// Those whose data meets this CEL expression, such as `data.country == 'DE'`.
    Where(String),
}

/// Where the id is, and of which type.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(title = "an id", deny_unknown_fields)]
pub(in crate::manifest) struct Id {
    /// Its path in the event.
    pub from: String,
    /// The type it is stored as. References in documents must have the same one.
    #[serde(rename = "type", default)]
    pub kind: IdType,
}

/// The type of identifiers.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::manifest) enum IdType {
    /// Text, taken as it is.
    #[default]
    String,
    /// A whole number of 64 bits.
    Int,
    /// MongoDB's ObjectId, 24 hexadecimal digits in events.
    ObjectId,
    /// A UUID, stored as binary of subtype 4.
    Uuid,
}

/// What orders the states of an entity: `sequence` or `time`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(title = "a version", deny_unknown_fields)]
pub(in crate::manifest) struct Version {
    /// The path of a number that grows with every change; a plain path means the same.
    pub sequence: Option<String>,
    /// The path of an RFC 3339 time, where the owner has no number. Changes within one microsecond are one.
    pub time: Option<String>,
    /// How far a time may be ahead of ours, from 0s to 24h; left out: `5m`. An event or an answer that is further
    /// ahead is not taken, since it would keep all later ones away.
    #[schemars(regex(pattern = r"^[0-9]+(ms|s|m|h|d)$|\$\{"))]
    pub skew: Option<String>,
}

/// Where a version is found.
pub(in crate::manifest) type VersionPath = Short<Version>;

/// One field that is kept.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(title = "a field", deny_unknown_fields)]
pub(in crate::manifest) struct Field {
    /// Its path: `data.…`, `body.…`, or the name of an attribute of the event. With `fetch`, only `data.…`.
    pub from: String,
    /// The BSON type it is stored as; what does not fit without loss is parked.
    #[serde(rename = "type", default)]
    pub kind: FieldType,
    /// What is stored where the owner leaves it out; without a default it is left out here, too.
    #[serde(default, deserialize_with = "present")]
    pub default: Option<serde_json::Value>,
    /// How it is kept from whoever sees what is stored, told, logged or parked; in clear, where nothing is said.
    pub protect: Option<Protect>,
}

/// How a field is kept from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::manifest) enum Protect {
    /// As a hash by the key `protect.hash_key`: one can look for a value, and nothing else.
    Hash,
    /// As little of it as a person needs to recognize it, such as `a•••@e•••.org`.
    Mask,
    /// Encrypted by the first of `protect.encrypt_keys`, for readers whose token says so.
    Encrypt,
    /// Not at all, as if it were not declared.
    Drop,
}

/// Tells `default: null` from no default at all.
fn present<'de, D: Deserializer<'de>>(parser: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(parser).map(Some)
}

/// The type a field is stored as.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::manifest) enum FieldType {
    /// Whatever comes; whole numbers become 64-bit integers.
    #[default]
    Any,
    /// Text.
    String,
    /// A 64-bit integer.
    Int,
    /// A double.
    Double,
    /// A decimal128, from a number or from text; for money.
    Decimal,
    /// True or false.
    Bool,
    /// A date, from RFC 3339 text or milliseconds since 1970.
    Date,
    /// An ObjectId, from 24 hexadecimal digits.
    ObjectId,
    /// A UUID, stored as binary of subtype 4.
    Uuid,
    /// A document.
    Object,
    /// An array.
    Array,
}

/// What an event's type means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::manifest) enum Reaction {
    /// It carries the full state of the entity.
    Upsert,
    /// It carries those of the fields that changed. Needs `version`, and with `fetch` versioned answers.
    Patch,
    /// The entity is no more.
    Delete,
    /// It only says that something changed; the owner is asked. Needs `fetch`.
    Refresh,
}

/// What is made of a version that follows upon one that is not the next lower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::manifest) enum Gaps {
    /// Nothing: a full state needs none before it.
    #[default]
    Ignore,
    /// They are counted, and where a patch follows upon one, the owner is asked. Needs `fetch` and a sequence.
    Ask,
}

/// How the owner's API is asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "a fetch", deny_unknown_fields)]
pub(in crate::manifest) struct Fetch {
    /// Where one entity is found; `{id}` stands for its id, in the path or the query.
    pub url: String,
    /// Where several are found at once; `{ids}` stands for their ids, joined by commas. Used where it is given.
    pub batch: Option<String>,
    /// Where those are found who have a value of one of `reads.unique`: the field, and a URL in which `{field}` stands for
    /// the value. Asked only for readers who want to be certain.
    #[serde(default)]
    pub by: BTreeMap<String, String>,
    /// Where all are found that the owner has, page by page: whoever was there before events came is then known, too.
    pub list: Option<Listing>,
    /// How many are asked for at once.
    #[serde(default = "batch_size")]
    #[schemars(range(min = 1, max = 1000))]
    pub batch_size: usize,
    /// How many requests may be under way at once.
    #[serde(default = "concurrency")]
    #[schemars(range(min = 1, max = 256))]
    pub concurrency: usize,
    /// How long one request may take, such as `2s` or `500ms`; from 1ms to 10m.
    #[serde(default = "timeout")]
    #[schemars(regex(pattern = r"^[0-9]+(ms|s|m|h|d)$|\$\{"))]
    pub timeout: String,
    /// How stale the owner's answers can be, such as `30s`; a first answer is asked for again after this long.
    #[serde(default = "settle")]
    #[schemars(regex(pattern = r"^[0-9]+(ms|s|m|h|d)$|\$\{"))]
    pub settle: String,
    /// How often what is held is compared with the owner, such as `6h`; left out: never.
    #[schemars(regex(pattern = r"^[0-9]+(ms|s|m|h|d)$|\$\{"))]
    pub reconcile: Option<String>,
    /// Where things are in the owner's answers.
    #[serde(default)]
    pub from: AnswerPaths,
}

fn batch_size() -> usize {
    50
}

fn concurrency() -> usize {
    8
}

fn timeout() -> String {
    "2s".into()
}

fn settle() -> String {
    "30s".into()
}

/// How the owner is asked for all that it has.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "a list", deny_unknown_fields)]
pub(in crate::manifest) struct Listing {
    /// Where a page is found. But for `next: link`, `{after}` stands for what it comes after, in the path or the query. How
    /// many there are on a page is said in here, too, as the owner wants it.
    pub url: String,
    /// How one page leads to the next.
    pub next: Next,
    /// The list in a page. Empty: the page is the list.
    #[serde(default)]
    pub items: String,
    /// What stands for `{after}` at first; left out: nothing.
    pub first: Option<String>,
    /// Where a page says how many there are in all, so that one can be told how long it takes.
    pub total: Option<String>,
}

/// How one page leads to the next. There is no way by numbers of pages: they shift while they are read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(deny_unknown_fields)]
pub(in crate::manifest) enum Next {
    /// By a header `Link` with `rel="next"`.
    Link,
    /// The next one comes after the last id of the page: the owner lists by id.
    Id,
    /// By a value at this path, such as `next`; where there is none, that was the last page.
    Cursor(String),
}

/// Where things are in an answer's JSON, as dotted paths; in a batch answer, in each of its items.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "the paths of an answer", deny_unknown_fields)]
pub(in crate::manifest) struct AnswerPaths {
    /// The entity's id.
    pub id: String,
    /// Its version, of the kind that `version` declares. Without it an answer only fills what is missing.
    pub version: Option<VersionPath>,
    /// The part that fields' paths beginning with `data` lead into. Empty: the whole answer.
    pub data: String,
    /// The list in a batch answer. Empty: the answer is the list.
    pub items: String,
}

impl Default for AnswerPaths {
    fn default() -> Self {
        Self { id: "id".into(), version: None, data: String::new(), items: String::new() }
    }
}
