//! What is measured, as it is kept in a file.

use serde::{Deserialize, Serialize};

/// All that one run of the bench has measured.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// Whether every part has run, with as many events and rounds as are meant.
    pub(crate) is_whole: bool,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    /// What was left out, and why.
    pub(crate) left_out: Vec<String>,
    pub(crate) throughput: Vec<Run>,
    pub(crate) growth: Vec<Run>,
    pub(crate) fan_out: Vec<FanOut>,
    pub(crate) hydration: Option<Hydration>,
    pub(crate) latency: Vec<Latency>,
    pub(crate) start: Option<Start>,
    /// Of earlier runs there may be none.
    #[serde(default)]
    pub(crate) replay: Vec<Replay>,
}

/// Where it was measured, and what.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gb: f64,
    pub(crate) kernel: String,
    pub(crate) rabbitmq: String,
    pub(crate) mongodb: String,
    pub(crate) node: String,
    pub(crate) python: String,
    pub(crate) commit: String,
    pub(crate) date: String,
    pub(crate) load_before: f64,
}

/// What some work has cost. Processor time is for each event or document; that of database and broker is known only
/// where their processes can be seen.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    pub(crate) own_us: f64,
    pub(crate) mongod_us: Option<f64>,
    pub(crate) rabbitmq_us: Option<f64>,
    pub(crate) peak_mb: f64,
    /// How many cores were busy meanwhile with something that has nothing to do with it.
    pub(crate) others: f64,
}

/// One backlog worked off by one contender.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) contender: String,
    pub(crate) workload: String,
    pub(crate) events: usize,
    pub(crate) cost: Cost,
}

impl Run {
    pub(crate) fn per_second(&self) -> f64 {
        self.events as f64 / self.cost.seconds
    }
}

/// All users changed once, and all documents that embed them.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct FanOut {
    pub(crate) contender: String,
    pub(crate) users: u32,
    pub(crate) documents_each: u32,
    pub(crate) cost: Cost,
}

impl FanOut {
    pub(crate) fn documents(&self) -> u32 {
        self.users * self.documents_each
    }

    pub(crate) fn per_second(&self) -> f64 {
        f64::from(self.documents()) / self.cost.seconds
    }
}

/// New documents completed with what is known of those they refer to.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Hydration {
    pub(crate) documents: u32,
    /// From the first insert to the last one, and to the last document that is complete.
    pub(crate) inserted_seconds: f64,
    pub(crate) cost: Cost,
}

/// From the time at which an event was to be published until a reader saw it, at a fixed rate, in milliseconds.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) contender: String,
    pub(crate) rate: u32,
    pub(crate) events: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) most_ms: f64,
}

/// A stream folded into documents, from its first event to its last.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Replay {
    pub(crate) contender: String,
    pub(crate) events: usize,
    pub(crate) seconds: f64,
    /// Of nearcopy alone.
    pub(crate) peak_mb: Option<f64>,
}

impl Replay {
    pub(crate) fn per_second(&self) -> f64 {
        self.events as f64 / self.seconds
    }
}

/// From the start of the process until its first event is visible, in milliseconds; and what it holds at rest.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Upon an empty database.
    pub(crate) first_ms: Vec<f64>,
    /// Upon its own.
    pub(crate) again_ms: Vec<f64>,
    pub(crate) idle_mb: f64,
}
