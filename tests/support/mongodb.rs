//! A database of its own for each test, on the server that `MONGODB_URL` names.

use std::env;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::mongodb::Client;
use bson::{Bson, Document, doc};
use nearcopy::event::EntityId;
use nearcopy::replication::{Declaration, Record, RecordWrite, Subscription};
use nearcopy::store::mongo::{Mongo, Options};
use nearcopy::store::{RecordStore, Written};
use secrecy::SecretString;

use crate::declared::{id, users};

/// The consumer's database: as nearcopy sees it, and as the consumer does.
pub(crate) struct Database {
    /// As nearcopy sees it.
    pub(crate) store: Arc<Mongo>,
    /// As the consumer does.
    pub(crate) raw: ::mongodb::Database,
    /// What is declared.
    pub(crate) declaration: Arc<Declaration>,
    url: String,
}

impl Database {
    /// Makes a database that nobody else uses, and prepares it for a declaration.
    pub(crate) async fn new(declaration: &Arc<Declaration>) -> Self {
        Self::at(&given("MONGODB_URL"), declaration).await
    }

    /// As [`Database::new`], on the server at that address.
    pub(crate) async fn at(url: &str, declaration: &Arc<Declaration>) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let raw = Client::with_uri_str(url).await.unwrap().database(&name);
        let store = Arc::new(connect(url, &name).await);
        let declaration = Arc::new(store.set_up(declaration).await.unwrap().declaration);
        Self { store, raw, declaration, url: url.to_owned() }
    }

    /// The same database as a pod sees it that starts with this declaration.
    pub(crate) async fn redeclared(&self, declaration: &Arc<Declaration>) -> Self {
        let store = self.connect().await;
        let declaration = Arc::new(store.set_up(declaration).await.unwrap().declaration);
        Self { store, raw: self.raw.clone(), declaration, url: self.url.clone() }
    }

    /// Another pod's connection to the same database.
    pub(crate) async fn connect(&self) -> Arc<Mongo> {
        Arc::new(connect(&self.url, self.raw.name()).await)
    }

    /// How a pod in a runtime of its own connects.
    pub(crate) fn address(&self) -> (String, String) {
        (self.url.clone(), self.raw.name().to_owned())
    }

    /// The replica.
    pub(crate) fn of(&self) -> &Arc<Subscription> {
        users(&self.declaration)
    }

    /// Writes records, and expects that no statement is refused.
    pub(crate) async fn write(&self, writes: &[RecordWrite]) -> Written {
        let written = self.store.write(self.of(), writes, 1).await.unwrap();
        assert_eq!(written.refused, []);
        written
    }

    /// The record of a user, as it is read back.
    pub(crate) async fn held(&self, user: &str) -> Option<Record> {
        self.store.read(self.of(), &[id(user)], None).await.unwrap().remove(&id(user))
    }

    /// The record of a user, which must be there.
    pub(crate) async fn record(&self, user: &str) -> Record {
        self.held(user).await.unwrap_or_else(|| panic!("there is no record of `{user}`"))
    }

    /// The stored document of a user.
    pub(crate) async fn stored(&self, user: &EntityId) -> Document {
        let found = self.collection("users").find_one(doc! { "_id": user.to_bson() }).await.unwrap();
        found.unwrap_or_else(|| panic!("there is no document of `{user}`"))
    }

    /// A collection of the consumer's.
    pub(crate) fn collection(&self, name: &str) -> ::mongodb::Collection<Document> {
        self.raw.collection(name)
    }

    /// Puts documents into the consumer's products, which are indexed by their user.
    pub(crate) async fn products(&self, documents: impl IntoIterator<Item = Document>) {
        let index = ::mongodb::IndexModel::builder().keys(doc! { "userId": 1, "_id": 1 }).build();
        self.collection("products").create_index(index).await.unwrap();
        self.collection("products").insert_many(documents).await.unwrap();
    }

    /// One of the consumer's products.
    pub(crate) async fn product(&self, id: impl Into<Bson>) -> Option<Document> {
        self.collection("products").find_one(doc! { "_id": id.into() }).await.unwrap()
    }

    /// How many products match.
    pub(crate) async fn count(&self, filter: Document) -> u64 {
        self.collection("products").count_documents(filter).await.unwrap()
    }

    /// Removes the database.
    pub(crate) async fn drop(self) {
        self.raw.drop().await.unwrap();
    }
}

/// Connects as nearcopy does.
pub(crate) async fn connect(url: &str, database: &str) -> Mongo {
    let options = Options {
        url: SecretString::from(url.to_owned()),
        database: Some(database.to_owned()),
        parked_for: Duration::from_secs(3600),
    };
    Mongo::connect(options).await.unwrap()
}

/// The address of a server that is no member of a replica set.
pub(crate) fn standalone() -> String {
    services("standalone")
}

/// What `tests/services` prints for a subcommand.
pub(crate) fn services(subcommand: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/services");
    let output = Command::new(script).arg(subcommand).output().unwrap();
    assert!(
        output.status.success(),
        "tests/services {subcommand}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn given(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `tests/services up`, then `eval \"$(tests/services env)\"`")
    })
}
