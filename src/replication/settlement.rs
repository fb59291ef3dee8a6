//! What became of an event, judged by what the database holds after the write.

use super::{Keep, Key, Record};

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
    if held.without_hash() != key.without_hash() {
        return Judgement::Covered(Outcome::Stale);
    }
    if held.hash != key.hash && held.hash != Key::SETTLED {
        return Judgement::Conflict;
    }
    let applied = winner && record.batch == Some(batch);
    Judgement::Covered(if applied { Outcome::Applied } else { Outcome::Duplicate })
}
