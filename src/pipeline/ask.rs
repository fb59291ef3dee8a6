//! Asks owners what is due: first fetches, confirmations, needs, and what is asked again from time to time.
//!
//! The question stands in the record, so a restart forgets none. A claim is durable before a request leaves, and
//! an answer enters only where nothing else has changed the record since.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{Halted, Pipeline, What};
use crate::event::EntityId;
use crate::fetch::{FetchError, Reply};
use crate::replication::{
    Answer, Content, Due, FetchSpec, Record, RecordWrite, Subscription, back_off, has_gone_back, merge,
    merge_overtaken,
};

/// How long a claim lasts beyond the time that a question may take.
const SLACK: Duration = Duration::from_secs(5);
/// How many rounds of questions may be under way at once, so that an entity at which the owner stumbles holds up
/// no other. The requests of all of them together are bounded by the declared concurrency.
const ROUNDS: usize = 4;
/// How often an answer is brought in again whose record changes all the time.
const TURNS: usize = 5;
/// The first pause after an owner could not answer for one entity; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after an owner could not answer for one entity.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Pipeline {
    /// Asks one replica's owner, whenever something is due, for ever.
    pub(super) async fn ask_owner(self: Arc<Self>, of: Arc<Subscription>) -> Result<(), Halted> {
        let Some(spec) = of.fetch.clone() else { return Ok(()) };
        self.has_heard().await?;
        let (mut wanted, rounds) = (self.wanted.subscribe(), Arc::new(Semaphore::new(ROUNDS)));
        loop {
            let Ok(round) = rounds.clone().acquire_owned().await else { return Err(Halted) };
            let claimed =
                if self.fetch.is_resting(&of.name) { Vec::new() } else { self.claim(&of, &spec).await? };
            if claimed.is_empty() {
                drop(round);
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return Err(Halted),
                    _ = wanted.changed() => {}
                    () = tokio::time::sleep(self.rhythm.sweep_every) => {}
                }
                continue;
            }
            let (pipeline, of, spec) = (self.clone(), of.clone(), spec.clone());
            tokio::spawn(async move {
                // Halted half-way, the claims end by themselves, and the questions are due again.
                let _halted = pipeline.ask_round(&of, &spec, claimed).await;
                drop(round);
            });
        }
    }

    /// Claims what is due, no more than is asked for at once.
    async fn claim(&self, of: &Subscription, spec: &FetchSpec) -> Result<Vec<Record>, Halted> {
        let at_once = spec.batch.as_ref().map_or(1, |_| spec.batch_size);
        let most = at_once * spec.concurrency;
        self.persist(|| self.store.claim_due(of, most, hold(spec))).await
    }

    /// Asks for what is claimed, and brings in the answers.
    async fn ask_round(
        &self,
        of: &Subscription,
        spec: &FetchSpec,
        mut claimed: Vec<Record>,
    ) -> Result<(), Halted> {
        let ids: Vec<EntityId> = claimed.iter().map(|record| record.id.clone()).collect();
        let mut epoch = self.timeline(of).await?.current();
        if self.was_behind(epoch, claimed.iter()).await? {
            epoch = self.timeline(of).await?.current();
        }
        let replies = self.ask_holding(of, &claimed, &ids, hold(spec)).await?;
        let answers = outcomes(&mut claimed, replies);
        let writes: Vec<RecordWrite> = claimed
            .iter()
            .zip(&answers)
            .map(|(record, answer)| write_for(of, spec, epoch, record, answer))
            .collect();
        let gone_back = |(record, answer): &(&Record, &Result<Answer, FetchError>)| {
            answer.as_ref().is_ok_and(|answer| has_gone_back(record, answer, epoch, spec))
        };
        self.gone_back(of, claimed.iter().zip(&answers).filter(gone_back).count());
        let written = self.persist(|| self.store.write(of, &writes, 0)).await?;
        let asked =
            writes.iter().zip(&answers).map(|(write, answer)| (write.id().clone(), said(write, answer)));
        self.diary.note(&of.name, asked);
        for refusal in &written.refused {
            let id = writes.get(refusal.index).map(RecordWrite::id);
            let id = id.map(tracing::field::display);
            tracing::error!(event = "answer.refused", entity.r#type = %of.name, entity.id = id, reason = refusal.reason, "the owner's answer cannot be stored");
        }
        let mut changed: Vec<EntityId> =
            writes.iter().filter(|write| brings_content(write)).map(|write| write.id().clone()).collect();
        changed.extend(self.bring_overtaken(of, (spec, epoch), &ids, &answers).await?);
        if of.embedded && !changed.is_empty() {
            let records = self.persist(|| self.store.read(of, &changed, written.moment)).await?;
            let owing: Vec<Record> = records.into_values().filter(|record| record.owes).collect();
            let paid = self.fan_out(of, &owing, written.moment).await?;
            self.pay(of, &paid).await?;
        }
        Ok(())
    }

    /// Brings in what is left of answers whose record patches have changed meanwhile; says whose.
    async fn bring_overtaken(
        &self,
        of: &Subscription,
        (spec, epoch): (&FetchSpec, i64),
        ids: &[EntityId],
        answers: &[Result<Answer, FetchError>],
    ) -> Result<Vec<EntityId>, Halted> {
        if !of.compares() {
            return Ok(Vec::new());
        }
        let (mut moment, mut brought) = (None, Vec::new());
        for _ in 0..TURNS {
            let records = self.persist(|| self.store.read(of, ids, moment)).await?;
            let overtaken = ids.iter().zip(answers).filter_map(|(id, answer)| {
                merge_overtaken(records.get(id)?, answer.as_ref().ok()?, epoch, of.shape, spec, of.embedded)
            });
            let writes: Vec<RecordWrite> = overtaken.collect();
            if writes.is_empty() {
                break;
            }
            moment = self.persist(|| self.store.write(of, &writes, 0)).await?.moment;
            brought.extend(writes.iter().map(|write| write.id().clone()));
        }
        Ok(brought)
    }

    /// Asks, and goes on holding the claims for as long as that takes: an owner may be slow, and many be asked for.
    async fn ask_holding(
        &self,
        of: &Subscription,
        claimed: &[Record],
        ids: &[EntityId],
        hold: Duration,
    ) -> Result<Vec<Reply>, Halted> {
        let mut asking = self.fetch.ask(of, ids);
        loop {
            tokio::select! {
                biased;
                replies = &mut asking => return Ok(replies),
                () = tokio::time::sleep(hold / 3) => {}
            }
            self.persist(|| self.store.renew(of, claimed, hold)).await?;
        }
    }
}

/// How long a claim lasts before it must be renewed.
fn hold(spec: &FetchSpec) -> Duration {
    spec.timeout + SLACK
}

/// What came of the questions. One that was under way before its record was claimed is as good as not asked since: it
/// may bring content, and settles nothing.
fn outcomes(claimed: &mut [Record], replies: Vec<Reply>) -> Vec<Result<Answer, FetchError>> {
    let outcome = |(record, reply): (&mut Record, Reply)| {
        record.asked = record.asked.filter(|_| !reply.is_shared);
        reply.outcome
    };
    claimed.iter_mut().zip(replies).map(outcome).collect()
}

/// What came of a question, for whoever asks later.
fn said(write: &RecordWrite, answer: &Result<Answer, FetchError>) -> What {
    let (said, version) = match answer {
        Ok(Answer::Found { version, content: Content::Live(_) }) => ("found", *version),
        Ok(Answer::Found { version, content: Content::Gone(_) }) => ("outside", *version),
        Ok(Answer::NotFound) => ("not found", None),
        Err(FetchError::Resting) => ("resting", None),
        Err(FetchError::Unreachable(_) | FetchError::Failed(_)) => ("failed", None),
        Err(FetchError::Refused(_)) => ("refused", None),
        Err(FetchError::Unreadable(_) | FetchError::NotDeclared) => ("unreadable", None),
    };
    What::Asked { said, version, brought: brings_content(write) }
}

fn brings_content(write: &RecordWrite) -> bool {
    matches!(write, RecordWrite::Answer { content: Some(_), .. })
}

fn write_for(
    of: &Subscription,
    spec: &FetchSpec,
    epoch: i64,
    record: &Record,
    answer: &Result<Answer, FetchError>,
) -> RecordWrite {
    let unanswered = |tries: u32, pause: Duration| RecordWrite::Unanswered {
        id: record.id.clone(),
        claim: record.claim.clone(),
        due: Due::After(pause),
        tries,
    };
    let tries = record.tries.saturating_add(1);
    match answer {
        Ok(answer) => merge(record, answer, epoch, of.shape, spec, of.embedded),
        Err(FetchError::Resting) => unanswered(record.tries.max(1), FIRST_PAUSE),
        Err(error @ (FetchError::Unreachable(_) | FetchError::Failed(_))) => {
            tracing::debug!(event = "fetch.failed", entity.r#type = %of.name, entity.id = %record.id, %error, "asked in vain");
            unanswered(tries, back_off(FIRST_PAUSE, tries).min(LONGEST_PAUSE))
        }
        Err(error @ (FetchError::Refused(_) | FetchError::Unreadable(_) | FetchError::NotDeclared)) => {
            let class = error.class();
            tracing::warn!(event = "fetch.failed", entity.r#type = %of.name, entity.id = %record.id, %class, %error, "the owner's answer is no answer");
            unanswered(tries, back_off(spec.settle, tries))
        }
    }
}
