//! How much is written here: whoever is woken by every write comes from time to time instead, while there are many.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Stopwatch;

/// From so many writes a second on there are many.
const MANY: u64 = 1_000;
/// For how long they are counted before that is said.
const WINDOW: Duration = Duration::from_millis(100);

/// The records and documents that were written.
#[derive(Default)]
pub struct Load(AtomicU64);

/// Looks from time to time at how many they are.
pub struct Gauge {
    written: u64,
    since: Stopwatch,
    is_high: bool,
}

impl Load {
    /// So many more.
    pub fn add(&self, writes: u64) {
        self.0.fetch_add(writes, Ordering::Relaxed);
    }

    /// Begins to look.
    pub fn gauge(&self) -> Gauge {
        Gauge { written: self.now(), since: Stopwatch::start(), is_high: false }
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Whether there were many writes of late.
    pub fn is_high(&mut self, load: &Load) -> bool {
        let took = self.since.elapsed();
        if took >= WINDOW {
            let now = load.now();
            let most = u128::from(MANY) * took.as_millis() / 1_000;
            *self = Self {
                written: now,
                since: Stopwatch::start(),
                is_high: u128::from(now - self.written) > most,
            };
        }
        self.is_high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_load_is_high_while_many_writes_are_made() {
        let load = Load::default();
        load.add(1_000_000);
        let mut gauge = load.gauge();
        let mut after = async |writes| {
            load.add(writes);
            tokio::time::advance(WINDOW).await;
            gauge.is_high(&load)
        };
        assert!(!after(0).await, "what was written before nobody looked");
        assert!(!after(100).await);
        assert!(after(101).await);
        assert!(!after(0).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_holds_until_enough_is_seen() {
        let load = Load::default();
        let mut gauge = load.gauge();
        load.add(500);
        assert!(!gauge.is_high(&load));
        tokio::time::advance(WINDOW).await;
        assert!(gauge.is_high(&load));
        tokio::time::advance(WINDOW / 2).await;
        assert!(gauge.is_high(&load));
        tokio::time::advance(Duration::from_secs(10)).await;
        load.add(9_000);
        assert!(!gauge.is_high(&load), "of ten seconds");
    }
}
