//! Parked events: our own dead letters, with their reasons.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, Document, doc};

use super::{Mongo, command, record::limit, record_statement};
use crate::event::{EntityId, EntityType, IdKind};
use crate::store::{Parked, ParkedStore, StoreError, Written};

/// Beside the leases, where what is not renewed goes after an hour.
const SUSPECTS: &str = "nearcopy.leases";
/// How the id of a suspect begins there.
const SUSPECT: &str = "suspect:";
/// The collection of parked events.
pub(super) const PARKED: &str = "nearcopy.parked";

#[async_trait]
impl ParkedStore for Mongo {
    async fn park(&self, parked: &[Parked]) -> Result<(), StoreError> {
        let statements = parked.iter().map(|parked| statement(parked, Some(self.options.parked_for)));
        complete("parking an event", self.update(PARKED, statements.collect(), false).await?)
    }

    async fn parked(&self, replica: Option<&str>, most: usize) -> Result<Vec<Parked>, StoreError> {
        let filter = replica.map_or_else(Document::new, |name| doc! { "replica": name });
        let command = doc! { "find": PARKED, "filter": filter, "sort": { "at": 1 }, "limit": limit(most) };
        let found = self.fetch_all("listing parked events", command).await?;
        Ok(found.iter().filter_map(load).collect())
    }

    async fn parked_one(&self, id: uuid::Uuid) -> Result<Option<Parked>, StoreError> {
        let command = doc! { "find": PARKED, "filter": { "_id": id.to_string() }, "limit": 1 };
        let found = self.fetch_all("reading a parked event", command).await?;
        Ok(found.iter().find_map(load))
    }

    async fn unpark(&self, ids: &[uuid::Uuid]) -> Result<u64, StoreError> {
        let ids: Vec<Bson> = ids.iter().map(|id| Bson::String(id.to_string())).collect();
        let command = doc! {
            "delete": PARKED,
            "deletes": [{ "q": { "_id": { "$in": ids } }, "limit": 0 }],
            "writeConcern": command::write_concern(),
        };
        Ok(command::count(&self.run("dropping parked events", command).await?, "n"))
    }

    async fn parked_about(
        &self,
        replica: &EntityType,
        entity: Option<&EntityId>,
    ) -> Result<Vec<uuid::Uuid>, StoreError> {
        let filter = match entity {
            Some(entity) => doc! { "replica": replica.as_str(), "entity": { "$eq": entity.to_bson() } },
            None => doc! {
                "replica": { "$in": [replica.as_str(), Bson::Null] },
                "entity": null,
                "excerpt": { "$ne": null },
            },
        };
        let command = doc! {
            "find": PARKED,
            "filter": filter,
            "projection": { "_id": 1 },
            "readConcern": self.read_concern(None),
        };
        let found = self.fetch_all("looking for parked events", command).await?;
        let id = |parked: &Document| uuid::Uuid::parse_str(parked.get_str("_id").ok()?).ok();
        Ok(found.iter().filter_map(id).collect())
    }

    async fn count_parked(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let group = doc! { "$group": { "_id": { "$ifNull": ["$replica", ""] }, "n": { "$sum": 1_i64 } } };
        let command = doc! { "aggregate": PARKED, "pipeline": [group], "cursor": {} };
        let found = self.fetch_all("counting parked events", command).await?;
        let counted =
            |group: &Document| Some((group.get_str("_id").ok()?.to_owned(), command::count(group, "n")));
        Ok(found.iter().filter_map(counted).collect())
    }

    async fn suspicions(&self, ids: &[uuid::Uuid]) -> Result<BTreeMap<uuid::Uuid, u64>, StoreError> {
        let command = doc! {
            "find": SUSPECTS,
            "filter": { "_id": { "$in": suspects(ids) } },
            "readConcern": self.read_concern(None),
        };
        let found = self.fetch_all("looking for suspects", command).await?;
        let noted = |noted: &Document| {
            let id = noted.get_str("_id").ok()?.strip_prefix(SUSPECT)?;
            Some((uuid::Uuid::parse_str(id).ok()?, command::count(noted, "times")))
        };
        Ok(found.iter().filter_map(noted).collect())
    }

    async fn suspect(&self, ids: &[uuid::Uuid]) -> Result<(), StoreError> {
        let noted = doc! { "times": { "$add": [{ "$ifNull": ["$times", 0_i64] }, 1_i64] }, "at": "$$NOW" };
        let note = |id: Bson| doc! { "q": { "_id": id }, "u": [{ "$set": &noted }], "upsert": true };
        let notes = suspects(ids).into_iter().map(note).collect();
        complete("noting suspects", self.update(SUSPECTS, notes, false).await?)
    }

    async fn acquit(&self, ids: &[uuid::Uuid]) -> Result<(), StoreError> {
        let command = doc! {
            "delete": SUSPECTS,
            "deletes": [{ "q": { "_id": { "$in": suspects(ids) } }, "limit": 0 }],
            "writeConcern": command::write_concern(),
        };
        self.run("forgetting suspects", command).await.map(|_| ())
    }

    async fn parked_page(
        &self,
        replica: &EntityType,
        from: Option<uuid::Uuid>,
        most: usize,
    ) -> Result<Vec<Parked>, StoreError> {
        let mut filter = doc! { "replica": replica.as_str() };
        if let Some(from) = from {
            filter.insert("_id", doc! { "$gt": from.to_string() });
        }
        let command = doc! { "find": PARKED, "filter": filter, "sort": { "_id": 1 }, "limit": limit(most) };
        let found = self.fetch_all("reading parked events", command).await?;
        Ok(found.iter().filter_map(load).collect())
    }
}

/// What puts an event aside, and keeps it for so long, or for ever.
pub(super) fn statement(parked: &Parked, kept_for: Option<Duration>) -> Document {
    let expires =
        kept_for.map_or("$$REMOVE".into(), |kept_for| Bson::Document(record_statement::from_now(kept_for)));
    let kept = doc! { "$mergeObjects": ["$$ROOT", { "$literal": store(parked) }, {
        "at": { "$ifNull": ["$at", "$$NOW"] },
        "expires": expires,
        "times": { "$add": [{ "$ifNull": ["$times", 0] }, 1] },
    }] };
    doc! { "q": { "_id": parked.id.to_string() }, "u": [{ "$replaceWith": kept }], "upsert": true }
}

fn suspects(ids: &[uuid::Uuid]) -> Vec<Bson> {
    ids.iter().map(|id| format!("{SUSPECT}{id}").into()).collect()
}

/// What was to be written wholly was.
fn complete(action: &str, written: Written) -> Result<(), StoreError> {
    match written.refused.into_iter().next() {
        None => Ok(()),
        Some(refusal) => {
            Err(StoreError::Refused { action: action.into(), code: refusal.code, detail: refusal.reason })
        }
    }
}

fn store(parked: &Parked) -> Document {
    let headers: Document = parked.headers.iter().map(|(name, value)| (name.clone(), value.into())).collect();
    doc! {
        "_id": parked.id.to_string(),
        "source": &parked.source,
        "replica": parked.replica.as_ref().map(EntityType::as_str),
        "entity": parked.entity.as_ref().map(EntityId::to_bson),
        "version": parked.version,
        "type": &parked.kind,
        "event": &parked.event,
        "reason": &parked.reason,
        "detail": &parked.detail,
        "headers": headers,
        "excerpt": &parked.excerpt,
        "size": parked.size,
        "hash": &parked.hash,
    }
}

fn load(stored: &Document) -> Option<Parked> {
    let text = |name: &str| stored.get_str(name).ok().map(str::to_owned);
    let headers: BTreeMap<String, String> = stored.get_document("headers").map_or_else(
        |_| BTreeMap::new(),
        |headers| {
            let text = |(name, value): (&String, &Bson)| Some((name.clone(), value.as_str()?.to_owned()));
            headers.iter().filter_map(text).collect()
        },
    );
    Some(Parked {
        id: uuid::Uuid::parse_str(stored.get_str("_id").ok()?).ok()?,
        source: text("source")?,
        replica: stored.get_str("replica").ok().map(EntityType::new),
        entity: stored.get("entity").and_then(any_id),
        version: stored.get_i64("version").ok(),
        kind: text("type"),
        event: text("event"),
        reason: text("reason")?,
        detail: text("detail")?,
        headers,
        excerpt: text("excerpt"),
        size: stored.get_i64("size").unwrap_or_default(),
        hash: text("hash").unwrap_or_default(),
        at: stored.get_datetime("at").ok().map(|time| time.timestamp_millis()),
    })
}

/// An id of whatever type it was stored as.
pub(super) fn any_id(stored: &Bson) -> Option<EntityId> {
    let kinds = [IdKind::String, IdKind::Int, IdKind::ObjectId, IdKind::Uuid];
    kinds.into_iter().find_map(|kind| EntityId::from_bson(stored, kind))
}
