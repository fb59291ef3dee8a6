//! All that is left to chance in a run, drawn from one seed. Every part has a stream of its own, so that a fault
//! in one does not change what another does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A stream of random numbers.
#[derive(Clone)]
pub(crate) struct Chance(Arc<Mutex<fastrand::Rng>>);

impl Chance {
    /// The stream of this part of the run of this seed.
    pub(crate) fn new(seed: u64, part: &str) -> Self {
        let mixed = part.bytes().fold(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), |mixed, byte| {
            (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(mixed))))
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number below this one.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.draw(|numbers| numbers.u64(0..end.max(1)))
    }

    /// The same, to count with.
    pub(crate) fn index(&self, end: usize) -> usize {
        self.draw(|numbers| numbers.usize(0..end.max(1)))
    }

    /// Whether that happens which happens so many times in a thousand.
    pub(crate) fn happens(&self, in_a_thousand: u64) -> bool {
        in_a_thousand > 0 && self.below(1_000) < in_a_thousand
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// A time between the two, in whole milliseconds.
    pub(crate) fn between(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least + 1))
    }
}
