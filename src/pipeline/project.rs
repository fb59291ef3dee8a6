//! Folds events into the documents of a read model.
//!
//! One pod at a time has the lease. A stream is read from the checkpoint on. Whatever ends that, a lost connection or another
//! pod's turn, ends all that was in memory with it: reading begins anew at the checkpoint that is stored. So there is one
//! way to start, and it is the way to recover.
//!
//! A queue brings again what was not settled, and that is settled once its turn is stored. It brings some again that were
//! folded, too; these are known by their ids. So there as well, all may be dropped at any moment, and begun anew.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as signal;
use tokio::time::timeout;

use super::deadline::{LOOK_EVERY, Lookout};
use super::fold::hash_of;
use super::hand::Hand;
use super::patience::pauses;
use super::rebuild::next_of;
use super::turn::Storing;
use super::{Halted, Pipeline, patience};
use crate::clock::Stopwatch;
use crate::fetch::{Feed, FeedError};
use crate::replication::{Bench, Class, Inflow, ReadModel};
use crate::source::{Delivery, Inbox, Log, LogError, Queue, Start};
use crate::store::{Checkpoint, Frozen, Misfit, RebuildStore, StoreError};

/// How many events are folded in one transaction, if so many are there. Each commit waits for the majority once, and a document
/// that several of them change is written once.
const TOGETHER: usize = 2_000;
/// How many bytes of documents are kept in memory between transactions, as they are stored; in memory they take a few times
/// as much.
pub(super) const REMEMBERED: usize = 8 << 20;
/// How long the event at the checkpoint is waited for. It is in the stream, or the stream is another one.
const FIRST_WITHIN: Duration = Duration::from_secs(30);

/// How a read model's events are read.
#[derive(Clone)]
pub enum Tap {
    /// In their order, from a place on.
    Log(Arc<dyn Log>),
    /// As they come, and some of them again.
    Queue(Arc<dyn Queue>),
    /// In their order, by asking for what comes after a position.
    Feed(Arc<dyn Feed>),
}

/// One read model at work.
pub struct Projection {
    /// What is folded.
    pub of: Arc<ReadModel>,
    /// From where.
    pub inflow: Inflow,
    /// How that is read.
    pub tap: Tap,
    /// Where documents and checkpoint are kept.
    pub store: Arc<dyn RebuildStore>,
    /// What is in the way, if anything is.
    pub trouble: signal::Sender<Option<String>>,
    /// Moves whenever there is something to be told to others.
    pub told: signal::Sender<()>,
}

/// Why folding was interrupted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Interrupted {
    /// The program stops.
    #[error("the program stops")]
    Halted,
    /// The log, or the queue, cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The feed does not tell what comes next.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// It has ended; it will go on.
    #[error("the source has ended, and is opened again")]
    Ended,
    /// The database did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The documents are about to be replaced.
    #[error("the read model is being rebuilt, and is about to be replaced")]
    Frozen,
    /// Somebody else has had a turn.
    #[error("another pod folds the same events")]
    Overtaken,
    /// Other pods have less to do.
    #[error("another pod shall fold this partition")]
    GivesWay,
    /// It was folded from something else.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// What is to be folded next is not in the log any more.
    #[error(
        "events are missing: the one at the checkpoint (offset {place}) is not in the stream any more, so those after it \
         may not be either; nothing is folded until `nearcopy read-model rebuild --anew` has folded what there is"
    )]
    Gap {
        /// Where the checkpoint stands.
        place: u64,
    },
}

impl From<Halted> for Interrupted {
    fn from(_: Halted) -> Self {
        Self::Halted
    }
}

impl Interrupted {
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Log(error) => error.class,
            Self::Feed(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Halted | Self::Ended | Self::Frozen | Self::Overtaken | Self::GivesWay => Class::Transient,
            Self::Gap { .. } | Self::Misfit(_) => Class::Misconfigured,
        }
    }

    /// Whether the source has no part in it, and can be read on.
    fn spares_the_source(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Frozen | Self::Overtaken)
    }
}

impl Pipeline {
    /// Folds for ever, one pod at a time.
    pub(super) async fn project(self: Arc<Self>, projection: Projection) -> Result<(), Halted> {
        let lease = format!("read-model:{}", projection.of.name);
        match projection.inflow.part() {
            None => self.leased(&lease, self.project_for_ever(&projection, &lease)).await,
            Some(part) => {
                let say = |why: Option<&Interrupted>| match why {
                    Some(interrupted) => complain(&projection, interrupted),
                    None => drop(projection.trouble.send_replace(None)),
                };
                self.share_out(&lease, part, || self.fold_on(&projection), say).await
            }
        }
    }

    async fn project_for_ever(&self, projection: &Projection, lease: &str) -> Result<(), Halted> {
        let mut waits = pauses();
        loop {
            let folding = Stopwatch::start();
            match self.if_leased(lease, self.fold_on(projection)).await {
                // Another pod folds, which is as it should be.
                Ok(_) => drop(projection.trouble.send_replace(None)),
                Err(Interrupted::Halted) => return Err(Halted),
                Err(interrupted) => complain(projection, &interrupted),
            }
            if folding.elapsed() > patience::LONGEST_PAUSE {
                waits = pauses();
            }
            self.pause(waits.next().unwrap_or(patience::LONGEST_PAUSE)).await?;
        }
    }

    /// Folds on from where the documents stand, until that is interrupted.
    pub(super) async fn fold_on(&self, projection: &Projection) -> Result<Infallible, Interrupted> {
        match &projection.tap {
            Tap::Log(log) => {
                let checkpoint = self.take_over(projection).await?;
                let begun = checkpoint.as_ref().filter(|at| at.last().is_some());
                let from = begun.map_or(Start::First, |at| Start::At(at.place));
                let mut hand = Hand::new(log.open(from).await?);
                if let Some(at) = begun {
                    let waiting = self.resume(&mut hand.inbox, at).await?;
                    hand.take(projection.read(waiting));
                }
                match checkpoint {
                    Some(at) if at.partition.is_some() => {
                        self.fold_partition(projection, at, &mut hand).await
                    }
                    checkpoint => self.fold_turns(projection, checkpoint, &mut hand).await,
                }
            }
            Tap::Queue(queue) => self.fold_from_queue(projection, Hand::new(queue.open().await?.inbox)).await,
            Tap::Feed(feed) => self.fold_from_feed(projection, &**feed).await,
        }
    }

    /// Folds what a queue brings. As long as the queue can be read, what was taken stays in hand, whatever else goes wrong:
    /// the broker counts how often it gets a message back, and puts it away in the end.
    async fn fold_from_queue(
        &self,
        projection: &Projection,
        mut hand: Hand,
    ) -> Result<Infallible, Interrupted> {
        let mut waits = pauses();
        loop {
            let folding = Stopwatch::start();
            let folded = async {
                let checkpoint = self.take_over(projection).await?;
                self.fold_turns(projection, checkpoint, &mut hand).await
            };
            let Err(interrupted) = folded.await;
            if !interrupted.spares_the_source() {
                return Err(interrupted);
            }
            complain(projection, &interrupted);
            hand.begin_again();
            if folding.elapsed() > patience::LONGEST_PAUSE {
                waits = pauses();
            }
            self.pause(waits.next().unwrap_or(patience::LONGEST_PAUSE)).await?;
        }
    }

    /// Takes the turn of whoever folded before, and says where the documents stand.
    pub(super) async fn take_over(&self, projection: &Projection) -> Result<Option<Checkpoint>, Interrupted> {
        let (store, of, partition) = (&projection.store, &projection.of.name, projection.partition());
        store.take_over(of, partition).await?;
        let all = self.standing(projection).await?;
        declared(projection, all.is_empty()).await?;
        match (all.iter().find(|at| at.partition == partition), partition) {
            (None, Some(number)) => self.begin_partition(projection, number, &all).await.map(Some),
            (at, _) => Ok(at.cloned()),
        }
    }

    /// Folds turn after turn.
    async fn fold_turns(
        &self,
        projection: &Projection,
        mut checkpoint: Option<Checkpoint>,
        hand: &mut Hand,
    ) -> Result<Infallible, Interrupted> {
        projection.trouble.send_replace(None);
        let (mut bench, mut storing) = (Some(Bench::default()), None::<Storing>);
        let mut lookout = Lookout::new(projection);
        loop {
            self.gather(projection, hand, storing.as_mut()).await?;
            lookout.hear(hand.waiting());
            // Nothing has come meanwhile, or what comes next must be folded upon what is away with the turn before.
            if let Some(before) = storing.take_if(|_| hand.is_empty() || bench.is_none()) {
                bench = bench.or(self.finish(projection, before, hand).await?);
                continue;
            }
            let lapsed = lookout.look(projection).await?;
            if hand.is_empty() && lapsed.is_none() {
                continue;
            }
            let on = bench.take().unwrap_or_default();
            let items = hand.next();
            let place = projection.place_after(checkpoint.as_ref(), &items)?;
            let (order, known) = projection.prepare(checkpoint.as_ref(), place, on, items, lapsed);
            if let Some(before) = storing.take() {
                self.finish(projection, before, hand).await?;
            }
            checkpoint = Some(order.next.clone());
            bench = known.map(|known| if known.bytes() > REMEMBERED { Bench::default() } else { known });
            storing = Some(order.begin(projection, &self.under_way));
        }
    }

    /// Gathers events for a turn: those that come while the one before is being stored, or, where none is, those that are
    /// there.
    pub(super) async fn gather(
        &self,
        projection: &Projection,
        hand: &mut Hand,
        mut storing: Option<&mut Storing>,
    ) -> Result<(), Interrupted> {
        loop {
            let most = hand.lacks(TOGETHER);
            if most == 0 {
                return Ok(());
            }
            let Some(storing) = &mut storing else {
                if hand.is_empty() {
                    // Where rules have deadlines, it is looked for them also while nothing comes.
                    let within = if projection.of.has_deadlines() { LOOK_EVERY } else { Duration::MAX };
                    if let Ok(taken) = timeout(within, self.take(&mut hand.inbox, most)).await {
                        hand.take(projection.read(taken?));
                    }
                }
                return Ok(());
            };
            tokio::select! {
                biased;
                () = storing.ended() => return Ok(()),
                taken = self.take(&mut hand.inbox, most) => hand.take(projection.read(taken?)),
            }
        }
    }

    /// Waits until a turn is stored, and settles what it was about.
    pub(super) async fn finish(
        &self,
        projection: &Projection,
        storing: Storing,
        hand: &mut Hand,
    ) -> Result<Option<Bench>, Interrupted> {
        let bench = projection.finish(storing, &self.settled).await?;
        hand.settle();
        Ok(bench)
    }

    /// Where the documents stand. While they are about to be replaced, nobody folds; if whoever was about to do that has
    /// died, it is given up.
    async fn standing(&self, projection: &Projection) -> Result<Vec<Checkpoint>, Interrupted> {
        let (store, of) = (&projection.store, &projection.of.name);
        let all = store.checkpoints(of).await?;
        Misfit::look(&all, projection.inflow.part().map(|part| part.of))?;
        let is_so = |frozen: Frozen| all.iter().any(|at| at.frozen == Some(frozen));
        if is_so(Frozen::Still) {
            return Err(Interrupted::Frozen);
        }
        if !is_so(Frozen::Expired) {
            return Ok(all);
        }
        // First this, so that a dead one who wakes has nothing to put in the documents' place. The first partition is the
        // first to go on: upon it rests what he would store.
        store.give_up(&next_of(of)).await?;
        let frozen: Vec<Checkpoint> = all.into_iter().filter(|at| at.frozen.is_some()).collect();
        store.thaw(of, &frozen).await?;
        Ok(store.checkpoints(of).await?)
    }

    /// Takes the event at the checkpoint, which is folded already, and must be the very same; says what came with it.
    async fn resume(&self, inbox: &mut Inbox, at: &Checkpoint) -> Result<Vec<Delivery>, Interrupted> {
        let gap = || Interrupted::Gap { place: at.place };
        let first = timeout(FIRST_WITHIN, self.take(inbox, TOGETHER)).await.map_err(|_| gap())??;
        let mut all = first.into_iter();
        match all.next() {
            Some(first) if first.place() == Some(at.place) && hash_of(&first) == at.mark => Ok(all.collect()),
            _ => Err(gap()),
        }
    }

    async fn take(&self, inbox: &mut Inbox, most: usize) -> Result<Vec<Delivery>, Interrupted> {
        let taken = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(Interrupted::Halted),
            taken = inbox.take(most) => taken,
        };
        if taken.is_empty() { Err(Interrupted::Ended) } else { Ok(taken) }
    }
}

/// Notes by which declaration documents are folded, where there are none yet; else says if it was another one.
async fn declared(projection: &Projection, is_new: bool) -> Result<(), StoreError> {
    let (of, store) = (&projection.of, &projection.store);
    match store.folded_by(&of.name).await? {
        Some(by) if by == of.hash => Ok(()),
        Some(_) if !is_new => {
            let old = match projection.tap {
                Tap::Log(_) => "`nearcopy read-model rebuild` brings it to the old ones",
                Tap::Queue(_) | Tap::Feed(_) => {
                    "the old ones stay as they are, since what made them is not read again"
                }
            };
            tracing::warn!(
                event = "read_model.changed",
                model = of.name.as_str(),
                "the documents were folded by another declaration; what is new goes by this one, and {old}"
            );
            Ok(())
        }
        _ => store.note_folded_by(&of.name, &of.hash).await,
    }
}

pub(super) fn complain(projection: &Projection, interrupted: &Interrupted) {
    let (model, class) = (projection.of.name.as_str(), interrupted.class());
    let said = interrupted.to_string();
    let before = projection.trouble.send_replace(Some(said.clone()));
    match class {
        _ if before.as_ref() == Some(&said) => {
            tracing::debug!(event = "read_model.interrupted", model, %class, "{interrupted}");
        }
        Class::Transient => tracing::warn!(event = "read_model.interrupted", model, %class, "{interrupted}"),
        _ => tracing::error!(event = "read_model.interrupted", model, %class, "{interrupted}"),
    }
}
