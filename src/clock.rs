//! The only reader of time.
//!
//! What decides is given the time as an argument, so that it can be tested without waiting.

#![expect(clippy::disallowed_methods, reason = "this is the one place that reads time")]

use std::time::Instant;

/// The monotonic time, for deadlines and durations. It follows tokio's clock, so it stands still in a test
/// that pauses that one.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The time of day in microseconds since 1970, to be compared with times that others have stamped.
pub fn wall_micros() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    pub fn start() -> Self {
        Self(now())
    }

    /// How long it has been.
    pub fn elapsed(&self) -> std::time::Duration {
        now().saturating_duration_since(self.0)
    }
}
