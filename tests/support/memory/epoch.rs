//! Who is at work, and when owners were restored.

use std::time::Duration;

use async_trait::async_trait;
use nearcopy::replication::{Subscription, Timeline};
use nearcopy::store::{EpochStore, Epochs, Moment, Presence, StoreError, Timelines};

use super::{Pod, moment};

#[async_trait]
impl EpochStore for Pod {
    async fn announce(&self, epochs: &Epochs, hold: Duration) -> Result<Option<Moment>, StoreError> {
        let mut database = self.lock();
        let until = database.now() + i64::try_from(hold.as_millis()).unwrap();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let presence = Presence {
            id: self.name.to_string(),
            host: self.name.to_string(),
            version,
            epochs: epochs.clone(),
        };
        database.present.insert(self.name.clone(), (presence, until));
        let at = database.next();
        Ok(Some(moment(at)))
    }

    async fn depart(&self) -> Result<(), StoreError> {
        let mut database = self.lock();
        database.present.remove(&self.name);
        database.next();
        Ok(())
    }

    async fn present(&self) -> Result<Vec<Presence>, StoreError> {
        let database = self.lock();
        let now = database.now();
        let present = database.present.values().filter(|(_, until)| *until > now);
        Ok(present.map(|(presence, _)| presence.clone()).collect())
    }

    async fn timelines(&self, after: Option<Moment>) -> Result<Timelines, StoreError> {
        Ok(self.lock().seen(&self.name, after).timelines.clone())
    }

    async fn restored(&self, of: &Subscription, at: i64) -> Result<Option<Moment>, StoreError> {
        let mut database = self.lock();
        let (at, now) = (at.div_euclid(1000) * 1000, database.now() * 1000);
        let timeline = database.contents.timelines.entry(of.name.clone()).or_default();
        let mut known = timeline.restored().to_vec();
        if at <= now && known.last().is_none_or(|last| at > *last) {
            known.push(at);
            *timeline = Timeline::new(known);
        }
        let at = database.next();
        Ok(Some(moment(at)))
    }

    async fn is_undated(&self, _: &Subscription) -> Result<bool, StoreError> {
        // Where an event is from is not kept here, and the rebase that asks for this is tried on MongoDB.
        unimplemented!("is_undated")
    }
}
