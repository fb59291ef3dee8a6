//! The records of replicas: written by statements, read back by majority.

use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, Document, doc};

use super::command::PATIENCE;
use super::{Mongo, Topology, command, record_statement, stored};
use crate::event::EntityId;
use crate::replication::{Record, RecordWrite, Subscription};
use crate::store::{Backlog, Moment, RecordStore, Records, StoreError, Written};

#[async_trait]
impl RecordStore for Mongo {
    async fn write(
        &self,
        of: &Subscription,
        writes: &[RecordWrite],
        batch: i64,
    ) -> Result<Written, StoreError> {
        self.write_records(of, writes, batch).await
    }

    async fn heartbeat(&self) -> Result<Option<Moment>, StoreError> {
        self.beat().await
    }

    async fn read(
        &self,
        of: &Subscription,
        ids: &[EntityId],
        after: Option<Moment>,
    ) -> Result<Records, StoreError> {
        self.read_matching(of, ids_in(ids), after).await
    }

    async fn read_others(
        &self,
        of: &Subscription,
        ids: &[EntityId],
        batch: i64,
        after: Option<Moment>,
    ) -> Result<Records, StoreError> {
        let mut filter = ids_in(ids);
        filter.insert("_nearcopy.batch", doc! { "$ne": batch });
        self.read_matching(of, filter, after).await
    }

    async fn claim_due(
        &self,
        of: &Subscription,
        most: usize,
        hold: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        let due = doc! {
            "_nearcopy.due": { "$exists": true },
            "_nearcopy.s": { "$not": { "$gt": of.shape } },
            "$expr": { "$lte": ["$_nearcopy.due", "$$NOW"] },
        };
        let mut look = self.find(of, due.clone(), None);
        look.extend(
            doc! { "sort": { "_nearcopy.due": 1 }, "limit": limit(most), "projection": { "_id": 1 } },
        );
        let found = self.fetch_all(&format!("looking for due records of `{}`", of.name), look).await?;
        let ids: Vec<Bson> = found.into_iter().filter_map(|mut record| record.remove("_id")).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let claim = uuid::Uuid::new_v4().to_string();
        let mut still_due = due;
        still_due.insert("_id", doc! { "$in": &ids });
        let claimed = doc! {
            "_nearcopy.due": record_statement::from_now(hold),
            "_nearcopy.asked": "$$NOW",
            "_nearcopy.claim": &claim,
        };
        let statement = doc! { "q": still_due, "u": [{ "$set": claimed }], "multi": true };
        let written = self.update(of.name.as_str(), vec![statement], false).await?;
        let mine = doc! { "_id": { "$in": ids }, "_nearcopy.claim": claim };
        let records = self.records(of, self.find(of, mine, written.moment)).await?;
        Ok(records.into_values().collect())
    }

    async fn renew(&self, of: &Subscription, claimed: &[Record], hold: Duration) -> Result<(), StoreError> {
        let renewal = |record: &Record| {
            let mine = doc! { "_id": record.id.to_bson(), "_nearcopy.claim": record.claim.as_ref()? };
            let until = doc! { "_nearcopy.due": record_statement::from_now(hold) };
            Some(doc! { "q": mine, "u": [{ "$set": until }] })
        };
        let renewals = claimed.iter().filter_map(renewal).collect();
        self.update(of.name.as_str(), renewals, false).await.map(|_| ())
    }

    async fn owing(
        &self,
        of: &Subscription,
        idle: Duration,
        from: Option<&EntityId>,
        most: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let idle = i64::try_from(idle.as_millis()).unwrap_or(i64::MAX);
        let latest = doc! { "$multiply": [{ "$subtract": [{ "$toLong": "$$NOW" }, idle] }, 1000_i64] };
        let mut filter = doc! { "_nearcopy.owes": true, "$expr": { "$lte": ["$_nearcopy.rev", latest] } };
        if let Some(from) = from {
            filter.insert("_id", doc! { "$gt": from.to_bson() });
        }
        let mut command = self.find(of, filter, None);
        command.extend(doc! { "sort": { "_id": 1 }, "limit": limit(most) });
        Ok(self.records(of, command).await?.into_values().collect())
    }

    async fn ask_all(&self, of: &Subscription, spread: Duration) -> Result<u64, StoreError> {
        let spread = i64::try_from(spread.as_millis()).unwrap_or(i64::MAX);
        let some_time = doc! { "$add": ["$$NOW", { "$toLong": { "$multiply": [{ "$rand": {} }, spread] } }] };
        let known = doc! { "_nearcopy": { "$exists": true } };
        let statement = doc! { "q": known, "u": record_statement::call_for(some_time), "multi": true };
        Ok(self.update(of.name.as_str(), vec![statement], false).await?.changed)
    }

    async fn backlog(&self, of: &Subscription) -> Result<Backlog, StoreError> {
        let count = async |filter: Document| {
            let command = doc! {
                "count": of.name.as_str(),
                "query": filter,
                "readConcern": self.read_concern(None),
                "maxTimeMS": 5_000,
            };
            let reply = self.run(&format!("counting records of `{}`", of.name), command).await?;
            Ok::<u64, StoreError>(command::count(&reply, "n"))
        };
        Ok(Backlog {
            pending: count(doc! { "_nearcopy.state": "pending" }).await?,
            owing: count(doc! { "_nearcopy.owes": true }).await?,
            outdated: count(older(of)).await?,
            lacking: count(doc! { "_nearcopy.lacks": true }).await?,
        })
    }

    async fn outdated(&self, of: &Subscription, most: usize) -> Result<Vec<Record>, StoreError> {
        let mut command = self.find(of, older(of), None);
        command.insert("limit", limit(most));
        Ok(self.records(of, command).await?.into_values().collect())
    }

    async fn page(
        &self,
        of: &Subscription,
        from: Option<&EntityId>,
        most: usize,
    ) -> Result<Records, StoreError> {
        let filter = match from {
            Some(id) => doc! { "_id": { "$gt": id.to_bson() }, "_nearcopy": { "$exists": true } },
            None => doc! { "_nearcopy": { "$exists": true } },
        };
        let mut command = self.find(of, filter, None);
        command.extend(doc! { "sort": { "_id": 1 }, "limit": limit(most), "projection": { "_nearcopy": 1 } });
        self.records(of, command).await
    }
}

fn ids_in(ids: &[EntityId]) -> Document {
    let ids: Vec<Bson> = ids.iter().map(EntityId::to_bson).collect();
    doc! { "_id": { "$in": ids } }
}

/// The records of earlier generations.
fn older(of: &Subscription) -> Document {
    doc! { "_nearcopy.s": { "$lt": of.shape } }
}

impl Mongo {
    /// A majority write that changes nothing anybody reads.
    pub(super) async fn beat(&self) -> Result<Option<Moment>, StoreError> {
        let statement = doc! {
            "q": { "_id": format!("heartbeat:{}", self.pod) },
            "u": { "$inc": { "beats": 1_i64 }, "$currentDate": { "at": true } },
            "upsert": true,
        };
        Ok(self.update("nearcopy.leases", vec![statement], true).await?.moment)
    }

    fn find(&self, of: &Subscription, filter: Document, after: Option<Moment>) -> Document {
        doc! { "find": of.name.as_str(), "filter": filter, "readConcern": self.read_concern(after) }
    }

    async fn read_matching(
        &self,
        of: &Subscription,
        filter: Document,
        after: Option<Moment>,
    ) -> Result<Records, StoreError> {
        let mut command = self.find(of, filter, after);
        if !of.embedded && !of.compares() {
            command.insert("projection", doc! { "_nearcopy": 1 });
        }
        self.records(of, command).await
    }

    async fn records(&self, of: &Subscription, command: Document) -> Result<Records, StoreError> {
        let (kind, action) = (of.selection.id_kind(), format!("reading records of `{}`", of.name));
        let found =
            self.fetch_raw(PATIENCE, &action, command, |raw| stored::parse(kind, raw, |_| true)).await?;
        Ok(found.into_iter().map(|stored| (stored.record.id.clone(), stored.record)).collect())
    }

    /// Whether reads can be tied to a moment at all.
    pub(super) fn is_replica_set(&self) -> bool {
        self.topology == Topology::ReplicaSet
    }
}

/// A limit as the server takes it.
pub(super) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}
