//! Who else is there: what may take all there is while it is alone makes room while events come.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Stopwatch;

/// Without a batch of events for so long, there is nobody to make room for: whoever comes more rarely waits for one step of
/// what goes at full speed, which is shorter still.
const LULL: Duration = Duration::from_millis(250);

/// The batches of events that have been begun.
#[derive(Default)]
pub struct Traffic(Mutex<Batches>);

#[derive(Clone, Default)]
struct Batches {
    count: u64,
    last: Option<Stopwatch>,
    /// The one before it.
    former: Option<Stopwatch>,
}

/// Looks out for others than whoever set its work off.
pub struct Lookout {
    begun: u64,
    former: Option<Stopwatch>,
}

impl Traffic {
    /// A batch of events is begun.
    pub fn comes(&self) {
        let mut batches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        batches.former = batches.last.replace(Stopwatch::start());
        batches.count += 1;
    }

    /// Begins to look out, on behalf of the last batch.
    pub fn lookout(&self) -> Lookout {
        let batches = self.now();
        Lookout { begun: batches.count, former: batches.former }
    }

    fn now(&self) -> Batches {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Lookout {
    /// Whether no other events have come for a while.
    pub fn is_alone(&self, traffic: &Traffic) -> bool {
        let batches = traffic.now();
        let other = if batches.count == self.begun { &self.former } else { &batches.last };
        other.as_ref().is_none_or(|other| other.elapsed() > LULL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N4: the event that sets a fan-out off is nobody to make room for; the one before it and the next one are, for a
    /// while.
    #[tokio::test(start_paused = true)]
    async fn room_is_made_while_others_come_and_a_while_longer() {
        let traffic = Traffic::default();
        traffic.comes();
        let lookout = traffic.lookout();
        assert!(lookout.is_alone(&traffic));
        tokio::time::advance(LULL / 2).await;
        traffic.comes();
        assert!(!lookout.is_alone(&traffic));
        let next = traffic.lookout();
        assert!(!next.is_alone(&traffic));
        tokio::time::advance(LULL).await;
        assert!(!lookout.is_alone(&traffic));
        assert!(next.is_alone(&traffic));
        tokio::time::advance(LULL).await;
        assert!(lookout.is_alone(&traffic));
    }
}
