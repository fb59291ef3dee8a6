//! A store in memory, which runs in virtual time and without a server.
//!
//! It keeps the contract of [`store`](crate::store), and behaves as MongoDB does wherever nearcopy relies on it: a
//! conformance suite runs on both. What it does not know it refuses, and names it, because it must not guess.
//!
//! Several pods share one [`Memory`]. Its clock is tokio's, so it stands still where that one is paused.

mod change;
mod consumer;
mod embed;
mod epoch;
mod filter;
pub mod meaning;
mod order;
mod parked;
mod read_model;
mod rebuild;
mod record;
mod retire;
mod unknown;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bson::{Bson, Document, Timestamp};
use tokio::sync::Notify;

use super::{Moment, Parked, Presence, Refusal, Written};
use crate::clock::Stopwatch;
use crate::event::{EntityId, EntityType};
use crate::replication::{Alert, Record};
use change::{Entry, What};
use meaning::millis;
use order::Id;
use read_model::Standing;
use update::Touched;

/// The consumer's database.
#[derive(Clone)]
pub struct Memory {
    database: Arc<Mutex<Database>>,
    /// Told of every entry of the log. Those who wait are woken in the order in which they came, so that a run can be
    /// repeated.
    written: Arc<Notify>,
}

/// One pod's connection to it.
#[derive(Clone)]
pub struct Pod {
    memory: Memory,
    name: Arc<str>,
}

/// A collection of the consumer's, in the order of `_id`.
type Collection = BTreeMap<Id, Document>;

/// All that is stored, as it is at some moment.
#[derive(Clone, Default)]
struct Contents {
    records: BTreeMap<EntityType, BTreeMap<EntityId, Held>>,
    collections: BTreeMap<String, Collection>,
    positions: BTreeMap<String, Document>,
    parked: BTreeMap<uuid::Uuid, Parked>,
    /// What may end a process, and how often it was begun with.
    suspects: BTreeMap<uuid::Uuid, u64>,
    /// Who is at work, and until when.
    present: BTreeMap<Arc<str>, (i64, Presence)>,
    /// When owners were restored, in microseconds.
    restored: BTreeMap<EntityType, Vec<i64>>,
    /// Where read models stand, each as a whole or by partitions; their documents are in collections.
    standings: BTreeMap<(EntityType, Option<u16>), Standing>,
    /// By which declarations they are folded.
    folded_by: BTreeMap<EntityType, String>,
    /// What is to be told, in its order.
    outbox: Vec<Alert>,
    /// Events that are remembered, each under a name. They are remembered for ever here: no test waits for days.
    seen: BTreeSet<(String, String)>,
}

/// A record, with what the store knows of it beside.
#[derive(Clone)]
struct Held {
    record: Record,
    mark: Option<Mark>,
    /// Until when it is not retired, in milliseconds.
    hold: Option<i64>,
    /// Whether it comes from an event that had a time; `None` where it comes from no event.
    dated: Option<bool>,
}

/// A mark for retirement.
#[derive(Clone)]
struct Mark {
    id: Bson,
    at: i64,
}

/// Who has a lease, and until when.
struct Lease {
    holder: Arc<str>,
    until: i64,
}

/// What a pod sees that talks to a deposed primary.
struct Frozen {
    at: Moment,
    contents: Contents,
}

struct Database {
    clock: Stopwatch,
    base: i64,
    contents: Contents,
    deposed: BTreeMap<Arc<str>, Frozen>,
    moment: u32,
    log: Vec<Entry>,
    /// What happened up to this moment is no longer in the log.
    forgotten: u32,
    leases: BTreeMap<String, Lease>,
    /// Every event that was ever parked.
    put_aside: BTreeMap<uuid::Uuid, Parked>,
    dice: fastrand::Rng,
    tokens: u32,
}

impl Memory {
    /// An empty database, whose clock shows these milliseconds since 1970. The seed is for what is left to chance.
    pub fn new(now: i64, seed: u64) -> Self {
        let database = Database {
            clock: Stopwatch::start(),
            base: now,
            contents: Contents::default(),
            deposed: BTreeMap::new(),
            moment: 1,
            log: Vec::new(),
            forgotten: 0,
            leases: BTreeMap::new(),
            put_aside: BTreeMap::new(),
            dice: fastrand::Rng::with_seed(seed),
            tokens: 0,
        };
        Self { database: Arc::new(Mutex::new(database)), written: Arc::default() }
    }

    /// A pod's connection.
    pub fn pod(&self, name: &str) -> Pod {
        Pod { memory: self.clone(), name: name.into() }
    }

    /// The database's clock, in milliseconds since 1970.
    pub fn now(&self) -> i64 {
        self.lock().now()
    }

    /// Cuts a pod off with a deposed primary, or lets it find the new one.
    ///
    /// While it is cut off, what it reads without a moment, or after one that the old primary had seen, is as it was
    /// when that one was deposed; and so is the answer to writes that would change nothing there. A write that would
    /// change something finds no majority there, and so reaches the new primary.
    pub fn deposed(&self, pod: &str, is_deposed: bool) {
        let mut database = self.lock();
        let frozen = Frozen { at: database.last(), contents: database.contents.clone() };
        if is_deposed {
            database.deposed.entry(pod.into()).or_insert(frozen);
        } else {
            database.deposed.remove(pod);
        }
    }

    /// Every record of a replica, as it really is.
    pub fn records(&self, replica: &EntityType) -> BTreeMap<EntityId, Record> {
        let database = self.lock();
        let held = database.contents.records.get(replica).into_iter().flatten();
        held.map(|(id, held)| (id.clone(), held.record.clone())).collect()
    }

    /// Every event that was ever put aside, though it may have been made good since.
    pub fn put_aside(&self) -> Vec<Parked> {
        let database = self.lock();
        let mut parked: Vec<Parked> = database.put_aside.values().cloned().collect();
        parked.sort_by_key(|parked| parked.at);
        parked
    }

    /// Keeps a record from being retired until then, in milliseconds of the database's clock.
    pub fn hold(&self, replica: &EntityType, id: &EntityId, until: Option<i64>) {
        let mut database = self.lock();
        if let Some(held) = database.records(replica).get_mut(id) {
            held.hold = until;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Database> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pod {
    fn lock(&self) -> MutexGuard<'_, Database> {
        self.memory.lock()
    }

    /// Lets those know who follow the log.
    fn tell(&self) {
        self.memory.written.notify_waiters();
    }
}

impl Database {
    fn now(&self) -> i64 {
        self.base + millis(self.clock.elapsed())
    }

    fn records(&mut self, replica: &EntityType) -> &mut BTreeMap<EntityId, Held> {
        self.contents.records.entry(replica.clone()).or_default()
    }

    /// What a pod sees that reads after that moment.
    fn seen(&self, pod: &str, after: Option<Moment>) -> &Contents {
        match self.deposed.get(pod) {
            Some(frozen) if after <= Some(frozen.at) => &frozen.contents,
            _ => &self.contents,
        }
    }

    /// The moment of the last write.
    fn last(&self) -> Moment {
        moment(self.moment)
    }

    /// A new moment.
    fn next(&mut self) -> u32 {
        self.moment += 1;
        self.moment
    }

    /// Writes down what happened to a document.
    fn log(&mut self, collection: &str, id: &Id, what: What) {
        let at = self.next();
        self.log.push(Entry { at, collection: collection.to_owned(), id: id.clone(), what });
    }

    /// A value that nobody has had before.
    fn token(&mut self) -> u32 {
        self.tokens += 1;
        self.tokens
    }

    /// What a group of statements did, now that it is done.
    fn written(&self, statements: usize, changed: u64, refused: Vec<Refusal>) -> Written {
        let moment = (statements > 0).then(|| self.last());
        Written { changed, moment, refused, statements, idle: changed == 0 }
    }
}

fn moment(counter: u32) -> Moment {
    Moment(Timestamp { time: counter, increment: 1 })
}

/// What an update does to a document, and its name in the log.
fn changed(changed: Option<(Document, Touched)>) -> Option<(Document, What)> {
    changed.map(|(document, touched)| (document, What::Updated(touched)))
}

/// The first of these; a limit of none is no limit.
fn first<T>(found: impl Iterator<Item = T>, most: usize) -> Vec<T> {
    found.take(if most == 0 { usize::MAX } else { most }).collect()
}
