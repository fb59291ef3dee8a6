//! I10: what must never be seen is looked for wherever nearcopy writes.

use anyhow::Result;
use bson::{RawDocumentBuf, doc};
use futures::TryStreamExt;
use mongodb::Database;

use crate::machine::CANARY;

/// The places where a canary was found: documents of the whole database, and lines of logs.
pub(crate) async fn leaks(database: &Database, logs: &[(String, String)]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for collection in database.list_collections().await?.try_collect::<Vec<_>>().await? {
        let name = collection.name;
        if collection.collection_type != mongodb::results::CollectionType::Collection
            || name.starts_with("system.")
        {
            continue;
        }
        let mut documents = database.collection::<RawDocumentBuf>(&name).find(doc! {}).await?;
        while let Some(document) = documents.try_next().await? {
            if has_canary(document.as_bytes()) {
                found.push(format!("{name}: {document:?}"));
            }
        }
    }
    for (name, log) in logs {
        let lines = log.lines().filter(|line| has_canary(line.as_bytes()));
        found.extend(lines.map(|line| format!("log of {name}: {line}")));
    }
    Ok(found)
}

fn has_canary(bytes: &[u8]) -> bool {
    bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
}
