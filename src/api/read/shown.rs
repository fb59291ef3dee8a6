//! An entity as every face tells of it, with what makes a reader trust it: version, age, origin.

use std::sync::Arc;

use bson::Bson;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::event::{EntityId, Field, Plain, Protection, Version, plain_time};
use crate::replication::{Reading, State, Subscription};

/// An entity that is told.
pub(in crate::api) struct One {
    of: Arc<Subscription>,
    reading: Reading,
    /// Whether what is encrypted is seen in clear.
    clear: bool,
}

/// An entity as a reader sees it: its id, its declared fields, and how fresh they are.
#[derive(Serialize)]
pub(in crate::api) struct Entity<'r> {
    pub id: Id,
    #[serde(serialize_with = "as_object")]
    pub fields: Vec<(&'r str, Shown<'r>)>,
    #[serde(flatten)]
    pub freshness: Freshness<'r>,
}

/// An id, as JSON a number where the replica declares numbers, else text.
pub(in crate::api) struct Id(pub EntityId);

/// A value that is told: as it is held, or as it was made for this reader.
pub(in crate::api) enum Shown<'r> {
    Held(&'r Bson),
    Made(Value),
}

/// How fresh what is held is, whatever that is.
#[derive(Serialize)]
pub(in crate::api) struct Freshness<'r> {
    pub version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    pub origin: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<String>,
    pub age_ms: u64,
    pub stale: bool,
}

/// What is known of an entity that is not live, in a word or two.
#[derive(Serialize)]
pub(in crate::api) struct Known {
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
}

/// An entity that cannot be told of.
#[derive(Serialize)]
pub(in crate::api) struct Absent {
    pub id: Id,
    #[serde(flatten)]
    pub known: Known,
    /// Whether there may be more to tell later.
    pub late: bool,
}

impl One {
    pub(super) fn new(of: &Arc<Subscription>, reading: &Reading, clear: bool) -> Self {
        Self { of: of.clone(), reading: reading.clone(), clear }
    }

    /// What is told. What is encrypted is seen by those who see it in clear; others see that it is not there.
    pub(in crate::api) fn entity(&self) -> Entity<'_> {
        let shown = |field| told(&self.of, field, &self.reading, self.clear);
        let fields = self.of.selection.fields();
        Entity {
            id: Id(self.reading.record.id.clone()),
            fields: fields.filter_map(|field| Some((field.name.as_str(), shown(field)?))).collect(),
            freshness: freshness(&self.reading),
        }
    }

    /// What tells this state of it, as it is seen, from any other.
    pub(super) fn tag(&self) -> String {
        let record = &self.reading.record;
        let version = record.version().map_or("-".into(), |version| version.to_string());
        let seen = if self.clear { ".clear" } else { "" };
        format!("\"{}.{version}.{}{seen}\"", record.epoch(), record.rev)
    }
}

impl Serialize for One {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        self.entity().serialize(into)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            EntityId::Int(number) => into.serialize_i64(*number),
            other => into.collect_str(other),
        }
    }
}

impl Shown<'_> {
    /// The value as JSON.
    pub(in crate::api) fn json(&self) -> Value {
        match self {
            Self::Held(stored) => value(stored),
            Self::Made(value) => value.clone(),
        }
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Held(stored) => Plain(stored).serialize(into),
            Self::Made(value) => value.serialize(into),
        }
    }
}

/// What is told of a field. A record of an earlier generation may still hold in clear what is protected now.
fn told<'r>(of: &Subscription, field: &Field, reading: &'r Reading, clear: bool) -> Option<Shown<'r>> {
    let (id, stored) = (&reading.record.id, reading.record.fields.get(&field.name)?);
    match field.protect {
        None => Some(Shown::Held(stored)),
        Some(Protection::Hash | Protection::Mask) => {
            of.selection.kept_by_now(field, id, stored.clone()).ok().map(|kept| Shown::Made(value(&kept)))
        }
        Some(Protection::Encrypt) if !clear => None,
        Some(Protection::Encrypt) if *stored == Bson::Null => Some(Shown::Held(stored)),
        Some(Protection::Encrypt) => {
            let told = of.selection.guard()?.reveal(&field.name, id, stored);
            if told.is_none() {
                tracing::warn!(
                    event = "field.sealed",
                    entity.r#type = %of.name,
                    field = field.name,
                    "what is encrypted cannot be read: its key is not among `protect.encrypt_keys`"
                );
            }
            told.map(Shown::Made)
        }
    }
}

/// Whether readers are told different things of the same record.
pub(super) fn differs(of: &Subscription) -> bool {
    of.selection.fields().any(|field| field.protect == Some(Protection::Encrypt))
}

/// How fresh what is held is.
pub(super) fn freshness(reading: &Reading) -> Freshness<'_> {
    Freshness {
        version: reading.record.version().map(Version::get),
        epoch: Some(reading.record.epoch()).filter(|epoch| *epoch > 0),
        origin: &reading.origin,
        event: reading.event.as_deref(),
        changed_at: reading.at.and_then(plain_time),
        age_ms: u64::try_from(reading.age().as_millis()).unwrap_or(u64::MAX),
        stale: reading.is_stale(),
    }
}

/// What is known of an entity.
pub(super) fn known(reading: Option<&Reading>) -> Known {
    match reading.map(|reading| reading.record.state) {
        None => Known { state: "absent", why: None },
        Some(State::Gone(why)) => Known { state: "gone", why: Some(why.as_str()) },
        Some(state) => Known { state: state.as_str(), why: None },
    }
}

fn as_object<S: Serializer>(fields: &[(&str, Shown<'_>)], into: S) -> Result<S::Ok, S::Error> {
    into.collect_map(fields.iter().map(|(name, value)| (name, value)))
}

/// A stored value as JSON, as [`Plain`] has it.
pub fn value(stored: &Bson) -> Value {
    serde_json::to_value(Plain(stored)).unwrap_or_default()
}
