//! What is measured, as it is kept in a file.

use serde::{Deserialize, Serialize};

/// All that one run of the bench has measured.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// What was left out, and why.
    pub(crate) left_out: Vec<String>,
    pub(crate) throughput: Vec<Run>,
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

/// One backlog worked off by one contender.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) contender: String,
    pub(crate) workload: String,
    pub(crate) events: usize,
    pub(crate) seconds: f64,
    /// Processor time for each event: its own, the database's, the broker's. The latter two only where their
    /// processes can be seen.
    pub(crate) own_us: f64,
    pub(crate) mongod_us: Option<f64>,
    pub(crate) rabbitmq_us: Option<f64>,
    pub(crate) peak_mb: f64,
    /// How many cores were busy meanwhile with something that has nothing to do with it.
    pub(crate) others: f64,
}

impl Run {
    pub(crate) fn events_per_second(&self) -> f64 {
        self.events as f64 / self.seconds
    }
}
