//! What a reader is told of a record, and whether that is good enough for what it wishes.

use std::sync::Arc;
use std::time::Duration;

use super::{Record, State, Subscription};
use crate::event::Version;

/// How a replica may be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadSpec {
    /// The fields by which lists may be asked for; each has an index.
    pub filters: Vec<String>,
    /// The fields of which no two entities should have the same value; each has an index, too.
    pub unique: Vec<String>,
    /// How long an entity that was missing stays wanted once it was asked for, though no document refers to it.
    pub wanted: Duration,
}

impl ReadSpec {
    /// The fields that need an index, each once.
    pub fn indexed(&self) -> impl Iterator<Item = &str> {
        let unique = self.unique.iter().filter(|name| !self.filters.contains(name));
        self.filters.iter().chain(unique).map(String::as_str)
    }
}

/// A record as it was read for somebody. Times are the database's. It is told to many, so copies share what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The record.
    pub record: Arc<Record>,
    /// Where what it holds comes from: `event`, `fetch` or `erase`; empty, where nothing is held yet.
    pub origin: Arc<str>,
    /// The id of the event that brought it, where that had one.
    pub event: Option<Arc<str>>,
    /// The owner's time of the change, in milliseconds since 1970.
    pub at: Option<i64>,
    /// When it was read, in milliseconds since 1970.
    pub read: i64,
}

/// What a reader wishes to be true of what it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The owner's version is this one or a later one.
    pub min_version: Option<Version>,
    /// It was known to be as the owner has it no longer ago than this.
    pub max_staleness: Option<Duration>,
    /// It comes from the event of this id.
    pub event: Option<String>,
    /// Whether only what is held counts, and the owner is not asked.
    pub local: bool,
}

/// What is to be done for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// It is told what is held, or that nothing is.
    Tell,
    /// The owner has to be asked first.
    Ask,
    /// What it wishes may still come.
    Wait,
}

impl Reading {
    /// How long ago this was last known to be as the owner has it: when it came, or when the owner last answered.
    pub fn age(&self) -> Duration {
        let answered = self.record.asked.filter(|_| self.record.claim.is_none() && self.record.tries == 0);
        let known = answered.map_or(self.record.rev, |asked| asked.max(self.record.rev)) / 1000;
        Duration::from_millis(u64::try_from(self.read - known).unwrap_or_default())
    }

    /// A live record with nothing in it, of this revision.
    #[cfg(test)]
    pub fn live(id: crate::event::EntityId, rev: i64) -> Self {
        let record = Record { rev, ..Record::blank(id, State::Live) };
        Self { record: record.into(), origin: "event".into(), event: None, at: None, read: 0 }
    }

    /// Whether the owner is being asked, or will be in a moment: to call for it again would void that answer.
    fn is_asked_about(&self) -> bool {
        self.record.claim.is_some() || self.record.due.is_some_and(|due| due <= self.read)
    }

    /// Whether the owner is known to have something newer.
    pub fn is_stale(&self) -> bool {
        self.record.need.is_some()
    }
}

impl Wish {
    /// What is to be done for whoever wishes this and would be told that; `asked`, where the owner has been asked
    /// for it already.
    pub fn service(&self, of: &Subscription, reading: Option<&Reading>, asked: bool) -> Service {
        let asks = of.fetch.is_some() && !self.local;
        let met = match reading {
            None => !asks && self.is_modest(),
            Some(reading) if reading.record.state == State::Pending => !asks && self.is_modest(),
            Some(reading) => self.is_met(reading),
        };
        let under_way = reading.is_some_and(Reading::is_asked_about);
        match (met, asks && !asked && !under_way) {
            (true, _) => Service::Tell,
            (false, true) => Service::Ask,
            (false, false) => Service::Wait,
        }
    }

    fn is_met(&self, reading: &Reading) -> bool {
        let new_enough = self.min_version.is_none_or(|least| reading.record.version() >= Some(least));
        let fresh = self.max_staleness.is_none_or(|most| reading.age() <= most && !reading.is_stale());
        new_enough && fresh && (self.event.is_none() || self.event.as_deref() == reading.event.as_deref())
    }

    /// Whether anything at all will do.
    pub fn is_modest(&self) -> bool {
        self.min_version.is_none() && self.max_staleness.is_none() && self.event.is_none()
    }
}
