//! What is to be told to others, written with what it is about.

use async_trait::async_trait;
use bson::{Bson, Document, doc};

use super::{Mongo, command, record::limit, record_statement};
use crate::replication::Alert;
use crate::store::{OutboxStore, StoreError};

/// The collection.
pub(super) const OUTBOX: &str = "nearcopy.outbox";

#[async_trait]
impl OutboxStore for Mongo {
    async fn outgoing(&self, most: usize) -> Result<Vec<Alert>, StoreError> {
        let command = doc! {
            "find": OUTBOX,
            "sort": { "at": 1 },
            "limit": limit(most),
            "readConcern": self.read_concern(None),
        };
        let found = self.fetch_all("reading what is to be told", command).await?;
        Ok(found.iter().filter_map(alert).collect())
    }

    async fn told(&self, ids: &[uuid::Uuid]) -> Result<(), StoreError> {
        let ids: Vec<Bson> = ids.iter().map(|id| Bson::String(id.to_string())).collect();
        let command = doc! {
            "delete": OUTBOX,
            "deletes": [{ "q": { "_id": { "$in": ids } }, "limit": 0 }],
            "writeConcern": command::write_concern(),
        };
        self.run("forgetting what has been told", command).await.map(|_| ())
    }
}

/// What puts an alert into the outbox.
pub(super) fn statement(alert: &Alert) -> Document {
    let kept = doc! {
        "_id": alert.id.to_string(),
        "model": &alert.model,
        "rule": &alert.rule,
        "exchange": &alert.exchange,
        "key": &alert.routing_key,
        "type": &alert.kind,
        "body": &alert.body,
    };
    let kept = doc! { "$mergeObjects": [record_statement::literal(kept), { "at": "$$NOW" }] };
    doc! { "q": { "_id": alert.id.to_string() }, "u": [{ "$replaceWith": kept }], "upsert": true }
}

fn alert(stored: &Document) -> Option<Alert> {
    let text = |name: &str| stored.get_str(name).ok().map(str::to_owned);
    Some(Alert {
        id: uuid::Uuid::parse_str(stored.get_str("_id").ok()?).ok()?,
        model: text("model")?,
        rule: text("rule")?,
        exchange: text("exchange")?,
        routing_key: text("key")?,
        kind: text("type")?,
        body: text("body")?,
    })
}
