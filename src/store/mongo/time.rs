//! What time it is at the database, by whose clock all that is stored is stamped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bson::doc;

use super::Mongo;
use crate::clock::Stopwatch;
use crate::store::StoreError;

/// How long the database is not asked again: for so long a clock that was set, or another primary's, is not noticed.
const ASKED_EVERY: Duration = Duration::from_secs(10);

/// What the database said last, in milliseconds since 1970, and since when that is.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<Mutex<Option<(i64, Stopwatch)>>>);

impl Told {
    fn now(&self) -> Option<i64> {
        let (told, since) = (*self.told())?;
        let since = since.elapsed();
        (since < ASKED_EVERY).then(|| told + i64::try_from(since.as_millis()).unwrap_or_default())
    }

    fn told(&self) -> MutexGuard<'_, Option<(i64, Stopwatch)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mongo {
    /// The database's time in milliseconds since 1970, or up to one round trip later, so that nothing seems fresher than it
    /// is. To have each record come with it would cost the database a quarter of a read.
    pub(super) async fn now(&self) -> Result<i64, StoreError> {
        if let Some(now) = self.time.now() {
            return Ok(now);
        }
        let (action, asked) = ("asking what time it is", Stopwatch::start());
        let hello = self.run(action, doc! { "hello": 1 }).await?;
        let told = hello
            .get_datetime("localTime")
            .map_err(|error| StoreError::Unavailable { action: action.into(), detail: error.to_string() })?;
        *self.time.told() = Some((told.timestamp_millis(), asked));
        Ok(told.timestamp_millis() + i64::try_from(asked.elapsed().as_millis()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_told_is_counted_on_until_it_is_asked_again() {
        let time = Told::default();
        assert_eq!(time.now(), None, "nothing has been told yet");
        *time.told() = Some((1_000, Stopwatch::start()));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert_eq!(time.now(), Some(10_999));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(time.now(), None, "a clock that was set in between would never be noticed");
    }
}
