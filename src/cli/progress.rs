//! How far something has come: one line that changes, for whoever watches a terminal, and nothing elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::sync::Mutex;
use std::time::Duration;

use crate::clock::Stopwatch;

/// How often the line changes at most.
const EVERY: Duration = Duration::from_millis(200);

/// A line on a terminal.
pub(super) struct Progress {
    shown: bool,
    began: Stopwatch,
    last: Mutex<Option<Stopwatch>>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { shown: stderr().is_terminal(), began: Stopwatch::start(), last: Mutex::new(None) }
    }

    /// Says how far it is, if it has not done so a moment ago.
    pub(super) fn say(&self, text: &str) {
        if !self.shown {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.as_ref().is_none_or(|last| last.elapsed() > EVERY) {
            *last = Some(Stopwatch::start());
            let _unheard = write!(stderr(), "\r\u{1b}[2K{text}");
        }
    }

    /// How long the rest takes, if it goes on as it has so far.
    pub(super) fn rest(&self, done: u64, all: u64) -> String {
        #[expect(clippy::cast_precision_loss, reason = "an estimate is no exact number")]
        let left = all.saturating_sub(done) as f64 / done.max(1) as f64;
        let seconds = self.began.elapsed().as_secs_f64() * left;
        format!("about {seconds:.0} s to go")
    }

    /// Clears the line, so that what comes next begins at its start.
    pub(super) fn end(&self) {
        if self.shown {
            let _unheard = write!(stderr(), "\r\u{1b}[2K");
        }
    }
}
