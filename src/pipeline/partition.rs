//! Folds the partitions of a stream, each by one pod at a time, into the documents that they share.
//!
//! An event of any partition may be about any document. So nothing is kept in memory between two turns: each reads its
//! documents in its own transaction, and of two turns that are about one document at the same time the database lets one
//! pass; the other one is taken again. Each partition has a lease and a checkpoint of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::deadline::Lookout;
use super::hand::Hand;
use super::lease::RENEWED_EVERY;
use super::patience::{LONGEST_PAUSE, pauses};
use super::project::{Interrupted, Projection, complain};
use super::{Halted, Pipeline};
use crate::clock::Stopwatch;
use crate::event::EntityType;
use crate::replication::{Bench, Partition};
use crate::store::{Checkpoint, Folded, Needs, StoreError};

/// How long a pod that has its share leaves a partition to others. They look each second.
const COURTESY: Duration = Duration::from_secs(6);
/// How often a pod looks whether it has more than its share.
const WEIGHED_EVERY: Duration = Duration::from_secs(5);
/// How long it then keeps what nobody else has taken.
const KEPT: Duration = Duration::from_mins(1);

/// The partitions that this pod folds, by read models.
#[derive(Default)]
pub(super) struct Shares(Mutex<BTreeMap<EntityType, BTreeSet<u16>>>);

impl Shares {
    fn change<T>(&self, of: &EntityType, change: impl FnOnce(&mut BTreeSet<u16>) -> T) -> T {
        change(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(of.clone()).or_default())
    }

    fn held(&self, of: &EntityType) -> usize {
        self.change(of, |held| held.len())
    }

    /// Takes note of one that is folded here until the note is dropped.
    fn hold<'s>(&'s self, of: &'s EntityType, number: u16) -> Holding<'s> {
        self.change(of, |held| held.insert(number));
        Holding { shares: self, of, number }
    }

    /// Gives one away if there are more than that; says whether it did.
    fn give_away(&self, of: &EntityType, number: u16, share: usize) -> bool {
        self.change(of, |held| held.len() > share && held.remove(&number))
    }
}

struct Holding<'s> {
    shares: &'s Shares,
    of: &'s EntityType,
    number: u16,
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.shares.change(self.of, |held| held.remove(&self.number));
    }
}

impl Pipeline {
    /// Folds a partition for ever, one pod at a time. A pod that has more of them than others gives some away.
    pub(super) async fn project_partition(
        &self,
        projection: &Projection,
        part: Partition,
        lease: &str,
    ) -> Result<(), Halted> {
        let mut waits = pauses();
        loop {
            let has_share = self.shares.held(&projection.of.name) >= self.share(part).await?;
            if has_share {
                // Whoever has less comes first, if there is anybody who can.
                self.pause(COURTESY).await?;
            }
            let folding = Stopwatch::start();
            let patience = if has_share { KEPT } else { WEIGHED_EVERY };
            match self.if_leased(lease, self.fold_for_now(projection, part, patience)).await {
                // Another pod folds, which is as it should be.
                Ok(_) => {
                    projection.trouble.send_replace(None);
                    self.pause(RENEWED_EVERY).await?;
                    continue;
                }
                Err(Interrupted::Halted) => return Err(Halted),
                Err(Interrupted::GivesWay) => {
                    self.persist(|| self.store.release(lease)).await?;
                    projection.trouble.send_replace(None);
                    self.pause(COURTESY).await?;
                    continue;
                }
                Err(interrupted) => complain(projection, &interrupted),
            }
            if folding.elapsed() > LONGEST_PAUSE {
                waits = pauses();
            }
            self.pause(waits.next().unwrap_or(LONGEST_PAUSE)).await?;
        }
    }

    /// Folds a partition until that is interrupted, or others have less to do.
    async fn fold_for_now(
        &self,
        projection: &Projection,
        part: Partition,
        patience: Duration,
    ) -> Result<Infallible, Interrupted> {
        let _holding = self.shares.hold(&projection.of.name, part.number);
        tokio::select! {
            biased;
            folded = self.fold_on(projection) => folded,
            gives = self.gives_way(&projection.of.name, part, patience) => {
                Err(gives.map_or_else(Interrupted::from, |()| Interrupted::GivesWay))
            }
        }
    }

    /// Waits until this pod has more than its share, and gives one of its partitions away.
    async fn gives_way(
        &self,
        of: &EntityType,
        part: Partition,
        mut patience: Duration,
    ) -> Result<(), Halted> {
        loop {
            self.pause(patience).await?;
            let share = self.share(part).await?;
            if self.shares.give_away(of, part.number, share) {
                return Ok(());
            }
            patience = WEIGHED_EVERY;
        }
    }

    /// How many partitions a pod folds, where all pods fold as many.
    async fn share(&self, part: Partition) -> Result<usize, Halted> {
        let pods = self.persist(|| self.store.present()).await?.len().max(1);
        Ok(usize::from(part.of).div_ceil(pods))
    }

    /// Has a partition stand before its first event: what is not there cannot be frozen. All partitions remember events
    /// under one name, lest one that comes again by another partition be folded again.
    pub(super) async fn begin_partition(
        &self,
        projection: &Projection,
        number: u16,
        others: &[Checkpoint],
    ) -> Result<Checkpoint, Interrupted> {
        let (store, of) = (&projection.store, &projection.of.name);
        let first = first_of(of, number, others);
        let nothing = Box::new(|_| Folded::default());
        let begun = store.turn(of, None, &first, &Needs::default(), nothing).await?;
        if begun { Ok(first) } else { Err(Interrupted::Overtaken) }
    }

    /// Folds turn after turn of one partition.
    pub(super) async fn fold_partition(
        &self,
        projection: &Projection,
        mut checkpoint: Checkpoint,
        hand: &mut Hand,
    ) -> Result<Infallible, Interrupted> {
        projection.trouble.send_replace(None);
        let (mut lookout, mut waits) = (Lookout::new(projection), moments());
        loop {
            self.gather(projection, hand, None).await?;
            let (mut lapsed, mut reached) = (None, None);
            if !hand.has_again() {
                lookout.hear(hand.waiting());
                (lapsed, reached) = lookout.look_among(projection).await?;
                if hand.is_empty() && lapsed.is_none() && reached.is_none() {
                    continue;
                }
            }
            let items = hand.next();
            let place = projection.place_after(Some(&checkpoint), &items)?;
            let (mut order, _) =
                projection.prepare(Some(&checkpoint), place, Bench::default(), items, lapsed);
            order.next.reached = reached.or(checkpoint.reached);
            let next = order.next.clone();
            let mut storing = order.begin(projection, &self.under_way);
            self.gather(projection, hand, Some(&mut storing)).await?;
            match self.finish(projection, storing, hand).await {
                Ok(_) => (checkpoint, waits) = (next, moments()),
                Err(Interrupted::Store(StoreError::Conflict { .. })) => {
                    hand.begin_again();
                    self.pause(waits.next().unwrap_or(RENEWED_EVERY)).await?;
                }
                Err(interrupted) => return Err(interrupted),
            }
        }
    }
}

/// Where a partition stands before its first event, beside others.
pub(super) fn first_of(of: &EntityType, number: u16, others: &[Checkpoint]) -> Checkpoint {
    let memory = others.first().map_or_else(|| of.to_string(), |other| other.memory.clone());
    Checkpoint::before_first(number, memory)
}

/// How long is waited where another partition changes the same documents: not long, for it is done with them soon; and with
/// jitter, for so is somebody else.
fn moments() -> impl Iterator<Item = Duration> {
    let growing = ExponentialBuilder::default().with_min_delay(Duration::from_millis(5));
    growing.with_max_delay(Duration::from_millis(200)).with_jitter().without_max_times().build()
}
