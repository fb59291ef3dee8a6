//! The record store: writes by their meaning, reads as they are, and what a rule's absence makes of both.

use nearcopy::event::Version;
use nearcopy::replication::{Due, Key, Rank, Record, RecordWrite};
use nearcopy::store::memory::meaning;

use super::guard::Guard;
use super::held::{self, Held, Knows};
use super::protocol::Protocol;
use super::setting::{Kept, Told};
use super::world::{Broken, World};

impl Protocol {
    /// Runs a write: what it does is said by its meaning alone.
    pub(crate) fn write(&self, world: &mut World, write: &RecordWrite) {
        let entity = held::entity(write.id());
        let before = world.records[usize::from(entity)];
        let record = before.map(|held| held.record(entity));
        let write = self.weakened(write, record.as_ref());
        let Some(left) = meaning::apply(self.of(), record.as_ref(), &write, held::now(), 0) else { return };
        let mut after = Held::of(&left, before.map_or(0, |held| held.mark));
        if matches!(write, RecordWrite::Need { .. } | RecordWrite::Ask { .. }) {
            if !self.keeps(Guard::Voids) {
                after.claim = before.map_or(0, |held| held.claim);
            }
            if !self.keeps(Guard::Since) {
                after.since = None;
            }
        }
        self.change(world, entity, Some(after));
    }

    /// Puts a record in the place of what was there.
    pub(crate) fn change(&self, world: &mut World, entity: u8, after: Option<Held>) {
        let at = usize::from(entity);
        let before = world.records[at];
        if let (Some(before), Some(after)) = (before, after) {
            world.broken = world.broken.or(breach(&before, &after));
            if after.knows == Knows::NotFound && self.is_there(world, entity, &before) {
                world.broken = world.broken.or(Some(Broken::Taken));
            }
        }
        world.records[at] = after;
    }

    /// Whether the owner has not deleted this state since.
    fn is_there(&self, world: &World, entity: u8, held: &Held) -> bool {
        let (Knows::Live(_), Some(key)) = (held.knows, held.key) else { return false };
        let since = self.setting.history(entity, world.said).filter(|(_, say)| say.version >= key.version);
        since.map(|(_, say)| say.content).all(|content| content.is_some())
    }

    /// Notes which events the database covers, by now or at any time since they came.
    pub(crate) fn note_covered(&self, world: &mut World) {
        for at in (0..8).filter(|at| world.queue & (1 << at) != 0) {
            world.covered |= u8::from(self.is_covered(world, at)) << at;
        }
        world.covered &= world.queue;
    }

    /// Settles deliveries.
    pub(crate) fn settle(&self, world: &mut World, events: u8) {
        self.note_covered(world);
        if world.queue & events & !world.covered != 0 && !self.settles_blindly() {
            world.broken = world.broken.or(Some(Broken::SettledEarly));
        }
        world.queue &= !events;
    }

    /// Where a rule about settling is taken out, that is no news: what comes of it is.
    fn settles_blindly(&self) -> bool {
        let rules = [
            Guard::SettleLast,
            Guard::ReadBack,
            Guard::CausalJudgement,
            Guard::Memory,
            Guard::Unfold,
            Guard::Deletion,
        ];
        rules.iter().any(|rule| !self.keeps(*rule))
    }

    fn is_covered(&self, world: &World, at: u8) -> bool {
        let say = self.setting.says[usize::from(at)];
        let Some(held) = world.records[usize::from(say.entity)] else {
            return self.setting.keep == Kept::Referenced;
        };
        let version = held.key.map(|key| key.version);
        match (say.told, say.content) {
            (Told::Whole, Some(_)) => version >= Some(say.version),
            (Told::Whole, None) => {
                version > Some(say.version) || version == Some(say.version) && held.knows == Knows::Deleted
            }
            (Told::Version, _) => held.need >= Some(say.version) || version >= Some(say.version),
            (Told::Vaguely, _) => held.due.is_some(),
        }
    }

    /// The write as it would be, were a rule not there.
    fn weakened(&self, write: &RecordWrite, held: Option<&Record>) -> RecordWrite {
        let mut write = write.clone();
        let Some(rule) = self.without else { return write };
        match &mut write {
            RecordWrite::State { guard, key, owes, .. } => match rule {
                Guard::Key => guard.version = Version::new(i64::MAX),
                Guard::Deletion => (key.rank, guard.rank) = (Rank::Live, Rank::Live),
                Guard::Owes => *owes = false,
                _ => {}
            },
            RecordWrite::Answer { rev, claim, owes, due, content, .. } => match rule {
                Guard::Owes => *owes = false,
                Guard::AnswerRev => *rev = held.map_or(*rev, |held| held.rev),
                Guard::AnswerClaim => claim.clone_from(&held.and_then(|held| held.claim.clone())),
                Guard::Confirm if content.is_some() && is_found(content.as_ref()) => *due = Due::Never,
                Guard::Due404 if content.is_some() && !is_found(content.as_ref()) => *due = Due::Never,
                _ => {}
            },
            RecordWrite::Paid { rev, .. } if rule == Guard::PaidRev => {
                *rev = held.map_or(*rev, |held| held.rev);
            }
            _ => {}
        }
        write
    }
}

fn is_found(content: Option<&(nearcopy::replication::Content, Option<Key>)>) -> bool {
    matches!(content, Some((nearcopy::replication::Content::Live(_), _)))
}

/// What no write may ever do to a record within its life.
fn breach(before: &Held, after: &Held) -> Option<Broken> {
    let (Some(was), is) = (before.key?.version.into(), after.key.map(|key| key.version)) else { return None };
    if is < Some(was) {
        return Some(Broken::Regress);
    }
    let revived = before.knows == Knows::Deleted && matches!(after.knows, Knows::Live(_)) && is == Some(was);
    revived.then_some(Broken::Resurrection)
}
