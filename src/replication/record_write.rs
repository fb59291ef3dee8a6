//! The closed list of what may be done to a record. Each carries its guard, so each may be repeated.

use std::collections::BTreeMap;
use std::time::Duration;

use bson::Document;

use super::{Key, Revision, Why};
use crate::event::{EntityId, Fields, Stamp, Version};

/// What a record is to hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// These declared fields.
    Live(Fields),
    /// Nothing, and why.
    Gone(Why),
}

/// When the owner is to be asked about an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// As soon as somebody gets to it.
    Now,
    /// After this long, by the database's clock.
    After(Duration),
    /// Not any more.
    Never,
}

/// One guarded write of one record.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordWrite {
    /// An event's state, written where `guard` is above the key held.
    State {
        /// The entity.
        id: EntityId,
        /// What the record is to hold.
        content: Content,
        /// The key it is then held under.
        key: Key,
        /// What must be above the key held now.
        guard: Key,
        /// The event it comes from.
        stamp: Stamp,
        /// Whether a record is made where there is none.
        create: bool,
        /// Whether the change must be fanned out.
        owes: bool,
    },
    /// What full states and patches make of a record as it was read, written where nothing else has changed it.
    Revise {
        /// The entity.
        id: EntityId,
        /// The revision that was read; `None` where there was no record, which is then made.
        rev: Option<i64>,
        /// What the record is to hold.
        revision: Revision,
        /// The event that brought the newest of it.
        stamp: Stamp,
        /// When the owner is to be asked for what is missing, unless that is planned sooner; [`Due::Never`] where
        /// nothing is.
        ask: Due,
        /// Whether the change must be fanned out.
        owes: bool,
    },
    /// An event says that something changed: the owner must be asked, unless that much is held.
    Need {
        /// The entity.
        id: EntityId,
        /// The lowest key that will do, of which the record keeps the version: its epoch is the record's own, or is
        /// that as soon as the owner has answered.
        floor: Option<Key>,
    },
    /// The entity is wanted: a pending record is made where there is none.
    Placeholder {
        /// The entity.
        id: EntityId,
        /// Whether there is an owner to ask.
        ask: bool,
        /// How long it is not retired, though no document refers to it.
        hold: Option<Duration>,
    },
    /// Somebody relies on the record: it must not be retired under a mark set before.
    Unmark {
        /// The entity.
        id: EntityId,
    },
    /// The owner answered, and nothing else has changed the record, or asked for another look at the owner,
    /// since it was claimed.
    Answer {
        /// The entity.
        id: EntityId,
        /// The revision that was read when the owner was asked.
        rev: i64,
        /// The claim under which the owner was asked; whoever wants another look has taken it away.
        claim: Option<String>,
        /// What the record is to hold and the key for it; `None` leaves both.
        content: Option<(Content, Option<Key>)>,
        /// The fields of that content that patches have brought further than the answer.
        patched: BTreeMap<String, Version>,
        /// Whether the owner's answer meets what was needed.
        satisfied: bool,
        /// When to ask again.
        due: Due,
        /// How often it was asked in vain by now.
        tries: u32,
        /// Whether the change must be fanned out.
        owes: bool,
    },
    /// The owner could not be asked, or its answer was no answer: ask again later. `tries` is never zero.
    Unanswered {
        /// The entity.
        id: EntityId,
        /// The claim under which it was asked.
        claim: Option<String>,
        /// When.
        due: Due,
        /// How often it was asked in vain by now.
        tries: u32,
    },
    /// The owner is to be asked, whatever is held.
    Ask {
        /// The entity.
        id: EntityId,
        /// How long from now, at the latest.
        wait: Duration,
    },
    /// What an older generation held becomes what today's keeps, if nothing else has changed the record since. Any
    /// mark for retirement goes: an older pod, which set it, knows fewer references.
    Upgrade {
        /// The entity.
        id: EntityId,
        /// The revision that was read.
        rev: i64,
        /// The key it is then held under; `None` leaves it, so that the same version may bring what is lacking.
        key: Option<Key>,
        /// The fields that go.
        drop: Vec<String>,
        /// The fields that come, with their defaults, and those that come to be protected.
        fill: Document,
        /// Whether there are fields whose values are not known yet.
        lacks: bool,
        /// When the owner is to be asked for them; never leaves what is planned.
        due: Due,
        /// Whether the change must be fanned out.
        owes: bool,
    },
    /// A person had the entity erased: nothing of it is left but a deletion, and what was asked of the owner is void.
    Erase {
        /// The entity.
        id: EntityId,
        /// The lowest key that the deletion may have. It has that of what is held, where that is higher.
        floor: Key,
        /// Whether the deletion is written down where there is no record.
        create: bool,
        /// Whether the change must be fanned out.
        owes: bool,
    },
    /// The fan-out of this revision is done.
    Paid {
        /// The entity.
        id: EntityId,
        /// The revision that was fanned out.
        rev: i64,
    },
}

impl RecordWrite {
    /// The entity it writes.
    pub fn id(&self) -> &EntityId {
        match self {
            Self::State { id, .. }
            | Self::Revise { id, .. }
            | Self::Need { id, .. }
            | Self::Placeholder { id, .. }
            | Self::Unmark { id }
            | Self::Answer { id, .. }
            | Self::Unanswered { id, .. }
            | Self::Ask { id, .. }
            | Self::Upgrade { id, .. }
            | Self::Erase { id, .. }
            | Self::Paid { id, .. } => id,
        }
    }
}
