//! What pods must have heard of, with the same trouble on the way to it.

use std::time::Duration;

use async_trait::async_trait;
use nearcopy::replication::Subscription;
use nearcopy::store::{EpochStore, Epochs, Moment, Presence, Timelines};

use crate::store::{Done, Troubled};

#[async_trait]
impl EpochStore for Troubled {
    async fn announce(&self, epochs: &Epochs, hold: Duration) -> Done<Option<Moment>> {
        self.effect("announce", || format!("{epochs:?}"), self.inner.announce(epochs, hold)).await
    }

    async fn depart(&self) -> Done<()> {
        self.effect("depart", String::new, self.inner.depart()).await
    }

    async fn present(&self) -> Done<Vec<Presence>> {
        self.effect("present", String::new, self.inner.present()).await
    }

    async fn timelines(&self, after: Option<Moment>) -> Done<Timelines> {
        self.effect("timelines", || format!("after {after:?}"), self.inner.timelines(after)).await
    }

    async fn restored(&self, of: &Subscription, at: i64) -> Done<Option<Moment>> {
        self.effect("restored", || at.to_string(), self.inner.restored(of, at)).await
    }

    async fn is_undated(&self, of: &Subscription) -> Done<bool> {
        self.effect("undated", String::new, self.inner.is_undated(of)).await
    }
}
