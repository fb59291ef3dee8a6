//! Leases divide work between pods, and positions remember how far a walk or stream has come.
//!
//! Both go by the server's clock. Losing a lease is harmless: what two pods do at once, the guards of their
//! writes make one.

use std::time::Duration;

use bson::{Bson, Document, doc};

use super::{Mongo, change, command, record_statement};
use crate::store::StoreError;

const LEASES: &str = "nearcopy.leases";
const CURSORS: &str = "nearcopy.cursors";

impl Mongo {
    /// Takes a lease that is free or expired, or renews our own.
    pub(super) async fn take_lease(&self, name: &str, hold: Duration) -> Result<bool, StoreError> {
        let free = doc! { "$or": [{ "$eq": ["$holder", &self.pod] }, { "$lte": ["$until", "$$NOW"] }] };
        let or_else = |taken: Bson, left: &str| doc! { "$cond": [free.clone(), taken, left] };
        let take = doc! { "$set": {
            "holder": or_else((&self.pod).into(), "$holder"),
            "until": or_else(record_statement::from_now(hold).into(), "$until"),
            // Counted, because renewed twice in a millisecond it would not change, and look as if it were refused.
            "times": or_else(doc! { "$add": [{ "$ifNull": ["$times", 0_i64] }, 1_i64] }.into(), "$times"),
        } };
        let statement = doc! { "q": { "_id": name }, "u": [take], "upsert": true };
        Ok(self.update(LEASES, vec![statement], true).await?.changed > 0)
    }

    /// Gives a lease back, so that the next pod need not wait for its end.
    pub(super) async fn give_lease_back(&self, name: &str) -> Result<(), StoreError> {
        let mine = doc! { "q": { "_id": name, "holder": &self.pod }, "limit": 1 };
        let command = doc! { "delete": LEASES, "deletes": [mine], "writeConcern": command::write_concern() };
        self.run(&format!("giving the lease `{name}` back"), command).await.map(|_| ())
    }

    /// The stored position of that name.
    pub(super) async fn load_position(&self, name: &str) -> Result<Option<Document>, StoreError> {
        let command = doc! {
            "find": CURSORS,
            "filter": { "_id": name },
            "limit": 1,
            "readConcern": self.read_concern(None),
        };
        let found = self.fetch_all(&format!("reading the position of `{name}`"), command).await?;
        Ok(found.first().and_then(|cursor| change::as_position(cursor.get("position"))))
    }

    /// Stores a position under that name, or forgets it.
    pub(super) async fn save_position(
        &self,
        name: &str,
        position: Option<&Document>,
    ) -> Result<(), StoreError> {
        let Some(position) = position else {
            let all = doc! { "q": { "_id": name }, "limit": 1 };
            let command =
                doc! { "delete": CURSORS, "deletes": [all], "writeConcern": command::write_concern() };
            return self.run(&format!("forgetting the position of `{name}`"), command).await.map(|_| ());
        };
        let update = doc! { "$set": { "position": position }, "$currentDate": { "at": true } };
        let statement = doc! { "q": { "_id": name }, "u": update, "upsert": true };
        self.update(CURSORS, vec![statement], true).await.map(|_| ())
    }
}
