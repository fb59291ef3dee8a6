//! Read models that are folded anew, and put in the place of those that are served.

use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, Document, doc};

use super::read_model::{CHECKPOINTS, checkpoint};
use super::{Mongo, command, record_statement};
use crate::event::EntityType;
use crate::replication::ReadModel;
use crate::store::{Checkpoint, Comparison, ReadModelStore, RebuildStore, StoreError};

/// How long all documents may take to be read or copied.
pub(super) const LONG: Duration = Duration::from_mins(60);

#[async_trait]
impl RebuildStore for Mongo {
    async fn begin_anew(&self, of: &ReadModel, next: &EntityType) -> Result<(), StoreError> {
        self.give_up(next).await?;
        self.take_over(next).await?;
        self.index_read_model(of, next.as_str()).await
    }

    async fn freeze(&self, of: &EntityType, hold: Duration) -> Result<Option<Checkpoint>, StoreError> {
        let frozen = doc! {
            "frozen": record_statement::from_now(hold),
            "turn": { "$add": ["$turn", 1_i64] },
        };
        let statement = doc! { "q": { "_id": of.as_str() }, "u": [{ "$set": frozen }] };
        self.update(CHECKPOINTS, vec![statement], true).await?;
        self.checkpoint(of).await
    }

    async fn keep_frozen(
        &self,
        of: &EntityType,
        at: &Checkpoint,
        hold: Duration,
    ) -> Result<bool, StoreError> {
        let held = doc! { "_id": of.as_str(), "turn": at.turn, "frozen": { "$ne": null } };
        let statement = doc! { "q": held, "u": [{ "$set": { "frozen": record_statement::from_now(hold) } }] };
        Ok(self.update(CHECKPOINTS, vec![statement], true).await?.changed == 1)
    }

    async fn thaw(&self, of: &EntityType, at: &Checkpoint) -> Result<(), StoreError> {
        let held = doc! { "_id": of.as_str(), "turn": at.turn };
        let thawed = doc! { "$unset": { "frozen": true }, "$inc": { "turn": 1_i64 } };
        self.update(CHECKPOINTS, vec![doc! { "q": held, "u": thawed }], true).await.map(|_| ())
    }

    async fn give_up(&self, next: &EntityType) -> Result<(), StoreError> {
        let command = doc! { "drop": next.as_str(), "writeConcern": command::write_concern() };
        match self.run(&format!("dropping `{next}`"), command).await {
            Err(error) if !is_missing(&error) => Err(error),
            _ => self.forget_checkpoint(next).await,
        }
    }

    async fn compare(&self, of: &EntityType, next: &EntityType) -> Result<Comparison, StoreError> {
        let served = self.count_of(of).await?;
        let rebuilt = self.count_of(next).await?;
        let theirs = doc! { "$lookup": {
            "from": next.as_str(),
            "localField": "_id",
            "foreignField": "_id",
            "pipeline": [{ "$unset": "_nearcopy" }],
            "as": "_nearcopy",
        } };
        let own = doc! { "$unsetField": { "field": "_nearcopy", "input": "$$ROOT" } };
        let same = doc! { "$expr": { "$eq": [{ "$first": "$_nearcopy" }, own] } };
        let pipeline = vec![theirs, doc! { "$match": same }, doc! { "$count": "n" }];
        let command = doc! { "aggregate": of.as_str(), "pipeline": pipeline, "cursor": {} };
        let found = self.fetch_all_within(LONG, &format!("comparing `{of}` with `{next}`"), command).await?;
        let same = found.first().map_or(0, |found| command::count(found, "n"));
        Ok(Comparison { served, rebuilt, different: served.max(rebuilt).saturating_sub(same) })
    }

    async fn take_over_deadlines(&self, of: &EntityType, next: &EntityType) -> Result<(), StoreError> {
        self.take_over_deadlines_of(of, next).await
    }

    async fn set_aside(&self, of: &EntityType, before: &EntityType) -> Result<(), StoreError> {
        let action = format!("copying `{of}` to `{before}`");
        let command = doc! {
            "aggregate": of.as_str(),
            "pipeline": [{ "$out": before.as_str() }],
            "cursor": {},
            "writeConcern": command::write_concern(),
        };
        self.fetch_all_within(LONG, &action, command).await?;
        self.copy_checkpoint(of, before).await
    }

    async fn remember_like(
        &self,
        of: &EntityType,
        others: &EntityType,
        at: &Checkpoint,
    ) -> Result<bool, StoreError> {
        let Some(others) = self.checkpoint(others).await? else { return Ok(false) };
        let held = doc! { "_id": of.as_str(), "turn": at.turn, "frozen": { "$ne": null } };
        let statement = doc! { "q": held, "u": { "$set": { "memory": others.memory } } };
        Ok(self.update(CHECKPOINTS, vec![statement], true).await?.changed == 1)
    }

    async fn replace(&self, of: &EntityType, by: &EntityType) -> Result<bool, StoreError> {
        let name = |of: &EntityType| format!("{}.{of}", self.database.name());
        let rename = doc! {
            "renameCollection": name(by),
            "to": name(of),
            "dropTarget": true,
            "writeConcern": command::write_concern(),
        };
        let admin = self.database.client().database("admin");
        let action = format!("putting `{by}` in the place of `{of}`");
        match command::run_on(admin, &action, rename).await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn stand_where(&self, of: &EntityType, others: &EntityType) -> Result<(), StoreError> {
        let turn = self.checkpoint(of).await?.map_or(0, |at| at.turn);
        self.copy_checkpoint(others, of).await?;
        let next = doc! { "$set": { "turn": turn + 1 }, "$unset": { "frozen": true } };
        let statement = doc! { "q": { "_id": of.as_str() }, "u": next };
        self.update(CHECKPOINTS, vec![statement], true).await?;
        self.forget_checkpoint(others).await
    }
}

impl Mongo {
    async fn count_of(&self, of: &EntityType) -> Result<u64, StoreError> {
        let command = doc! { "count": of.as_str() };
        Ok(command::count(&self.run(&format!("counting `{of}`"), command).await?, "n"))
    }

    async fn forget_checkpoint(&self, of: &EntityType) -> Result<(), StoreError> {
        let one = doc! { "q": { "_id": of.as_str() }, "limit": 1 };
        let command =
            doc! { "delete": CHECKPOINTS, "deletes": [one], "writeConcern": command::write_concern() };
        self.run(&format!("forgetting the checkpoint of `{of}`"), command).await.map(|_| ())
    }

    async fn copy_checkpoint(&self, from: &EntityType, to: &EntityType) -> Result<(), StoreError> {
        let command = doc! {
            "find": CHECKPOINTS,
            "filter": { "_id": from.as_str() },
            "readConcern": self.read_concern(None),
        };
        let found = self.fetch_all(&format!("reading the checkpoint of `{from}`"), command).await?;
        let Some(mut copy) = found.into_iter().next().filter(|found| checkpoint(found).is_some()) else {
            return Ok(());
        };
        copy.insert("_id", to.as_str());
        copy.insert("frozen", Bson::Null);
        let statement: Document = doc! { "q": { "_id": to.as_str() }, "u": copy, "upsert": true };
        self.update(CHECKPOINTS, vec![statement], true).await.map(|_| ())
    }
}

/// Whether a command failed because there is no such collection.
fn is_missing(error: &StoreError) -> bool {
    matches!(error, StoreError::Unsuitable { detail, .. } if detail.ends_with("(26)"))
}
