//! Many events, one write per record: the newest state and the highest need of each entity.

use std::collections::BTreeMap;

use super::settlement::Expected;
use super::{Content, Key, RecordWrite, Subscription, Timeline, Why};
use crate::event::{Change, ChangeEvent, EntityId, Stamp};

/// The writes of a batch, and what each of its events expects to find when they are done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Folded {
    /// At most one state and one need for each entity.
    pub writes: Vec<RecordWrite>,
    /// For each event, in order: the entity, and what it claims.
    pub expected: Vec<(EntityId, Expected)>,
}

/// The state that leads so far for an entity, and the event it comes from.
struct Leader<'e> {
    key: Key,
    guard: Key,
    content: Content,
    stamp: &'e Stamp,
    event: usize,
}

/// Folds the events of one replica. Which one wins depends on their keys alone, never on their order, but for
/// equal versions of different content, of which the first stays until the owner has decided.
pub fn fold<'e>(
    of: &Subscription,
    events: impl IntoIterator<Item = &'e ChangeEvent>,
    timeline: &Timeline,
) -> Folded {
    let mut leaders: BTreeMap<&EntityId, Leader<'_>> = BTreeMap::new();
    let mut needs: BTreeMap<&EntityId, Option<Key>> = BTreeMap::new();
    let mut expected = Vec::new();
    for (at, event) in events.into_iter().enumerate() {
        let epoch = timeline.epoch_at(event.stamp.at);
        match state(of, event, epoch) {
            Some((key, content)) => {
                let guard = of.guard(&key);
                expected.push((
                    event.entity.clone(),
                    Expected::State { key: key.clone(), guard: guard.clone(), winner: false },
                ));
                if leaders.get(&event.entity).is_none_or(|leader| guard > leader.guard) {
                    let leader = Leader { key, guard, content, stamp: &event.stamp, event: at };
                    leaders.insert(&event.entity, leader);
                }
            }
            None => {
                let floor = event.version.map(|version| Key::floor(epoch, version));
                expected.push((event.entity.clone(), Expected::Need(floor.clone())));
                let need = needs.entry(&event.entity).or_default();
                *need = need.take().max(floor);
            }
        }
    }
    for leader in leaders.values() {
        if let Expected::State { winner, .. } = &mut expected[leader.event].1 {
            *winner = true;
        }
    }
    Folded { writes: writes(of, leaders, needs), expected }
}

/// The state that an event of this epoch carries; one that carries less, or only asks for a look at the owner, carries
/// none.
pub(super) fn state(of: &Subscription, event: &ChangeEvent, epoch: i64) -> Option<(Key, Content)> {
    let version = event.version?;
    let (key, content) = match &event.change {
        Change::Upsert(fields) => (Key::live(version, of.shape, fields), Content::Live(fields.clone())),
        Change::Leave => (Key::gone(version, Why::Out, of.shape), Content::Gone(Why::Out)),
        Change::Delete => (Key::gone(version, Why::Deleted, of.shape), Content::Gone(Why::Deleted)),
        Change::Refresh | Change::Patch(_) => return None,
    };
    Some((key.in_epoch(epoch), content))
}

fn writes(
    of: &Subscription,
    leaders: BTreeMap<&EntityId, Leader<'_>>,
    needs: BTreeMap<&EntityId, Option<Key>>,
) -> Vec<RecordWrite> {
    let create = of.keep.creates();
    let states = leaders.into_iter().map(|(id, leader)| RecordWrite::State {
        id: id.clone(),
        content: leader.content,
        key: leader.key,
        guard: leader.guard,
        stamp: leader.stamp.clone(),
        create,
        owes: of.embedded,
    });
    states.chain(asks(of, needs)).collect()
}

/// What plans a look at the owner; where every entity is kept, the record is made first.
pub(super) fn asks(
    of: &Subscription,
    needs: BTreeMap<&EntityId, Option<Key>>,
) -> impl Iterator<Item = RecordWrite> {
    let create = of.keep.creates();
    needs.into_iter().flat_map(move |(id, floor)| {
        let placeholder = create.then(|| RecordWrite::Placeholder { id: id.clone(), ask: true, hold: None });
        placeholder.into_iter().chain([RecordWrite::Need { id: id.clone(), floor }])
    })
}
