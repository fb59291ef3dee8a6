//! Who is at work, and when owners were restored.

use std::time::Duration;

use async_trait::async_trait;

use super::meaning::millis;
use super::{Held, Pod};
use crate::replication::{RecordWrite, Subscription, Timeline};
use crate::store::{EpochStore, Epochs, Moment, Presence, StoreError, Timelines};

#[async_trait]
impl EpochStore for Pod {
    async fn announce(&self, epochs: &Epochs, hold: Duration) -> Result<Option<Moment>, StoreError> {
        let mut database = self.lock();
        let until = database.now() + millis(hold);
        let presence = Presence {
            id: self.name.to_string(),
            host: "memory".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            epochs: epochs.clone(),
            is_own: false,
        };
        database.contents.present.insert(self.name.clone(), (until, presence));
        database.next();
        Ok(Some(database.last()))
    }

    async fn depart(&self) -> Result<(), StoreError> {
        let mut database = self.lock();
        database.contents.present.remove(&self.name);
        database.next();
        Ok(())
    }

    async fn present(&self) -> Result<Vec<Presence>, StoreError> {
        let database = self.lock();
        let now = database.now();
        let present = database.seen(&self.name, None).present.values();
        let presence =
            |presence: &Presence| Presence { is_own: presence.id == *self.name, ..presence.clone() };
        Ok(present.filter(|(until, _)| *until > now).map(|(_, of)| presence(of)).collect())
    }

    async fn timelines(&self, after: Option<Moment>) -> Result<Timelines, StoreError> {
        let database = self.lock();
        let restored = database.seen(&self.name, after).restored.iter();
        Ok(restored.map(|(replica, times)| (replica.clone(), Timeline::new(times.clone()))).collect())
    }

    async fn restored(&self, of: &Subscription, at: i64) -> Result<Option<Moment>, StoreError> {
        let mut database = self.lock();
        let (at, now) = (at.div_euclid(1000) * 1000, database.now() * 1000);
        let times = database.contents.restored.entry(of.name.clone()).or_default();
        if at <= now && times.iter().all(|known| *known < at) {
            times.push(at);
        }
        database.next();
        Ok(Some(database.last()))
    }

    async fn is_undated(&self, of: &Subscription) -> Result<bool, StoreError> {
        let database = self.lock();
        let records = database.seen(&self.name, None).records.get(&of.name).into_iter().flatten();
        let dated: Vec<bool> = records.filter_map(|(_, held)| held.dated).collect();
        Ok(dated.contains(&false) || !dated.contains(&true))
    }
}

/// Whether what is held comes from an event that had a time; `None` where it comes from no event.
pub(super) fn dated(held: Option<&Held>, write: &RecordWrite) -> Option<bool> {
    match write {
        RecordWrite::State { stamp, .. } | RecordWrite::Revise { stamp, .. } => {
            (!stamp.listed).then_some(stamp.at.is_some())
        }
        RecordWrite::Answer { content: Some(_), .. } | RecordWrite::Erase { .. } => None,
        _ => held.and_then(|held| held.dated),
    }
}
