//! Collections, followed by change streams: hints at what has to be looked at, nothing more.
//!
//! Streams are filtered on the server. Of the consumer's collections, what embeds are not concerned with never leaves
//! it, and neither do our own writes, which are known by the stamp they move. Of records, what readers do not see never
//! does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, Document, doc};

use super::cursor::{self, Cursor};
use super::{Mongo, Topology};
use crate::replication::Embed;
use crate::store::{ChangeStore, Changes, Hints, Moment, StoreError};

/// How many changes are taken together at most.
const BATCH: i64 = 1_000;

#[async_trait]
impl ChangeStore for Mongo {
    fn has_change_streams(&self) -> bool {
        self.topology == Topology::ReplicaSet
    }

    async fn follow(
        &self,
        collection: &str,
        embeds: &[Arc<Embed>],
        from: Option<Document>,
    ) -> Result<Box<dyn Changes>, StoreError> {
        self.follow_changes(collection, of_documents(embeds), from).await
    }

    async fn position(&self, name: &str) -> Result<Option<Document>, StoreError> {
        self.load_position(name).await
    }

    async fn set_position(&self, name: &str, position: Option<&Document>) -> Result<(), StoreError> {
        self.save_position(name, position).await
    }

    async fn lease(&self, name: &str, hold: Duration) -> Result<bool, StoreError> {
        self.take_lease(name, hold).await
    }

    async fn release(&self, name: &str) -> Result<(), StoreError> {
        self.give_lease_back(name).await
    }
}

impl Mongo {
    /// Follows those changes of a collection that a condition lets through.
    pub(super) async fn follow_changes(
        &self,
        collection: &str,
        concerned: Document,
        from: Option<Document>,
    ) -> Result<Box<dyn Changes>, StoreError> {
        let start = from.map_or_else(Document::new, |position| doc! { "resumeAfter": position });
        let stages = [
            doc! { "$changeStream": start },
            doc! { "$match": concerned },
            doc! { "$project": { "operationType": 1, "documentKey": 1, "clusterTime": 1 } },
        ];
        let open = doc! { "aggregate": collection, "pipeline": stages, "cursor": { "batchSize": 0 } };
        let (cursor, _) = self.open(collection, open).await?;
        Ok(Box::new(Following(cursor)))
    }
}

/// An open stream. Nothing waits for a second change after the first has come, because one reply is one batch.
struct Following(Cursor);

#[async_trait]
impl Changes for Following {
    async fn next(&mut self, wait: Duration) -> Result<Hints, StoreError> {
        // To wait for nothing at all is to wait for as long as the server likes.
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX).max(1);
        let reply = self.0.next(BATCH, Some(wait)).await?;
        let mut hints = hints(&reply);
        hints.ended |= self.0.is_ended();
        Ok(hints)
    }
}

/// What a reply tells: documents, the position after them, and when the last of them was durable.
fn hints(reply: &Document) -> Hints {
    let position = reply.get_document("postBatchResumeToken").ok().cloned();
    let mut hints = Hints { position, ..Hints::default() };
    for change in cursor::documents(reply) {
        hints.moment = change.get_timestamp("clusterTime").ok().map(Moment).or(hints.moment);
        match change.get_str("operationType") {
            Ok("insert" | "update" | "replace" | "delete") => {
                let id = change.get_document("documentKey").ok().and_then(|key| key.get("_id").cloned());
                hints.documents.extend(id);
            }
            _ => hints.ended = true,
        }
    }
    hints
}

/// Of the consumer's documents: those that came or were replaced, and updates of a reference, an embedded value or a
/// stamp that are not our own.
fn of_documents(embeds: &[Arc<Embed>]) -> Document {
    let roots: Vec<String> = embeds
        .iter()
        .flat_map(|embed| {
            let paths = embed.owned_paths().into_iter().map(str::to_owned);
            paths.chain([embed.reference.dotted(), "_nearcopy".into()]).collect::<Vec<_>>()
        })
        .filter_map(|path| path.split('.').next().map(escape))
        .collect();
    let concerned = any_of(touched(), &format!("^({})(\\.|$)", roots.join("|")));
    let ours = any_of(set(), r"(^|\.)_nearcopy(\.|$)");
    let foreign_update = doc! { "$and": [concerned, { "$not": [ours] }] };
    doc! { "$or": [
        { "operationType": { "$in": ["insert", "replace", "drop", "rename", "dropDatabase", "invalidate"] } },
        { "operationType": "update", "$expr": foreign_update },
    ] }
}

/// Of records: all but updates that are none of a reader's business, such as a debt that is paid.
pub(super) fn of_records() -> Document {
    let seen = any_of(touched(), r"^_nearcopy(\.(rev|need|state)(\.|$)|$)");
    doc! { "$or": [{ "operationType": { "$ne": "update" } }, { "$expr": seen }] }
}

/// The names of the fields that an update set.
fn set() -> Document {
    let fields = doc! { "$objectToArray": { "$ifNull": ["$updateDescription.updatedFields", {}] } };
    doc! { "$map": { "input": fields, "as": "changed", "in": "$$changed.k" } }
}

/// The names of the fields that an update set or removed.
fn touched() -> Document {
    doc! { "$concatArrays": [set(), { "$ifNull": ["$updateDescription.removedFields", []] }] }
}

/// Whether any of these names is like this.
fn any_of(names: Document, pattern: &str) -> Document {
    let matches = doc! { "$regexMatch": { "input": "$$name", "regex": { "$literal": pattern } } };
    doc! { "$anyElementTrue": { "$map": { "input": names, "as": "name", "in": matches } } }
}

/// A name as a regular expression that matches just it.
fn escape(name: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-';
    name.chars()
        .map(|letter| if plain(letter) { letter.to_string() } else { format!("\\{letter}") })
        .collect()
}

/// A position as a document; anything else is none.
pub(super) fn as_position(value: Option<&Bson>) -> Option<Document> {
    value.and_then(Bson::as_document).cloned()
}
