//! Embeds come, change and go: documents follow, and what is not declared any more is taken out of them.

use bson::{Document, doc};
use nearcopy::store::{ChangeStore, EmbedStore};

use super::{BRISK, NAME, NAME_AND_MAIL, into, manifest, saved};
use crate::declared::ASKED;
use crate::mongodb::Database;
use crate::owner::Owner;
use crate::pod::Pod;
use crate::rabbitmq::eventually;

/// Three products of Ann under this embed, shown as it says.
async fn shown(embed: &str, shows: Document) -> (Database, std::sync::Arc<Owner>) {
    let database = Database::new(&manifest(NAME_AND_MAIL, ASKED, &[embed])).await;
    let owner = Owner::new();
    database.products((0..3).map(|number| doc! { "_id": number, "userId": "ann", "own": number })).await;
    let pod = Pod::start(&database, &owner).await;
    pod.deliver([saved("ann", 7, "Ann")]).await;
    eventually("all show Ann", async || database.count(shows.clone()).await == 3).await;
    pod.stop().await;
    (database, owner)
}

/// The products without their stamps.
async fn products(database: &Database) -> Vec<Document> {
    let mut found = Vec::new();
    for number in 0..3 {
        let mut product = database.product(number).await.unwrap();
        product.remove("_nearcopy");
        found.push(product);
    }
    found
}

fn all(fields: &Document) -> Vec<Document> {
    let product = |number: i32| {
        let mut product = doc! { "_id": number, "userId": "ann", "own": number };
        product.extend(fields.clone());
        product
    };
    (0..3).map(product).collect()
}

async fn become_all(database: &Database, fields: &Document) {
    let wanted = all(fields);
    eventually("documents follow", async || {
        products(database).await.iter().zip(&wanted).all(|(is, wanted)| same(is, wanted))
    })
    .await;
}

/// Whether two documents have the same fields, in whatever order.
fn same(one: &Document, other: &Document) -> bool {
    one.len() == other.len() && one.iter().all(|(name, value)| other.get(name) == Some(value))
}

/// C1, C2: a field that an embed shows or does not show any more is so in every document, though no record changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_follows_its_fields() {
    let (database, owner) = shown(&into("user", "username"), doc! { "user.username": "Ann" }).await;
    for (fields, shows) in [
        ("username, email", doc! { "user": { "username": "Ann", "email": "Ann@example.org" } }),
        ("email", doc! { "user": { "email": "Ann@example.org" } }),
    ] {
        let next = database.redeclared(&manifest(NAME_AND_MAIL, ASKED, &[&into("user", fields)])).await;
        let pod = Pod::start(&next, &owner).await;
        become_all(&next, &shows).await;
        pod.stop().await;
    }
    assert_eq!(owner.asked("ann"), 0, "nobody has to be asked");
    database.drop().await;
}

/// C2: paths that an embed leaves are cleared as it moves on, and become the consumer's own again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_embed_moves_away_from_is_cleared() {
    let flat = "product-user: { in: products, ref: userId, from: users, set: { name: username, client.mail: email } }";
    let (database, owner) = shown(flat, doc! { "name": "Ann", "client.mail": "Ann@example.org" }).await;
    let fewer = "product-user: { in: products, ref: userId, from: users, set: { name: username } }";
    let name = doc! { "username": "Ann" };
    for (embed, shows) in [
        (fewer.to_owned(), doc! { "name": "Ann", "client": {} }),
        (into("user", "username"), doc! { "client": {}, "user": &name }),
        (into("client.user", "username"), doc! { "client": { "user": &name } }),
    ] {
        let next = database.redeclared(&manifest(NAME_AND_MAIL, ASKED, &[&embed])).await;
        let pod = Pod::with(&next, &owner, BRISK).await;
        become_all(&next, &shows).await;
        let mine = doc! { "$set": { "name": "mine", "user": "mine" } };
        if embed.contains("client.user") {
            next.collection("products").update_many(doc! {}, mine).await.unwrap();
            pod.deliver([saved("ann", 8, "Eve")]).await;
            let now = doc! { "client": { "user": { "username": "Eve" } }, "name": "mine", "user": "mine" };
            become_all(&next, &now).await;
            tokio::time::sleep(BRISK.drift_every * 3).await;
            become_all(&next, &now).await;
        }
        pod.stop().await;
    }
    database.drop().await;
}

/// C2: an embed that is not declared any more leaves nothing behind: not in documents, not in arrays, no stamp.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embed_that_is_removed_leaves_nothing() {
    let array = "list-user: { in: lists, ref: \"rows[].cells[].userId\", from: users, into: user, fields: [username] }";
    let before = Database::new(&manifest(NAME, ASKED, &[&into("user", "username"), array])).await;
    let owner = Owner::new();
    let cells = |more: Document| {
        let mut cell = doc! { "userId": "ann" };
        cell.extend(more);
        doc! { "_id": "l", "rows": [{ "cells": [cell.clone(), { "userId": null }, cell] }, { "cells": [] }, {}] }
    };
    let lists = before.collection("lists");
    lists.insert_one(cells(doc! {})).await.unwrap();
    before.products([doc! { "_id": "p", "userId": "ann" }]).await;
    let pod = Pod::start(&before, &owner).await;
    pod.deliver([saved("ann", 7, "Ann")]).await;
    let list = async || lists.find_one(doc! {}).await.unwrap().unwrap().to_string();
    eventually("both show her", async || {
        list().await.matches("Ann").count() == 2 && before.name_on("p").await.is_some()
    })
    .await;
    pod.stop().await;

    let after = before.redeclared(&manifest(NAME, ASKED, &[&into("user", "username")])).await;
    let pod = Pod::with(&after, &owner, BRISK).await;
    let clean = cells(doc! {}).to_string();
    eventually("the list is as it was", async || {
        list().await.replace(", \"_nearcopy\": {  }", "").replace(", \"_nearcopy\": {}", "") == clean
    })
    .await;
    assert_eq!(after.name_on("p").await.as_deref(), Some("Ann"), "others stay");
    let left = &after.declaration.leftovers;
    assert_eq!(left.len(), 1);
    let done = async || after.store.position(&left[0].name()).await.unwrap().is_some();
    eventually("a second pass found nothing", done).await;
    pod.stop().await;
    after.drop().await;
}

/// C2: a clearing that is killed in the middle goes on; an embed of another name may take the place over meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clearing_goes_on_after_a_crash_and_spares_who_took_the_place() {
    let before = Database::new(&manifest(NAME, ASKED, &[&into("user", "username")])).await;
    let owner = Owner::new();
    before.products((0..2_000).map(|number| doc! { "_id": number, "userId": "ann" })).await;
    let pod = Pod::start(&before, &owner).await;
    pod.deliver([saved("ann", 7, "Ann")]).await;
    eventually("all show her", async || before.count(doc! { "user.username": "Ann" }).await == 2_000).await;
    pod.kill();
    let renamed = into("user", "username").replace("product-user", "product-client");
    let after = before.redeclared(&manifest(NAME, ASKED, &[&renamed])).await;
    let left = &after.declaration.leftovers[0];
    let first: Vec<bson::Bson> = (0..700).map(Into::into).collect();
    after.store.embed(left.embed(), &[left.clear(&first)]).await.unwrap();
    let stamped = doc! { "_nearcopy.product-user": { "$exists": true } };
    assert_eq!(after.count(stamped.clone()).await, 1_300);
    let pod = Pod::with(&after, &owner, BRISK).await;
    eventually("no old stamp is left", async || after.count(stamped.clone()).await == 0).await;
    let new = doc! { "user.username": "Ann", "_nearcopy.product-client.ref": "ann" };
    eventually("and the new embed shows her", async || after.count(new.clone()).await == 2_000).await;
    pod.stop().await;
    after.drop().await;
}

/// C1: a new embed on a collection that is followed already: its documents are found, and their users wanted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_embed_finds_its_documents_at_once() {
    let (database, owner) = shown(&into("user", "username"), doc! { "user.username": "Ann" }).await;
    owner.shows("bob", 3, doc! { "username": "Bob", "email": "b" });
    database
        .collection("products")
        .update_one(doc! { "_id": 0 }, doc! { "$set": { "by": "bob" } })
        .await
        .unwrap();
    let second = "product-by: { in: products, ref: by, from: users, into: author, fields: [username] }";
    let embeds = [into("user", "username"), second.to_owned()];
    let next = database.redeclared(&manifest(NAME_AND_MAIL, ASKED, &[&embeds[0], &embeds[1]])).await;
    let pod = Pod::start(&next, &owner).await;
    eventually("Bob is shown", async || next.count(doc! { "author.username": "Bob" }).await == 1).await;
    pod.stop().await;
    next.drop().await;
}
