//! The consumer's collections, followed by change streams: hints for hydration, nothing more.
//!
//! The stream is filtered on the server: what embeds are not concerned with never leaves it, and neither do our
//! own writes, which are known by the stamp they move.

use std::sync::Arc;

use async_trait::async_trait;
use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ResumeToken;

use super::{Mongo, Topology, command};
use crate::replication::Embed;
use crate::store::{ChangeStore, Changes, Hints, Moment, StoreError};

/// How many changes are taken together at most.
const BATCH: usize = 1_000;
/// How long the server waits for a change before it says that there is none.
const WAIT: std::time::Duration = std::time::Duration::from_millis(500);

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
        let token = from.map(|token| bson::deserialize_from_document::<ResumeToken>(token));
        let token = token.transpose().map_err(|_| history_lost(collection))?;
        let (followed, pipeline) = (self.database.collection::<Document>(collection), pipeline(embeds));
        let opening = tokio::spawn(async move {
            let stream = followed.watch().pipeline(pipeline).resume_after(token).max_await_time(WAIT).await?;
            Ok::<_, mongodb::error::Error>(stream.with_type::<RawDocumentBuf>())
        });
        let stream = match opening.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(command::classify(collection, &error)),
            Err(_) => return Err(stopped(collection)),
        };
        Ok(Box::new(Following { collection: collection.to_owned(), stream: Some(stream) }))
    }

    async fn position(&self, name: &str) -> Result<Option<Document>, StoreError> {
        self.load_position(name).await
    }

    async fn set_position(&self, name: &str, position: Option<&Document>) -> Result<(), StoreError> {
        self.save_position(name, position).await
    }

    async fn lease(&self, name: &str, hold: std::time::Duration) -> Result<bool, StoreError> {
        self.take_lease(name, hold).await
    }

    async fn release(&self, name: &str) -> Result<(), StoreError> {
        self.give_lease_back(name).await
    }
}

/// An open stream. Reading it moves to a task of its own, because the driver's futures must not be dropped.
struct Following {
    collection: String,
    stream: Option<ChangeStream<RawDocumentBuf>>,
}

#[async_trait]
impl Changes for Following {
    async fn next(&mut self) -> Result<Hints, StoreError> {
        let mut stream = self.stream.take().ok_or_else(|| stopped(&self.collection))?;
        let reading = tokio::spawn(async move {
            let hints = read(&mut stream).await;
            (stream, hints)
        });
        let (stream, hints) = reading.await.map_err(|_| stopped(&self.collection))?;
        self.stream = Some(stream);
        hints.map_err(|error| command::classify(&self.collection, &error))
    }
}

async fn read(stream: &mut ChangeStream<RawDocumentBuf>) -> Result<Hints, mongodb::error::Error> {
    let mut hints = Hints::default();
    while hints.documents.len() < BATCH {
        let Some(change) = stream.next_if_any().await? else { break };
        let Ok(change) = Document::try_from(change.as_ref()) else { continue };
        hints.moment = change.get_timestamp("clusterTime").ok().map(Moment).or(hints.moment);
        match change.get_str("operationType") {
            Ok("insert" | "update" | "replace") => {
                let id = change.get_document("documentKey").ok().and_then(|key| key.get("_id").cloned());
                hints.documents.extend(id);
            }
            _ => {
                hints.ended = true;
                break;
            }
        }
    }
    hints.position = stream.resume_token().and_then(|token| bson::serialize_to_document(&token).ok());
    Ok(hints)
}

/// What is let through: documents that came or were replaced, and updates of a reference, an embedded value or a
/// stamp that are not our own.
fn pipeline(embeds: &[Arc<Embed>]) -> Vec<Document> {
    let roots: Vec<String> = embeds
        .iter()
        .flat_map(|embed| {
            let paths = embed.owned_paths().into_iter().map(str::to_owned);
            paths.chain([embed.reference.dotted(), "_nearcopy".into()]).collect::<Vec<_>>()
        })
        .filter_map(|path| path.split('.').next().map(escape))
        .collect();
    let concerned = format!("^({})(\\.|$)", roots.join("|"));
    let names = |of: Document| doc! { "$map": { "input": of, "as": "changed", "in": "$$changed.k" } };
    let set = names(doc! { "$objectToArray": { "$ifNull": ["$updateDescription.updatedFields", {}] } });
    let removed = doc! { "$ifNull": ["$updateDescription.removedFields", []] };
    let any = |of: Document, pattern: &str| {
        let matches = doc! { "$regexMatch": { "input": "$$name", "regex": { "$literal": pattern } } };
        doc! { "$anyElementTrue": { "$map": { "input": of, "as": "name", "in": matches } } }
    };
    let ours = any(set.clone(), r"(^|\.)_nearcopy(\.|$)");
    let touched = doc! { "$concatArrays": [set, removed] };
    let foreign_update = doc! { "$and": [any(touched, &concerned), { "$not": [ours] }] };
    vec![
        doc! { "$match": { "$or": [
            { "operationType": { "$in": ["insert", "replace", "drop", "rename", "dropDatabase", "invalidate"] } },
            { "operationType": "update", "$expr": foreign_update },
        ] } },
        doc! { "$project": { "operationType": 1, "documentKey": 1, "clusterTime": 1 } },
    ]
}

/// A name as a regular expression that matches just it.
fn escape(name: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-';
    name.chars()
        .map(|letter| if plain(letter) { letter.to_string() } else { format!("\\{letter}") })
        .collect()
}

fn history_lost(collection: &str) -> StoreError {
    StoreError::HistoryLost { collection: collection.to_owned() }
}

fn stopped(collection: &str) -> StoreError {
    StoreError::Unavailable {
        action: format!("following `{collection}`"),
        detail: "the stream has ended and must be opened again".into(),
    }
}

/// A position as a document; anything else is none.
pub(super) fn as_position(value: Option<&Bson>) -> Option<Document> {
    value.and_then(Bson::as_document).cloned()
}
