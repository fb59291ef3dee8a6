//! The consumer's collections, as they stood at a moment, and their changes from then on.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, Document, Timestamp, doc};

use super::cursor::{self, Cursor};
use super::{Mongo, record::limit};
use crate::store::{CollectionStore, Moment, RecordStore, Since, StoreError, Tail};

/// How many changes are taken together at most.
const BATCH: i64 = 1_000;
/// What stood there at that time is not kept any more, or was never kept.
const TOO_OLD: [i32; 2] = [239, 246];
/// A reply would be larger than a document may be.
const TOO_LARGE: i32 = 10_334;

const NOT_IN_LOG: &str = "where it was read up to is no longer in the database's log";
const NOT_TELLABLE: &str = "a change is larger than 16 MB, with the document as it was before and after it";
const GONE: &str = "it was dropped or renamed";

#[async_trait]
impl CollectionStore for Mongo {
    async fn moment(&self) -> Result<Moment, StoreError> {
        self.heartbeat().await?.ok_or_else(|| StoreError::Unsuitable {
            action: "following a collection".into(),
            detail: "a standalone server has no change streams; make it a replica set of one member".into(),
        })
    }

    async fn standing(
        &self,
        collection: &str,
        at: Option<Moment>,
        after: Option<&Bson>,
        most: usize,
    ) -> Result<Option<Vec<Document>>, StoreError> {
        let filter =
            after.map_or_else(Document::new, |id| doc! { "$expr": { "$gt": ["$_id", { "$literal": id }] } });
        let concern = match at {
            Some(Moment(time)) => doc! { "level": "snapshot", "atClusterTime": time },
            None => self.read_concern(None),
        };
        // One reply, which has room for 16 MB; where it ends, the next goes on.
        let command = doc! {
            "find": collection,
            "filter": filter,
            "sort": { "_id": 1 },
            "batchSize": limit(most),
            "singleBatch": true,
            "readConcern": concern,
        };
        match self.run(&format!("walking through `{collection}`"), command).await {
            Ok(reply) => {
                let found = reply.get_document("cursor").map(cursor::documents);
                Ok(Some(found.into_iter().flatten().cloned().collect()))
            }
            Err(StoreError::Refused { code, .. }) if at.is_some() && TOO_OLD.contains(&code) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn tail(
        &self,
        collection: &str,
        since: &Since,
        with_before: bool,
    ) -> Result<Box<dyn Tail>, StoreError> {
        let is_recorded = self.records_images(collection).await?;
        let mut stage = match since {
            Since::Token(token) => doc! { "resumeAfter": token },
            Since::Moment(Moment(time)) => {
                let next = Timestamp { increment: time.increment.saturating_add(1), ..*time };
                doc! { "startAtOperationTime": next }
            }
        };
        stage.insert("fullDocument", if is_recorded { "whenAvailable" } else { "updateLookup" });
        if is_recorded && with_before {
            stage.insert("fullDocumentBeforeChange", "whenAvailable");
        }
        let wanted = doc! {
            "operationType": 1, "documentKey": 1, "clusterTime": 1, "wallTime": 1, "txnNumber": 1, "fullDocument": 1,
            "fullDocumentBeforeChange": 1,
        };
        let pipeline = [doc! { "$changeStream": stage }, doc! { "$project": wanted }];
        let open = doc! { "aggregate": collection, "pipeline": pipeline, "cursor": { "batchSize": 0 } };
        let (cursor, first) = self.open(collection, open).await.map_err(|error| untold(collection, error))?;
        let (mongo, collection) = (self.clone(), collection.to_owned());
        Ok(Box::new(Tailing { mongo, collection, cursor, token: token_of(&first), is_gone: false }))
    }
}

impl Mongo {
    /// Whether a collection records how documents were before and after each change.
    pub(super) async fn records_images(&self, collection: &str) -> Result<bool, StoreError> {
        let images = "changeStreamPreAndPostImages";
        let options = self.collection_options(collection).await?.unwrap_or_default();
        Ok(options.get_document(images).is_ok_and(|images| images.get_bool("enabled").unwrap_or_default()))
    }

    /// A collection's options, with its `type`, where there is such a collection, or view.
    pub(super) async fn collection_options(&self, name: &str) -> Result<Option<Document>, StoreError> {
        let command = doc! { "listCollections": 1, "filter": { "name": name } };
        let found = self.fetch_all(&format!("looking for the collection `{name}`"), command).await?;
        Ok(found.first().map(|found| {
            let mut options = found.get_document("options").cloned().unwrap_or_default();
            options.insert("type", found.get_str("type").unwrap_or_default());
            options
        }))
    }
}

/// An open change stream.
struct Tailing {
    mongo: Mongo,
    collection: String,
    cursor: Cursor,
    token: Option<Document>,
    /// Whether there will be no more changes, after those that were told.
    is_gone: bool,
}

#[async_trait]
impl Tail for Tailing {
    async fn next(&mut self, wait: Duration) -> Result<Vec<Document>, StoreError> {
        let gone = || StoreError::Untold { collection: self.collection.clone(), why: GONE };
        if self.is_gone {
            return Err(gone());
        }
        // To wait for nothing at all is to wait for as long as the server likes.
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX).max(1);
        let reply =
            self.cursor.next(BATCH, Some(wait)).await.map_err(|error| untold(&self.collection, error))?;
        let is_change = |change: &&Document| {
            matches!(change.get_str("operationType"), Ok("insert" | "update" | "replace" | "delete"))
        };
        let all = cursor::documents(&reply).count();
        let mut changes: Vec<Document> = cursor::documents(&reply).take_while(is_change).cloned().collect();
        self.is_gone = changes.len() < all || self.cursor.is_ended();
        if self.is_gone && changes.is_empty() {
            return Err(gone());
        }
        let last = changes.last().and_then(|change| change.get_document("_id").ok()).cloned();
        let after = token_of(&reply).filter(|_| !self.is_gone).or(last);
        look_up(&self.mongo, &self.collection, &mut changes).await?;
        self.token = after.or(self.token.take());
        Ok(changes)
    }

    fn token(&self) -> Option<&Document> {
        self.token.as_ref()
    }
}

/// Looks up documents that were updated, and of which was not recorded how they were then.
async fn look_up(mongo: &Mongo, collection: &str, changes: &mut [Document]) -> Result<(), StoreError> {
    let lacks = |change: &Document| {
        let is_update = change.get_str("operationType").is_ok_and(|kind| kind == "update");
        is_update && change.get_document("fullDocument").is_err()
    };
    let key = |change: &Document| change.get_document("documentKey").ok()?.get("_id").cloned();
    let ids: Vec<Bson> = changes.iter().filter(|change| lacks(change)).filter_map(key).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let latest = changes.iter().filter_map(|change| change.get_timestamp("clusterTime").ok()).max();
    let command = doc! {
        "find": collection,
        "filter": { "_id": { "$in": ids } },
        "readConcern": mongo.read_concern(latest.map(Moment)),
    };
    let found = mongo.fetch_all(&format!("reading documents of `{collection}`"), command).await?;
    let named = |document: Document| Some((document.get("_id")?.to_string(), document));
    let found: BTreeMap<String, Document> = found.into_iter().filter_map(named).collect();
    for change in changes.iter_mut().filter(|change| lacks(change)) {
        if let Some(document) = key(change).and_then(|key| found.get(&key.to_string())) {
            change.insert("fullDocument", document);
        }
    }
    Ok(())
}

fn token_of(reply: &Document) -> Option<Document> {
    reply.get_document("postBatchResumeToken").ok().cloned()
}

/// Tells what nobody can tell any more from trouble that passes.
fn untold(collection: &str, error: StoreError) -> StoreError {
    let why = match error {
        StoreError::HistoryLost { .. } => NOT_IN_LOG,
        StoreError::Refused { code: TOO_LARGE, .. } => NOT_TELLABLE,
        other => return other,
    };
    StoreError::Untold { collection: collection.to_owned(), why }
}
