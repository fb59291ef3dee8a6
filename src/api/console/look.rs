//! How everything stands, looked at now and then while somebody watches: a look counts records, so a page must not be what
//! sets off each of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;

use super::desk::{Desk, Refusal};
use crate::clock::{self, Stopwatch};

/// How often is looked at most.
const EVERY: Duration = Duration::from_secs(5);
/// A look that takes long is followed by a pause so many times as long.
const RESTS: u32 = 9;

/// What was seen.
#[derive(Clone)]
pub(super) struct Look {
    /// When, in microseconds since 1970.
    pub at: i64,
    /// How long it took to look.
    pub took: Duration,
    /// What `nearcopy status` would have said.
    pub status: Result<Value, Refusal>,
}

/// The last look, and when the next one may begin.
pub(super) struct Looks {
    last: watch::Sender<Option<Arc<Look>>>,
    next: Mutex<Next>,
}

enum Next {
    From(Instant),
    UnderWay,
}

impl Default for Looks {
    fn default() -> Self {
        Self { last: watch::Sender::new(None), next: Mutex::new(Next::From(clock::now())) }
    }
}

impl Looks {
    /// What was seen last. A new look begins if that is due; only who is the first waits for its end.
    pub(super) async fn last(self: &Arc<Self>, desk: &Arc<dyn Desk>) -> Option<Arc<Look>> {
        let mut seen = self.last.subscribe();
        if self.begins() {
            let (looks, desk) = (self.clone(), desk.clone());
            drop(tokio::spawn(async move { looks.look(&*desk).await }));
        }
        seen.wait_for(Option::is_some).await.ok().and_then(|look| look.clone())
    }

    /// Whether a look is due and nobody is at it: then whoever asks is.
    fn begins(&self) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = matches!(*next, Next::From(time) if time <= clock::now());
        if is_due {
            *next = Next::UnderWay;
        }
        is_due
    }

    async fn look(&self, desk: &dyn Desk) {
        let (at, watch) = (clock::wall_micros(), Stopwatch::start());
        let status = desk.status().await;
        let took = watch.elapsed();
        self.last.send_replace(Some(Arc::new(Look { at, took, status })));
        let pause = EVERY.max(took * RESTS);
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Next::From(clock::now() + pause);
    }
}
