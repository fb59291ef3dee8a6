//! Who else is there: what may take all there is while it is alone makes room while events come.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Stopwatch;

/// Without a batch of events for so long, there is nobody to make room for.
const LULL: Duration = Duration::from_secs(1);

/// The batches of events that have been begun.
#[derive(Default)]
pub struct Traffic(AtomicU64);

/// What somebody has seen of the traffic. It has seen none at first: what set its work off is no other.
pub struct Lookout {
    seen: u64,
    lately: Option<Stopwatch>,
}

impl Traffic {
    /// A batch of events is begun.
    pub fn comes(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Begins to look out.
    pub fn lookout(&self) -> Lookout {
        Lookout { seen: self.0.load(Ordering::Relaxed), lately: None }
    }
}

impl Lookout {
    /// Whether no events have come for a while.
    pub fn is_alone(&mut self, traffic: &Traffic) -> bool {
        let now = traffic.0.load(Ordering::Relaxed);
        if now != self.seen {
            (self.seen, self.lately) = (now, Some(Stopwatch::start()));
        }
        self.lately.is_none_or(|lately| lately.elapsed() > LULL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N4: the event that sets a fan-out off is nobody to make room for; the next one is, for a while.
    #[tokio::test(start_paused = true)]
    async fn room_is_made_while_others_come_and_a_while_longer() {
        let traffic = Traffic::default();
        traffic.comes();
        let mut lookout = traffic.lookout();
        assert!(lookout.is_alone(&traffic));
        traffic.comes();
        assert!(!lookout.is_alone(&traffic));
        tokio::time::advance(LULL / 2).await;
        assert!(!lookout.is_alone(&traffic));
        tokio::time::advance(LULL).await;
        assert!(lookout.is_alone(&traffic));
    }
}
