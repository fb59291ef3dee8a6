//! What happened in a run, when, and which laws were broken.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nearcopy::clock;

/// A law that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The law, in words.
    pub(crate) law: &'static str,
    /// What was found.
    pub(crate) detail: String,
}

/// The journal of one run, shared by all its parts.
#[derive(Clone)]
pub(crate) struct Journal {
    begun: Instant,
    keeps_lines: bool,
    pages: Arc<Mutex<Pages>>,
}

#[derive(Default)]
struct Pages {
    lines: Vec<String>,
    violations: Vec<Violation>,
    counts: BTreeMap<&'static str, u64>,
}

impl Journal {
    /// Begins a journal; without lines it only counts, and keeps what was broken.
    pub(crate) fn begin(keeps_lines: bool) -> Self {
        Self { begun: clock::now(), keeps_lines, pages: Arc::default() }
    }

    /// How long the run has been going on, in its own time.
    pub(crate) fn now(&self) -> Duration {
        clock::now().saturating_duration_since(self.begun)
    }

    /// Notes what happened.
    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        if self.keeps_lines {
            let line = format!("{:>10.3}  {}", self.now().as_secs_f64(), line());
            self.pages().lines.push(line);
        }
    }

    /// Counts what happened.
    pub(crate) fn count(&self, what: &'static str) {
        self.count_many(what, 1);
    }

    /// Counts what happened several times.
    pub(crate) fn count_many(&self, what: &'static str, times: u64) {
        *self.pages().counts.entry(what).or_default() += times;
    }

    /// Notes that a law was broken.
    pub(crate) fn broken(&self, law: &'static str, detail: String) {
        self.note(|| format!("BROKEN {law}: {detail}"));
        self.pages().violations.push(Violation { law, detail });
    }

    /// The laws that were broken so far.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.pages().violations.clone()
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.pages().lines.clone()
    }

    /// All counts so far.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.pages().counts.clone()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
