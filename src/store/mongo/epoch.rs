//! Pods at work stand beside the leases, each for as long as it says; the times at which owners were restored stand in
//! a collection of their own, for ever.

use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, DateTime, Document, doc};

use super::{Mongo, record_statement};
use crate::event::EntityType;
use crate::replication::{Subscription, Timeline};
use crate::store::{EpochStore, Epochs, Moment, Presence, StoreError, Timelines};

const PODS: &str = "nearcopy.leases";
const EPOCHS: &str = "nearcopy.epochs";

#[async_trait]
impl EpochStore for Mongo {
    async fn announce(&self, epochs: &Epochs, hold: Duration) -> Result<Option<Moment>, StoreError> {
        let epochs: Vec<Document> = epochs
            .iter()
            .map(|(replica, epoch)| doc! { "replica": replica.as_str(), "epoch": epoch })
            .collect();
        let said = doc! { "host": host(), "version": env!("CARGO_PKG_VERSION"), "epochs": epochs };
        let now = doc! { "at": "$$NOW", "until": record_statement::from_now(hold) };
        let whole = doc! { "$mergeObjects": ["$$ROOT", { "$literal": said }, now] };
        let update = vec![doc! { "$replaceWith": whole }];
        let statement = doc! { "q": { "_id": self.presence() }, "u": update, "upsert": true };
        Ok(self.update(PODS, vec![statement], true).await?.moment)
    }

    async fn depart(&self) -> Result<(), StoreError> {
        let over = doc! { "q": { "_id": self.presence() }, "u": [{ "$set": { "until": "$$NOW" } }] };
        self.update(PODS, vec![over], true).await.map(|_| ())
    }

    async fn present(&self) -> Result<Vec<Presence>, StoreError> {
        let command = doc! {
            "find": PODS,
            "filter": { "_id": { "$regex": "^pod:" }, "$expr": { "$gt": ["$until", "$$NOW"] } },
            "sort": { "_id": 1 },
            "readConcern": self.read_concern(None),
        };
        let found = self.fetch_all("looking who is at work", command).await?;
        Ok(found.iter().filter_map(|stored| presence(stored, &self.pod)).collect())
    }

    async fn timelines(&self, after: Option<Moment>) -> Result<Timelines, StoreError> {
        let command = doc! { "find": EPOCHS, "filter": {}, "readConcern": self.read_concern(after) };
        let found = self.fetch_all("reading when owners were restored", command).await?;
        Ok(found.iter().filter_map(timeline).collect())
    }

    async fn restored(&self, of: &Subscription, at: i64) -> Result<Option<Moment>, StoreError> {
        let at = Bson::DateTime(DateTime::from_millis(at.div_euclid(1000)));
        let known = doc! { "$ifNull": ["$restored", []] };
        let fits = doc! { "$and": [
            { "$lte": [at.clone(), "$$NOW"] },
            { "$gt": [at.clone(), { "$max": "$restored.at" }] },
        ] };
        let longer = doc! { "$concatArrays": [known.clone(), [{ "at": at, "declared": "$$NOW" }]] };
        let update = vec![doc! { "$set": { "restored": { "$cond": [fits, longer, known] } } }];
        let statement = doc! { "q": { "_id": of.name.as_str() }, "u": update, "upsert": true };
        self.update(EPOCHS, vec![statement], true).await?;
        self.beat().await
    }

    async fn is_undated(&self, of: &Subscription) -> Result<bool, StoreError> {
        let by_event = async |dated: bool| {
            let filter = doc! { "_nearcopy.origin": "event", "_nearcopy.at": { "$exists": dated } };
            let command = doc! {
                "find": of.name.as_str(),
                "filter": filter,
                "projection": { "_id": 1 },
                "limit": 1,
                "readConcern": self.read_concern(None),
            };
            let found = self.fetch_all(&format!("looking at records of `{}`", of.name), command).await?;
            Ok::<bool, StoreError>(!found.is_empty())
        };
        Ok(by_event(false).await? || !by_event(true).await?)
    }
}

impl Mongo {
    /// Under what name this pod says that it is at work.
    fn presence(&self) -> String {
        format!("pod:{}", self.pod)
    }
}

fn presence(stored: &Document, own: &str) -> Option<Presence> {
    let text = |name: &str| stored.get_str(name).ok().map(str::to_owned);
    let known = |epoch: &Bson| {
        let epoch = epoch.as_document()?;
        Some((EntityType::new(epoch.get_str("replica").ok()?), epoch.get_i64("epoch").ok()?))
    };
    let id = text("_id")?.trim_start_matches("pod:").to_owned();
    Some(Presence {
        is_own: id == own,
        id,
        host: text("host")?,
        version: text("version")?,
        epochs: stored.get_array("epochs").ok()?.iter().filter_map(known).collect(),
    })
}

fn timeline(stored: &Document) -> Option<(EntityType, Timeline)> {
    let at = |restored: &Bson| Some(restored.as_document()?.get_datetime("at").ok()?.timestamp_millis());
    let times = stored.get_array("restored").ok()?.iter().filter_map(at);
    let timeline = Timeline::new(times.map(|millis| millis.saturating_mul(1000)).collect());
    Some((EntityType::new(stored.get_str("_id").ok()?), timeline))
}

/// The name of this host, for a person.
fn host() -> String {
    let told = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    told.map(|name| name.trim().chars().take(253).collect()).unwrap_or_default()
}
