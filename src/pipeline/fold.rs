//! One turn of a fold, without the database: events in, documents and parked events out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::parked_event;
use crate::event::{DecodeError, EntityId, Envelope, Notice, Reason};
use crate::replication::{Aim, Alert, Bench, Facts, Held, Inflow, Memory, Outcome, ReadModel};
use crate::source::Delivery;
use crate::store::{Fold, Folded, Found, Lapsed, Noted, Parked};

/// A delivery, and what it says to a read model.
pub(super) struct Item {
    delivery: Delivery,
    /// Of which partition it is.
    partition: Option<u16>,
    says: Result<Option<Facts>, DecodeError>,
}

/// What is made of an event that cannot be folded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// It waits, and with it those that come after it for the same document. Rules tell others of what they see.
    Live,
    /// It is the end. Rules are silent, but set deadlines.
    Strict,
}

/// The events of a turn, and the bench that they are folded on.
pub(super) struct Work {
    pub(super) of: Arc<ReadModel>,
    pub(super) inflow: Inflow,
    pub(super) bench: Bench,
    pub(super) items: Arc<Vec<Item>>,
    pub(super) manner: Manner,
    /// Documents of which rules tell because nothing has changed them.
    pub(super) lapsed: Option<Lapsed>,
    /// The time of day, in microseconds since 1970.
    pub(super) now: i64,
}

/// Where the one who ordered the work finds what came of it.
#[derive(Clone, Default)]
pub(super) struct Done(Arc<Mutex<Option<Outcomes>>>);

/// What came of a turn.
#[derive(Default)]
pub(super) struct Outcomes {
    /// The documents as they are now.
    pub(super) bench: Bench,
    /// What became of the events.
    pub(super) books: BTreeMap<Outcome, usize>,
    /// Those that wait.
    pub(super) parked: Vec<Parked>,
    /// Their ids, as far as they have some.
    pub(super) settled: Vec<String>,
    /// How long ago they happened, in seconds.
    pub(super) lags: Vec<f64>,
    /// What rules tell.
    pub(super) alerts: Vec<Alert>,
    /// The rules that could not say whether they fire, or what they tell.
    pub(super) failed: Vec<(String, DecodeError)>,
    /// Where the event stands that was the end, and why it cannot be folded.
    pub(super) stopped: Option<(String, String)>,
}

/// What tells a delivery from any other.
pub(super) fn hash_of(delivery: &Delivery) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&delivery.body))
}

/// Opens a delivery for a read model: what it was published under counts as said in it, where that is read.
fn opened<'d>(
    delivery: &'d Delivery,
    of: &ReadModel,
    envelope: &Envelope,
) -> Result<Notice<'d>, DecodeError> {
    let notice = envelope.open(&delivery.message())?;
    Ok(match delivery.routing_key().filter(|_| of.reads_routing_key()) {
        Some(key) => notice.under(key),
        None => notice,
    })
}

impl Item {
    /// Reads deliveries.
    pub(super) fn all(deliveries: Vec<Delivery>, of: &ReadModel, inflow: &Inflow) -> Vec<Self> {
        let (envelope, partition) = (inflow.envelope(), inflow.part().map(|part| part.number));
        deliveries.into_iter().map(|delivery| Self::read(delivery, partition, of, envelope)).collect()
    }

    fn read(delivery: Delivery, partition: Option<u16>, of: &ReadModel, envelope: &Envelope) -> Self {
        let says = opened(&delivery, of, envelope).and_then(|notice| of.interpret(&notice));
        Self { delivery, partition, says }
    }

    /// Of which partition it is.
    pub(super) fn partition(&self) -> Option<u16> {
        self.partition
    }

    /// At which place of its log or partition it stands.
    pub(super) fn number(&self) -> Option<u64> {
        self.delivery.place()
    }

    /// Where it stands, if that is a place of its own among all that the read model is folded from.
    pub(super) fn label(&self) -> Option<String> {
        let place = self.delivery.place()?;
        Some(self.partition.map_or_else(|| place.to_string(), |number| format!("{number}/{place}")))
    }

    /// The same for a person.
    pub(super) fn whereabouts(&self) -> String {
        let offset = format!("offset {}", self.delivery.place().unwrap_or_default());
        self.partition.map_or(offset.clone(), |number| format!("{offset} of partition {number}"))
    }

    /// Where it stands, and what tells it from any other that may stand there.
    pub(super) fn place(&self) -> Option<(u64, String)> {
        Some((self.delivery.place()?, hash_of(&self.delivery)))
    }

    /// Whether the broker has delivered it before.
    pub(super) fn is_redelivered(&self) -> bool {
        self.delivery.redelivered
    }

    /// Says that what came of it is durable.
    pub(super) fn settle(self) {
        self.delivery.settle();
    }

    /// Forgets what it says of other documents.
    pub(super) fn keep_what_is_about(&mut self, key: &EntityId) {
        let Ok(Some(facts)) = &mut self.says else { return };
        facts.moves.retain(|part| !matches!(&part.aim, Aim::Key(other) if other != key));
        if facts.moves.is_empty() {
            self.says = Ok(None);
        }
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
    /// The work as it is done once there is what was needed, and where its outcome will be.
    pub(super) fn ordered(self) -> (Fold, Done) {
        let done = Done::default();
        let there = done.clone();
        (Box::new(move |found| self.fold(found, &there)), done)
    }

    /// Folds the events in their order.
    fn fold(mut self, found: Found, done: &Done) -> Folded {
        for (key, document) in found.documents {
            self.bench.lay(key, Some(document));
        }
        let (mut came, mut memory) = (Outcomes::default(), Memory::of(found.events));
        for item in &*self.items.clone() {
            let outcome = self.fold_one(item, &mut memory, &mut came);
            *came.books.entry(outcome).or_default() += 1;
            if let (Manner::Strict, Some(first)) = (self.manner, came.parked.first()) {
                came.stopped = Some((item.whereabouts(), format!("{}: {}", first.reason, first.detail)));
                done.put(came);
                return Folded::default();
            }
        }
        if let Some(lapsed) = &self.lapsed {
            came.alerts.extend(self.bench.pass_deadlines(&self.of, &lapsed.keys, lapsed.until));
        }
        let (stored, deleted) = self.bench.take_changed();
        let (parked, alerts) = (came.parked.clone(), came.alerts.clone());
        let noted = Noted { events: memory.into_new(), keep: self.of.remember.unwrap_or_default() };
        done.put(Outcomes { bench: self.bench, ..came });
        Folded { stored, deleted, parked, unparked: Vec::new(), alerts, noted }
    }

    fn fold_one(&mut self, item: &Item, memory: &mut Memory, came: &mut Outcomes) -> Outcome {
        let read = match &item.says {
            Ok(None) => return Outcome::Ignored,
            Ok(Some(facts)) if self.of.remember.is_some() => memory.meet(facts).map(|is_new| (facts, is_new)),
            Ok(Some(facts)) => Ok((facts, true)),
            Err(error) => Err(error.clone()),
        };
        let facts = match read {
            Ok((facts, true)) => facts,
            Ok((facts, false)) => {
                came.settled.extend(facts.event.clone());
                return Outcome::Duplicate;
            }
            Err(error) => {
                came.parked.push(self.put_aside(item, None, &error));
                return Outcome::Parked;
            }
        };
        let by_rules = match self.manner {
            Manner::Live => !self.of.rules.is_empty(),
            Manner::Strict => self.of.has_deadlines(),
        };
        let held =
            if by_rules { self.fold_by_rules(item, facts, came) } else { self.bench.fold(facts, self.now) };
        came.settled.extend(facts.event.clone());
        came.lags.extend(facts.at.map(|at| self.seconds_since(at.timestamp_millis())));
        came.parked.extend(held.iter().map(|held| self.waits(item, held)));
        if held.is_empty() { Outcome::Applied } else { Outcome::Parked }
    }

    /// Folds an event, and asks the rules about each document that it brings to another state.
    fn fold_by_rules(&mut self, item: &Item, facts: &Facts, came: &mut Outcomes) -> Vec<Held> {
        let of = self.of.clone();
        let place = item.label().unwrap_or_else(|| "0".to_owned());
        // It was opened and read before, so it can be again.
        let Ok(notice) = opened(&item.delivery, &of, self.inflow.envelope()) else { return Vec::new() };
        let Ok(event) = of.lookup.find(&notice) else { return Vec::new() };
        let is_heard = self.manner == Manner::Live;
        self.bench.fold_seen(facts, self.now, &mut |seen| {
            let (alerts, failed) = of.alerts(&event, &place, seen);
            if is_heard {
                came.alerts.extend(alerts);
                came.failed.extend(failed);
            }
        })
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
        let notice = opened(&item.delivery, &self.of, self.inflow.envelope()).ok();
        let key = held.map(|held| &held.key);
        let told =
            parked_event::Told { delivery: &item.delivery, label: item.label(), notice: notice.as_ref() };
        let parked = parked_event::of_model(&self.of, self.inflow.name(), told, key, error);
        Parked { version: held.map(|held| held.number), ..parked }
    }
}
