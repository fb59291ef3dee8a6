//! What became of a batch that has left its states in the records: known without reading them back.

use std::collections::BTreeMap;

use super::{Expected, Folded, Judgement, Keep, Key, Outcome, Record, RecordWrite, judge};
use crate::event::EntityId;

/// Whether the records that a batch has not left its tag in say all that is to be known of it: each of its writes is a
/// state that no guard but the key's keeps away, and nothing is to be fanned out, for which a record is read anyway.
///
/// Under `referenced` there may be no record, which looks the same as one with the tag.
pub fn tells_by_others(folded: &Folded) -> bool {
    let tells = |write: &RecordWrite| matches!(write, RecordWrite::State { owes: false, create: true, .. });
    folded.writes.iter().all(tells)
}

/// Judges the events of a batch where that [`tells`](tells_by_others): `others` are those of its records that have not
/// its tag, read causally after the write, and `changed` says how many the write has changed. `None` if the two do not
/// fit together, because somebody has deleted records; then all of them must be read.
///
/// A state that has entered is durable, and what came beside it in its batch follows from the keys. This says what
/// [`judge`] says of the same records.
pub fn judge_by_others(
    folded: &Folded,
    changed: u64,
    others: &BTreeMap<EntityId, Record>,
    keep: &Keep,
    batch: i64,
) -> Option<Vec<Judgement>> {
    if changed + (others.len() as u64) < folded.writes.len() as u64 {
        return None;
    }
    let judgement = |(entity, claim): &(EntityId, Expected)| {
        if let Some(record) = others.get(entity) {
            return Some(judge(claim, Some(record), keep, batch));
        }
        let Expected::State { key, winner, .. } = claim else { return None };
        if *winner {
            return Some(Judgement::Covered(Outcome::Applied));
        }
        let at = folded.writes.binary_search_by_key(&entity, RecordWrite::id).ok()?;
        let RecordWrite::State { key: held, .. } = folded.writes.get(at)? else { return None };
        Some(beside(key, held))
    };
    folded.expected.iter().map(judgement).collect()
}

/// Judges a state by the one of the same batch that was written instead of it.
fn beside(key: &Key, held: &Key) -> Judgement {
    if !held.is_level_with(key) {
        Judgement::Covered(Outcome::Stale)
    } else if held.hash == key.hash {
        Judgement::Covered(Outcome::Duplicate)
    } else {
        Judgement::Conflict
    }
}
