//! The consumer's own service: it inserts, changes, copies, writes back and deletes, and knows nothing of nearcopy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result};
use bson::{Bson, Document, doc};
use mongodb::options::{Acknowledgment, ClientOptions, ReturnDocument, WriteConcern};
use mongodb::{Client, Collection, Database, IndexModel};

use crate::machine::replica_set::DATABASE;

/// How long a majority may take before nobody knows what became of a write.
const PATIENCE: Duration = Duration::from_secs(8);

/// The service, and what it knows for certain of its own fields.
pub(crate) struct Shop {
    database: Database,
    /// What it wrote last, by document; none where it deleted the document.
    known: BTreeMap<String, Option<Document>>,
    /// Documents of which a statement failed: nobody knows what they are.
    doubtful: BTreeSet<String>,
    next: u64,
    users: u64,
    rng: fastrand::Rng,
}

/// The collection with one reference to a user in each document, and several in an array.
pub(crate) const PRODUCTS: &str = "products";
/// The collection that shows users flat.
pub(crate) const ORDERS: &str = "orders";
/// How many products are never touched again once they are inserted; each refers to one user, who is never retired.
pub(crate) const ANCHORS: u64 = 40;

impl Shop {
    /// Opens it; it refers to so many users.
    pub(crate) async fn open(url: &str, users: u64, seed: u64) -> Result<Self> {
        let database = connect(url).await?;
        for (collection, reference) in
            [(PRODUCTS, "userId"), (PRODUCTS, "contributors.userId"), (ORDERS, "customerId")]
        {
            let index = IndexModel::builder().keys(doc! { reference: 1, "_id": 1 }).build();
            database.collection::<Document>(collection).create_index(index).await?;
        }
        let rng = fastrand::Rng::with_seed(seed);
        let shop = Self { database, known: BTreeMap::new(), doubtful: BTreeSet::new(), next: 0, users, rng };
        for number in 0..ANCHORS {
            let user = anchor_user(number);
            let contributors = [doc! { "userId": &user, "role": "author" }];
            let product = doc! { "_id": anchor(number), "name": "anchor", "userId": &user, "contributors": contributors };
            shop.products().insert_one(product).await?;
        }
        Ok(shop)
    }

    /// Inserts so many documents, to begin with.
    pub(crate) async fn furnish(&mut self, count: usize) {
        for _ in 0..count {
            self.insert().await;
            self.insert_order().await;
        }
    }

    /// Does something; what failed is in doubt from then on.
    pub(crate) async fn act(&mut self) {
        let id = match self.rng.u8(..100) {
            0..30 => return self.insert().await,
            30..40 => return self.insert_order().await,
            _ => self.any(),
        };
        let Some(id) = id else { return };
        let done = match self.rng.u8(..9) {
            0 => self.refer_to_another(&id).await,
            1 => self.rename(&id).await,
            2 => self.replace_contributors(&id).await,
            3 => self.change_contributor(&id).await,
            4 => self.copy(&id).await,
            5 => self.write_back(&id).await,
            6 | 7 => self.tamper(&id).await,
            _ => self.delete(&id).await,
        };
        if done.is_err() {
            self.doubtful.insert(id);
        }
    }

    /// What it knows for certain, but for what belongs to nearcopy, that the database denies.
    pub(crate) async fn denied(&self) -> Result<Vec<String>> {
        let mut denied = Vec::new();
        for (id, known) in self.known.iter().filter(|(id, _)| !self.doubtful.contains(*id)) {
            let found = self.collection(id).find_one(doc! { "_id": id }).await?.map(without_ours);
            if found != *known {
                denied.push(format!("{id} is {found:?}, the shop wrote {known:?}"));
            }
        }
        Ok(denied)
    }

    /// How many documents it wrote, and of how many it is in doubt.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.known.len(), self.doubtful.len())
    }

    async fn insert(&mut self) {
        self.next += 1;
        let id = format!("p{}", self.next);
        let count = self.rng.usize(..4);
        let contributors: Vec<Document> = (0..count).map(|_| self.contributor()).collect();
        let product =
            doc! { "_id": &id, "name": "new", "userId": self.reference(), "contributors": contributors };
        self.put(product).await;
    }

    async fn insert_order(&mut self) {
        self.next += 1;
        let order = doc! { "_id": format!("o{}", self.next), "customerId": self.user(), "total": 17 };
        self.put(order).await;
    }

    async fn put(&mut self, document: Document) {
        let id = document.get_str("_id").unwrap_or_default().to_owned();
        let inserted = self.collection(&id).insert_one(document.clone()).await;
        if inserted.is_err() {
            self.doubtful.insert(id.clone());
        }
        self.known.insert(id, Some(without_ours(document)));
    }

    async fn refer_to_another(&mut self, id: &str) -> Result<()> {
        let update = match self.rng.u8(..6) {
            0 => doc! { "$set": { "userId": Bson::Null } },
            1 => doc! { "$unset": { "userId": "" } },
            _ => doc! { "$set": { "userId": self.user() } },
        };
        self.update(id, update).await
    }

    async fn rename(&mut self, id: &str) -> Result<()> {
        let update = doc! { "$set": { "name": format!("name {}", self.rng.u16(..)) } };
        self.update(id, update).await
    }

    async fn replace_contributors(&mut self, id: &str) -> Result<()> {
        let contributors: Vec<Document> = (0..self.rng.usize(..3)).map(|_| self.contributor()).collect();
        self.update(id, doc! { "$set": { "contributors": contributors } }).await
    }

    /// The element stays with all that it shows, but refers to somebody else.
    async fn change_contributor(&mut self, id: &str) -> Result<()> {
        let known = self.known.get(id).cloned().flatten().unwrap_or_default();
        if known.get_array("contributors").is_ok_and(|all| !all.is_empty()) {
            let update = doc! { "$set": { "contributors.0.userId": self.user() } };
            return self.update(id, update).await;
        }
        let contributor = self.contributor();
        self.update(id, doc! { "$push": { "contributors": contributor } }).await
    }

    /// A copy with all that is in the document, stamps included.
    async fn copy(&mut self, id: &str) -> Result<()> {
        let Some(mut product) = self.products().find_one(doc! { "_id": id }).await? else { return Ok(()) };
        self.next += 1;
        product.insert("_id", format!("p{}", self.next));
        if self.rng.bool() {
            product.insert("userId", self.user());
        }
        self.put(product).await;
        Ok(())
    }

    /// Reads a document, thinks, and writes it back as it was.
    async fn write_back(&mut self, id: &str) -> Result<()> {
        let Some(product) = self.products().find_one(doc! { "_id": id }).await? else { return Ok(()) };
        tokio::time::sleep(Duration::from_millis(self.rng.u64(..300))).await;
        self.products().replace_one(doc! { "_id": id }, &product).await?;
        self.known.insert(id.to_owned(), Some(without_ours(product)));
        Ok(())
    }

    /// Writes where it has no business to.
    async fn tamper(&mut self, id: &str) -> Result<()> {
        let update = match self.rng.u8(..4) {
            0 => doc! { "$set": { "user.username": "tampered" } },
            1 => doc! { "$unset": { "user": "" } },
            2 => doc! { "$unset": { "_nearcopy": "" } },
            _ => doc! { "$set": { "user": { "username": "tampered", "more": 1 } } },
        };
        self.products().update_one(doc! { "_id": id }, update).await?;
        Ok(())
    }

    async fn delete(&mut self, id: &str) -> Result<()> {
        self.known.insert(id.to_owned(), None);
        self.products().delete_one(doc! { "_id": id }).await?;
        Ok(())
    }

    async fn update(&mut self, id: &str, update: Document) -> Result<()> {
        let filter = doc! { "_id": id };
        let products = self.products();
        let updating = products.find_one_and_update(filter, update);
        let updating = updating.return_document(ReturnDocument::After);
        let after = updating.await?.context("it is not there")?;
        self.known.insert(id.to_owned(), Some(without_ours(after)));
        Ok(())
    }

    /// Some product that is certain to be there.
    fn any(&mut self) -> Option<String> {
        let certain = |(id, known): &(&String, &Option<Document>)| {
            known.is_some() && id.starts_with('p') && !self.doubtful.contains(*id)
        };
        let ids: Vec<&String> = self.known.iter().filter(certain).map(|(id, _)| id).collect();
        self.rng.choice(ids).cloned()
    }

    fn contributor(&mut self) -> Document {
        doc! { "userId": self.reference(), "role": "author" }
    }

    fn reference(&mut self) -> Bson {
        if self.rng.u8(..20) == 0 { Bson::Null } else { self.user().into() }
    }

    fn user(&mut self) -> String {
        format!("u{}", self.rng.u64(..self.users))
    }

    fn products(&self) -> Collection<Document> {
        self.database.collection(PRODUCTS)
    }

    fn collection(&self, id: &str) -> Collection<Document> {
        self.database.collection(if id.starts_with('o') { ORDERS } else { PRODUCTS })
    }
}

/// The id of a product that is never touched.
pub(crate) fn anchor(number: u64) -> String {
    format!("anchor-{number}")
}

/// The id of the user it refers to.
pub(crate) fn anchor_user(number: u64) -> String {
    format!("a{number}")
}

/// A connection whose writes are those of a majority.
pub(crate) async fn connect(url: &str) -> Result<Database> {
    let mut options = ClientOptions::parse(url).await?;
    options.app_name = Some("shop".into());
    options.server_selection_timeout = Some(Duration::from_secs(5));
    let majority = WriteConcern::builder().w(Acknowledgment::Majority).w_timeout(PATIENCE).build();
    options.write_concern = Some(majority);
    Ok(Client::with_options(options)?.database(DATABASE))
}

/// A document without what nearcopy put there.
fn without_ours(mut document: Document) -> Document {
    for name in ["user", "_nearcopy", "customer_name", "customer_city"] {
        document.remove(name);
    }
    if let Ok(contributors) = document.get_array_mut("contributors") {
        for contributor in contributors.iter_mut().filter_map(Bson::as_document_mut) {
            contributor.remove("user");
            contributor.remove("_nearcopy");
        }
    }
    document
}
