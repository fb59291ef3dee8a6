//! The consumer's documents, as far as they embed a replica's fields.

use async_trait::async_trait;
use bson::{Bson, Document, doc};

use super::cursor::IdPages;
use super::index::Serves;
use super::{Mongo, command, record::limit};
use crate::event::EntityId;
use crate::replication::{Embed, EmbedWrite, Record, Subscription};
use crate::store::{EmbedStore, Moment, Pages, Referring, StoreError, Written};

#[async_trait]
impl EmbedStore for Mongo {
    async fn count(
        &self,
        embed: &Embed,
        references: &[EntityId],
        many: u64,
        after: Option<Moment>,
    ) -> Result<Referring, StoreError> {
        let action = format!("counting references in `{}`", embed.collection);
        let (path, limit) = (embed.reference.dotted(), i64::try_from(many).unwrap_or(i64::MAX));
        let mut referring = Referring::default();
        let mut groups = vec![references];
        while let Some(group) = groups.pop() {
            let ids: Vec<Bson> = group.iter().map(EntityId::to_bson).collect();
            let command = doc! {
                "count": &embed.collection,
                "query": { &path: { "$in": ids } },
                "limit": limit,
                "readConcern": self.read_concern(after),
            };
            let documents = command::count(&self.run(&action, command).await?, "n");
            referring.any |= documents > 0;
            match group {
                _ if documents < many => {}
                [single] => {
                    referring.many.insert(single.clone());
                }
                _ => groups.extend(group.chunks(group.len().div_ceil(2))),
            }
        }
        Ok(referring)
    }

    async fn embed(&self, embed: &Embed, writes: &[EmbedWrite]) -> Result<Written, StoreError> {
        let statement = |write: &EmbedWrite| {
            let mut statement = doc! { "q": &write.filter, "u": &write.update, "multi": true };
            if !write.array_filters.is_empty() {
                statement.insert("arrayFilters", &write.array_filters);
            }
            statement
        };
        self.update(&embed.collection, writes.iter().map(statement).collect(), false).await
    }

    async fn matching(&self, embed: &Embed, filter: Document) -> Result<Box<dyn Pages>, StoreError> {
        let command = doc! {
            "find": &embed.collection,
            "filter": filter,
            "projection": { "_id": 1 },
            "batchSize": 100,
        };
        Ok(Box::new(IdPages::new(self.open(&embed.collection, command).await?)))
    }

    async fn matching_in_order(
        &self,
        embed: &Embed,
        mut filter: Document,
        after: Option<&Bson>,
    ) -> Result<Option<Box<dyn Pages>>, StoreError> {
        let path = embed.reference.dotted();
        if self.best_index(&embed.collection, &path).await? != Serves::FindingInOrder {
            return Ok(None);
        }
        if let Some(after) = after {
            // Ids of other types are neither before nor after it.
            filter = doc! { "$and": [filter, { "_id": { "$not": { "$lte": after } } }] };
        }
        let command = doc! {
            "find": &embed.collection,
            "filter": filter,
            "projection": { "_id": 1 },
            "sort": { "_id": 1 },
            "allowDiskUse": true,
            "batchSize": 100,
        };
        Ok(Some(Box::new(IdPages::new(self.open(&embed.collection, command).await?))))
    }

    async fn documents(
        &self,
        embed: &Embed,
        ids: &[Bson],
        after: Option<Moment>,
    ) -> Result<Vec<Document>, StoreError> {
        let command = doc! {
            "find": &embed.collection,
            "filter": { "_id": { "$in": ids } },
            "projection": { embed.reference.dotted(): 1 },
            "readConcern": self.read_concern(after),
        };
        self.fetch_all(&format!("reading documents of `{}`", embed.collection), command).await
    }

    async fn scan(
        &self,
        embed: &Embed,
        from: Option<&Bson>,
        most: usize,
        after: Option<Moment>,
    ) -> Result<Vec<Document>, StoreError> {
        let filter =
            from.map_or_else(Document::new, |id| doc! { "$expr": { "$gt": ["$_id", { "$literal": id }] } });
        let command = doc! {
            "find": &embed.collection,
            "filter": filter,
            "projection": { embed.reference.dotted(): 1 },
            "sort": { "_id": 1 },
            "limit": limit(most),
            "readConcern": self.read_concern(after),
        };
        self.fetch_all(&format!("walking through `{}`", embed.collection), command).await
    }

    async fn referenced(
        &self,
        embed: &Embed,
        ids: &[EntityId],
        after: Option<Moment>,
    ) -> Result<Vec<EntityId>, StoreError> {
        let mut referenced = Vec::new();
        for id in ids {
            let command = doc! {
                "find": &embed.collection,
                "filter": { embed.reference.dotted(): { "$eq": id.to_bson() } },
                "projection": { "_id": 1 },
                "limit": 1,
                "readConcern": self.read_concern(after),
            };
            let action = format!("looking for references in `{}`", embed.collection);
            if !self.fetch_all(&action, command).await?.is_empty() {
                referenced.push(id.clone());
            }
        }
        Ok(referenced)
    }

    async fn remove(
        &self,
        embed: &Embed,
        of: &Subscription,
        record: &Record,
        ids: &[Bson],
    ) -> Result<u64, StoreError> {
        self.remove_under_guard(embed, of, record, ids).await
    }
}
