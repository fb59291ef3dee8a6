//! What this pod did lately, and with whom, for whoever asks why a value is there: ids, versions and words, never a value.
//!
//! It is kept in memory, in two rings of a fixed size, so that many events push out other events only, and not what is rare.
//! A batch takes the lock once, and its events hand over what they hold anyway, so an event costs a few nanoseconds.

use std::sync::{Arc, Mutex, PoisonError};

use super::batch::Verdict;
use crate::clock;
use crate::event::{ChangeEvent, EntityId, EntityType, EventId, Version};
use crate::replication::Outcome;

/// The notes of one pod.
pub struct Diary {
    size: usize,
    /// When it was begun, in microseconds since 1970.
    since: i64,
    rings: Mutex<Rings>,
}

#[derive(Default)]
struct Rings {
    events: Ring,
    others: Ring,
}

/// The last notes of a kind.
#[derive(Default)]
struct Ring {
    notes: Vec<Note>,
    /// The oldest, once there are as many as can be.
    next: usize,
    /// When the last was made that is not there any more.
    forgotten: Option<i64>,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// When, in microseconds since 1970.
    pub at: i64,
    /// With an entity of this replica, or with a document of this collection.
    pub of: EntityType,
    /// With whom.
    pub id: EntityId,
    /// What.
    pub what: What,
}

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// An event was settled.
    Event {
        /// Its id; an item of the owner's list has none.
        event: Option<EventId>,
        /// The version that it told of.
        version: Option<Version>,
        /// What became of it.
        outcome: Outcome,
        /// Whether it was an item of the owner's list.
        listed: bool,
    },
    /// An event was put aside.
    Parked {
        /// Its id.
        event: Option<String>,
        /// The version that it told of.
        version: Option<i64>,
        /// Why.
        reason: &'static str,
    },
    /// It is wanted from now on, and was not known.
    Wanted,
    /// The owner was asked.
    Asked {
        /// What it said, in a word.
        said: &'static str,
        /// The version that it told of.
        version: Option<Version>,
        /// Whether that brought anything into the record.
        brought: bool,
    },
    /// Documents that refer to it were brought in line; those of this embed.
    FannedOut(Arc<str>),
    /// So many documents refer to it that they are brought in line one page after the other.
    FanOutBegun,
    /// That is over.
    FanOutEnded,
    /// A document was looked at after a change of it; for this embed.
    Hydrated(Arc<str>),
    /// Nobody referred to it any more, and it was removed.
    Retired,
}

/// What is remembered of somebody.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// How many events, and how many other notes, are remembered.
    pub size: usize,
    /// Since when all events are, in microseconds since 1970.
    pub events_since: i64,
    /// Since when all else is.
    pub others_since: i64,
    /// What was done, in its order.
    pub notes: Vec<Note>,
}

impl Diary {
    /// An empty one for so many events, and as many other notes; with 0 nothing is noted.
    pub fn new(size: usize) -> Self {
        Self { size, since: clock::wall_micros(), rings: Mutex::default() }
    }

    /// What is remembered of an entity of a replica, or of a document of a collection.
    pub fn about(&self, of: &str, id: &str) -> Remembered {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let all = rings.events.in_order().chain(rings.others.in_order());
        let about = all.filter(|note| note.of.as_str() == of && note.id.to_string() == id);
        let mut notes: Vec<Note> = about.cloned().collect();
        notes.sort_by_key(|note| note.at);
        let since = |ring: &Ring| ring.forgotten.unwrap_or(self.since);
        let (events_since, others_since) = (since(&rings.events), since(&rings.others));
        Remembered { size: self.size, events_since, others_since, notes }
    }

    /// Notes what became of events, at that time. Their ids are taken out of those that are settled: nobody asks for them any more.
    pub(super) fn events(&self, at: i64, of: &EntityType, verdicts: &mut [(ChangeEvent, Verdict)]) {
        let settled = verdicts.iter_mut().filter_map(|(event, verdict)| {
            let Verdict::Done(outcome) = *verdict else { return None };
            let (stamp, version) = (&mut event.stamp, event.version);
            let what = What::Event { event: stamp.event.take(), version, outcome, listed: stamp.listed };
            Some((event.entity.clone(), what))
        });
        self.write(at, of, settled);
    }

    /// Notes what was done with some, just now.
    pub(super) fn note(&self, of: &EntityType, notes: impl IntoIterator<Item = (EntityId, What)>) {
        self.write(clock::wall_micros(), of, notes);
    }

    fn write(&self, at: i64, of: &EntityType, notes: impl IntoIterator<Item = (EntityId, What)>) {
        if self.size == 0 {
            return;
        }
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, what) in notes {
            let is_common = matches!(what, What::Event { .. } | What::FannedOut(_));
            let ring = if is_common { &mut rings.events } else { &mut rings.others };
            ring.push(self.size, Note { at, of: of.clone(), id, what });
        }
    }
}

impl Ring {
    fn in_order(&self) -> impl Iterator<Item = &Note> {
        let (newer, older) = self.notes.split_at(self.next.min(self.notes.len()));
        older.iter().chain(newer)
    }

    fn push(&mut self, size: usize, note: Note) {
        if self.notes.len() < size {
            self.notes.push(note);
        } else if let Some(oldest) = self.notes.get_mut(self.next) {
            self.forgotten = Some(oldest.at);
            *oldest = note;
            self.next = (self.next + 1) % size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Change, Stamp};

    fn settled(entity: &str, event: &str) -> (ChangeEvent, Verdict) {
        let stamp = Stamp { event: Some(EventId::new(event)), ..Stamp::default() };
        let entity = EntityId::String(entity.into());
        let event = ChangeEvent { entity, version: Some(Version::new(1)), change: Change::Delete, stamp };
        (event, Verdict::Done(Outcome::Applied))
    }

    fn events(diary: &Diary, id: &str) -> Vec<String> {
        let event = |note: Note| match note.what {
            What::Event { event, .. } => event.map(|id| id.to_string()).unwrap_or_default(),
            other => format!("{other:?}"),
        };
        diary.about("users", id).notes.into_iter().map(event).collect()
    }

    #[test]
    fn the_last_events_are_remembered_and_leave_what_is_rare_alone() {
        let (diary, users) = (Diary::new(3), EntityType::new("users"));
        diary.note(&users, [(EntityId::String("ann".into()), What::Retired)]);
        for number in 0..5 {
            let events = [settled("ann", &format!("e{number}")), settled("bob", "other")];
            diary.events(clock::wall_micros() + number, &users, &mut events.to_vec());
        }
        assert_eq!(events(&diary, "ann"), ["Retired", "e4"]);
        let many: Vec<_> = (0..9).map(|number| settled("ann", &format!("n{number}"))).collect();
        diary.events(clock::wall_micros() + 9, &users, &mut many.clone());
        assert_eq!(events(&diary, "ann"), ["Retired", "n6", "n7", "n8"]);
        assert_eq!(events(&diary, "bob"), [""; 0]);
        let remembered = diary.about("users", "ann");
        assert!(remembered.events_since > remembered.others_since, "{remembered:?}");
        assert_eq!(diary.about("products", "ann").notes, []);
    }

    #[test]
    fn nothing_is_remembered_where_that_is_not_wanted() {
        let (diary, users) = (Diary::new(0), EntityType::new("users"));
        diary.events(clock::wall_micros(), &users, &mut [settled("ann", "e1")]);
        assert_eq!(events(&diary, "ann"), [""; 0]);
    }
}
