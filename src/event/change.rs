//! What a message means: which entity changed, to what, and where that stands in the owner's order.

use std::fmt;
use std::sync::Arc;

use bson::Document;

use super::{EntityId, Fields, Version};

/// The publisher's own name for an event; it identifies, it does not order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventId(Arc<str>);

impl EventId {
    /// The longest event id that is kept as it is, in bytes.
    const LONGEST: usize = 256;

    /// Takes the publisher's text. What is longer is cut, and ends with a hash of the whole, so that two ids stay two.
    pub fn new(text: &str) -> Self {
        if text.len() <= Self::LONGEST {
            return Self(text.into());
        }
        let hash = format!("~{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes()));
        let mut end = Self::LONGEST - hash.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(format!("{}{hash}", &text[..end]).into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an event says about itself, kept beside the record for whoever asks where a value is from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The publisher's id of the event.
    pub event: Option<EventId>,
    /// The owner's time of the change, in microseconds since 1970.
    pub at: Option<i64>,
    /// Whether it is no event, but an item of the owner's list, which is taken in like one.
    pub listed: bool,
}

impl Stamp {
    /// Where a state is from, in the word that is stored beside it.
    pub fn origin(&self) -> &'static str {
        if self.listed { "fetch" } else { "event" }
    }
}

/// One change of one entity.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeEvent {
    /// The entity that changed.
    pub entity: EntityId,
    /// Its version after the change, where the owner gives one.
    pub version: Option<Version>,
    /// What happened.
    pub change: Change,
    /// What the event says about itself.
    pub stamp: Stamp,
}

/// What happened to an entity.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// This is its full state, in the declared fields.
    Upsert(Fields),
    /// These of its declared fields changed; what is not named here is as it was.
    Patch(Document),
    /// It is not, or no longer, in the subset that is kept.
    Leave,
    /// The owner deleted it.
    Delete,
    /// It changed; the owner must be asked how.
    Refresh,
}
