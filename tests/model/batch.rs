//! Events: fold, write, read back, judge, again while any is open; then fan out, settle, pay.

use std::time::Duration;

use nearcopy::replication::{Expected, Folded, Judgement, Rank, RecordWrite, Timeline, fold, judge};

use super::guard::Guard;
use super::held::{self, Held};
use super::protocol::{How, Protocol};
use super::setting::Asked;
use super::task::{Batch, BatchStep, FanOut};
use super::world::{FEW, World};

impl Protocol {
    pub(crate) fn step_batch(&self, world: &mut World, pod: usize, batch: Batch, how: How) -> Option<Batch> {
        let next = |next| Some(batch.then(next));
        match batch.next {
            BatchStep::Write(at) => {
                let writes = self.folded(batch.open).writes;
                let write = &writes[usize::from(at)];
                if how != How::Lost && !self.is_refused(batch.open, write) {
                    self.write(world, write);
                }
                let more = usize::from(at) + 1 < writes.len();
                let batch = Batch { lost: batch.lost || how == How::Lost, ..batch };
                let next = |next| Some(batch.then(next));
                next(if more { BatchStep::Write(at + 1) } else { BatchStep::Judge })
            }
            BatchStep::Judge => Some(self.judge(world, pod, batch, how == How::Late)),
            BatchStep::Resolve(entities) => {
                let entity = u8::try_from(entities.trailing_zeros()).unwrap();
                let refused = batch.taken & self.setting.refused != 0;
                let wait = if refused { Duration::ZERO } else { self.spec().settle };
                if how != How::Lost {
                    self.write(world, &RecordWrite::Ask { id: held::id(entity).clone(), wait });
                } else if self.keeps(Guard::CallAgain) {
                    return Some(batch);
                }
                Some(resolved(batch, entities & !(1 << entity)))
            }
            BatchStep::FanOut(entity, done) => {
                let held = batch.owing[usize::from(entity)].unwrap();
                match self.fan_out(world, FanOut { entity, held, done }) {
                    Some(more) => next(BatchStep::FanOut(entity, more.done)),
                    None => next(
                        batch.owed(entity + 1).map_or(BatchStep::Settle, |owed| BatchStep::FanOut(owed, 0)),
                    ),
                }
            }
            BatchStep::Settle => {
                self.settle(world, batch.taken);
                next(BatchStep::Pay(batch.owed(0)?))
            }
            BatchStep::Pay(entity) => {
                self.pay(world, entity, &batch.owing[usize::from(entity)].unwrap());
                next(BatchStep::Pay(batch.owed(entity + 1)?))
            }
        }
    }

    fn folded(&self, events: u8) -> Folded {
        let events: Vec<_> = bits(events).map(|at| self.event(at)).collect();
        let mut folded = fold(self.of(), &events, &Timeline::default());
        if !self.keeps(Guard::Deletion) {
            for (_, claim) in &mut folded.expected {
                if let Expected::State { key, guard, .. } = claim {
                    (key.rank, guard.rank) = (Rank::Live, Rank::Live);
                }
            }
        }
        folded
    }

    /// Whether the database will never take this write, for what it contains.
    fn is_refused(&self, open: u8, write: &RecordWrite) -> bool {
        matches!(write, RecordWrite::State { .. })
            && self
                .refused(open, &self.folded(open))
                .any(|at| held::id(self.setting.says[usize::from(at)].entity) == write.id())
    }

    fn refused(&self, open: u8, folded: &Folded) -> impl Iterator<Item = u8> {
        let leads = |claim: &Expected| matches!(claim, Expected::State { winner: true, .. });
        let leaders: Vec<u8> = bits(open)
            .zip(&folded.expected)
            .filter(|(_, (_, claim))| leads(claim))
            .map(|(at, _)| at)
            .collect();
        let refused = self.setting.refused;
        leaders.into_iter().filter(move |at| refused & (1 << at) != 0)
    }

    fn judge(&self, world: &mut World, pod: usize, batch: Batch, late: bool) -> Batch {
        let folded = self.folded(batch.open);
        let (mut open, mut calls, mut owing) = (0, 0, batch.owing);
        let parked = self.refused(batch.open, &folded).fold(0_u8, |parked, at| parked | 1 << at);
        let parked_of = bits(parked).fold(0_u8, |of, at| of | 1 << self.setting.says[usize::from(at)].entity);
        for (at, (id, claim)) in bits(batch.open).zip(&folded.expected) {
            let entity = held::entity(id);
            let held = world.records[usize::from(entity)].filter(|_| !late);
            if parked & (1 << at) != 0 {
                world.covered |= 1 << at;
                calls |= 1 << entity;
                continue;
            }
            let record = held.map(|held| held.record(entity));
            if held.is_none() && !self.keeps(Guard::Memory) {
                world.memory[pod] |= 1 << entity;
            }
            let in_vain = batch.lost && held.is_some() && self.keeps(Guard::CallAgain);
            let verdict = match claim {
                Expected::Need(None) if in_vain => Judgement::Open,
                claim => judge(claim, record.as_ref(), &self.of().keep, 0),
            };
            let unasked =
                !self.keeps(Guard::ReadBack) || !self.keeps(Guard::Unfold) && parked_of & (1 << entity) != 0;
            match verdict {
                Judgement::Open if !unasked => open |= 1 << at,
                Judgement::Conflict if self.keeps(Guard::Conflict) => calls |= 1 << entity,
                _ => {}
            }
            if let Some(held) = held.filter(|held| held.owes || !self.keeps(Guard::Owes)) {
                owing[usize::from(entity)] = Some(self.to_show(held));
            }
        }
        let calls = if self.setting.asked == Asked::Never { 0 } else { calls };
        resolved(Batch { open, owing, lost: false, ..batch }, calls)
    }

    /// Whether a pod remembers nobody to want any of these.
    pub(crate) fn is_forgettable(&self, world: &World, pod: usize, events: u8) -> bool {
        bits(events).all(|at| world.memory[pod] & (1 << self.setting.says[usize::from(at)].entity) != 0)
    }

    /// What of a record matters to who shows it.
    pub(crate) fn to_show(&self, held: Held) -> Held {
        let key = held.key.filter(|_| !self.keeps(Guard::StampRev));
        Held { key, ..held.to_show() }
    }

    /// Shows a record in the next document; nothing is left when it was the last.
    pub(crate) fn fan_out(&self, world: &mut World, fan_out: FanOut) -> Option<FanOut> {
        let FanOut { entity, held, done } = fan_out;
        let documents = u8::try_from(self.setting.documents()).unwrap();
        if documents == 0 {
            return None;
        }
        self.show(world, done % documents, entity, &held, false, done / documents);
        let last = done + 1 >= documents * self.statements(entity, &held);
        (!last).then_some(FanOut { done: done + 1, ..fan_out })
    }

    /// A fan-out and, as its last step, the payment.
    pub(crate) fn step_fan_out(&self, world: &mut World, fan_out: FanOut) -> Option<FanOut> {
        const PAY: u8 = u8::MAX;
        if fan_out.done == PAY {
            self.pay(world, fan_out.entity, &fan_out.held);
            return None;
        }
        Some(self.fan_out(world, fan_out).unwrap_or(FanOut { done: PAY, ..fan_out }))
    }

    fn pay(&self, world: &mut World, entity: u8, held: &Held) {
        let rev = held.rev.micros();
        self.write(world, &RecordWrite::Paid { id: held::id(entity).clone(), rev });
    }
}

impl Batch {
    fn then(mut self, next: BatchStep) -> Self {
        self.next = next;
        self
    }

    /// The first entity from this one on that owes.
    fn owed(&self, from: u8) -> Option<u8> {
        (from..u8::try_from(FEW).unwrap()).find(|at| self.owing[usize::from(*at)].is_some())
    }
}

/// What follows when these entities are still to be asked about.
fn resolved(batch: Batch, calls: u8) -> Batch {
    let next = match (calls, batch.open, batch.owed(0)) {
        (0, 0, None) => BatchStep::Settle,
        (0, 0, Some(entity)) => BatchStep::FanOut(entity, 0),
        (0, ..) => BatchStep::Write(0),
        _ => BatchStep::Resolve(calls),
    };
    Batch { next, ..batch }
}

/// The places of the bits that are set.
pub(crate) fn bits(set: u8) -> impl Iterator<Item = u8> {
    (0..8).filter(move |at| set & (1 << at) != 0)
}
