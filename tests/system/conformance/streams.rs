//! Change streams: who tells whom of what, and from where.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, doc};
use fastrand::Rng;
use nearcopy::replication::{Embed, Record, Scope};
use nearcopy::store::memory::Memory;
use nearcopy::store::{Changes, Store, StoreError};

use super::shapes::{document, embed, record};
use super::{Both, choose, seeds};
use crate::declared::shop;

/// How many documents there are from the beginning.
const DOCUMENTS: i32 = 8;
/// How long a change is waited for.
const WAIT: Duration = Duration::from_secs(1);

/// What a stream has told by now.
struct Follower {
    changes: Box<dyn Changes>,
    told: Vec<i32>,
    position: Option<Document>,
}

/// F1, F6: both let through what concerns an embed, and hold back what is our own; both go on from a position.
#[tokio::test]
async fn a_change_is_hinted_at_in_memory_where_mongodb_hints_at_it() {
    for seed in 0..seeds().end * 3 {
        let both = Both::new(&shop("all", "", &[])).await;
        let mut dice = Rng::with_seed(seed);
        let embeds: Vec<Arc<Embed>> = (0..2).map(|_| Arc::new(embed(&mut dice))).collect();
        both.insert((0..DOCUMENTS).map(|number| document(&mut dice, &embeds[0], number)).collect()).await;
        let mut history = vec![format!("seed {seed}, {embeds:?}")];
        let mut followers = both.follow(&embeds, [None, None]).await;
        for mark in [1000, 1001, 1002] {
            let begun = followers.each_ref().map(|follower| follower.position.clone());
            for _ in 0..12 {
                history.push(both.act(&mut dice, &embeds[0]).await);
            }
            both.insert(vec![doc! { "_id": mark }]).await;
            both.same(&mut followers, mark, &history).await;
            if mark > 1000 {
                let mut again = both.follow(&embeds, begun).await;
                both.same(&mut again, mark, &history).await;
            }
        }
        both.ended(&mut followers).await;
        both.database.drop().await;
    }
}

impl Both {
    async fn insert(&self, documents: Vec<Document>) {
        self.database.collection("products").insert_many(&documents).await.unwrap();
        for document in documents {
            assert!(self.memory.insert("products", document));
        }
    }

    async fn follow(&self, embeds: &[Arc<Embed>], from: [Option<Document>; 2]) -> [Follower; 2] {
        let [first, second] = self.stores();
        let [from_first, from_second] = from;
        [follower(&first, embeds, from_first).await, follower(&second, embeds, from_second).await]
    }

    /// What is told up to a mark is the same.
    async fn same(&self, followers: &mut [Follower; 2], mark: i32, history: &[String]) {
        for follower in followers.iter_mut() {
            follower.told.clear();
            while !follower.told.contains(&mark) {
                // Whether one waits for changes or comes from time to time, one is told the same.
                let wait = if mark % 2 == 0 { WAIT } else { Duration::ZERO };
                let hints = follower.changes.next(wait).await.unwrap();
                assert_eq!(hints.moment.is_some(), !hints.documents.is_empty());
                follower.told.extend(hints.documents.iter().map(|id| id.as_i32().unwrap()));
                follower.position = hints.position;
                assert!(follower.position.is_some() && !hints.ended);
            }
        }
        let [mongodb, memory] = followers;
        assert_eq!(mongodb.told, memory.told, "MongoDB and memory, after\n{}", history.join("\n"));
    }

    /// Where the collection goes, the stream ends.
    async fn ended(&self, followers: &mut [Follower; 2]) {
        self.database.collection("products").drop().await.unwrap();
        self.memory.drop_collection("products");
        for follower in followers {
            while !follower.changes.next(WAIT).await.unwrap().ended {}
        }
    }

    /// Something happens to a document, and to all of both.
    async fn act(&self, dice: &mut Rng, embed: &Embed) -> String {
        let (number, products) = (dice.i32(0..DOCUMENTS), self.database.collection("products"));
        let named = doc! { "_id": number };
        match dice.u8(0..8) {
            0 => {
                let next = document(dice, embed, number);
                products.replace_one(named.clone(), &next).await.unwrap();
                self.memory.replace("products", number, next.clone());
                format!("replace {next}")
            }
            1 => {
                let mut next = document(dice, embed, number);
                next.remove("_id");
                next.remove("_nearcopy");
                products.update_one(named.clone(), doc! { "$set": &next }).await.unwrap();
                let set = next.clone();
                self.memory.update("products", number, move |held| held.extend(set));
                format!("set in {number} {next}")
            }
            2 if dice.bool() => {
                products.delete_one(named.clone()).await.unwrap();
                self.memory.delete("products", number);
                let next = document(dice, embed, number);
                self.insert(vec![next.clone()]).await;
                format!("delete and insert {next}")
            }
            2..5 => {
                let operators = operators(dice);
                let done = products.update_one(named, operators.clone()).await;
                if done.is_ok() {
                    assert!(self.memory.update_by("products", number, &operators).unwrap());
                }
                format!("update {number} by {operators}: {}", done.is_ok())
            }
            _ => {
                let record = record(dice);
                self.show(embed, &record, number, dice.bool()).await;
                format!("show {record:?} in {number}")
            }
        }
    }

    async fn show(&self, embed: &Embed, record: &Record, number: i32, is_cleared: bool) {
        let ids = [Bson::Int32(number)];
        let mut writes = embed.writes(record, Scope::Exactly(&ids));
        if is_cleared {
            writes.push(embed.clear_unreferenced(&ids, &Bson::Null));
        }
        for store in self.stores() {
            store.embed(embed, &writes).await.unwrap();
        }
    }
}

async fn follower(store: &Arc<dyn Store>, embeds: &[Arc<Embed>], from: Option<Document>) -> Follower {
    let changes = store.follow("products", embeds, from).await.unwrap();
    Follower { changes, told: Vec::new(), position: None }
}

/// What a consumer does to its own fields, ours or not.
fn operators(dice: &mut Rng) -> Document {
    let paths =
        ["userId", "owner.id", "user.mail", "user_name", "price", "users", "shown.x", "_nearcopy.shown.rev"];
    let (set, removed) = (choose(dice, &paths), choose(dice, &paths));
    match dice.u8(0..3) {
        0 => doc! { "$set": { set: dice.i32(0..3) } },
        1 => doc! { "$unset": { removed: "" } },
        _ if set.split('.').next() == removed.split('.').next() => doc! { "$set": { set: 1 } },
        _ => doc! { "$set": { set: dice.i32(0..3) }, "$unset": { removed: "" } },
    }
}

/// F2: a position that the log no longer has leads nowhere, for whoever begins there and for whoever is there.
#[tokio::test]
async fn a_log_that_was_cut_is_history_lost() {
    let memory = Memory::new(0, 1);
    let store: Arc<dyn Store> = Arc::new(memory.pod("one"));
    let mut follower = follower(&store, &[], None).await;
    assert!(memory.insert("products", doc! { "_id": 1 }));
    let before = follower.changes.next(WAIT).await.unwrap();
    assert_eq!(before.documents, [Bson::Int32(1)]);
    assert!(memory.insert("products", doc! { "_id": 2 }));
    memory.cut_log();
    assert!(matches!(follower.changes.next(WAIT).await, Err(StoreError::HistoryLost { .. })));
    let begun = store.follow("products", &[], before.position).await.map(|_| ());
    assert!(matches!(begun, Err(StoreError::HistoryLost { .. })));
}
