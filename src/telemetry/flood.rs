//! Keeps a repeated complaint from filling the disk: somebody's bad messages must not become a flood of lines.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::metric;
use crate::clock;

/// How many lines one place in the program may write in a window; what is asked for by `debug` is not limited.
const LINES: u32 = 50;
const WINDOW: Duration = Duration::from_secs(10);

/// Lets each place in the program write only so much, and counts what it leaves out.
#[derive(Default)]
pub(super) struct Dam(Mutex<HashMap<Identifier, Gauge>>);

#[derive(Clone, Copy)]
struct Gauge {
    since: Instant,
    lines: u32,
}

impl<S: Subscriber> Layer<S> for Dam {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let passes = *metadata.level() > Level::INFO || self.admits(metadata.callsite(), clock::now());
        if !passes {
            metric::log_suppressed();
        }
        passes
    }
}

impl Dam {
    fn admits(&self, place: Identifier, now: Instant) -> bool {
        let mut gauges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gauge = gauges.entry(place).or_insert(Gauge { since: now, lines: 0 });
        if now.saturating_duration_since(gauge.since) >= WINDOW {
            *gauge = Gauge { since: now, lines: 0 };
        }
        gauge.lines = gauge.lines.saturating_add(1);
        gauge.lines <= LINES
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Count(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Count {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// S12: a flood of bad messages does not become a flood of lines.
    #[test]
    fn one_place_cannot_flood_the_log_and_does_not_silence_another() {
        let count = Count::default();
        let subscriber = tracing_subscriber::registry().with(count.clone()).with(Dam::default());
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..1_000 {
                tracing::warn!("again");
            }
            tracing::warn!("another");
        });
        assert_eq!(count.0.load(Ordering::Relaxed), LINES as usize + 1);
    }

    #[test]
    fn a_new_window_lets_lines_through_again() {
        let (dam, start) = (Dam::default(), clock::now());
        let place = || tracing::callsite::Identifier(&CALLSITE);
        let admitted = |at| (0..200).filter(|_| dam.admits(place(), at)).count();
        assert_eq!(admitted(start), LINES as usize);
        assert_eq!(admitted(start + WINDOW / 2), 0);
        assert_eq!(admitted(start + WINDOW), LINES as usize);
    }

    struct Nowhere;
    static CALLSITE: Nowhere = Nowhere;

    impl tracing::Callsite for Nowhere {
        fn set_interest(&self, _: tracing::subscriber::Interest) {}

        fn metadata(&self) -> &tracing::Metadata<'_> {
            unreachable!("only its identity is used")
        }
    }
}
