//! The turns of a read model that is folded: each is folded while the one before is being stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use bson::Bson;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::fold::{Done, Item, Manner, Outcomes, Work};
use super::project::{Interrupted, Projection, Tap};
use super::settled::Settled;
use crate::clock::{self, Stopwatch};
use crate::event::{EntityId, FieldPath};
use crate::replication::{Aim, Bench, Memory, ReadModel};
use crate::source::Delivery;
use crate::store::{Checkpoint, Fold, Found, Lapsed, Needs, Parked, RebuildStore, StoreError};
use crate::telemetry::metric;

/// A turn that can be stored: folded, or to be folded once the documents are read that it needs.
pub(super) struct Order {
    /// Where the read model stands after it.
    pub(super) next: Checkpoint,
    expected: Option<Checkpoint>,
    needs: Needs,
    fold: Fold,
    came: Came,
    taken: Taken,
    watch: Stopwatch,
}

/// A turn that is being stored.
pub(super) struct Storing {
    task: JoinHandle<Result<bool, StoreError>>,
    stored: Option<Result<bool, StoreError>>,
    came: Came,
    taken: Taken,
    watch: Stopwatch,
}

/// How many deliveries a turn has.
#[derive(Clone, Copy)]
struct Taken {
    all: usize,
    again: usize,
}

/// What came of a fold.
enum Came {
    /// It is known already.
    Known(Box<Outcomes>),
    /// It will be there.
    Later(Done),
}

impl Projection {
    /// Reads what deliveries say.
    pub(super) fn read(&self, deliveries: Vec<Delivery>) -> Vec<Item> {
        Item::all(deliveries, &self.of, &self.inflow)
    }

    /// Which partition it is of which this is folded.
    pub(super) fn partition(&self) -> Option<u16> {
        self.inflow.part().map(|part| part.number)
    }

    /// Where a read model stands once these are folded: at the last one of a log, or where it stood. What comes from elsewhere
    /// has no place.
    pub(super) fn place_after(
        &self,
        expected: Option<&Checkpoint>,
        items: &[Item],
    ) -> Result<(u64, String), Interrupted> {
        let stood = || expected.map(|at| (at.place, at.mark.clone()));
        match &self.tap {
            Tap::Log(_) => items.last().map_or_else(stood, Item::place).ok_or(Interrupted::Ended),
            Tap::Queue(_) | Tap::Feed(_) => Ok((0, String::new())),
        }
    }

    /// Folds events, and passes deadlines, if all documents lie on the bench that they are about, and nothing has to be
    /// remembered. Then the bench comes back at once, and the next turn can be folded there; else with what is stored.
    pub(super) fn prepare(
        &self,
        expected: Option<&Checkpoint>,
        (place, mark): (u64, String),
        bench: Bench,
        items: Arc<Vec<Item>>,
        lapsed: Option<Lapsed>,
    ) -> (Order, Option<Bench>) {
        let watch = Stopwatch::start();
        let again = items.iter().filter(|item| item.is_redelivered()).count();
        let taken = Taken { all: items.len(), again };
        let next = Checkpoint::after(expected, place, mark);
        let (mut needs, expected) = (needs(&self.of, &items, &bench), expected.cloned());
        let passed = lapsed.iter().flat_map(|lapsed| &lapsed.keys);
        needs.keys.extend(passed.filter(|key| !bench.knows(key)).cloned());
        let (of, inflow, now) = (self.of.clone(), self.inflow.clone(), clock::wall_micros());
        let (fold, done) = Work { of, inflow, bench, items, manner: Manner::Live, lapsed, now }.ordered();
        if !needs.is_empty() {
            let came = Came::Later(done);
            return (Order { next, expected, needs, fold, came, taken, watch }, None);
        }
        let folded = fold(Found::default());
        let mut came = done.take().unwrap_or_default();
        let bench = std::mem::take(&mut came.bench);
        let (fold, came): (Fold, _) = (Box::new(move |_| folded), Came::Known(Box::new(came)));
        (Order { next, expected, needs, fold, came, taken, watch }, Some(bench))
    }

    /// Waits until a turn is stored, and tells what came of it; the bench, if it was away with it.
    pub(super) async fn finish(
        &self,
        mut storing: Storing,
        settled: &Settled,
    ) -> Result<Option<Bench>, Interrupted> {
        storing.ended().await;
        if !storing.stored.unwrap_or(Ok(false))? {
            return Err(Interrupted::Overtaken);
        }
        let (came, bench) = match storing.came {
            Came::Known(came) => (*came, None),
            Came::Later(done) => {
                let mut came = done.take().unwrap_or_default();
                let bench = std::mem::take(&mut came.bench);
                (came, Some(bench))
            }
        };
        let (name, source) = (self.of.name.as_str(), self.inflow.name());
        settled.note(name, came.settled.iter().map(String::as_str));
        metric::source_received(source, storing.taken.all);
        metric::redelivered(source, storing.taken.again);
        for (outcome, number) in came.books {
            metric::events(source, name, outcome, number);
        }
        for parked in &came.parked {
            self.note(parked);
        }
        for alert in &came.alerts {
            metric::alerts(name, &alert.rule);
            self.told.send_replace(());
        }
        for (rule, error) in came.failed {
            tracing::warn!(
                event = "rule.failed",
                model = name,
                rule,
                %error,
                "a rule cannot say whether it fires, or what it tells"
            );
        }
        metric::lags(name, came.lags);
        metric::batch_duration(source, storing.watch.elapsed());
        Ok(bench)
    }

    /// Says once, in the log, that an event waits; never what it contains.
    fn note(&self, parked: &Parked) {
        tracing::warn!(
            event = "event.parked",
            source = self.inflow.name(),
            model = self.of.name.as_str(),
            document.id = parked.entity.as_ref().map(tracing::field::display),
            reason = parked.reason,
            detail = parked.detail,
            parked.id = %parked.id,
            "an event is put aside"
        );
    }
}

impl Order {
    /// Begins to store it. Who stops waits for all that has begun.
    pub(super) fn begin(self, projection: &Projection, under_way: &TaskTracker) -> Storing {
        let (store, name): (Arc<dyn RebuildStore>, _) =
            (projection.store.clone(), projection.of.name.clone());
        let Self { next, expected, needs, fold, came, taken, watch } = self;
        let storing = async move { store.turn(&name, expected.as_ref(), &next, &needs, fold).await };
        let task = under_way.spawn(storing);
        Storing { task, stored: None, came, taken, watch }
    }
}

impl Storing {
    /// Waits until it is stored, or cannot be. Whoever waits may give up, and wait again.
    pub(super) async fn ended(&mut self) {
        if self.stored.is_none() {
            let stopped = |_| StoreError::Unavailable {
                action: "folding events".into(),
                detail: "the task was stopped".into(),
            };
            self.stored = Some((&mut self.task).await.map_err(stopped).and_then(|stored| stored));
        }
    }
}

/// The documents that these events are about, as far as they do not lie there already; and whether any of them was folded
/// before, where that is remembered.
pub(super) fn needs(of: &ReadModel, items: &[Item], bench: &Bench) -> Needs {
    let (mut keys, mut matching) = (BTreeSet::<EntityId>::new(), Vec::<Vec<(FieldPath, Bson)>>::new());
    let facts = items.iter().filter_map(Item::facts);
    let remembered = facts.clone().filter(|_| of.remember.is_some());
    let events: BTreeSet<&str> = remembered.filter_map(|facts| Memory::id(facts).ok()).collect();
    let events = events.into_iter().map(str::to_owned).collect();
    for part in facts.flat_map(|facts| &facts.moves) {
        match &part.aim {
            Aim::Key(key) if bench.knows(key) => {}
            Aim::Key(key) => drop(keys.insert(key.clone())),
            Aim::Where(fields) if matching.contains(fields) => {}
            Aim::Where(fields) => matching.push(fields.clone()),
        }
    }
    Needs { keys: keys.into_iter().collect(), matching, events }
}
