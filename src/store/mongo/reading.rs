//! Records as readers are told of them.

use std::sync::Arc;

use async_trait::async_trait;
use bson::{Bson, Document, doc};

use super::record::{limit, parse};
use super::{Mongo, change};
use crate::event::EntityId;
use crate::replication::{Place, Query, Range, Reading, Subscription};
use crate::store::{Changes, Moment, ReadStore, StoreError};

/// Under which name the database says what time it is, beside what it reads.
const READ: &str = "_nearcopy_read";
/// How long the database may take, in milliseconds: readers have somebody waiting.
const WITHIN: i64 = 5_000;

#[async_trait]
impl ReadStore for Mongo {
    async fn look_up(
        &self,
        of: &Subscription,
        ids: &[EntityId],
        after: Option<Moment>,
    ) -> Result<Vec<Reading>, StoreError> {
        let filter = match ids {
            // Looked up without being planned, which costs the server a third less.
            [one] => doc! { "_id": one.to_bson() },
            _ => doc! { "_id": { "$in": ids.iter().map(EntityId::to_bson).collect::<Vec<Bson>>() } },
        };
        self.readings(of, filter, Document::new(), after).await
    }

    async fn follow_records(
        &self,
        of: &Subscription,
        from: Option<Document>,
    ) -> Result<Box<dyn Changes>, StoreError> {
        self.follow_changes(of.name.as_str(), change::of_records(), from).await
    }

    async fn list(
        &self,
        of: &Subscription,
        query: &Query,
        after: Option<&Place>,
        most: usize,
    ) -> Result<Vec<Reading>, StoreError> {
        let sort = match &query.range {
            Some(range) => doc! { &range.field: 1, "_id": 1 },
            None => doc! { "_id": 1 },
        };
        let options = doc! { "sort": sort, "limit": limit(most) };
        self.readings(of, filter(query, after), options, None).await
    }
}

impl Mongo {
    async fn readings(
        &self,
        of: &Subscription,
        filter: Document,
        options: Document,
        after: Option<Moment>,
    ) -> Result<Vec<Reading>, StoreError> {
        let mut shown = doc! { "_nearcopy": 1, READ: "$$NOW" };
        shown.extend(of.selection.fields().map(|field| (field.name.clone(), Bson::Int32(1))));
        let mut command = doc! {
            "find": of.name.as_str(),
            "filter": filter,
            "projection": shown,
            "readConcern": self.read_concern(after),
            "maxTimeMS": WITHIN,
        };
        command.extend(options);
        let found = self.fetch_all(&format!("reading `{}`", of.name), command).await?;
        Ok(found.into_iter().filter_map(|stored| reading(of, stored)).collect())
    }
}

/// Values stand where no operator is read.
fn filter(query: &Query, after: Option<&Place>) -> Document {
    let mut all = vec![doc! { "_nearcopy.state": "live" }];
    all.extend(query.equal.iter().map(|(field, values)| doc! { field: { "$in": values } }));
    all.extend(query.range.as_ref().map(within));
    all.extend(after.map(|place| behind(query, place)));
    doc! { "$and": all }
}

fn within(range: &Range) -> Document {
    let mut bounds = Document::new();
    if let Some(from) = &range.from {
        bounds.insert(if from.included { "$gte" } else { "$gt" }, from.value.clone());
    }
    if let Some(to) = &range.to {
        bounds.insert(if to.included { "$lte" } else { "$lt" }, to.value.clone());
    }
    doc! { &range.field: bounds }
}

fn behind(query: &Query, place: &Place) -> Document {
    let later = doc! { "_id": { "$gt": place.id.to_bson() } };
    match (&query.range, &place.value) {
        (Some(Range { field, .. }), Some(value)) => {
            let mut level = doc! { field: { "$eq": value } };
            level.extend(later);
            doc! { "$or": [{ field: { "$gt": value } }, level] }
        }
        _ => later,
    }
}

fn reading(of: &Subscription, mut stored: Document) -> Option<Reading> {
    let read = stored.remove(READ)?.as_datetime()?.timestamp_millis();
    let meta = stored.get_document("_nearcopy").ok()?;
    let text = |name: &str| meta.get_str(name).ok().map(Arc::from);
    let (origin, event) = (text("origin").unwrap_or_else(|| "".into()), text("event"));
    let at = meta.get_datetime("at").ok().map(|at| at.timestamp_millis());
    Some(Reading { origin, event, at, read, record: parse(of, stored)?.into() })
}
