//! Brings events into their records: fold, write under guard, read back, judge, and again while any is open.

use std::collections::BTreeSet;

use super::batch::Verdict;
use super::{Halted, Pipeline, patience};
use crate::event::{ChangeEvent, DecodeError, EntityId, Reason};
use crate::replication::{
    Due, Expected, Folded, Judgement, Outcome, Record, RecordWrite, Revised, Subscription, Timeline, fold,
    judge, judge_by_others, revise, tells_by_others,
};
use crate::store::{Moment, Records, Refusal, Written};
use crate::telemetry::metric;

/// What became of a replica's part of a batch.
#[derive(Default)]
pub struct Replicated {
    /// Each event with its verdict, in the order they came.
    pub verdicts: Vec<(ChangeEvent, Verdict)>,
    /// The records that owe a fan-out, as they were read back.
    pub owing: Vec<Record>,
    /// When they were read.
    pub moment: Option<Moment>,
}

/// An event, and what is known of it so far.
struct Open {
    event: ChangeEvent,
    verdict: Option<Verdict>,
}

/// What is known of the records from one round to the next.
#[derive(Default)]
struct Known {
    /// The records as they were last read; `None` before the first round.
    held: Option<Records>,
    /// The entities of which the database refused something that several events had made together. They are taken
    /// one by one.
    suspects: BTreeSet<EntityId>,
    /// The records that owe a fan-out.
    owing: Records,
    /// After which moment they were read last.
    moment: Option<Moment>,
}

impl Pipeline {
    /// Writes the events of one replica and finds out what the database holds of each.
    pub(super) async fn replicate(
        &self,
        of: &Subscription,
        events: Vec<ChangeEvent>,
    ) -> Result<Replicated, Halted> {
        let mut events: Vec<Open> = events.into_iter().map(|event| Open { event, verdict: None }).collect();
        let mut known = Known::default();
        let mut pauses = patience::pauses();
        let open = |events: &[Open]| events.iter().filter(|open| open.verdict.is_none()).count();
        let mut left = open(&events);
        while left > 0 {
            self.round(of, &mut events, &mut known).await?;
            let before = std::mem::replace(&mut left, open(&events));
            if left == before {
                // Somebody else was quicker, or the database is between two primaries: no reason to run in circles.
                self.pause(pauses.next().unwrap_or_default()).await?;
            }
        }
        let judged = events.into_iter().filter_map(|open| Some((open.event, open.verdict?)));
        let owing = known.owing.into_values().collect();
        Ok(Replicated { verdicts: judged.collect(), owing, moment: known.moment })
    }

    /// One write of all that is still open, and one look at what it left; none, where that is known without.
    async fn round(&self, of: &Subscription, events: &mut [Open], known: &mut Known) -> Result<(), Halted> {
        let open = known.next(events);
        let timeline = self.timeline(of).await?;
        let Revised { folded, gaps } = self.fold(of, events, &open, &timeline, known).await?;
        let batch = tag();
        let written = self.persist(|| self.store.write(of, &folded.writes, batch)).await?;
        self.load.add(written.changed);
        metric::records_written(of.name.as_str(), usize::try_from(written.changed).unwrap_or(usize::MAX));
        refuse(&folded.writes, &written.refused, &folded.expected, &open, events, &mut known.suspects);
        if let Some(judgements) = self.without_reading(of, &folded, &written, &timeline, batch).await? {
            return self.conclude(of, events, &open, &folded, judgements).await;
        }
        if folded.writes.iter().any(asks) {
            self.wanted.send_replace(());
        }
        let moment = self.moment(&written).await?;
        let ids = entities(events, &open);
        let records = self.persist(|| self.store.read(of, &ids, moment)).await?;
        if self.was_behind(timeline.current(), records.values()).await? {
            return Ok(());
        }
        let claims = folded.expected.iter();
        let judged = claims.map(|(entity, claim)| match (claim, records.get(entity)) {
            // A call for a look leaves no trace that could be read back, but it always changes its record.
            (Expected::Need(None), Some(_)) if written.idle => Judgement::Open,
            (claim, record) => judge(claim, record, &of.keep, batch),
        });
        self.conclude(of, events, &open, &folded, judged.collect()).await?;
        let brought = |at: &&usize| {
            let done = |outcome| matches!(outcome, Outcome::Applied | Outcome::Deferred);
            matches!(events[open[**at]].verdict, Some(Verdict::Done(outcome)) if done(outcome))
        };
        metric::version_gaps(of.name.as_str(), gaps.iter().filter(brought).count());
        known.moment = known.moment.max(moment);
        known.read(of, records);
        Ok(())
    }

    /// Judges what can be judged without reading all records back; those that hold another's state must be, unless
    /// there is none.
    async fn without_reading(
        &self,
        of: &Subscription,
        folded: &Folded,
        written: &Written,
        timeline: &Timeline,
        batch: i64,
    ) -> Result<Option<Vec<Judgement>>, Halted> {
        if !tells_by_others(folded) || !written.refused.is_empty() {
            return Ok(None);
        }
        let mut others = Records::new();
        if written.changed < folded.writes.len() as u64 {
            let moment = self.moment(written).await?;
            let ids: Vec<EntityId> = folded.writes.iter().map(|write| write.id().clone()).collect();
            others = self.persist(|| self.store.read_others(of, &ids, batch, moment)).await?;
        }
        if others.values().any(|record| record.owes || record.epoch() > timeline.current()) {
            return Ok(None);
        }
        Ok(judge_by_others(folded, written.changed, &others, &of.keep, batch))
    }

    /// When a write was durable. Where it has changed nothing, another one is made, so that a deposed primary cannot
    /// answer.
    async fn moment(&self, written: &Written) -> Result<Option<Moment>, Halted> {
        match written.changed {
            0 => self.persist(|| self.store.heartbeat()).await,
            _ => Ok(written.moment),
        }
    }

    /// Notes the judgements on events without a verdict; what is in conflict is put before the owner.
    async fn conclude(
        &self,
        of: &Subscription,
        events: &mut [Open],
        open: &[usize],
        folded: &Folded,
        judgements: Vec<Judgement>,
    ) -> Result<(), Halted> {
        let mut conflicts = Vec::new();
        for ((at, (entity, _)), judgement) in open.iter().zip(&folded.expected).zip(judgements) {
            if events[*at].verdict.is_some() {
                continue;
            }
            events[*at].verdict = match judgement {
                Judgement::Covered(outcome) => Some(Verdict::Done(outcome)),
                Judgement::Open => None,
                Judgement::Conflict => {
                    conflicts.push(entity.clone());
                    Some(Verdict::Done(Outcome::Duplicate))
                }
            };
        }
        self.resolve(of, conflicts).await
    }

    /// Says what is to be written: blindly, each state under its own guard; or, where events must be compared with
    /// the record as it is, by what was last read of it.
    async fn fold(
        &self,
        of: &Subscription,
        events: &[Open],
        open: &[usize],
        timeline: &Timeline,
        known: &mut Known,
    ) -> Result<Revised, Halted> {
        let still = open.iter().map(|at| &events[*at].event);
        if !of.compares() {
            return Ok(Revised { folded: fold(of, still, timeline), gaps: Vec::new() });
        }
        let held = match known.held.take() {
            Some(held) => held,
            None => {
                let ids = entities(events, open);
                self.persist(|| self.store.read(of, &ids, None)).await?
            }
        };
        let still: Vec<ChangeEvent> = still.cloned().collect();
        Ok(revise(of, &still, timeline, &held))
    }

    /// Two contents under one version: where the owner can be asked, it decides.
    async fn resolve(&self, of: &Subscription, conflicts: Vec<EntityId>) -> Result<(), Halted> {
        if conflicts.is_empty() {
            return Ok(());
        }
        metric::conflicts(of.name.as_str(), conflicts.len());
        tracing::warn!(
            event = "record.conflict",
            entity.r#type = %of.name,
            count = conflicts.len(),
            "different contents under one version; the owner will be asked"
        );
        match &of.fetch {
            Some(fetch) => self.call(of, &conflicts, fetch.settle).await,
            None => Ok(()),
        }
    }
}

impl Known {
    /// The events of the next round: all that are open, of a suspect only the first.
    fn next(&self, events: &[Open]) -> Vec<usize> {
        let mut alone = self.suspects.clone();
        let open = (0..events.len()).filter(|at| events[*at].verdict.is_none());
        open.filter(|at| {
            let entity = &events[*at].event.entity;
            !self.suspects.contains(entity) || alone.remove(entity)
        })
        .collect()
    }

    /// Remembers what a round has read back.
    fn read(&mut self, of: &Subscription, records: Records) {
        let owing = records.values().filter(|record| record.owes);
        self.owing.extend(owing.map(|record| (record.id.clone(), record.clone())));
        self.held = of.compares().then_some(records);
    }
}

/// The entities that these events are about, each once.
fn entities(events: &[Open], open: &[usize]) -> Vec<EntityId> {
    let ids: BTreeSet<&EntityId> = open.iter().map(|at| &events[*at].event.entity).collect();
    ids.into_iter().cloned().collect()
}

/// Whether a write plans a look at the owner at once.
fn asks(write: &RecordWrite) -> bool {
    matches!(write, RecordWrite::Need { .. } | RecordWrite::Revise { ask: Due::Now, .. })
}

/// Takes the events out whose statement the database refused. Those that were folded behind them stay open, and
/// go round again without them; of several that made a statement together, each goes round alone.
fn refuse(
    writes: &[RecordWrite],
    refused: &[Refusal],
    expected: &[(EntityId, Expected)],
    open: &[usize],
    events: &mut [Open],
    suspects: &mut BTreeSet<EntityId>,
) {
    for refusal in refused {
        let Some(write) = writes.get(refusal.index) else { continue };
        let fails = |(entity, claim): &(EntityId, Expected)| {
            let brings = matches!(write, RecordWrite::State { .. } | RecordWrite::Revise { .. });
            let same_kind = match claim {
                Expected::State { winner, .. } | Expected::Patch { winner, .. } => *winner && brings,
                Expected::Need(_) => !brings,
            };
            same_kind && entity == write.id()
        };
        let failed: Vec<usize> =
            open.iter().zip(expected).filter(|(_, expected)| fails(expected)).map(|(at, _)| *at).collect();
        if failed.len() > 1 && matches!(write, RecordWrite::Revise { .. }) {
            suspects.insert(write.id().clone());
            continue;
        }
        for at in failed {
            let error = DecodeError::new(Reason::Refused, refusal.reason.clone());
            events[at].verdict = Some(Verdict::Refused(error));
        }
    }
}

/// A number that no other batch has, here or in another pod.
fn tag() -> i64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    (high ^ low).cast_signed() | 1
}
