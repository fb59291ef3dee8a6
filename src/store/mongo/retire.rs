//! Retirement: a mark of its own, a look for references, a deletion under that very mark.

use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, Document, doc, oid::ObjectId};

use super::{Mongo, command, record::limit};
use crate::event::EntityId;
use crate::replication::Subscription;
use crate::store::{Moment, RetireStore, StoreError};

#[async_trait]
impl RetireStore for Mongo {
    async fn mark(&self, of: &Subscription, ids: &[EntityId]) -> Result<Option<Moment>, StoreError> {
        let mark = |id: &EntityId| {
            let unmarked = doc! { "_id": id.to_bson(), "_nearcopy.mark": { "$exists": false } };
            let mark = doc! { "id": ObjectId::new(), "at": "$$NOW" };
            doc! { "q": unmarked, "u": [{ "$set": { "_nearcopy.mark": mark } }] }
        };
        let written = self.update(of.name.as_str(), ids.iter().map(mark).collect(), false).await?;
        match written.changed {
            0 => self.heartbeat_moment().await,
            _ => Ok(written.moment),
        }
    }

    async fn marked(
        &self,
        of: &Subscription,
        grace: Duration,
        most: usize,
    ) -> Result<Vec<(EntityId, Bson)>, StoreError> {
        let grace = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
        let ripe = doc! { "$lte": ["$_nearcopy.mark.at", { "$subtract": ["$$NOW", grace] }] };
        let command = doc! {
            "find": of.name.as_str(),
            "filter": {
                "_nearcopy.mark.at": { "$exists": true },
                "_nearcopy.s": { "$not": { "$gt": of.shape } },
                "$expr": ripe,
            },
            "projection": { "_nearcopy.mark.id": 1 },
            "limit": limit(most),
            "readConcern": self.read_concern(None),
        };
        let found = self.fetch_all(&format!("looking for marked records of `{}`", of.name), command).await?;
        let named = |record: Document| {
            let id = EntityId::from_bson(record.get("_id")?, of.selection.id_kind())?;
            let mark = record.get_document("_nearcopy").ok()?.get_document("mark").ok()?.get("id")?.clone();
            Some((id, mark))
        };
        Ok(found.into_iter().filter_map(named).collect())
    }

    async fn retire(&self, of: &Subscription, marked: &[(EntityId, Bson)]) -> Result<u64, StoreError> {
        if marked.is_empty() {
            return Ok(0);
        }
        let unheld = doc! { "$not": [{ "$gt": ["$_nearcopy.hold", "$$NOW"] }] };
        let delete = |(id, mark): &(EntityId, Bson)| {
            doc! { "q": { "_id": id.to_bson(), "_nearcopy.mark.id": mark, "$expr": &unheld }, "limit": 1 }
        };
        let deletes: Vec<Document> = marked.iter().map(delete).collect();
        let command = doc! {
            "delete": of.name.as_str(),
            "deletes": deletes,
            "ordered": false,
            "writeConcern": command::write_concern(),
        };
        let reply = self.run(&format!("retiring records of `{}`", of.name), command).await?;
        Ok(command::count(&reply, "n"))
    }
}

impl Mongo {
    async fn heartbeat_moment(&self) -> Result<Option<Moment>, StoreError> {
        crate::store::RecordStore::heartbeat(self).await
    }
}
