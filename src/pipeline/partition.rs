//! Shares partitions out among pods; and folds those of a stream, each by one pod at a time, into the documents that they
//! share.
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
use super::project::{Interrupted, Projection};
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

/// The partitions that this pod works at, by what they are partitions of.
#[derive(Default)]
pub(super) struct Shares(Mutex<BTreeMap<String, BTreeSet<u16>>>);

impl Shares {
    fn change<T>(&self, of: &str, change: impl FnOnce(&mut BTreeSet<u16>) -> T) -> T {
        change(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(of.to_owned()).or_default())
    }

    fn held(&self, of: &str) -> usize {
        self.change(of, |held| held.len())
    }

    /// Takes note of one that is worked at here until the note is dropped.
    fn hold<'s>(&'s self, of: &'s str, number: u16) -> Holding<'s> {
        self.change(of, |held| held.insert(number));
        Holding { shares: self, of, number }
    }

    /// Gives one away if there are more than that; says whether it did.
    fn give_away(&self, of: &str, number: u16, share: usize) -> bool {
        self.change(of, |held| held.len() > share && held.remove(&number))
    }
}

struct Holding<'s> {
    shares: &'s Shares,
    of: &'s str,
    number: u16,
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.shares.change(self.of, |held| held.remove(&self.number));
    }
}

impl Pipeline {
    /// Works at a partition for ever, one pod at a time. A pod that has more of them than others gives some away. What is in
    /// the way is said, and when nothing is any more.
    pub(super) async fn share_out<W>(
        &self,
        of: &str,
        part: Partition,
        work: impl Fn() -> W,
        say: impl Fn(Option<&Interrupted>),
    ) -> Result<(), Halted>
    where
        W: Future<Output = Result<Infallible, Interrupted>>,
    {
        let lease = format!("{of}.{}", part.number);
        let sharing = async {
            let mut waits = pauses();
            loop {
                let has_share = self.shares.held(of) >= self.share(part).await?;
                if has_share {
                    // Whoever has less comes first, if there is anybody who can.
                    say(None);
                    self.pause(COURTESY).await?;
                }
                let working = Stopwatch::start();
                let patience = if has_share { KEPT } else { WEIGHED_EVERY };
                let work = Box::pin(self.work_for_now(of, part, patience, work()));
                match self.if_leased(&lease, work).await {
                    // Another pod is at it, which is as it should be.
                    Ok(_) => {
                        say(None);
                        self.pause(RENEWED_EVERY).await?;
                        continue;
                    }
                    Err(Interrupted::Halted) => return Err(Halted),
                    Err(Interrupted::GivesWay) => {
                        self.persist(|| self.store.release(&lease)).await?;
                        say(None);
                        self.pause(COURTESY).await?;
                        continue;
                    }
                    Err(interrupted) => say(Some(&interrupted)),
                }
                if working.elapsed() > LONGEST_PAUSE {
                    waits = pauses();
                }
                self.pause(waits.next().unwrap_or(LONGEST_PAUSE)).await?;
            }
        };
        self.leased(&lease, sharing).await
    }

    /// Works at a partition until that is interrupted, or others have less to do.
    async fn work_for_now(
        &self,
        of: &str,
        part: Partition,
        patience: Duration,
        work: impl Future<Output = Result<Infallible, Interrupted>>,
    ) -> Result<Infallible, Interrupted> {
        let _holding = self.shares.hold(of, part.number);
        tokio::select! {
            biased;
            worked = work => worked,
            gives = self.gives_way(of, part, patience) => {
                Err(gives.map_or_else(Interrupted::from, |()| Interrupted::GivesWay))
            }
        }
    }

    /// Waits until this pod has more than its share, and gives one of its partitions away.
    async fn gives_way(&self, of: &str, part: Partition, mut patience: Duration) -> Result<(), Halted> {
        loop {
            self.pause(patience).await?;
            let share = self.share(part).await?;
            if self.shares.give_away(of, part.number, share) {
                return Ok(());
            }
            patience = WEIGHED_EVERY;
        }
    }

    /// How many partitions this pod is to have, so that no pod has two more than another: what is left over goes to those
    /// that come first.
    async fn share(&self, part: Partition) -> Result<usize, Halted> {
        let pods = self.persist(|| self.store.present()).await?;
        let own = pods.iter().position(|pod| pod.is_own);
        Ok(share_of(usize::from(part.of), pods.len(), own))
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

/// What the pod at a place among all pods is to have of so many partitions. One that nobody has heard of yet comes last.
fn share_of(partitions: usize, pods: usize, own: Option<usize>) -> usize {
    let (pods, own) = own.map_or((pods + 1, pods), |own| (pods, own));
    partitions / pods + usize::from(own < partitions % pods)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_out_is_all_there_is_and_nobody_has_two_more_than_another() {
        for partitions in 1..20 {
            for pods in 1..8 {
                let shares: Vec<usize> = (0..pods).map(|own| share_of(partitions, pods, Some(own))).collect();
                assert_eq!(shares.iter().sum::<usize>(), partitions, "{partitions} among {pods}: {shares:?}");
                let (most, least) = (shares.iter().max().unwrap(), shares.iter().min().unwrap());
                assert!(most - least <= 1, "{partitions} among {pods}: {shares:?}");
                assert_eq!(share_of(partitions, pods, None), share_of(partitions, pods + 1, Some(pods)));
            }
        }
        assert_eq!(share_of(4, 0, None), 4, "alone, and not yet heard of");
    }
}
