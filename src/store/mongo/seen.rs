//! The events that read models have folded, by their ids, for as long as they are remembered.

use std::collections::BTreeSet;

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use futures::TryStreamExt;
use mongodb::error::Error;
use mongodb::{ClientSession, Database};

use crate::store::Noted;

/// The collection.
pub(super) const SEEN: &str = "nearcopy.seen";

/// Which of these events are remembered under that name.
pub(super) async fn known(
    database: &Database,
    session: &mut ClientSession,
    memory: &str,
    events: &[String],
) -> Result<BTreeSet<String>, Error> {
    if events.is_empty() {
        return Ok(BTreeSet::new());
    }
    let ids: Vec<Bson> = events.iter().map(|event| id(memory, event).into()).collect();
    let collection = database.collection::<RawDocumentBuf>(SEEN);
    let finding = collection.find(doc! { "_id": { "$in": ids } }).projection(doc! { "_id": 1 });
    let mut cursor = finding.session(&mut *session).await?;
    let found: Vec<RawDocumentBuf> = cursor.stream(session).try_collect().await?;
    let event =
        |found: &RawDocumentBuf| found.get_document("_id").ok()?.get_str("event").ok().map(str::to_owned);
    Ok(found.iter().filter_map(event).collect())
}

/// What is kept of events that were folded now.
pub(super) fn notes(memory: &str, noted: &Noted, now: DateTime) -> Vec<Document> {
    let keep = i64::try_from(noted.keep.as_millis()).unwrap_or(i64::MAX);
    let expires = DateTime::from_millis(now.timestamp_millis().saturating_add(keep));
    noted.events.iter().map(|event| doc! { "_id": id(memory, event), "expires": expires }).collect()
}

fn id(memory: &str, event: &str) -> Document {
    doc! { "of": memory, "event": event }
}
