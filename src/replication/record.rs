//! One entity as it is held: its state, and what is known to be still owed or asked.

use std::collections::BTreeMap;

use bson::Document;

use super::Key;
use crate::event::{EntityId, Version};

/// What is known of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Wanted, and not known yet.
    Pending,
    /// Held, in the declared fields.
    Live,
    /// Known not to be there.
    Gone(Why),
}

/// Why an entity is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The owner said that it was deleted.
    Deleted,
    /// It is outside the subset that is kept.
    Out,
    /// The owner, asked, did not know it.
    NotFound,
    /// A person had it erased here; what showed it shows nothing, whatever an embed keeps of the deleted.
    Erased,
}

/// A record as read back from the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Which entity.
    pub id: EntityId,
    /// What is known of it.
    pub state: State,
    /// The owner's order; `None` where only unversioned answers, or none, have been seen.
    pub key: Option<Key>,
    /// The generation that last had a hand in it; an older pod leaves it alone.
    pub shape: i32,
    /// Whether it has no values yet for fields that its generation added.
    pub lacks: bool,
    /// The record's own order, in microseconds of the database's clock, rising with every effective write.
    pub rev: i64,
    /// The lowest version that will do, where an event said that there is one.
    pub need: Option<Version>,
    /// When the owner is to be asked, in milliseconds of the database's clock; while somebody asks, when the
    /// claim ends.
    pub due: Option<i64>,
    /// Who is asking the owner, if anybody is: a token that whoever wants another look takes away.
    pub claim: Option<String>,
    /// Whether the fan-out of this `rev` is still to be done.
    pub owes: bool,
    /// How often the owner has been asked in vain.
    pub tries: u32,
    /// When the owner was last asked, in microseconds of the database's clock.
    pub asked: Option<i64>,
    /// When somebody last called for a look at the owner, in microseconds of the database's clock.
    pub since: Option<i64>,
    /// The tag of the batch that wrote it last.
    pub batch: Option<i64>,
    /// Whether it is marked for retirement.
    pub marked: bool,
    /// The fields that patches have brought further than the key, each with its version.
    pub patched: BTreeMap<String, Version>,
    /// The declared fields; unless live, only those that are [`patched`](Self::patched).
    pub fields: Document,
}

impl State {
    /// The word as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Live => "live",
            Self::Gone(_) => "gone",
        }
    }

    /// Reads a stored state and reason.
    pub fn parse(state: &str, why: Option<&str>) -> Option<Self> {
        match (state, why) {
            ("pending", _) => Some(Self::Pending),
            ("live", _) => Some(Self::Live),
            ("gone", Some("deleted")) => Some(Self::Gone(Why::Deleted)),
            ("gone", Some("erased")) => Some(Self::Gone(Why::Erased)),
            ("gone", Some("out")) => Some(Self::Gone(Why::Out)),
            ("gone", _) => Some(Self::Gone(Why::NotFound)),
            _ => None,
        }
    }
}

impl Why {
    /// The word as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Out => "out",
            Self::NotFound => "404",
            Self::Erased => "erased",
        }
    }
}

impl Record {
    /// One that says nothing but who it is and what is known of it.
    pub fn blank(id: EntityId, state: State) -> Self {
        Self {
            id,
            state,
            key: None,
            shape: 1,
            lacks: false,
            rev: 0,
            need: None,
            due: None,
            claim: None,
            owes: false,
            tries: 0,
            asked: None,
            since: None,
            batch: None,
            marked: false,
            patched: BTreeMap::new(),
            fields: Document::new(),
        }
    }

    /// The owner's epoch that it is known from.
    pub fn epoch(&self) -> i64 {
        self.key.as_ref().map_or(0, |key| key.epoch)
    }

    /// Whether what is held now makes good an event of this epoch that was put aside: a version at least as new, or,
    /// where the event had none, the owner's answer since then. Times are milliseconds of the database's clock.
    pub fn has_overtaken(&self, epoch: i64, version: Option<i64>, parked_at: Option<i64>) -> bool {
        match (version, &self.key) {
            (Some(version), Some(key)) => (key.epoch, key.version.get()) >= (epoch, version),
            _ => {
                let asked = self.asked.map(|asked| asked / 1000);
                let answered = self.claim.is_none() && self.tries == 0 && asked > parked_at;
                answered && self.state != State::Pending && parked_at.is_some()
            }
        }
    }
}
