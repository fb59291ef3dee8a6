//! What the protocol takes for granted of MongoDB, asked of MongoDB itself.

use std::time::Duration;

use bson::{Bson, Document, doc};
use futures::{StreamExt, TryStreamExt};
use nearcopy::clock::Stopwatch;
use nearcopy::event::Version;
use nearcopy::replication::{Key, Rank};
use nearcopy::store::{RecordStore, RetireStore};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::declared::{ASKED, PRODUCTS, deleted, id, saved, shop};
use crate::mongodb::{Database, connect};
use crate::rabbitmq::eventually;
use crate::replica_set::ReplicaSet;
use crate::writes::{need, of_events, placeholder};

/// Numbers without end, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn one_of<T: Clone>(&mut self, list: &[T]) -> T {
        let at = usize::try_from(self.below(list.len() as u64)).unwrap();
        list[at].clone()
    }

    /// A key that is often equal to another in its first fields.
    fn key(&mut self) -> Key {
        Key {
            epoch: self.one_of(&[0, 0, 0, 1, 9_007_199_254_740_993]),
            version: Version::new(self.one_of(&[
                0,
                1,
                2,
                10,
                9_007_199_254_740_992,
                9_007_199_254_740_993,
                i64::MAX,
            ])),
            rank: self.one_of(&[Rank::Live, Rank::Out, Rank::Deleted]),
            shape: self.one_of(&[0, 1, 2, 10]),
            hash: self.one_of(&["", "~", "0000000000000000", "ffffffffffffffff", "9", "a"]).into(),
        }
    }
}

/// A14: the guard of every write is this comparison, made by the server; a missing key is below every other.
#[tokio::test]
async fn the_server_orders_keys_as_the_rules_do() {
    let database = Database::new(&shop("all", "", &[])).await;
    let (keys, mut dice) = (database.collection("keys"), Dice(42));
    let stored: Vec<Key> = (0..300).map(|_| dice.key()).collect();
    let documents = stored.iter().zip(0_i32..).map(|(key, at)| doc! { "_id": at, "key": key.to_document() });
    keys.insert_many(documents).await.unwrap();
    keys.insert_many([doc! { "_id": "missing" }, doc! { "_id": "null", "key": Bson::Null }]).await.unwrap();

    for guard in (0..100).map(|_| dice.key()) {
        let below = doc! { "$lt": ["$key", { "$literal": guard.to_document() }] };
        let found = keys.find(doc! { "$expr": below }).projection(doc! { "_id": 1 }).await.unwrap();
        let found: Vec<Document> = found.try_collect().await.unwrap();
        let is_below = |id: &Bson| found.iter().any(|document| document.get("_id") == Some(id));
        for (key, at) in stored.iter().zip(0_i32..) {
            assert_eq!(is_below(&at.into()), *key < guard, "{key:?} below {guard:?}");
        }
        assert!(is_below(&"missing".into()) && is_below(&"null".into()));
    }
    let sorted = keys.find(doc! { "key.v": { "$exists": true } }).sort(doc! { "key": 1 }).await.unwrap();
    let sorted: Vec<Document> = sorted.try_collect().await.unwrap();
    let sorted: Vec<Key> = sorted
        .iter()
        .map(|document| Key::from_document(document.get_document("key").unwrap()).unwrap())
        .collect();
    assert!(sorted.is_sorted(), "what is stored is read back, and in the same order");
    database.drop().await;
}

/// B2: `rev` orders all that leaves a record, over any number of writers and over the record's lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_revision_rises_with_every_effective_write_and_over_lives() {
    let declaration = shop("referenced", ASKED, &[PRODUCTS]);
    let database = Database::new(&declaration).await;
    database.write(&[placeholder("42")]).await;
    let mut changes = database.collection("users").watch().await.unwrap();

    for _life in 0..2 {
        let mut writers = JoinSet::new();
        for writer in 0..32_i64 {
            let (store, declaration) = (database.store.clone(), declaration.clone());
            writers.spawn(async move {
                for round in 0..10 {
                    let version = round * 40 + (writer * 7) % 40;
                    let mut writes = of_events(&declaration, &[saved("42", version, "ann")]);
                    if version % 5 == 0 {
                        writes = of_events(&declaration, &[deleted("42", version)]);
                    }
                    writes.push(need("42", version + 1));
                    let written =
                        store.write(declaration.replica("users").unwrap(), &writes, writer).await.unwrap();
                    assert_eq!(written.refused, []);
                }
            });
        }
        writers.join_all().await;
        database.store.mark(database.of(), &[id("42")]).await.unwrap();
        let marked = database.store.marked(database.of(), Duration::ZERO, 10).await.unwrap();
        assert_eq!(database.store.retire(database.of(), &marked).await.unwrap(), 1);
        database.write(&[placeholder("42")]).await;
    }

    let last = database.record("42").await.rev;
    let (mut before, mut seen) = (0, 0);
    while before < last {
        let change = changes.next().await.unwrap().unwrap();
        let of_document = |document: Document| document.get_document("_nearcopy").ok()?.get_i64("rev").ok();
        let of_update = |updated: Document| {
            let whole = updated.get_document("_nearcopy").ok().and_then(|whole| whole.get_i64("rev").ok());
            updated.get_i64("_nearcopy.rev").ok().or(whole)
        };
        let rev = change.full_document.and_then(of_document);
        let rev = rev.or_else(|| of_update(change.update_description?.updated_fields));
        if let Some(rev) = rev {
            assert!(rev > before, "{rev} after {before}");
            (before, seen) = (rev, seen + 1);
        }
    }
    assert!(seen > 20, "only {seen} effective writes were seen");
    database.drop().await;
}

/// A3: E11000 says that somebody else was first, and never that the write was stale.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_pods_that_upsert_one_absent_record_the_higher_version_stays() {
    let declaration = shop("all", "", &[]);
    let database = Database::new(&declaration).await;
    let pods = [database.connect().await, database.connect().await];
    for round in 0..200 {
        let user = format!("user-{round}");
        let mut writers = JoinSet::new();
        for (pod, version) in pods.iter().cloned().zip([7, 8]) {
            let (declaration, user) = (declaration.clone(), user.clone());
            writers.spawn(async move {
                let of = declaration.replica("users").unwrap();
                let writes = of_events(&declaration, &[saved(&user, version, "ann")]);
                loop {
                    let written = pod.write(of, &writes, version).await.unwrap();
                    assert_eq!(written.refused, [], "a race is no refusal");
                    let moment = match written.changed {
                        0 => pod.heartbeat().await.unwrap(),
                        _ => written.moment,
                    };
                    let held = pod.read(of, &[id(&user)], moment).await.unwrap().remove(&id(&user));
                    if held.and_then(|held| held.key).is_some_and(|key| key.version.get() >= version) {
                        return;
                    }
                }
            });
        }
        writers.join_all().await;
        assert_eq!(database.record(&user).await.key.unwrap().version.get(), 8, "round {round}");
    }
    database.drop().await;
}

/// A2, B3, M3: what is read after a moment is not read from a deposed primary's past, and a pod that can reach only
/// that one gets no proof that it is not; B2: `rev` rises over the failover.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_decided_by_a_deposed_primary() {
    let set = ReplicaSet::start().await;
    let declaration = shop("all", "", &[]);
    let database = Database::at(&set.url(), &declaration).await;
    let mut rev = 0;
    for round in 1..=3 {
        let old = set.primary(&[]).await.unwrap();
        let lonely = connect(&set.direct(old), database.raw.name()).await;
        write_until_done(&database, round * 10).await;
        assert!(lonely.heartbeat().await.unwrap().is_some());

        set.stop(old);
        eventually("another member is elected", async || set.primary(&[old]).await.is_some()).await;
        let moment = write_until_done(&database, round * 10 + 1).await;
        let newer = database.record("42").await.rev;
        assert!(newer > rev, "{newer} after {rev}");
        rev = newer;

        set.go_on(old);
        let of = declaration.replica("users").unwrap();
        let ids = [id("42")];
        let (read, beat) = tokio::join!(lonely.read(of, &ids, Some(moment)), lonely.heartbeat());
        if let Ok(read) = read {
            assert_eq!(
                read[&id("42")].key.as_ref().unwrap().version.get(),
                round * 10 + 1,
                "the past was read"
            );
        }
        if let Ok(Some(beat)) = beat {
            assert!(beat > moment, "the deposed primary confirmed a write");
        }
        eventually("the set has one primary", async || set.primary(&[]).await.is_some()).await;
    }
}

/// Writes a version as the pipeline does: again, until the database confirms it.
async fn write_until_done(database: &Database, version: i64) -> nearcopy::store::Moment {
    let writes = of_events(&database.declaration, &[saved("42", version, "ann")]);
    let watch = Stopwatch::start();
    loop {
        match database.store.write(database.of(), &writes, version).await {
            Ok(written) => return written.moment.unwrap(),
            Err(error) => assert!(watch.elapsed() < Duration::from_secs(30), "{error}"),
        }
        sleep(Duration::from_millis(100)).await;
    }
}
