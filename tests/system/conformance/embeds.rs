//! Embeds: the statements that fan-out and hydration make, on documents of every shape.

use bson::{Bson, Document, doc};
use fastrand::Rng;
use futures::TryStreamExt;
use mongodb::IndexModel;
use mongodb::options::IndexOptions;
use nearcopy::replication::{Embed, EmbedWrite, Scope};
use nearcopy::store::{EmbedStore, Refusal, Store, Written};

use super::shapes::{document, embed, entities, record};
use super::{Both, choose, seeds};
use crate::declared::{PRODUCTS, shop};
use crate::mongodb::Database;

const DOCUMENTS: i32 = 25;

/// B1, B5: filters match the same documents, updates leave the same, to the byte.
#[tokio::test]
async fn every_statement_of_an_embed_does_in_memory_what_it_does_in_mongodb() {
    let both = Both::new(&shop("all", "", &[])).await;
    let (mut changed, mut refused) = (0, 0);
    for seed in 0..seeds().end * 6 {
        let mut dice = Rng::with_seed(seed);
        let embed = embed(&mut dice);
        let documents: Vec<Document> =
            (0..DOCUMENTS).map(|number| document(&mut dice, &embed, number)).collect();
        both.start_with(documents).await;
        for round in 0..8 {
            let name = format!("seed {seed}, round {round}");
            if dice.u8(0..3) == 0 {
                let number = dice.i32(0..DOCUMENTS);
                both.replace(document(&mut dice, &embed, number)).await;
            }
            let written = both.write(&embed, &writes(&mut dice, &embed), &name).await;
            changed += written.0;
            refused += written.1.len();
        }
        both.look(&embed, &mut dice, &format!("seed {seed}")).await;
    }
    assert!(changed > 50 && refused > 10, "{changed} changes and {refused} refusals are no test");
    both.database.drop().await;
}

/// The statements that bring documents in line with a record, in any scope; or that clear documents.
fn writes(dice: &mut Rng, embed: &Embed) -> Vec<EmbedWrite> {
    let ids: Vec<Bson> = (0..DOCUMENTS).filter(|_| dice.bool()).map(Bson::from).collect();
    let writes = match dice.u8(0..9) {
        0 => vec![embed.clear_unreferenced(&ids, &choose(dice, &[Bson::Null, 7.into(), 42.5.into()]))],
        1..4 => embed.writes(&record(dice), Scope::Everywhere),
        4 => embed.writes(&record(dice), Scope::Page(&ids)),
        _ => embed.writes(&record(dice), Scope::Exactly(&ids)),
    };
    if dice.bool() {
        return writes;
    }
    let single = |id: i32| {
        writes.iter().map(move |write| {
            let filter = doc! { "$and": [{ "_id": id }, &write.filter] };
            EmbedWrite { filter, ..write.clone() }
        })
    };
    (0..DOCUMENTS).flat_map(single).collect()
}

impl Both {
    /// Puts just these documents into both.
    async fn start_with(&self, documents: Vec<Document>) {
        let products = self.database.collection("products");
        products.delete_many(doc! {}).await.unwrap();
        products.insert_many(&documents).await.unwrap();
        for document in self.memory.all("products") {
            self.memory.delete("products", document.get("_id").unwrap().clone());
        }
        for document in documents {
            assert!(self.memory.insert("products", document));
        }
    }

    async fn replace(&self, document: Document) {
        let id = document.get("_id").unwrap().clone();
        let products = self.database.collection("products");
        let replaced = products.replace_one(doc! { "_id": &id }, &document).await.unwrap();
        assert_eq!(replaced.matched_count, 1);
        assert!(self.memory.find("products", id.clone()).is_some());
        assert!(self.memory.replace("products", id, document));
    }

    async fn write(&self, embed: &Embed, writes: &[EmbedWrite], name: &str) -> Facts {
        let [mongodb, memory] = self.stores();
        let before: Vec<String> = self.memory.all("products").iter().map(ToString::to_string).collect();
        let before = before.join("\n");
        for write in writes.iter().take(3) {
            let matched =
                [ids(&*mongodb, embed, &write.filter).await, ids(&*memory, embed, &write.filter).await];
            assert_eq!(matched[0], matched[1], "{name}: {} matches in\n{before}", write.filter);
        }
        let said = [mongodb.embed(embed, writes).await.unwrap(), memory.embed(embed, writes).await.unwrap()];
        let story = || {
            let word =
                |write: &EmbedWrite| format!("{} {} {:?}\n", write.filter, write.update, write.array_filters);
            format!("{name}:\n{}on\n{before}", writes.iter().map(word).collect::<String>())
        };
        let [mongodb, memory] = said.map(facts);
        assert_eq!(mongodb, memory, "{}", story());
        self.same_documents(&story).await;
        memory
    }

    async fn same_documents(&self, story: &dyn Fn() -> String) {
        let found = self.database.collection("products").find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap();
        let stored: Vec<Document> = found.try_collect().await.unwrap();
        let held = self.memory.all("products");
        assert_eq!(stored.len(), held.len());
        for (stored, held) in stored.iter().zip(&held) {
            let bytes = [stored.to_vec().unwrap(), held.to_vec().unwrap()];
            assert_eq!(bytes[0], bytes[1], "MongoDB has {stored}, memory {held}, after {}", story());
        }
    }

    /// Asks both all that is asked about documents.
    async fn look(&self, embed: &Embed, dice: &mut Rng, name: &str) {
        let [mongodb, memory] = self.stores();
        let everybody = entities();
        let ids: Vec<Bson> = (0..DOCUMENTS).filter(|_| dice.bool()).map(Bson::from).collect();
        let from = dice.bool().then(|| Bson::from(dice.i32(0..DOCUMENTS)));
        let most = dice.u64(1..12);
        let mut said = Vec::new();
        for store in [&mongodb, &memory] {
            let mut documents = store.documents(embed, &ids, None).await.unwrap();
            documents.sort_by_key(|document| document.get_i32("_id").unwrap());
            said.push((
                documents,
                store.scan(embed, from.as_ref(), usize::try_from(most).unwrap(), None).await.unwrap(),
                store.count(embed, &everybody, most, None).await.unwrap(),
                store.referenced(embed, &everybody, None).await.unwrap(),
            ));
        }
        let (memory, mongodb) = (said.pop(), said.pop());
        assert_eq!(mongodb, memory, "{name}: {:?}", embed.reference);
    }
}

/// The `_id`s that match, in their order.
async fn ids(store: &dyn Store, embed: &Embed, filter: &Document) -> Vec<i32> {
    let mut pages = store.matching(embed, filter.clone()).await.unwrap();
    let mut ids = Vec::new();
    loop {
        let page = pages.next(10).await.unwrap();
        if page.is_empty() {
            ids.sort_unstable();
            return ids;
        }
        ids.extend(page.iter().filter_map(Bson::as_i32));
    }
}

/// The same beyond one of them, in the order of ids, as an index has it.
async fn ids_in_order(
    store: &dyn Store,
    embed: &Embed,
    filter: &Document,
    after: Option<&Bson>,
) -> Vec<Bson> {
    let mut pages = store.matching_in_order(embed, filter.clone(), after).await.unwrap().unwrap();
    let mut ids = Vec::new();
    loop {
        let page = pages.next(3).await.unwrap();
        if page.is_empty() {
            return ids;
        }
        ids.extend(page);
    }
}

/// N4: a walk can be taken up again where an index has the documents of a reference in the order of their ids, whatever
/// types these have; elsewhere it cannot.
#[tokio::test]
async fn a_walk_in_the_order_of_ids_begins_beyond_any_of_them() {
    let database = Database::new(&shop("all", "", &[PRODUCTS])).await;
    let embed = database.declaration.embeds[0].clone();
    let products = database.collection("products");
    let all = doc! { "userId": "ann" };
    assert!(database.store.matching_in_order(&embed, all.clone(), None).await.unwrap().is_none());
    let create = async |keys: Document, partial: Option<Document>| {
        let options = IndexOptions::builder().partial_filter_expression(partial).build();
        products.create_index(IndexModel::builder().keys(keys).options(options).build()).await.unwrap();
    };
    create(doc! { "userId": 1 }, None).await;
    create(doc! { "userId": 1, "name": 1, "_id": 1 }, None).await;
    create(doc! { "userId": -1, "_id": 1 }, Some(doc! { "name": { "$exists": true } })).await;
    assert!(database.store.matching_in_order(&embed, all.clone(), None).await.unwrap().is_none());
    create(doc! { "userId": 1, "_id": 1 }, None).await;
    let ids: [Bson; 6] = [1.into(), 2.5.into(), 7_i64.into(), "a".into(), "b".into(), true.into()];
    for id in ids.iter().rev() {
        products.insert_one(doc! { "_id": id, "userId": "ann" }).await.unwrap();
    }
    products.insert_one(doc! { "_id": "c", "userId": "bob" }).await.unwrap();
    assert_eq!(ids_in_order(&*database.store, &embed, &all, None).await, ids);
    for (at, after) in ids.iter().enumerate() {
        let found = ids_in_order(&*database.store, &embed, &all, Some(after)).await;
        assert!(found.ends_with(&ids[at + 1..]) && !found.contains(after), "after {after}: {found:?}");
    }
    database.drop().await;
}

/// What was done, without its time: changes, refusals, statements.
type Facts = (u64, Vec<Refusal>, usize);

fn facts(written: Written) -> Facts {
    assert!(written.moment.is_some());
    (written.changed, written.refused, written.statements)
}
