//! Deadlines of read models' documents, which stand in the documents themselves.

use bson::{DateTime, Document, doc};

use super::Mongo;
use super::parked::any_id;
use super::rebuild::LONG;
use super::record::limit;
use crate::event::EntityType;
use crate::store::{Lapsed, StoreError};

/// When the next deadline of a document is.
pub(super) const NEXT: &str = "_nearcopy.next";
/// Where the served document's deadlines are while they are compared.
const THEIRS: &str = "_nearcopy.theirs";

impl Mongo {
    /// The documents whose next deadline has passed.
    pub(super) async fn lapsed_of(
        &self,
        of: &EntityType,
        before: Option<DateTime>,
        most: usize,
    ) -> Result<Option<Lapsed>, StoreError> {
        let mut next = doc! { "$type": "date" };
        if let Some(before) = before {
            next.insert("$lte", before);
        }
        let command = doc! {
            "find": of.as_str(),
            "filter": {
                NEXT: next,
                "_nearcopy.held": { "$exists": false },
                "$expr": { "$lte": [format!("${NEXT}"), "$$NOW"] },
            },
            "sort": { NEXT: 1 },
            "projection": { NEXT: 1 },
            "limit": limit(most),
            "readConcern": self.read_concern(None),
        };
        let found = self.fetch_all(&format!("looking for deadlines in `{of}`"), command).await?;
        let next =
            |document: &Document| document.get_document("_nearcopy").ok()?.get_datetime("next").ok().copied();
        let until = found.last().and_then(next);
        let keys = found.iter().filter_map(|document| document.get("_id").and_then(any_id)).collect();
        Ok(until.map(|until| Lapsed { keys, until }))
    }

    /// Notes in the documents folded anew which of their deadlines that have passed are told already.
    pub(super) async fn take_over_deadlines_of(
        &self,
        of: &EntityType,
        next: &EntityType,
    ) -> Result<(), StoreError> {
        let passed = doc! { NEXT: { "$type": "date" }, "$expr": { "$lte": [format!("${NEXT}"), "$$NOW"] } };
        let served = doc! { "$lookup": {
            "from": of.as_str(),
            "localField": "_id",
            "foreignField": "_id",
            "pipeline": [{ "$project": { "due": { "$objectToArray": { "$ifNull": ["$_nearcopy.due", {}] } } } }],
            "as": THEIRS,
        } };
        let pipeline = vec![
            doc! { "$match": passed },
            served,
            doc! { "$set": { THEIRS: { "$ifNull": [{ "$first": format!("${THEIRS}.due") }, []] } } },
            doc! { "$set": { "_nearcopy.due": { "$arrayToObject": { "$map": {
                "input": { "$objectToArray": "$_nearcopy.due" },
                "as": "ours",
                "in": { "k": "$$ours.k", "v": { "$mergeObjects": ["$$ours.v", { "told": is_told() }] } },
            } } } } },
            doc! { "$set": { NEXT: next_of_untold() } },
            doc! { "$unset": THEIRS },
            doc! { "$merge": { "into": next.as_str(), "on": "_id", "whenMatched": "replace", "whenNotMatched": "discard" } },
        ];
        let command = doc! {
            "aggregate": next.as_str(),
            "pipeline": pipeline,
            "cursor": {},
            "writeConcern": super::command::write_concern(),
        };
        let action = format!("taking over the deadlines of `{of}`");
        self.fetch_all_within(LONG, &action, command).await.map(|_| ())
    }
}

/// One that has passed is told, unless the served document has it and has not told it.
fn is_told() -> Document {
    let theirs = doc! { "$filter": {
        "input": format!("${THEIRS}"),
        "as": "theirs",
        "cond": { "$and": [{ "$eq": ["$$theirs.k", "$$ours.k"] }, { "$eq": ["$$theirs.v.told", false] }] },
    } };
    let untold = doc! { "$gt": [{ "$size": theirs }, 0] };
    let passed = doc! { "$lte": ["$$ours.v.at", "$$NOW"] };
    doc! { "$or": ["$$ours.v.told", { "$and": [passed, { "$not": [untold] }] }] }
}

/// The earliest that is not told; the field goes where there is none.
fn next_of_untold() -> Document {
    let untold = doc! { "$filter": {
        "input": { "$objectToArray": "$_nearcopy.due" },
        "as": "one",
        "cond": { "$not": ["$$one.v.told"] },
    } };
    let earliest = doc! { "$min": { "$map": { "input": untold, "as": "one", "in": "$$one.v.at" } } };
    doc! { "$ifNull": [earliest, "$$REMOVE"] }
}
