//! Folds a read model anew, from the beginning, while the old documents are served; then puts the new ones in their place.
//!
//! What is folded anew stands beside the served documents until it has come near them. Then the served ones are frozen: no
//! pod can have a turn. The new ones are folded on to the very event at which the old ones stand, and take their name in
//! one instant. Since both stand at the same event, the checkpoint is right before and after that instant, and a crash
//! on either side of it leaves nothing to be made good.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::fold::{Item, Manner, Work};
use super::turn::needs;
use crate::clock::{self, Stopwatch};
use crate::event::EntityType;
use crate::replication::{Bench, ReadModel, StreamSpec};
use crate::source::{Delivery, Inbox, Log, LogError, Start};
use crate::store::{Checkpoint, Comparison, RebuildStore, StoreError};

/// How many events are folded in one transaction.
const TOGETHER: usize = 1_000;
/// How many bytes of documents are kept in memory between transactions.
const REMEMBERED: usize = 32 << 20;
/// How near the new documents must have come before the old ones are frozen, in places of the stream.
const NEAR: u64 = 5_000;
/// How long the old ones stay frozen if nothing is heard of us, and how often we say something.
const HOLD: Duration = Duration::from_secs(15);
const HELD_EVERY: Duration = Duration::from_secs(3);
/// How long an event is waited for that must be in the stream.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing must have come for the end of the stream to be reached.
const QUIET: Duration = Duration::from_secs(2);
/// As good as for ever.
const NO_END: Duration = Duration::from_hours(24 * 365);
/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// A read model that is to be folded anew.
pub struct Rebuild<'r> {
    /// What is folded.
    pub of: Arc<ReadModel>,
    /// From where.
    pub stream: Arc<StreamSpec>,
    /// How that is read.
    pub log: &'r dyn Log,
    /// Where documents and checkpoints are kept.
    pub store: &'r dyn RebuildStore,
    /// Is told how it goes.
    pub tell: &'r (dyn Fn(Step) + Send + Sync),
}

/// How far a rebuild has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Events are folded.
    Folding {
        /// How many, so far.
        events: u64,
        /// How many in a second.
        per_second: u64,
        /// How far the last one stands before the end, in places of the stream.
        behind: u64,
        /// How long it will take to come to the end, at this rate.
        rest: Duration,
    },
    /// The served documents are frozen, and will be replaced.
    Replacing(Comparison),
}

/// What came of a rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// How many events were folded.
    pub events: u64,
    /// How the documents compare.
    pub compared: Comparison,
}

/// Why a rebuild was given up. What is served is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The stream cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The database did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing was folded yet.
    #[error("nothing has been folded into `{0}` yet, so there is nothing to rebuild")]
    Nothing(EntityType),
    /// An event cannot be folded.
    #[error("the event at offset {place} cannot be folded: {reason}")]
    Bad {
        /// Where it stands in the stream.
        place: u64,
        /// Why.
        reason: String,
    },
    /// The stream does not lead where it must.
    #[error(
        "the stream does not lead to offset {0}, where the served documents stand; if it is another one now, `--anew` folds \
         all that it has"
    )]
    Elsewhere(u64),
    /// Somebody else changed what was to stay as it is.
    #[error("somebody else was at it meanwhile; nothing was replaced")]
    Disturbed,
}

/// Under which name documents are folded anew.
pub(super) fn next_of(of: &EntityType) -> EntityType {
    EntityType::new(&format!("{of}.next"))
}

/// Under which name those are kept that were served before.
fn before_of(of: &EntityType) -> EntityType {
    EntityType::new(&format!("{of}.before"))
}

/// What is under work.
struct Progress {
    inbox: Inbox,
    waiting: Vec<Delivery>,
    at: Option<Checkpoint>,
    bench: Bench,
    events: u64,
    watch: Stopwatch,
    told: Stopwatch,
}

impl Rebuild<'_> {
    /// Folds anew, and replaces what is served, unless it is only to be seen what would come of it.
    pub async fn run(&self, only_look: bool) -> Result<Rebuilt, RebuildError> {
        let (of, next) = (&self.of.name, next_of(&self.of.name));
        let served = self.store.checkpoint(of).await?.ok_or_else(|| RebuildError::Nothing(of.clone()))?;
        self.store.begin_anew(&self.of, &next).await?;
        let rebuilt = self.fold_anew(&next, &served, only_look).await;
        // What has taken its place is not there any more.
        self.store.give_up(&next).await?;
        rebuilt
    }

    async fn fold_anew(
        &self,
        next: &EntityType,
        served: &Checkpoint,
        only_look: bool,
    ) -> Result<Rebuilt, RebuildError> {
        let mut progress = self.begin().await?;
        let mut end = served.place;
        loop {
            self.fold_to(&mut progress, next, end, false).await?;
            let now = self.store.checkpoint(&self.of.name).await?.map_or(end, |at| at.place);
            let near = now.saturating_sub(end) <= NEAR;
            end = now;
            if near {
                break;
            }
        }
        self.replace(&mut progress, next, only_look).await
    }

    async fn begin(&self) -> Result<Progress, RebuildError> {
        let inbox = self.log.open(Start::First).await?;
        let (watch, told) = (Stopwatch::start(), Stopwatch::start());
        Ok(Progress { inbox, waiting: Vec::new(), at: None, bench: Bench::default(), events: 0, watch, told })
    }

    /// Freezes what is served, folds on to where it stands, and puts the new documents in its place.
    async fn replace(
        &self,
        progress: &mut Progress,
        next: &EntityType,
        only_look: bool,
    ) -> Result<Rebuilt, RebuildError> {
        let (of, store) = (&self.of.name, self.store);
        let frozen = store.freeze(of, HOLD).await?.ok_or_else(|| RebuildError::Nothing(of.clone()))?;
        let replaced = tokio::select! {
            biased;
            replaced = self.replace_frozen(progress, next, &frozen, only_look) => replaced,
            lost = self.hold(&frozen) => lost,
        };
        store.thaw(of, &frozen).await?;
        replaced
    }

    /// Keeps what is served frozen, until somebody ends that.
    async fn hold(&self, frozen: &Checkpoint) -> Result<Rebuilt, RebuildError> {
        loop {
            tokio::time::sleep(HELD_EVERY).await;
            // A database that does not answer now may do so before it is too late.
            if let Ok(false) = self.store.keep_frozen(&self.of.name, frozen, HOLD).await {
                return Err(RebuildError::Disturbed);
            }
        }
    }

    async fn replace_frozen(
        &self,
        progress: &mut Progress,
        next: &EntityType,
        frozen: &Checkpoint,
        only_look: bool,
    ) -> Result<Rebuilt, RebuildError> {
        let (of, store) = (&self.of.name, self.store);
        let still_frozen = async || {
            let is_ours = store.keep_frozen(of, frozen, HOLD).await?;
            if is_ours { Ok(()) } else { Err(RebuildError::Disturbed) }
        };
        self.fold_to(progress, next, frozen.place, true).await?;
        if progress.at.as_ref().is_none_or(|at| (at.place, &at.mark) != (frozen.place, &frozen.mark)) {
            return Err(RebuildError::Elsewhere(frozen.place));
        }
        still_frozen().await?;
        let compared = store.compare(of, next).await?;
        (self.tell)(Step::Replacing(compared));
        if !only_look {
            still_frozen().await?;
            store.set_aside(of, &before_of(of)).await?;
            still_frozen().await?;
            if !store.replace(of, next).await? {
                return Err(RebuildError::Disturbed);
            }
            store.note_folded_by(of, &self.of.hash).await?;
        }
        Ok(Rebuilt { events: progress.events, compared })
    }

    /// Folds all events up to that place; no further, where it must be the very last.
    async fn fold_to(
        &self,
        progress: &mut Progress,
        next: &EntityType,
        end: u64,
        exactly: bool,
    ) -> Result<(), RebuildError> {
        while progress.at.as_ref().is_none_or(|at| at.place < end) {
            if progress.waiting.is_empty() {
                let taken = timeout(PATIENCE, progress.inbox.take(TOGETHER)).await;
                progress.waiting = taken.map_err(|_| RebuildError::Elsewhere(end))?;
            }
            let beyond = |delivery: &Delivery| exactly && delivery.place() > Some(end);
            let cut = progress.waiting.iter().position(beyond).unwrap_or(progress.waiting.len());
            let later = progress.waiting.split_off(cut);
            let now = std::mem::replace(&mut progress.waiting, later);
            if now.is_empty() {
                return Err(RebuildError::Elsewhere(end));
            }
            self.turn(progress, next, now).await?;
            self.tell_now_and_then(progress, end);
        }
        Ok(())
    }

    fn tell_now_and_then(&self, progress: &mut Progress, end: u64) {
        if progress.told.elapsed() > TOLD_EVERY {
            progress.told = Stopwatch::start();
            (self.tell)(progress.step(end));
        }
    }

    /// Folds some events. Here nothing waits: what cannot be folded ends it.
    async fn turn(
        &self,
        progress: &mut Progress,
        next: &EntityType,
        deliveries: Vec<Delivery>,
    ) -> Result<(), RebuildError> {
        let taken = deliveries.len() as u64;
        let items = Item::all(deliveries, &self.of, &self.stream.envelope);
        let Some((place, mark)) = items.last().and_then(Item::place) else {
            return Err(RebuildError::Disturbed);
        };
        let to = Checkpoint::after(progress.at.as_ref(), place, mark);
        let bench = std::mem::take(&mut progress.bench);
        let needs = needs(&items, &bench);
        let (of, stream, now) = (self.of.clone(), self.stream.clone(), clock::wall_micros());
        let (fold, done) = Work { of, stream, bench, items, manner: Manner::Strict, now }.ordered();
        let entered = self.store.turn(next, progress.at.as_ref(), &to, &needs, fold).await?;
        let done = done.take().filter(|_| entered).ok_or(RebuildError::Disturbed)?;
        if let Some((place, reason)) = done.stopped {
            return Err(RebuildError::Bad { place, reason });
        }
        progress.bench = if done.bench.bytes() > REMEMBERED { Bench::default() } else { done.bench };
        progress.at = Some(to);
        progress.events += taken;
        Ok(())
    }

    /// Folds all that the stream has now, though what is served does not stand in it any more, and serves that.
    ///
    /// Here documents and checkpoint change one after the other, so what is served is frozen without an end: after a crash it
    /// stands still until this is done again.
    pub async fn run_anew(&self) -> Result<Rebuilt, RebuildError> {
        let (of, next) = (&self.of.name, next_of(&self.of.name));
        self.store.begin_anew(&self.of, &next).await?;
        let mut progress = self.begin().await?;
        while let Ok(taken) = timeout(QUIET, progress.inbox.take(TOGETHER)).await {
            if taken.is_empty() {
                return Err(RebuildError::Disturbed);
            }
            let end = taken.last().and_then(Delivery::place).unwrap_or_default();
            self.turn(&mut progress, &next, taken).await?;
            self.tell_now_and_then(&mut progress, end);
        }
        if progress.at.is_none() {
            return Err(RebuildError::Nothing(of.clone()));
        }
        let compared = self.store.compare(of, &next).await?;
        (self.tell)(Step::Replacing(compared));
        self.store.set_aside(of, &before_of(of)).await?;
        self.store.freeze(of, NO_END).await?;
        self.store.replace(of, &next).await?;
        self.store.stand_where(of, &next).await?;
        self.store.note_folded_by(of, &self.of.hash).await?;
        Ok(Rebuilt { events: progress.events, compared })
    }

    /// Puts back what was served before the last rebuild, and has it folded on from where it stood then.
    pub async fn undo(&self) -> Result<(), RebuildError> {
        let (of, before) = (&self.of.name, before_of(&self.of.name));
        self.store.checkpoint(&before).await?.ok_or_else(|| RebuildError::Nothing(before.clone()))?;
        self.store.freeze(of, NO_END).await?;
        // Done already, if an earlier attempt was cut off.
        let _replaced = self.store.replace(of, &before).await?;
        self.store.stand_where(of, &before).await?;
        // By which declaration nobody has noted.
        self.store.note_folded_by(of, "").await?;
        Ok(())
    }
}

impl Progress {
    fn step(&self, end: u64) -> Step {
        let millis = u64::try_from(self.watch.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let per_second = self.events.saturating_mul(1_000) / millis;
        let behind = end.saturating_sub(self.at.as_ref().map_or(0, |at| at.place));
        let rest = Duration::from_secs(behind / per_second.max(1));
        Step::Folding { events: self.events, per_second, behind, rest }
    }
}
