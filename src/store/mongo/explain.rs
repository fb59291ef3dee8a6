//! What is known of one entity or one document, read for a person and changing nothing.

use bson::{Bson, Document, doc};

use super::Mongo;
use crate::event::{EntityId, IdKind};
use crate::replication::{Embed, Record};
use crate::store::{Embedding, StoreError};

impl Mongo {
    /// How an embed stands to an entity: who refers to it, who shows it, and who something older, where the record is known.
    pub async fn embedding(
        &self,
        embed: &Embed,
        id: &EntityId,
        record: Option<&Record>,
    ) -> Result<Embedding, StoreError> {
        let of = &embed.collection;
        let referring = doc! { embed.reference.dotted(): { "$eq": id.to_bson() } };
        let outdated = match record {
            Some(record) => self.count_within(of, embed.outdated(record)).await?,
            None => None,
        };
        Ok(Embedding {
            referring: self.count_within(of, referring).await?,
            showing: self.count_within(of, embed.shown(id)).await?,
            outdated,
        })
    }

    /// The documents of a collection whose `_id` may be what a person wrote, of whatever type it is.
    pub async fn found_by_text(&self, collection: &str, id: &str) -> Result<Vec<Document>, StoreError> {
        let kinds = [IdKind::String, IdKind::Int, IdKind::ObjectId, IdKind::Uuid];
        let ids = kinds.into_iter().filter_map(|kind| EntityId::parse(id, kind).ok());
        let ids: Vec<Bson> = ids.map(|id| id.to_bson()).collect();
        let command = doc! {
            "find": collection,
            "filter": { "_id": { "$in": ids } },
            "readConcern": self.read_concern(None),
        };
        self.fetch_all(&format!("reading a document of `{collection}`"), command).await
    }
}
