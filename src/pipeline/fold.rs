//! One turn of a fold, without the database: events in, documents and parked events out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bson::Document;

use super::parked_event;
use crate::event::{DecodeError, EntityId, Envelope, Reason};
use crate::replication::{Bench, Facts, Held, Outcome, ReadModel, StreamSpec};
use crate::source::Delivery;
use crate::store::{Folded, Parked};

/// A delivery, and what it says to a read model.
pub(super) struct Item {
    delivery: Delivery,
    says: Result<Option<Facts>, DecodeError>,
}

/// The events of a turn, and the bench that they are folded on.
pub(super) struct Work {
    of: Arc<ReadModel>,
    stream: Arc<StreamSpec>,
    bench: Bench,
    items: Vec<Item>,
    now: i64,
    done: Done,
}

/// Where the one who ordered the work finds what came of it.
#[derive(Clone, Default)]
pub(super) struct Done(Arc<Mutex<Option<Outcomes>>>);

/// What came of a turn.
pub(super) struct Outcomes {
    /// The documents as they are now.
    pub(super) bench: Bench,
    /// What became of the events.
    pub(super) books: BTreeMap<Outcome, usize>,
    /// Those that wait.
    pub(super) parked: Vec<Parked>,
    /// How long ago they happened, in seconds.
    pub(super) lags: Vec<f64>,
    /// Where the first event stands that cannot be folded, and why, where none may wait.
    pub(super) stopped: Option<(u64, String)>,
}

/// What tells a delivery from any other.
pub(super) fn hash_of(delivery: &Delivery) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&delivery.body))
}

impl Item {
    /// Reads a delivery.
    pub(super) fn read(delivery: Delivery, of: &ReadModel, envelope: &Envelope) -> Self {
        let says = envelope.open(&delivery.message()).and_then(|notice| of.interpret(&notice));
        Self { delivery, says }
    }

    /// What it says, if anything.
    pub(super) fn facts(&self) -> Option<&Facts> {
        self.says.as_ref().ok()?.as_ref()
    }
}

impl Done {
    fn put(&self, all: Outcomes) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(all);
    }

    /// What came of the work, once it is done.
    pub(super) fn take(&self) -> Option<Outcomes> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}

impl Work {
    /// Lays out the work; time is microseconds since 1970.
    pub(super) fn new(
        of: Arc<ReadModel>,
        stream: Arc<StreamSpec>,
        bench: Bench,
        items: Vec<Item>,
        now: i64,
    ) -> (Self, Done) {
        let done = Done::default();
        (Self { of, stream, bench, items, now, done: done.clone() }, done)
    }

    /// Folds all events in their order, once the documents lie there that were needed.
    pub(super) fn fold(mut self, found: Vec<(EntityId, Document)>) -> Folded {
        for (key, document) in found {
            self.bench.lay(key, Some(document));
        }
        let (mut books, mut parked, mut lags) = (BTreeMap::new(), Vec::new(), Vec::new());
        for item in std::mem::take(&mut self.items) {
            let outcome = match &item.says {
                Ok(None) => Outcome::Ignored,
                Ok(Some(facts)) => {
                    let held = self.bench.fold(facts, self.now);
                    lags.extend(facts.at.map(|at| self.seconds_since(at.timestamp_millis())));
                    let outcome = if held.is_empty() { Outcome::Applied } else { Outcome::Parked };
                    parked.extend(held.iter().map(|held| self.waits(&item, held)));
                    outcome
                }
                Err(error) => {
                    parked.push(self.put_aside(&item, None, error));
                    Outcome::Parked
                }
            };
            *books.entry(outcome).or_default() += 1;
        }
        let (stored, deleted) = self.bench.take_changed();
        let folded = Folded { stored, deleted, parked: parked.clone(), unparked: Vec::new() };
        let all = Outcomes { bench: self.bench, books, parked, lags, stopped: None };
        self.done.put(all);
        folded
    }

    /// The same where none may wait: at the first event that cannot be folded, it is over.
    pub(super) fn fold_strictly(mut self, found: Vec<(EntityId, Document)>) -> Folded {
        for (key, document) in found {
            self.bench.lay(key, Some(document));
        }
        let mut stopped = None;
        for item in &self.items {
            let place = item.delivery.place().unwrap_or_default();
            let wrong = match &item.says {
                Ok(None) => None,
                Ok(Some(facts)) => self.bench.fold(facts, self.now).into_iter().find_map(|held| held.error),
                Err(error) => Some(error.clone()),
            };
            stopped = wrong.map(|error| (place, error.to_string()));
            if stopped.is_some() {
                break;
            }
        }
        let (stored, deleted) = self.bench.take_changed();
        let folded = Folded { stored, deleted, ..Folded::default() };
        let all = Outcomes {
            bench: self.bench,
            books: BTreeMap::new(),
            parked: Vec::new(),
            lags: Vec::new(),
            stopped,
        };
        self.done.put(all);
        folded
    }

    #[expect(clippy::cast_precision_loss, reason = "a lag is no exact number")]
    fn seconds_since(&self, millis: i64) -> f64 {
        (self.now / 1000).saturating_sub(millis).max(0) as f64 / 1000.0
    }

    /// An event that one document waits for.
    fn waits(&self, item: &Item, held: &Held) -> Parked {
        let behind = || DecodeError::new(Reason::Behind, "an earlier event of the document waits");
        let error = held.error.clone().unwrap_or_else(behind);
        self.put_aside(item, Some(held), &error)
    }

    fn put_aside(&self, item: &Item, held: Option<&Held>, error: &DecodeError) -> Parked {
        let notice = self.stream.envelope.open(&item.delivery.message()).ok();
        let place = item.delivery.place().unwrap_or_default();
        let key = held.map(|held| &held.key);
        let parked = parked_event::of_model(
            &self.of,
            &self.stream.name,
            &item.delivery,
            notice.as_ref(),
            place,
            key,
            error,
        );
        Parked { version: held.map(|held| held.number), ..parked }
    }
}
