//! Brings events into their records: fold, write under guard, read back, judge, and again while any is open.

use super::batch::Verdict;
use super::{Halted, Pipeline};
use crate::event::{ChangeEvent, DecodeError, EntityId, Reason};
use crate::replication::{
    Due, Expected, Folded, Judgement, Outcome, Record, RecordWrite, Subscription, fold, judge,
};
use crate::store::{Records, Refusal};
use crate::telemetry::metric;

/// What became of a replica's part of a batch.
#[derive(Default)]
pub struct Replicated {
    /// Each event with its verdict, in the order they came.
    pub verdicts: Vec<(ChangeEvent, Verdict)>,
    /// The records that owe a fan-out, as they were read back.
    pub owing: Vec<Record>,
}

/// An event, and what is known of it so far.
struct Open {
    event: ChangeEvent,
    verdict: Option<Verdict>,
}

impl Pipeline {
    /// Writes the events of one replica and finds out what the database holds of each.
    pub(super) async fn replicate(
        &self,
        of: &Subscription,
        events: &[ChangeEvent],
    ) -> Result<Replicated, Halted> {
        let mut events: Vec<Open> =
            events.iter().map(|event| Open { event: event.clone(), verdict: None }).collect();
        let mut owing = Records::new();
        while events.iter().any(|open| open.verdict.is_none()) {
            self.round(of, &mut events, &mut owing).await?;
        }
        let judged = events.into_iter().filter_map(|open| Some((open.event, open.verdict?)));
        Ok(Replicated { verdicts: judged.collect(), owing: owing.into_values().collect() })
    }

    /// One write of all that is still open, and one look at what it left.
    async fn round(&self, of: &Subscription, events: &mut [Open], owing: &mut Records) -> Result<(), Halted> {
        let open: Vec<usize> = (0..events.len()).filter(|at| events[*at].verdict.is_none()).collect();
        let still: Vec<ChangeEvent> = open.iter().map(|at| events[*at].event.clone()).collect();
        let timeline = self.timeline(of).await?;
        let Folded { writes, expected } = fold(of, &still, &timeline);
        let batch = tag();
        let written = self.persist(|| self.store.write(of, &writes, batch)).await?;
        metric::records_written(of.name.as_str(), usize::try_from(written.changed).unwrap_or(usize::MAX));
        if writes.iter().any(|write| matches!(write, RecordWrite::Need { .. })) {
            self.wanted.send_replace(());
        }
        refuse(&writes, &written.refused, &expected, &open, events);
        let moment = match written.changed {
            0 => self.persist(|| self.store.heartbeat()).await?,
            _ => written.moment,
        };
        let ids: Vec<EntityId> = writes.iter().map(|write| write.id().clone()).collect();
        let records = self.persist(|| self.store.read(of, &ids, moment)).await?;
        if self.was_behind(timeline.current(), records.values()).await? {
            return Ok(());
        }
        let mut conflicts = Vec::new();
        for (at, (entity, claim)) in open.iter().zip(&expected) {
            if events[*at].verdict.is_some() {
                continue;
            }
            events[*at].verdict = match judge(claim, records.get(entity), &of.keep, batch) {
                Judgement::Covered(outcome) => Some(Verdict::Done(outcome)),
                Judgement::Open => None,
                Judgement::Conflict => {
                    conflicts.push(entity.clone());
                    Some(Verdict::Done(Outcome::Duplicate))
                }
            };
        }
        owing.extend(records.into_iter().filter(|(_, record)| record.owes));
        self.resolve(of, conflicts).await
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
        let Some(fetch) = &of.fetch else { return Ok(()) };
        let due = Due::After(fetch.settle);
        let asks: Vec<RecordWrite> = conflicts.into_iter().map(|id| RecordWrite::Ask { id, due }).collect();
        self.persist(|| self.store.write(of, &asks, 0)).await.map(|_| ())
    }
}

/// Takes the events out whose statement the database refused. Those that were folded behind them stay open, and
/// go round again without them.
fn refuse(
    writes: &[RecordWrite],
    refused: &[Refusal],
    expected: &[(EntityId, Expected)],
    open: &[usize],
    events: &mut [Open],
) {
    for refusal in refused {
        let Some(write) = writes.get(refusal.index) else { continue };
        let fails = |(entity, claim): &(EntityId, Expected)| {
            let same_kind = match claim {
                Expected::State { winner, .. } => *winner && matches!(write, RecordWrite::State { .. }),
                Expected::Need(_) => !matches!(write, RecordWrite::State { .. }),
            };
            same_kind && entity == write.id()
        };
        for (at, _) in open.iter().zip(expected).filter(|(_, expected)| fails(expected)) {
            let error = DecodeError::new(Reason::Refused, refusal.reason.clone());
            events[*at].verdict = Some(Verdict::Refused(error));
        }
    }
}

/// A number that no other batch has, here or in another pod.
fn tag() -> i64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    (high ^ low).cast_signed() | 1
}
