//! The consuming service of a test: a database of its own, with its products.

use std::env;
use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf, doc};
use futures::TryStreamExt;
use mongodb::options::ReadConcern;
use mongodb::{Client, Collection, Database, IndexModel};
use tokio::time::{Instant, sleep};

/// How long a test waits for what must come true.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database that nobody else uses.
pub(crate) struct Consumer {
    database: Database,
    url: String,
}

impl Consumer {
    /// Makes one on the server that `MONGODB_URL` names.
    pub(crate) async fn new() -> Self {
        let url =
            env::var("MONGODB_URL").expect("MONGODB_URL is set: `tests/services up`, `tests/services env`");
        Self::at(&url).await
    }

    /// Makes one on this server.
    pub(crate) async fn at(server: &str) -> Self {
        let name = format!("test-{}", uuid::Uuid::new_v4().simple());
        let (hosts, options) = server.split_once("/?").unwrap_or((server.trim_end_matches('/'), ""));
        let url = format!("{hosts}/{name}?{options}");
        let client = Client::with_uri_str(&url).await.unwrap();
        let consumer = Self { database: client.database(&name), url };
        let index = IndexModel::builder().keys(doc! { "userId": 1 }).build();
        consumer.products().create_index(index).await.unwrap();
        consumer
    }

    /// The connection string that names the database.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Any collection of it.
    pub(crate) fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    /// The consumer's own documents.
    pub(crate) fn products(&self) -> Collection<Document> {
        self.collection("products")
    }

    /// Adds a product of a user.
    pub(crate) async fn sells(&self, product: &str, user: &str) {
        self.products().insert_one(doc! { "_id": product, "userId": user }).await.unwrap();
    }

    /// Adds or changes documents by a command, which takes what a driver's helper would not.
    pub(crate) async fn run(&self, command: Document) -> Document {
        self.database.run_command(command).await.unwrap()
    }

    /// One document of a collection.
    pub(crate) async fn one(&self, collection: &str, id: impl Into<Bson>) -> Option<Document> {
        // Raw, since the driver takes `{"$oid": …}` inside a document for an id written in JSON.
        let raw: Collection<RawDocumentBuf> = self.database.collection(collection);
        // By the majority, as readers of nearcopy see it: what it is told here, they are told, too.
        let found =
            raw.find_one(doc! { "_id": id.into() }).read_concern(ReadConcern::majority()).await.unwrap();
        found.map(|raw| Document::try_from(raw).unwrap())
    }

    /// Waits until a document is as wanted.
    pub(crate) async fn until(
        &self,
        collection: &str,
        id: impl Into<Bson>,
        what: &str,
        wanted: impl Fn(&Document) -> bool,
    ) -> Document {
        let (id, deadline) = (id.into(), Instant::now() + PATIENCE);
        loop {
            let found = self.one(collection, id.clone()).await;
            if let Some(document) = found.as_ref().filter(|document| wanted(document)) {
                return document.clone();
            }
            assert!(
                Instant::now() < deadline,
                "not within {PATIENCE:?}: {what}; `{collection}` has {id}: {found:?}"
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a record is in this state at this version.
    pub(crate) async fn record_is(&self, replica: &str, id: impl Into<Bson>, state: &str, version: i64) {
        let what = format!("{state} at version {version}");
        self.until(replica, id, &what, |record| is_at(record, state, version)).await;
    }

    /// Waits until a product shows this name of its user.
    pub(crate) async fn shows(&self, product: &str, name: &str) {
        let what = format!("it shows {name}");
        self.until("products", product, &what, |product| shown(product) == Some(name)).await;
    }

    /// Waits until a collection has so many documents of a kind.
    pub(crate) async fn count_is(&self, collection: &str, filter: Document, count: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.collection(collection).count_documents(filter.clone()).await.unwrap();
            if found == count {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "not within {PATIENCE:?}: {count} in `{collection}` of {filter}, but {found}"
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// All parked events, the oldest first.
    pub(crate) async fn parked(&self) -> Vec<Document> {
        self.all("nearcopy.parked").await
    }

    /// All documents of a collection.
    pub(crate) async fn all(&self, collection: &str) -> Vec<Document> {
        let raw: Collection<RawDocumentBuf> = self.database.collection(collection);
        let found = raw.find(doc! {}).sort(doc! { "at": 1, "_id": 1 }).await.unwrap();
        let found: Vec<RawDocumentBuf> = found.try_collect().await.unwrap();
        found.into_iter().map(|raw| Document::try_from(raw).unwrap()).collect()
    }

    /// The collections that contain this text anywhere, but for the views.
    pub(crate) async fn holding(&self, text: &str) -> Vec<String> {
        let mut holding = Vec::new();
        for name in self.database.list_collection_names().await.unwrap() {
            let is_plain = !name.contains(".live") && !name.starts_with("system.");
            if is_plain && self.all(&name).await.iter().any(|document| document.to_string().contains(text)) {
                holding.push(name);
            }
        }
        holding
    }

    /// Removes the database.
    pub(crate) async fn remove(self) {
        self.database.drop().await.unwrap();
    }
}

/// Whether a record is in this state at this version.
pub(crate) fn is_at(record: &Document, state: &str, version: i64) -> bool {
    let meta = record.get_document("_nearcopy").ok();
    meta.is_some_and(|meta| {
        let held = meta.get_document("key").ok().and_then(|key| key.get_i64("v").ok());
        meta.get_str("state").is_ok_and(|held| held == state) && held == Some(version)
    })
}

/// The name of its user that a product shows.
pub(crate) fn shown(product: &Document) -> Option<&str> {
    product.get_document("user").ok()?.get_str("name").ok()
}
