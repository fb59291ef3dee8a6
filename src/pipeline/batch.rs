//! A batch: the deliveries taken together, what each means to whom, and what became of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::parked_event::parked;
use crate::clock;
use crate::event::{ChangeEvent, DecodeError, Reason};
use crate::replication::{Declaration, Inflow, Misread, Outcome, Subscription};
use crate::source::Delivery;
use crate::store::Parked;
use crate::telemetry::metric;

/// Deliveries and what is known of each.
pub struct Batch {
    items: Vec<Item>,
}

/// A delivery, and its part for each replica that reacts to it; without any it means nothing here.
struct Item {
    delivery: Delivery,
    parts: Vec<Part>,
}

/// What a delivery means to one replica, and what became of that.
struct Part {
    of: Option<Arc<Subscription>>,
    meaning: Meaning,
    outcome: Option<Outcome>,
}

enum Meaning {
    /// A change of an entity.
    Change(ChangeEvent),
    /// A change that is being written, with the owner's time of it.
    Underway(Option<i64>),
    /// Something that cannot be read, or not be stored.
    Unreadable(Misread, Box<Parked>),
}

/// What became of a change, or why the database will never take it.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Its effect is durable, or it needs none.
    Done(Outcome),
    /// The database refused the record it makes.
    Refused(DecodeError),
}

/// An event that is to be put aside.
pub struct Unreadable<'b> {
    /// The replica it is for, if that much is known.
    pub of: Option<&'b Arc<Subscription>>,
    /// What could be read of it.
    pub misread: &'b Misread,
    /// What is kept of it.
    pub parked: &'b Parked,
    /// Where what became of it is noted.
    pub outcome: &'b mut Option<Outcome>,
}

/// Reads what each delivery means to the replicas that a source feeds.
pub fn decode(declaration: &Declaration, source: &Inflow, deliveries: Vec<Delivery>) -> Batch {
    note_received(source, &deliveries);
    let now = clock::wall_micros();
    let read = |delivery: Delivery| {
        let parts = parts(declaration, source, &delivery, now);
        Item { delivery, parts }
    };
    Batch { items: deliveries.into_iter().map(read).collect() }
}

fn note_received(source: &Inflow, deliveries: &[Delivery]) {
    metric::source_received(source.name(), deliveries.len());
    metric::redelivered(source.name(), deliveries.iter().filter(|delivery| delivery.redelivered).count());
}

fn parts(declaration: &Declaration, source: &Inflow, delivery: &Delivery, now: i64) -> Vec<Part> {
    let notice = match source.envelope().open(&delivery.message()) {
        Ok(notice) => notice,
        Err(error) => {
            let misread = Misread { entity: None, version: None, error };
            let parked = Box::new(parked(source, None, delivery, None, &misread));
            return vec![Part { of: None, meaning: Meaning::Unreadable(misread, parked), outcome: None }];
        }
    };
    let part = |of: &Arc<Subscription>| {
        let meaning = match of.interpret(&notice, now) {
            Ok(event) => Meaning::Change(event?),
            Err(misread) => {
                let parked = Box::new(parked(source, Some(of), delivery, Some(&notice), &misread));
                Meaning::Unreadable(misread, parked)
            }
        };
        Some(Part { of: Some(of.clone()), meaning, outcome: None })
    };
    // Thousands of these are held at once, nearly all for one replica: they have the room that they need, and no more.
    let mut parts = Vec::with_capacity(declaration.fed_by(source.name()).count());
    parts.extend(declaration.fed_by(source.name()).filter_map(part));
    parts
}

impl Batch {
    /// Deliveries that are not read at all.
    pub fn unread(source: &Inflow, deliveries: Vec<Delivery>) -> Self {
        note_received(source, &deliveries);
        let error = DecodeError::new(Reason::CrashSuspect, "the process has ended each time it was read");
        let item = |delivery: Delivery| {
            let misread = Misread { entity: None, version: None, error: error.clone() };
            let parked = Box::new(parked(source, None, &delivery, None, &misread));
            let part = Part { of: None, meaning: Meaning::Unreadable(misread, parked), outcome: None };
            Item { delivery, parts: vec![part] }
        };
        Self { items: deliveries.into_iter().map(item).collect() }
    }

    /// Makes all changes events that are put aside.
    pub fn refuse_all(&mut self, source: &Inflow, error: &DecodeError) {
        for Item { delivery, parts } in &mut self.items {
            for part in parts {
                let Meaning::Change(event) = &part.meaning else { continue };
                part.refuse(source, delivery, event.clone(), error.clone());
            }
        }
    }

    /// Takes out the changes, by replica.
    pub fn events(&mut self) -> Vec<(Arc<Subscription>, Vec<ChangeEvent>)> {
        let mut groups: Vec<(Arc<Subscription>, Vec<ChangeEvent>)> = Vec::new();
        for part in self.items.iter_mut().flat_map(|item| &mut item.parts) {
            let (Some(of), Meaning::Change(event)) = (&part.of, &part.meaning) else { continue };
            let underway = Meaning::Underway(event.stamp.at);
            let Meaning::Change(event) = std::mem::replace(&mut part.meaning, underway) else { continue };
            match groups.iter_mut().find(|(known, _)| known.name == of.name) {
                Some((_, events)) => events.push(event),
                None => groups.push((of.clone(), vec![event])),
            }
        }
        groups
    }

    /// Notes what became of a replica's changes, in the order in which they were taken out.
    pub fn conclude(&mut self, source: &Inflow, of: &Subscription, verdicts: Vec<(ChangeEvent, Verdict)>) {
        let mut verdicts = verdicts.into_iter();
        for Item { delivery, parts } in &mut self.items {
            for part in parts.iter_mut().filter(|part| part.is_underway(of)) {
                match verdicts.next() {
                    Some((_, Verdict::Done(outcome))) => part.outcome = Some(outcome),
                    Some((event, Verdict::Refused(error))) => part.refuse(source, delivery, event, error),
                    None => {}
                }
            }
        }
    }

    /// The events that are to be put aside, each with what could be read of it.
    pub fn unreadable(&mut self) -> impl Iterator<Item = Unreadable<'_>> {
        let parts = self.items.iter_mut().flat_map(|item| &mut item.parts);
        parts.filter_map(|Part { of, meaning, outcome }| match meaning {
            Meaning::Unreadable(misread, parked) => {
                Some(Unreadable { of: of.as_ref(), misread, parked, outcome })
            }
            Meaning::Change(_) | Meaning::Underway(_) => None,
        })
    }

    /// Closes the books on every delivery and tells the broker. What has no outcome is not settled.
    pub fn settle(self, source: &Inflow) {
        let now = clock::wall_micros();
        let mut books: BTreeMap<(&str, Outcome), usize> = BTreeMap::new();
        let mut lags: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for Item { parts, .. } in self.items.iter().filter(|item| item.is_done()) {
            for (replica, at) in parts.iter().filter_map(Part::applied_at) {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a lag of seconds needs no more than 52 bits"
                )]
                lags.entry(replica).or_default().push((now - at) as f64 / 1e6);
            }
            *books.entry(entry(parts)).or_default() += 1;
        }
        for ((replica, outcome), count) in books {
            metric::events(source.name(), replica, outcome, count);
        }
        for (replica, lags) in lags {
            metric::lags(replica, lags);
        }
        self.items.into_iter().filter(Item::is_done).for_each(|item| item.delivery.settle());
    }
}

/// A delivery's one entry in the books: what mattered most of what became of it, and for which replica.
fn entry(parts: &[Part]) -> (&str, Outcome) {
    let weightiest = parts.iter().max_by_key(|part| part.outcome);
    let replica = weightiest.and_then(|part| part.of.as_ref()).map_or("", |of| of.name.as_str());
    (replica, weightiest.and_then(|part| part.outcome).unwrap_or(Outcome::Ignored))
}

impl Item {
    fn is_done(&self) -> bool {
        self.parts.iter().all(|part| part.outcome.is_some())
    }
}

impl Part {
    fn is_underway(&self, of: &Subscription) -> bool {
        let theirs = self.of.as_ref().is_some_and(|known| known.name == of.name);
        theirs && self.outcome.is_none() && matches!(self.meaning, Meaning::Underway(_))
    }

    /// The replica that was changed, and the owner's time of the change.
    fn applied_at(&self) -> Option<(&str, i64)> {
        match (&self.of, &self.meaning, self.outcome) {
            (Some(of), Meaning::Underway(at), Some(Outcome::Applied)) => Some((of.name.as_str(), (*at)?)),
            _ => None,
        }
    }

    /// The database will never take what this event makes: it is put aside like one that cannot be read.
    fn refuse(&mut self, source: &Inflow, delivery: &Delivery, event: ChangeEvent, error: DecodeError) {
        let misread = Misread { entity: Some(event.entity), version: event.version, error };
        let notice = source.envelope().open(&delivery.message()).ok();
        let parked = parked(source, self.of.as_ref(), delivery, notice.as_ref(), &misread);
        self.meaning = Meaning::Unreadable(misread, Box::new(parked));
    }
}
