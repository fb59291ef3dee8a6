//! Folds a stream of events into the documents of a read model.
//!
//! One pod at a time has the lease, and reads from the checkpoint on. Whatever ends that, a lost connection or another
//! pod's turn, ends all that was in memory with it: reading begins anew at the checkpoint that is stored. So there is one
//! way to start, and it is the way to recover.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as signal;
use tokio::time::timeout;

use super::fold::{Item, hash_of};
use super::patience::pauses;
use super::rebuild::next_of;
use super::turn::Storing;
use super::{Halted, Pipeline, patience};
use crate::clock::Stopwatch;
use crate::replication::{Bench, Class, ReadModel, StreamSpec};
use crate::source::{Delivery, Inbox, Log, LogError, Start};
use crate::store::{Checkpoint, Frozen, RebuildStore, StoreError};

/// How many events are folded in one transaction.
const TOGETHER: usize = 1_000;
/// How many bytes of documents are kept in memory between transactions, as they are stored; in memory they take a few times
/// as much.
const REMEMBERED: usize = 8 << 20;
/// How long the event at the checkpoint is waited for. It is in the stream, or the stream is another one.
const FIRST_WITHIN: Duration = Duration::from_secs(30);

/// One read model at work.
pub struct Projection {
    /// What is folded.
    pub of: Arc<ReadModel>,
    /// From where.
    pub stream: Arc<StreamSpec>,
    /// How that is read.
    pub log: Arc<dyn Log>,
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
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log has ended; it will go on.
    #[error("the stream has ended")]
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
    fn class(&self) -> Class {
        match self {
            Self::Log(error) => error.class,
            Self::Store(error) => error.class(),
            Self::Halted | Self::Ended | Self::Frozen | Self::Overtaken => Class::Transient,
            Self::Gap { .. } => Class::Misconfigured,
        }
    }
}

impl Pipeline {
    /// Folds for ever, one pod at a time.
    pub(super) async fn project(self: Arc<Self>, projection: Projection) -> Result<(), Halted> {
        let lease = format!("read-model:{}", projection.of.name);
        self.leased(&lease, self.project_for_ever(&projection, &lease)).await
    }

    async fn project_for_ever(&self, projection: &Projection, lease: &str) -> Result<(), Halted> {
        let mut waits = pauses();
        loop {
            let folding = Stopwatch::start();
            match self.if_leased(lease, self.fold_on(projection)).await {
                Ok(_) => {}
                Err(Interrupted::Halted) => return Err(Halted),
                Err(interrupted) => complain(projection, &interrupted),
            }
            if folding.elapsed() > patience::LONGEST_PAUSE {
                waits = pauses();
            }
            self.pause(waits.next().unwrap_or(patience::LONGEST_PAUSE)).await?;
        }
    }

    /// Folds from the stored checkpoint on, until that is interrupted.
    async fn fold_on(&self, projection: &Projection) -> Result<Infallible, Interrupted> {
        projection.store.take_over(&projection.of.name).await?;
        let mut checkpoint = self.standing(projection).await?;
        declared(projection, checkpoint.is_none()).await?;
        let from = checkpoint.as_ref().map_or(Start::First, |at| Start::At(at.place));
        let mut inbox = projection.log.open(from).await?;
        let waiting = match &checkpoint {
            Some(at) => self.resume(&mut inbox, at).await?,
            None => Vec::new(),
        };
        projection.trouble.send_replace(None);
        let mut items = projection.read(waiting);
        let (mut bench, mut storing) = (Some(Bench::default()), None::<Storing>);
        loop {
            self.gather(projection, &mut inbox, storing.as_mut(), &mut items).await?;
            // Nothing has come meanwhile, or what comes next must be folded upon what is away with the turn before.
            if let Some(before) = storing.take_if(|_| items.is_empty() || bench.is_none()) {
                bench = bench.or(projection.finish(before, &self.settled).await?);
                continue;
            }
            let (on, taken) = (bench.take().unwrap_or_default(), std::mem::take(&mut items));
            let (order, known) = projection.prepare(checkpoint.as_ref(), on, taken)?;
            if let Some(before) = storing.take() {
                projection.finish(before, &self.settled).await?;
            }
            checkpoint = Some(order.next.clone());
            bench = known.map(|known| if known.bytes() > REMEMBERED { Bench::default() } else { known });
            storing = Some(order.begin(projection));
        }
    }

    /// Gathers events for a turn: those that come while the one before is being stored, or, where none is, those that are
    /// there.
    async fn gather(
        &self,
        projection: &Projection,
        inbox: &mut Inbox,
        mut storing: Option<&mut Storing>,
        items: &mut Vec<Item>,
    ) -> Result<(), Interrupted> {
        while items.len() < TOGETHER {
            let most = TOGETHER - items.len();
            let Some(storing) = &mut storing else {
                if items.is_empty() {
                    items.extend(projection.read(self.take(inbox, most).await?));
                }
                return Ok(());
            };
            tokio::select! {
                biased;
                () = storing.ended() => return Ok(()),
                taken = self.take(inbox, most) => items.extend(projection.read(taken?)),
            }
        }
        Ok(())
    }

    /// Where the documents stand. While they are about to be replaced, nobody folds; if whoever was about to do that has
    /// died, it is given up.
    async fn standing(&self, projection: &Projection) -> Result<Option<Checkpoint>, Interrupted> {
        let (store, of) = (&projection.store, &projection.of.name);
        let Some(at) = store.checkpoint(of).await? else { return Ok(None) };
        match at.frozen {
            None => Ok(Some(at)),
            Some(Frozen::Still) => Err(Interrupted::Frozen),
            Some(Frozen::Expired) => {
                // First this, so that a dead one who wakes has nothing to put in the documents' place.
                store.give_up(&next_of(of)).await?;
                store.thaw(of, &at).await?;
                Ok(store.checkpoint(of).await?)
            }
        }
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
            tracing::warn!(
                event = "read_model.changed",
                model = of.name.as_str(),
                "the documents were folded by another declaration; what is new goes by this one, and `nearcopy read-model \
                 rebuild` brings it to the old ones"
            );
            Ok(())
        }
        _ => store.note_folded_by(&of.name, &of.hash).await,
    }
}

fn complain(projection: &Projection, interrupted: &Interrupted) {
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
