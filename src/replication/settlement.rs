//! What became of an event, judged by what the database holds after the write.

use bson::Document;

use super::key::content_hash;
use super::revise::outranks;
use super::{Keep, Key, Rank, Record, State};
use crate::event::Version;

/// What became of an event: one of the columns of the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Nobody wants its entity, or its type means nothing here.
    Ignored,
    /// The very same state was held already.
    Duplicate,
    /// A newer state was held already.
    Stale,
    /// It is noted that the owner must be asked.
    Deferred,
    /// It changed the record.
    Applied,
    /// It was put aside with its reason.
    Parked,
}

/// What an event claims, to be held against the record as read back.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// This state, or a newer one, is held.
    State {
        /// The key of the state.
        key: Key,
        /// What the key held must not be below.
        guard: Key,
        /// Whether it was this event's state that was written for its entity.
        winner: bool,
    },
    /// Each of these fields is held at this version, or a newer one.
    Patch {
        /// The owner's epoch that the patch belongs to.
        epoch: i64,
        /// The version of the patch.
        version: Version,
        /// The fields it carries.
        fields: Document,
        /// Whether the higher hash wins at an equal version, since nobody can be asked.
        by_hash: bool,
        /// Whether it was written, as far as it carries anything new.
        winner: bool,
    },
    /// At least this much is needed, or held.
    Need(Option<Key>),
}

/// A judgement on one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The database holds its effect, or needs none.
    Covered(Outcome),
    /// As covered, but another content is held under the same version: the owner must decide.
    Conflict,
    /// The database does not hold its effect: the write goes round again.
    Open,
}

impl Outcome {
    /// The word as it stands in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Deferred => "deferred",
            Self::Applied => "applied",
            Self::Parked => "parked",
        }
    }
}

/// Judges an event by the record as it was read back, causally after the batch tagged `batch` was written.
pub fn judge(expected: &Expected, record: Option<&Record>, keep: &Keep, batch: i64) -> Judgement {
    let Some(record) = record else {
        return if keep.creates() { Judgement::Open } else { Judgement::Covered(Outcome::Ignored) };
    };
    match expected {
        Expected::State { key, guard, winner } => judge_state(key, guard, *winner, record, batch),
        Expected::Patch { epoch, .. } if record.epoch() > *epoch => Judgement::Covered(Outcome::Stale),
        Expected::Patch { epoch, .. } if record.epoch() < *epoch => Judgement::Open,
        Expected::Patch { version, fields, by_hash, winner, .. } => {
            let applied = *winner && record.batch == Some(batch);
            judge_patch(*version, fields, *by_hash, applied, record)
        }
        Expected::Need(None) => Judgement::Covered(Outcome::Deferred),
        Expected::Need(Some(floor)) => {
            let held = record.key.as_ref() >= Some(floor);
            match (record.need >= Some(floor.version), held) {
                (true, _) => Judgement::Covered(Outcome::Deferred),
                (false, true) => Judgement::Covered(Outcome::Stale),
                (false, false) => Judgement::Open,
            }
        }
    }
}

fn judge_state(key: &Key, guard: &Key, winner: bool, record: &Record, batch: i64) -> Judgement {
    let Some(held) = record.key.as_ref().filter(|held| *held >= guard) else {
        return Judgement::Open;
    };
    if !held.is_level_with(key) {
        return Judgement::Covered(Outcome::Stale);
    }
    // What the owner has decided may have changed since, under the very same version: only it can say.
    let says_the_same = match record.state {
        State::Live if &*held.hash == Key::SETTLED => content_hash(&record.fields) == key.hash,
        _ => held.hash == key.hash || &*held.hash == Key::SETTLED,
    };
    if !says_the_same {
        return Judgement::Conflict;
    }
    let applied = winner && record.batch == Some(batch);
    Judgement::Covered(if applied { Outcome::Applied } else { Outcome::Duplicate })
}

fn judge_patch(
    version: Version,
    fields: &Document,
    by_hash: bool,
    applied: bool,
    record: &Record,
) -> Judgement {
    match &record.key {
        Some(key) if key.version > version => return Judgement::Covered(Outcome::Stale),
        Some(key) if key.version == version => return judge_covered_patch(version, fields, key, record),
        _ => {}
    }
    let done = match (applied, record.state) {
        (false, _) => Outcome::Duplicate,
        (true, State::Live) => Outcome::Applied,
        (true, _) => Outcome::Deferred,
    };
    if fields.is_empty() {
        return Judgement::Covered(Outcome::Ignored);
    }
    let (mut leads, mut contradicted) = (false, false);
    for (name, value) in fields {
        match record.patched.get(name) {
            Some(held) if *held > version => {}
            Some(held) if *held == version => {
                let same = record.fields.get(name) == Some(value);
                if !same && by_hash && outranks(value, record.fields.get(name)) {
                    return Judgement::Open;
                }
                leads = true;
                contradicted |= !same;
            }
            _ => return Judgement::Open,
        }
    }
    match (contradicted, leads) {
        (true, _) => Judgement::Conflict,
        (false, true) => Judgement::Covered(done),
        (false, false) => Judgement::Covered(Outcome::Stale),
    }
}

/// A patch of the very version that is held in full, which says all that it says.
fn judge_covered_patch(version: Version, fields: &Document, key: &Key, record: &Record) -> Judgement {
    if key.rank != Rank::Live || record.state != State::Live {
        return Judgement::Covered(Outcome::Stale);
    }
    let says = |(name, value): (&String, &bson::Bson)| {
        record.patched.get(name) > Some(&version) || record.fields.get(name) == Some(value)
    };
    if &*key.hash == Key::SETTLED || fields.iter().all(says) {
        Judgement::Covered(Outcome::Duplicate)
    } else {
        Judgement::Conflict
    }
}
