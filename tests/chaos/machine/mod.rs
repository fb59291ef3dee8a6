//! The real programs of a run: broker, database, sidecars.

pub(crate) mod broker;
pub(crate) mod process;
pub(crate) mod replica_set;
pub(crate) mod sidecars;

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};

/// A word that must never be seen where it does not belong; all begin alike.
pub(crate) const CANARY: &str = "CANARY";

/// A secret of that place.
pub(crate) fn secret(place: &str) -> String {
    format!("{CANARY}-{place}")
}

/// Tries something until it succeeds; the last failure, if it never does.
pub(crate) async fn eventually<T>(
    what: &str,
    within: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("not within {within:?}: {what}"));
            }
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}
