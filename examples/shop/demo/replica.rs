//! The consumer's database as it is: records, products with their stamps, parked events; and what differs from the owner.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use futures::TryStreamExt;
use mongodb::Database;
use serde_json::{Value, json};

use crate::shop::Users;

pub(crate) struct Replica {
    pub(crate) database: Database,
}

impl Replica {
    pub(crate) async fn all(&self, collection: &str) -> Result<Vec<Document>> {
        let found =
            self.database.collection::<Document>(collection).find(doc! {}).sort(doc! { "_id": 1 }).await?;
        Ok(found.try_collect().await?)
    }

    pub(crate) async fn record(&self, id: &str) -> Result<Document> {
        let found = self.database.collection::<Document>("users").find_one(doc! { "_id": id }).await?;
        found.with_context(|| format!("no record of user {id}"))
    }

    /// Succeeds once the record is in this state; else says in which it is.
    pub(crate) async fn expect_state(&self, id: &str, wanted: &str) -> Result<Document> {
        let record = self.record(id).await?;
        let state = state(&record);
        ensure!(state == wanted, "the record of {id} is {state}");
        Ok(record)
    }

    /// Succeeds once each of the user's products, `count` of them, shows this.
    pub(crate) async fn expect_products(&self, user: &str, count: u64, shown: &Value) -> Result<()> {
        let wanted = doc! {
            "userId": user,
            "user.username": shown["username"].as_str(),
            "user.email": shown["email"].as_str(),
        };
        let seen = self.database.collection::<Document>("products").count_documents(wanted).await?;
        ensure!(seen == count, "{seen} of {count} products");
        Ok(())
    }

    pub(crate) async fn record_count(&self) -> Result<u64> {
        Ok(self.database.collection::<Document>("users").count_documents(doc! {}).await?)
    }

    /// The collections of which a text is found in any document: for what must not be anywhere.
    pub(crate) async fn collections_with(&self, text: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for name in self.database.list_collection_names().await? {
            if self.all(&name).await?.iter().any(|document| document.to_string().contains(text)) {
                found.push(name);
            }
        }
        Ok(found)
    }

    /// Everything in which the copies differ from the owner's state, and the products from the copies.
    pub(crate) async fn drift(&self, owner: &Users) -> Result<Vec<String>> {
        let records: Records =
            self.all("users").await?.into_iter().map(|record| (id(&record), record)).collect();
        let products = self.all("products").await?;
        let ids: Vec<String> = records.keys().cloned().collect();
        let answers = owner.get_many(&ids).await?;
        let states: BTreeMap<&str, &Value> =
            answers.iter().filter_map(|user| Some((user["id"].as_str()?, user))).collect();

        let mut drift = interest_drift(&records, &products);
        drift.extend(
            records.iter().filter_map(|(id, record)| record_drift(id, record, states.get(id.as_str()))),
        );
        drift.extend(products.iter().filter_map(|product| product_drift(product, &records)));
        Ok(drift)
    }
}

type Records = BTreeMap<String, Document>;

pub(crate) fn id(document: &Document) -> String {
    document.get_str("_id").unwrap_or("?").to_owned()
}

pub(crate) fn state(record: &Document) -> &str {
    record.get_document("_nearcopy").and_then(|own| own.get_str("state")).unwrap_or("without a state")
}

/// What is kept is what is referenced, no more and no less.
fn interest_drift(records: &Records, products: &[Document]) -> Vec<String> {
    let wanted: BTreeSet<&str> =
        products.iter().filter_map(|product| product.get_str("userId").ok()).collect();
    let kept: BTreeSet<&str> = records.keys().map(String::as_str).collect();
    let unneeded = kept.difference(&wanted).map(|id| format!("user {id} is kept, yet no product wants her"));
    let missing = wanted.difference(&kept).map(|id| format!("user {id} is wanted, yet there is no record"));
    unneeded.chain(missing).collect()
}

fn record_drift(id: &str, record: &Document, owned: Option<&&Value>) -> Option<String> {
    let held = state(record);
    match (held, owned) {
        ("gone", None) => None,
        ("live", Some(user)) => {
            let copy = json!({
                "version": version(record),
                "username": record.get_str("username").ok(),
                "email": record.get_str("email").ok(),
                "city": record.get_str("city").ok(),
            });
            let original = json!({
                "version": user["version"],
                "username": user["username"],
                "email": user["email"],
                "city": user["address"]["city"],
            });
            (copy != original).then(|| format!("user {id} is {copy}, the owner says {original}"))
        }
        (_, None) => Some(format!("user {id} is {held}, and unknown to the owner")),
        (_, Some(_)) => Some(format!("user {id} is {held}, and known to the owner")),
    }
}

fn product_drift(product: &Document, records: &Records) -> Option<String> {
    let record = records.get(product.get_str("userId").ok()?)?;
    if state(record) != "live" {
        return None; // `when_deleted: keep`: it shows what it showed
    }
    let shown = product.get_document("user").cloned().unwrap_or_default();
    let held = doc! { "username": record.get("username").cloned(), "email": record.get("email").cloned() };
    let same = held.iter().all(|(field, value)| shown.get(field) == Some(value)) && shown.len() == held.len();
    (!same).then(|| format!("product {} shows {shown}, the record has {held}", id(product)))
}

fn version(record: &Document) -> Option<i64> {
    let version = record.get_document("_nearcopy").ok()?.get_document("key").ok()?.get("v")?;
    version.as_i64().or_else(|| version.as_i32().map(i64::from))
}
