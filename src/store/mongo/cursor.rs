//! A server's cursor, read by commands of our own: one reply is one batch, and what belongs to the batch comes
//! with it.

use async_trait::async_trait;
use bson::{Bson, Document, doc};
use mongodb::{ClientSession, Database};

use super::{Mongo, command, record::limit};
use crate::store::{Pages, StoreError};

/// An open cursor in its session.
pub struct Cursor {
    database: Database,
    collection: String,
    session: Option<ClientSession>,
    id: i64,
}

impl Mongo {
    /// Opens a cursor; what its first batch brings comes with it.
    pub(super) async fn open(
        &self,
        collection: &str,
        command: Document,
    ) -> Result<(Cursor, Document), StoreError> {
        let action = format!("reading `{collection}`");
        let starting = self.database.client().start_session().await;
        let session = Some(starting.map_err(|error| command::classify(&action, &error))?);
        let (database, collection) = (self.database.clone(), collection.to_owned());
        let mut cursor = Cursor { database, collection, session, id: 0 };
        let first = cursor.run(command).await?;
        Ok((cursor, first))
    }
}

impl Cursor {
    /// Whether the server has closed it: there is nothing more.
    pub fn is_ended(&self) -> bool {
        self.id == 0
    }

    /// Takes the next batch, with what belongs to it. A `wait` is for cursors that wait for more to come.
    pub async fn next(&mut self, most: i64, wait_ms: Option<i32>) -> Result<Document, StoreError> {
        let mut more = doc! { "getMore": self.id, "collection": &self.collection, "batchSize": most };
        if let Some(wait) = wait_ms {
            more.insert("maxTimeMS", wait);
        }
        self.run(more).await
    }

    /// Runs a command in the session, on a task of its own: the driver's futures must not be dropped half-way.
    async fn run(&mut self, command: Document) -> Result<Document, StoreError> {
        let lost = || StoreError::Unavailable {
            action: format!("reading `{}`", self.collection),
            detail: "the cursor is lost and must be opened again".into(),
        };
        let mut session = self.session.take().ok_or_else(lost)?;
        let database = self.database.clone();
        let running = tokio::spawn(async move {
            let reply = database.run_command(command).session(&mut session).await;
            (session, reply)
        });
        let (session, reply) = running.await.map_err(|_| lost())?;
        let reply = reply.map_err(|error| command::classify(&self.collection, &error))?;
        let Some(Bson::Document(cursor)) = { reply }.remove("cursor") else { return Err(lost()) };
        self.id = cursor.get_i64("id").unwrap_or_default();
        self.session = Some(session);
        Ok(cursor)
    }
}

/// The documents of a batch, whichever of the two names it has.
pub fn documents(cursor: &Document) -> impl Iterator<Item = &Document> {
    let batch = cursor.get_array("nextBatch").or_else(|_| cursor.get_array("firstBatch"));
    batch.map(Vec::as_slice).unwrap_or_default().iter().filter_map(Bson::as_document)
}

/// The ids of documents that match, page by page; what changes on the way does not move the cursor.
pub struct IdPages {
    cursor: Cursor,
    first: Option<Document>,
}

impl IdPages {
    /// Walks on from an opened cursor and its first batch.
    pub fn new((cursor, first): (Cursor, Document)) -> Self {
        Self { cursor, first: Some(first) }
    }
}

#[async_trait]
impl Pages for IdPages {
    async fn next(&mut self, most: usize) -> Result<Vec<Bson>, StoreError> {
        let ids = |batch: &Document| documents(batch).filter_map(|found| found.get("_id").cloned()).collect();
        let mut page: Vec<Bson> = self.first.take().as_ref().map(ids).unwrap_or_default();
        while page.is_empty() && !self.cursor.is_ended() {
            page = ids(&self.cursor.next(limit(most), None).await?);
        }
        Ok(page)
    }
}
