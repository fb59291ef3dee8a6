//! A stream folded again from its beginning, beside what is served: all documents into a collection, or one in hand.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::fold::{Item, Manner, Outcomes, Work};
use super::rebuild::{Rebuild, RebuildError, Step};
use super::turn::needs;
use crate::clock::{self, Stopwatch};
use crate::event::{EntityId, EntityType};
use crate::replication::Bench;
use crate::source::{Delivery, Inbox, Start};
use crate::store::{Checkpoint, Found};

/// How many events are folded in one transaction.
const TOGETHER: usize = 1_000;
/// How many bytes of documents are kept in memory between transactions.
const REMEMBERED: usize = 32 << 20;
/// How long an event is waited for that must be in the stream.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing must have come for the end of the stream to be reached.
const QUIET: Duration = Duration::from_secs(2);
/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// What it is folded into.
pub(super) enum Into {
    /// A collection of its own, with a checkpoint of its own.
    Collection(EntityType),
    /// The one document with this key, which stays on the bench; and the ids of the events that may be about it.
    Hand(EntityId, BTreeSet<String>),
}

/// What is under work.
pub(super) struct Refold<'r> {
    rebuild: &'r Rebuild<'r>,
    into: Into,
    inbox: Inbox,
    waiting: Vec<Delivery>,
    pub(super) at: Option<Checkpoint>,
    pub(super) bench: Bench,
    pub(super) events: u64,
    watch: Stopwatch,
    told: Stopwatch,
}

impl<'r> Refold<'r> {
    /// Begins with the first event that there is.
    pub(super) async fn begin(rebuild: &'r Rebuild<'r>, into: Into) -> Result<Self, RebuildError> {
        let inbox = rebuild.log.open(Start::First).await?;
        let (watch, told) = (Stopwatch::start(), Stopwatch::start());
        let mut bench = Bench::default();
        if let Into::Hand(key, _) = &into {
            bench.lay(key.clone(), None);
        }
        Ok(Self { rebuild, into, inbox, waiting: Vec::new(), at: None, bench, events: 0, watch, told })
    }

    /// Folds all events up to that place; no further, where it must be the very last.
    pub(super) async fn fold_to(&mut self, end: u64, exactly: bool) -> Result<(), RebuildError> {
        while self.at.as_ref().is_none_or(|at| at.place < end) {
            if self.waiting.is_empty() {
                let taken = timeout(PATIENCE, self.inbox.take(TOGETHER)).await;
                self.waiting = taken.map_err(|_| RebuildError::Elsewhere(end))?;
            }
            let beyond = |delivery: &Delivery| exactly && delivery.place() > Some(end);
            let cut = self.waiting.iter().position(beyond).unwrap_or(self.waiting.len());
            let later = self.waiting.split_off(cut);
            let now = std::mem::replace(&mut self.waiting, later);
            if now.is_empty() {
                return Err(RebuildError::Elsewhere(end));
            }
            self.turn(now).await?;
            self.tell_now_and_then(end);
        }
        Ok(())
    }

    /// Folds on to the very event at which the served documents stand.
    pub(super) async fn fold_exactly_to(&mut self, served: &Checkpoint) -> Result<(), RebuildError> {
        self.fold_to(served.place, true).await?;
        match &self.at {
            Some(at) if (at.place, &at.mark) == (served.place, &served.mark) => Ok(()),
            _ => Err(RebuildError::Elsewhere(served.place)),
        }
    }

    /// Folds all that there is.
    pub(super) async fn fold_all(&mut self) -> Result<(), RebuildError> {
        while let Ok(taken) = timeout(QUIET, self.inbox.take(TOGETHER)).await {
            if taken.is_empty() {
                return Err(RebuildError::Disturbed);
            }
            let end = taken.last().and_then(Delivery::place).unwrap_or_default();
            self.turn(taken).await?;
            self.tell_now_and_then(end);
        }
        Ok(())
    }

    /// Folds some events. Here nothing waits: what cannot be folded ends it.
    async fn turn(&mut self, deliveries: Vec<Delivery>) -> Result<(), RebuildError> {
        let taken = deliveries.len() as u64;
        let of = &self.rebuild.of;
        let mut items = Item::all(deliveries, of, self.rebuild.inflow.envelope());
        let Some((place, mark)) = items.last().and_then(Item::place) else {
            return Err(RebuildError::Disturbed);
        };
        if let Into::Hand(key, _) = &self.into {
            for item in &mut items {
                item.keep_what_is_about(key);
            }
        }
        let to = Checkpoint::after(self.at.as_ref(), place, mark);
        let done = self.fold(items, &to).await?;
        if let Some((place, reason)) = done.stopped {
            return Err(RebuildError::Bad { place, reason });
        }
        let is_too_large = matches!(self.into, Into::Collection(_)) && done.bench.bytes() > REMEMBERED;
        self.bench = if is_too_large { Bench::default() } else { done.bench };
        self.at = Some(to);
        self.events += taken;
        Ok(())
    }

    async fn fold(&mut self, items: Vec<Item>, to: &Checkpoint) -> Result<Outcomes, RebuildError> {
        let Rebuild { of, inflow, store, .. } = self.rebuild;
        let bench = std::mem::take(&mut self.bench);
        let needs = needs(of, &items, &bench);
        let (of, inflow, now) = (of.clone(), inflow.clone(), clock::wall_micros());
        let (items, manner) = (Arc::new(items), Manner::Strict);
        let (fold, done) = Work { of, inflow, bench, items, manner, lapsed: None, now }.ordered();
        let entered = match &mut self.into {
            Into::Collection(next) => store.turn(next, self.at.as_ref(), to, &needs, fold).await?,
            Into::Hand(_, met) => {
                let folded = fold(Found { events: met.clone(), ..Found::default() });
                met.extend(folded.noted.events);
                true
            }
        };
        done.take().filter(|_| entered).ok_or(RebuildError::Disturbed)
    }

    fn tell_now_and_then(&mut self, end: u64) {
        if self.told.elapsed() > TOLD_EVERY {
            self.told = Stopwatch::start();
            (self.rebuild.tell)(self.step(end));
        }
    }

    fn step(&self, end: u64) -> Step {
        let millis = u64::try_from(self.watch.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let per_second = self.events.saturating_mul(1_000) / millis;
        let behind = end.saturating_sub(self.at.as_ref().map_or(0, |at| at.place));
        let rest = Duration::from_secs(behind / per_second.max(1));
        Step::Folding { events: self.events, per_second, behind, rest }
    }
}
