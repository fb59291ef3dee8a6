//! Which events were settled here lately, for readers who wait for one.
//!
//! A record tells only of the event that changed it last. Whoever waits for one that a newer one has overtaken, that was
//! folded together with others, or that changed nothing, would wait in vain.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use xxhash_rust::xxh3::xxh3_64;

/// How many are remembered.
const REMEMBERED: usize = 65_536;

/// The events that were settled last.
#[derive(Default)]
pub(super) struct Settled {
    /// Whether anybody reads here; else nothing is remembered.
    is_read: AtomicBool,
    lately: Mutex<Lately>,
}

#[derive(Default)]
struct Lately {
    order: VecDeque<u64>,
    known: BTreeSet<u64>,
}

impl Settled {
    /// From now on events are remembered.
    pub(super) fn begin(&self) {
        self.is_read.store(true, Ordering::Relaxed);
    }

    /// Remembers events of a replica or a read model. What they did is durable.
    pub(super) fn note<'e>(&self, of: &str, events: impl IntoIterator<Item = &'e str>) {
        if !self.is_read.load(Ordering::Relaxed) {
            return;
        }
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            lately.push(mark(of, event));
        }
    }

    /// Whether an event was settled here lately.
    pub(super) fn has(&self, of: &str, event: &str) -> bool {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner).known.contains(&mark(of, event))
    }
}

impl Lately {
    fn push(&mut self, mark: u64) {
        if !self.known.insert(mark) {
            return;
        }
        self.order.push_back(mark);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

fn mark(of: &str, event: &str) -> u64 {
    xxh3_64(format!("{of}\0{event}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_events_are_remembered_while_anybody_reads() {
        let settled = Settled::default();
        settled.note("users", ["e1"]);
        assert!(!settled.has("users", "e1"));
        settled.begin();
        settled.note("users", ["e1", "e2", "e1"]);
        assert!(settled.has("users", "e1") && settled.has("users", "e2"));
        assert!(!settled.has("others", "e1"));
        let many: Vec<String> = (0..REMEMBERED).map(|number| format!("n{number}")).collect();
        settled.note("users", many.iter().map(String::as_str));
        assert!(!settled.has("users", "e1") && settled.has("users", "n0"));
    }
}
