//! Records as readers are told of them.

use async_trait::async_trait;
use bson::{Bson, Document, doc};

use super::command::PATIENCE;
use super::record::limit;
use super::stored::{self, Stored};
use super::{Mongo, change};
use crate::event::EntityId;
use crate::replication::{Place, Query, Range, Reading, Subscription};
use crate::store::{Changes, Moment, ReadStore, StoreError};

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
        let mut command = doc! {
            "find": of.name.as_str(),
            "filter": filter,
            "readConcern": self.read_concern(after),
            "maxTimeMS": WITHIN,
        };
        command.extend(options);
        let action = format!("reading `{}`", of.name);
        let kind = of.selection.id_kind();
        let is_kept = |name: &str| of.selection.fields().any(|field| field.name == name);
        let found =
            self.fetch_raw(PATIENCE, &action, command, |raw| stored::parse(kind, raw, is_kept)).await?;
        let now = self.now().await?;
        Ok(found.into_iter().map(|stored| reading(stored, now)).collect())
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

fn reading(stored: Stored, read: i64) -> Reading {
    let Stored { record, origin, event, at } = stored;
    Reading { record: record.into(), origin: origin.unwrap_or_else(|| "".into()), event, at, read }
}
