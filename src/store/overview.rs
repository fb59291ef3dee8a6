//! What is stored, who is at work on it, and what is left to do, at one look.

use bson::Document;

use super::{Backlog, Checkpoint, Presence};
use crate::event::EntityType;
use crate::replication::Standing;

/// All that one look at the database tells of how things stand.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    /// Where the manifest stands among the generations that the database has seen.
    pub standing: Standing,
    /// The newest of them.
    pub newest: i32,
    /// The pods at work.
    pub pods: Vec<Presence>,
    /// The replicas, in the order of the manifest.
    pub replicas: Vec<ReplicaOverview>,
    /// The read models, likewise.
    pub read_models: Vec<ReadModelOverview>,
    /// What pods have taken on, and hold at this moment.
    pub leases: Vec<Lease>,
    /// How far walks and feeds have come.
    pub positions: Vec<Position>,
    /// How many parked events are of no known replica.
    pub parked_of_nobody: u64,
    /// What is to be told to others.
    pub outbox: Outbox,
}

/// How a replica stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaOverview {
    /// Its name.
    pub name: EntityType,
    /// How many records there are.
    pub records: u64,
    /// How many are live, and how many gone; nothing, where counting them would have taken too long.
    pub states: Option<States>,
    /// What is left to do.
    pub backlog: Backlog,
    /// How many are pending though the owner was asked again and again.
    pub unanswered: u64,
    /// How many events of it are parked.
    pub parked: u64,
    /// The owner's epoch.
    pub epoch: i64,
}

/// Records by state, without those that are pending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// Held.
    pub live: u64,
    /// Known not to be there.
    pub gone: u64,
}

/// How a read model stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadModelOverview {
    /// Its name.
    pub name: EntityType,
    /// How far it is folded, in each partition or in the whole; nowhere, where nothing was folded yet.
    pub at: Vec<Checkpoint>,
    /// When its last turn was, in milliseconds since 1970.
    pub turned: Option<i64>,
    /// By which declaration, as a hash of it, where that was noted.
    pub folded_by: Option<String>,
    /// How many documents it has.
    pub documents: u64,
    /// How many of them wait for parked events.
    pub held: u64,
    /// How many events of it are parked.
    pub parked: u64,
    /// How far it is folded anew, where somebody is at it.
    pub rebuilt: Vec<Checkpoint>,
}

/// A piece of work that a pod has taken on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What it is.
    pub name: String,
    /// The id of the pod.
    pub holder: String,
}

/// How far a walk, a stream of changes or a feed has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// Of what.
    pub name: String,
    /// When that was noted, in milliseconds since 1970.
    pub at: Option<i64>,
    /// The position as it is stored.
    pub position: Document,
}

/// What is to be told to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    /// How many messages.
    pub waiting: u64,
    /// For how long the oldest has waited, in milliseconds.
    pub oldest: Option<i64>,
}

/// How many documents have to do with an entity; nothing, where counting them would have taken too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Embedding {
    /// They refer to it.
    pub referring: Option<u64>,
    /// They show something of it.
    pub showing: Option<u64>,
    /// They show an older revision of it, or nothing yet.
    pub outdated: Option<u64>,
}
