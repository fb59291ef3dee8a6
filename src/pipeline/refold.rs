//! A stream folded again from its beginning, beside what is served: all documents into a collection, or one in hand.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::fold::{Item, Manner, Outcomes, Work};
use super::lane::{Dry, Lane, merged};
use super::rebuild::{Rebuild, RebuildError, Step};
use super::turn::needs;
use crate::clock::{self, Stopwatch};
use crate::event::{EntityId, EntityType};
use crate::replication::Bench;
use crate::store::{Checkpoint, Found};

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
    lanes: Vec<Lane>,
    at: Option<Checkpoint>,
    pub(super) bench: Bench,
    pub(super) events: u64,
    watch: Stopwatch,
    told: Stopwatch,
}

impl<'r> Refold<'r> {
    /// Begins with the first event that there is.
    pub(super) async fn begin(rebuild: &'r Rebuild<'r>, into: Into) -> Result<Self, RebuildError> {
        let mut lanes = Vec::new();
        for (inflow, log) in &rebuild.parts {
            lanes.push(Lane::open(inflow.clone(), &**log).await?);
        }
        let (watch, told) = (Stopwatch::start(), Stopwatch::start());
        let mut bench = Bench::default();
        if let Into::Hand(key, _) = &into {
            bench.lay(key.clone(), None);
        }
        Ok(Self { rebuild, into, lanes, at: None, bench, events: 0, watch, told })
    }

    /// Folds all events up to where documents stand; no further, where it must be the very last.
    pub(super) async fn fold_to(&mut self, stand: &[Checkpoint], exactly: bool) -> Result<(), RebuildError> {
        self.lanes.iter_mut().for_each(|lane| lane.lead_to(stand));
        while self.lanes.iter().any(|lane| !lane.is_done()) {
            for lane in &mut self.lanes {
                let filled = lane.fill(&self.rebuild.of, PATIENCE).await;
                if filled.is_err() || exactly && lane.leads_beyond() {
                    return Err(RebuildError::Elsewhere(lane.whereabouts()));
                }
            }
            self.turn().await?;
        }
        Ok(())
    }

    /// Folds on to the very events at which the served documents stand.
    pub(super) async fn fold_exactly_to(&mut self, served: &[Checkpoint]) -> Result<(), RebuildError> {
        self.fold_to(served, true).await?;
        match self.lanes.iter().find(|lane| !lane.stands_at(served)) {
            None => Ok(()),
            Some(lane) => Err(RebuildError::Elsewhere(lane.whereabouts())),
        }
    }

    /// Folds all that there is.
    pub(super) async fn fold_all(&mut self) -> Result<(), RebuildError> {
        self.lanes.iter_mut().for_each(Lane::lead_on);
        while self.lanes.iter().any(|lane| !lane.is_done()) {
            for lane in &mut self.lanes {
                match lane.fill(&self.rebuild.of, QUIET).await {
                    Ok(()) => {}
                    Err(Dry::Quiet) => lane.stop(),
                    Err(Dry::Ended) => return Err(RebuildError::Disturbed),
                }
            }
            self.turn().await?;
        }
        Ok(())
    }

    /// Where documents stand of which all this is folded.
    pub(super) fn stand(&self) -> Vec<Checkpoint> {
        let Some(at) = &self.at else { return Vec::new() };
        let one = |lane: &Lane| match (lane.partition(), lane.last()) {
            (None, _) => at.clone(),
            (Some(number), None) => Checkpoint::before_first(number, at.memory.clone()),
            (partition, Some((place, mark))) => {
                Checkpoint { partition, place: *place, mark: mark.clone(), ..at.clone() }
            }
        };
        self.lanes.iter().map(one).collect()
    }

    /// Folds what comes next. Here nothing waits: what cannot be folded ends it.
    async fn turn(&mut self) -> Result<(), RebuildError> {
        let mut items = merged(&mut self.lanes);
        let Some(last) = items.last().and_then(Item::place) else { return Ok(()) };
        // Where there are several, each has a place of its own, and only we know them.
        let (place, mark) = if self.lanes.len() == 1 { last } else { (0, String::new()) };
        let taken = items.len() as u64;
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
        self.tell_now_and_then();
        Ok(())
    }

    async fn fold(&mut self, items: Vec<Item>, to: &Checkpoint) -> Result<Outcomes, RebuildError> {
        let Rebuild { of, parts, store, .. } = self.rebuild;
        // All partitions are written in the same way.
        let Some((inflow, _)) = parts.first() else { return Err(RebuildError::Disturbed) };
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

    fn tell_now_and_then(&mut self) {
        if self.told.elapsed() > TOLD_EVERY {
            self.told = Stopwatch::start();
            (self.rebuild.tell)(self.step());
        }
    }

    fn step(&self) -> Step {
        let millis = u64::try_from(self.watch.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let per_second = self.events.saturating_mul(1_000) / millis;
        let behind = self.lanes.iter().map(Lane::behind).fold(0, u64::saturating_add);
        let rest = Duration::from_secs(behind / per_second.max(1));
        Step::Folding { events: self.events, per_second, behind, rest }
    }
}
