//! Folds a read model anew, from the beginning, while the old documents are served; then puts the new ones in their place.
//!
//! What is folded anew stands beside the served documents until it has come near them. Then the served ones are frozen: no
//! pod can have a turn. The new ones are folded on to the very event at which the old ones stand, and take their name in
//! one instant. Since both stand at the same event, the checkpoint is right before and after that instant, and a crash
//! on either side of it leaves nothing to be made good.

use std::sync::Arc;
use std::time::Duration;

use super::partition::first_of;
use super::refold::{Into, Refold};
use crate::event::EntityType;
use crate::replication::{Inflow, Partition, ReadModel};
use crate::source::{Log, LogError};
use crate::store::{Checkpoint, Comparison, Folded, Misfit, Needs, RebuildStore, StoreError};

/// How near the new documents must have come before the old ones are frozen, in places of the stream.
const NEAR: u64 = 5_000;
/// How long the old ones stay frozen if nothing is heard of us, and how often we say something.
const HOLD: Duration = Duration::from_secs(15);
const HELD_EVERY: Duration = Duration::from_secs(3);
/// As good as for ever.
const NO_END: Duration = Duration::from_hours(24 * 365);

/// A read model that is to be folded anew.
pub struct Rebuild<'r> {
    /// What is folded.
    pub of: Arc<ReadModel>,
    /// From where, each partition by itself, and how that is read.
    pub parts: Vec<(Inflow, Arc<dyn Log>)>,
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
    #[error("the event at {place} cannot be folded: {reason}")]
    Bad {
        /// Where it stands in the stream.
        place: String,
        /// Why.
        reason: String,
    },
    /// The stream does not lead where it must.
    #[error(
        "the stream does not lead to {0}, where the served documents stand; if it is another one now, `--anew` folds all that \
         it has"
    )]
    Elsewhere(String),
    /// What is served was folded from something else.
    #[error(transparent)]
    Misfit(#[from] Misfit),
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

impl Rebuild<'_> {
    /// Folds anew, and replaces what is served, unless it is only to be seen what would come of it.
    pub async fn run(&self, only_look: bool) -> Result<Rebuilt, RebuildError> {
        let (next, served) = (next_of(&self.of.name), self.served().await?);
        self.store.begin_anew(&self.of, &next).await?;
        let rebuilt = self.fold_anew(&next, &served, only_look).await;
        // What has taken its place is not there any more.
        self.store.give_up(&next).await?;
        rebuilt
    }

    /// Where the served documents stand, in each partition: one of which nothing is folded yet stands before its first event,
    /// or it could not be frozen.
    pub(super) async fn served(&self) -> Result<Vec<Checkpoint>, RebuildError> {
        let (of, store) = (&self.of.name, self.store);
        let all = store.checkpoints(of).await?;
        if all.is_empty() {
            return Err(RebuildError::Nothing(of.clone()));
        }
        Misfit::look(&all, self.partitions())?;
        for (inflow, _) in &self.parts {
            let Some(Partition { number, .. }) = inflow.part() else { continue };
            if all.iter().all(|at| at.partition != Some(number)) {
                let nothing = Box::new(|_| Folded::default());
                // If somebody else is quicker, it stands there, too.
                store.turn(of, None, &first_of(of, number, &all), &Needs::default(), nothing).await?;
            }
        }
        Ok(store.checkpoints(of).await?)
    }

    fn partitions(&self) -> Option<u16> {
        self.parts.first().and_then(|(inflow, _)| Some(inflow.part()?.of))
    }

    async fn fold_anew(
        &self,
        next: &EntityType,
        served: &[Checkpoint],
        only_look: bool,
    ) -> Result<Rebuilt, RebuildError> {
        let mut refold = Refold::begin(self, Into::Collection(next.clone())).await?;
        self.come_near(&mut refold, served).await?;
        self.while_frozen(async |frozen| self.replace(&mut refold, next, &frozen, only_look).await).await
    }

    /// Folds until little is left to be folded while nobody else may.
    pub(super) async fn come_near(
        &self,
        refold: &mut Refold<'_>,
        served: &[Checkpoint],
    ) -> Result<(), RebuildError> {
        let mut served = served.to_vec();
        loop {
            refold.fold_to(&served, false).await?;
            let now = self.store.checkpoints(&self.of.name).await?;
            let behind = |at: &Checkpoint| {
                let before = served.iter().find(|before| before.partition == at.partition);
                at.place.saturating_sub(before.map_or(0, |before| before.place))
            };
            let near = now.iter().map(behind).sum::<u64>() <= NEAR;
            served = now;
            if near {
                return Ok(());
            }
        }
    }

    /// Freezes what is served, does this, and ends it.
    pub(super) async fn while_frozen<T>(
        &self,
        act: impl AsyncFnOnce(Vec<Checkpoint>) -> Result<T, RebuildError>,
    ) -> Result<T, RebuildError> {
        let (of, store) = (&self.of.name, self.store);
        let frozen = store.freeze(of, HOLD).await?;
        if frozen.is_empty() {
            return Err(RebuildError::Nothing(of.clone()));
        }
        let done = tokio::select! {
            biased;
            done = act(frozen.clone()) => done,
            lost = self.hold(&frozen) => Err(lost),
        };
        store.thaw(of, &frozen).await?;
        done
    }

    /// Keeps what is served frozen, until somebody ends that.
    async fn hold(&self, frozen: &[Checkpoint]) -> RebuildError {
        loop {
            tokio::time::sleep(HELD_EVERY).await;
            // A database that does not answer now may do so before it is too late.
            if let Ok(false) = self.store.keep_frozen(&self.of.name, frozen, HOLD).await {
                return RebuildError::Disturbed;
            }
        }
    }

    /// Folds on to where the served documents are frozen, and puts the new ones in their place.
    async fn replace(
        &self,
        refold: &mut Refold<'_>,
        next: &EntityType,
        frozen: &[Checkpoint],
        only_look: bool,
    ) -> Result<Rebuilt, RebuildError> {
        let (of, store) = (&self.of.name, self.store);
        let still_frozen = async || self.is_still_frozen(frozen).await;
        refold.fold_exactly_to(frozen).await?;
        still_frozen().await?;
        let compared = store.compare(of, next).await?;
        (self.tell)(Step::Replacing(compared));
        if !only_look {
            still_frozen().await?;
            if self.of.has_deadlines() {
                store.take_over_deadlines(of, next).await?;
            }
            store.set_aside(of, &before_of(of)).await?;
            // Before the documents change, so that what is set aside never learns of what comes after.
            if !store.remember_like(of, next, frozen).await? {
                return Err(RebuildError::Disturbed);
            }
            still_frozen().await?;
            if !store.replace(of, next).await? {
                return Err(RebuildError::Disturbed);
            }
            store.note_folded_by(of, &self.of.hash).await?;
        }
        Ok(Rebuilt { events: refold.events, compared })
    }

    /// Fails where somebody has ended the freeze, or where there is now what was not frozen.
    pub(super) async fn is_still_frozen(&self, frozen: &[Checkpoint]) -> Result<(), RebuildError> {
        let (of, store) = (&self.of.name, self.store);
        let is_ours = store.keep_frozen(of, frozen, HOLD).await?;
        let all = store.checkpoints(of).await?;
        if is_ours && all.len() == frozen.len() { Ok(()) } else { Err(RebuildError::Disturbed) }
    }

    /// Folds all that the stream has now, though what is served does not stand in it any more, and serves that.
    ///
    /// Here documents and checkpoint change one after the other, so what is served is frozen without an end: after a crash it
    /// stands still until this is done again.
    pub async fn run_anew(&self) -> Result<Rebuilt, RebuildError> {
        let (of, next) = (&self.of.name, next_of(&self.of.name));
        match self.served().await {
            Ok(_) | Err(RebuildError::Nothing(_) | RebuildError::Misfit(_)) => {}
            Err(error) => return Err(error),
        }
        self.store.begin_anew(&self.of, &next).await?;
        let mut refold = Refold::begin(self, Into::Collection(next.clone())).await?;
        refold.fold_all().await?;
        let stand = refold.stand();
        if stand.iter().all(|at| at.last().is_none()) {
            return Err(RebuildError::Nothing(of.clone()));
        }
        let compared = self.store.compare(of, &next).await?;
        (self.tell)(Step::Replacing(compared));
        if self.of.has_deadlines() {
            self.store.take_over_deadlines(of, &next).await?;
        }
        self.store.freeze(of, NO_END).await?;
        self.store.set_aside(of, &before_of(of)).await?;
        self.store.replace(of, &next).await?;
        self.store.stand_at(of, &stand, &next).await?;
        self.store.note_folded_by(of, &self.of.hash).await?;
        Ok(Rebuilt { events: refold.events, compared })
    }

    /// How what was served before the last rebuild differs from what is served now.
    pub async fn look_back(&self) -> Result<Comparison, RebuildError> {
        let (of, before) = (&self.of.name, before_of(&self.of.name));
        if self.store.checkpoints(&before).await?.is_empty() {
            return Err(RebuildError::Nothing(before));
        }
        Ok(self.store.compare(of, &before).await?)
    }

    /// Puts back what was served before the last rebuild, and has it folded on from where it stood then.
    pub async fn undo(&self) -> Result<(), RebuildError> {
        let (of, before) = (&self.of.name, before_of(&self.of.name));
        let stand = self.store.checkpoints(&before).await?;
        if stand.is_empty() {
            return Err(RebuildError::Nothing(before));
        }
        self.store.freeze(of, NO_END).await?;
        // Done already, if an earlier attempt was cut off.
        let _replaced = self.store.replace(of, &before).await?;
        self.store.stand_at(of, &stand, &before).await?;
        // By which declaration nobody has noted.
        self.store.note_folded_by(of, "").await?;
        Ok(())
    }
}
