//! Repeats what the world refuses for now, until it is done or the program stops.
//!
//! Every step is guarded, so repeating it is always safe; giving up is not, because an event would be lost.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::Pipeline;
use crate::replication::Class;
use crate::store::StoreError;

/// The program stops; what was under way is not settled and comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the program is stopping")]
pub struct Halted;

/// The longest pause between two attempts at something that may pass.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Pipeline {
    /// Attempts something until it succeeds. Trouble is logged when it begins and when it ends, not each time.
    pub(super) async fn persist<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Halted>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut pauses = pauses();
        let mut attempts = 0_u32;
        loop {
            match attempt().await {
                Ok(done) => {
                    if attempts > 0 {
                        tracing::info!(
                            event = "store.recovered",
                            attempts,
                            "the database does what it is asked again"
                        );
                    }
                    return Ok(done);
                }
                Err(error) => complain(&error, attempts),
            }
            attempts = attempts.saturating_add(1);
            self.pause(pauses.next().unwrap_or(LONGEST_PAUSE)).await?;
        }
    }

    /// Waits, unless the program stops first.
    pub(super) async fn pause(&self, pause: Duration) -> Result<(), Halted> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Halted),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}

/// Pauses that grow, with jitter, and never end.
pub(super) fn pauses() -> impl Iterator<Item = Duration> {
    let growing = ExponentialBuilder::default().with_min_delay(Duration::from_millis(50));
    growing.with_max_delay(LONGEST_PAUSE).with_jitter().without_max_times().build()
}

fn complain(error: &StoreError, attempts: u32) {
    let class = error.class();
    if attempts == 0 {
        match class {
            Class::Transient => {
                tracing::warn!(event = "store.trouble", %class, %error, "will be attempted again");
            }
            _ => {
                tracing::error!(event = "store.trouble", %class, %error, "cannot go on until this is mended");
            }
        }
    } else {
        tracing::debug!(event = "store.trouble", %class, %error, attempts, "still in trouble");
    }
}
