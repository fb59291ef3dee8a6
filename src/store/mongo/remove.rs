//! The one write that destroys: documents go with the entity they refer to, where the manifest says so.

use bson::{Bson, Document, doc};
use mongodb::ClientSession;
use mongodb::error::Error;
use mongodb::options::{ReadConcern, WriteConcern};

use super::{Mongo, command};
use crate::replication::{Embed, Record, Subscription};
use crate::store::StoreError;

impl Mongo {
    /// Deletes documents that refer to a record and show an older revision of it, or nobody, in one transaction with
    /// a touch of the record: if it is not deleted any more, or changed, nothing happens.
    pub(super) async fn remove_under_guard(
        &self,
        embed: &Embed,
        of: &Subscription,
        record: &Record,
        ids: &[Bson],
    ) -> Result<u64, StoreError> {
        let action = format!("deleting documents of `{}`", embed.collection);
        if !self.is_replica_set() {
            let detail = "`when_deleted: delete` needs transactions, which a standalone server does not have; \
                          make it a replica set of one member, or choose another policy";
            return Err(StoreError::Unsuitable { action, detail: detail.into() });
        }
        let reference = record.id.to_bson();
        let still_gone = doc! {
            "_id": &reference,
            "_nearcopy.rev": record.rev,
            "_nearcopy.state": "gone",
            "_nearcopy.why": "deleted",
        };
        let stamp = embed.stamp_path();
        let shown = doc! {
            format!("{stamp}.ref"): { "$eq": &reference },
            format!("{stamp}.rev"): { "$lt": record.rev },
        };
        let theirs = doc! {
            "_id": { "$in": ids },
            embed.reference.dotted(): { "$eq": &reference, "$not": { "$type": "array" } },
            "$or": [shown, { &stamp: { "$exists": false } }],
        };
        let (mongo, records, documents) = (self.clone(), of.name.to_string(), embed.collection.clone());
        let transaction =
            tokio::spawn(async move { mongo.transact(&records, still_gone, &documents, theirs).await });
        let unknown =
            |_| StoreError::Unavailable { action: action.clone(), detail: "the task was stopped".into() };
        transaction.await.map_err(unknown)?.map_err(|error| command::classify(&action, &error))
    }

    async fn transact(
        &self,
        records: &str,
        still_gone: Document,
        documents: &str,
        theirs: Document,
    ) -> Result<u64, Error> {
        let mut session = self.database.client().start_session().await?;
        session
            .start_transaction()
            .read_concern(ReadConcern::snapshot())
            .write_concern(WriteConcern::majority())
            .await?;
        let deleted = self.touch_and_delete(&mut session, records, still_gone, documents, theirs).await;
        match deleted {
            Ok(0) | Err(_) => {
                // An abort that fails changes nothing: the server ends the transaction by itself.
                let _aborted = session.abort_transaction().await;
                deleted
            }
            Ok(deleted) => session.commit_transaction().await.map(|()| deleted),
        }
    }

    async fn touch_and_delete(
        &self,
        session: &mut ClientSession,
        records: &str,
        still_gone: Document,
        documents: &str,
        theirs: Document,
    ) -> Result<u64, Error> {
        let touch = doc! { "$currentDate": { "_nearcopy.removed": true } };
        let records = self.database.collection::<Document>(records);
        let touched = records.update_one(still_gone, touch).session(&mut *session).await?;
        if touched.matched_count == 0 {
            return Ok(0);
        }
        let documents = self.database.collection::<Document>(documents);
        Ok(documents.delete_many(theirs).session(&mut *session).await?.deleted_count)
    }
}
