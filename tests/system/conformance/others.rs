//! Leases, positions, parked events, documents that go with a record, and what a deposed primary shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, doc};
use fastrand::Rng;
use nearcopy::event::{EntityId, EntityType, Version};
use nearcopy::replication::{Content, Key, Record, RecordWrite, Why};
use nearcopy::store::memory::Memory;
use nearcopy::store::{Parked, Store};
use uuid::Uuid;

use super::{Both, choose, seeds};
use crate::declared::{ASKED, PRODUCTS, deleted, embed, id, saved, shop};
use crate::writes::{of_events, placeholder};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn leases_and_positions_are_the_same_in_memory() {
    let both = Both::new(&shop("all", "", &[])).await;
    let mongodb: [Arc<dyn Store>; 2] = [both.database.store.clone(), both.database.connect().await];
    let memory: [Arc<dyn Store>; 2] = [Arc::new(both.memory.pod("one")), Arc::new(both.memory.pod("two"))];
    let (mut dice, mut taken) = (Rng::with_seed(1), [0, 0]);
    for step in 0..60 * seeds().end {
        let (pod, name) = (dice.usize(0..2), choose(&mut dice, &["a", "b"]));
        let stores = [&mongodb[pod], &memory[pod]];
        let hold = choose(&mut dice, &[Duration::ZERO, HOUR, HOUR]);
        let position = dice.bool().then(|| doc! { "at": i64::try_from(step).unwrap() });
        let mut said = Vec::new();
        match dice.u8(0..4) {
            0 | 1 => {
                for store in stores {
                    said.push(Some(Bson::from(store.lease(name, hold).await.unwrap())));
                }
                taken[usize::from(said[0] == Some(Bson::Boolean(true)))] += 1;
            }
            2 => {
                for store in stores {
                    store.release(name).await.unwrap();
                }
            }
            _ => {
                for store in stores {
                    said.push(store.position(name).await.unwrap().map(Bson::from));
                    store.set_position(name, position.as_ref()).await.unwrap();
                }
            }
        }
        assert_eq!(said.first(), said.last(), "step {step}: pod {pod}, `{name}`");
    }
    assert!(taken[0] > 10 && taken[1] > 10, "{taken:?}: leases are taken, and refused");
    both.database.drop().await;
}

#[tokio::test]
async fn parked_events_are_the_same_in_memory() {
    let both = Both::new(&shop("all", "", &[])).await;
    let mut dice = Rng::with_seed(1);
    let (users, others) = (EntityType::new("users"), EntityType::new("others"));
    for step in 0..40 * seeds().end {
        let some: Vec<Parked> =
            (0..dice.u128(1..4)).map(|_| parked(&mut dice, &[users.clone(), others.clone()])).collect();
        let (ids, from) = ([number(dice.u128(0..8)), number(dice.u128(0..8))], dice.u128(0..8));
        let (kind, from, most) = (dice.u8(0..3), dice.bool().then(|| number(from)), dice.usize(1..6));
        let about = dice.bool().then(|| choose(&mut dice, &entities()));
        let mut said = Vec::new();
        for store in both.stores() {
            let unparked = match kind {
                0 => store.unpark(&ids).await.unwrap(),
                _ => store.park(&some).await.map(|()| 0).unwrap(),
            };
            match kind {
                0 => store.acquit(&ids[1..]).await.unwrap(),
                _ => store.suspect(&ids[..usize::from(kind)]).await.unwrap(),
            }
            let suspected = store.suspicions(&ids).await.unwrap();
            let mut listed = store.parked(dice_free(step, &["users", "others"]), 100).await.unwrap();
            listed.sort_by_key(|parked| parked.id);
            said.push((
                (unparked, suspected),
                store.count_parked().await.unwrap(),
                untimed(listed),
                untimed(store.parked_one(ids[0]).await.unwrap().into_iter().collect()),
                untimed(store.parked_page(&users, from, most).await.unwrap()),
                sorted(store.parked_about(&users, about.as_ref()).await.unwrap()),
            ));
        }
        assert_eq!(said.first(), said.last(), "step {step}");
    }
    both.database.drop().await;
}

/// Some of the time one of these, the same for both stores.
fn dice_free<'a>(step: u64, list: &[&'a str]) -> Option<&'a str> {
    list.get(usize::try_from(step % 3).unwrap()).copied()
}

fn sorted(mut ids: Vec<Uuid>) -> Vec<Uuid> {
    ids.sort();
    ids
}

fn entities() -> [EntityId; 4] {
    [id("ann"), EntityId::Int(7), EntityId::Uuid(number(9)), EntityId::ObjectId([7; 12])]
}

pub(super) fn number(number: u128) -> Uuid {
    Uuid::from_u128(number << 100 | number)
}

pub(super) fn parked(dice: &mut Rng, replicas: &[EntityType]) -> Parked {
    let mut text = |text: &str| dice.bool().then(|| text.to_owned());
    let (kind, event, excerpt) = (text("user.saved"), text("e1"), text("{}"));
    Parked {
        id: number(dice.u128(0..8)),
        source: "users".into(),
        replica: dice.bool().then(|| choose(dice, replicas)),
        entity: dice.bool().then(|| choose(dice, &entities())),
        version: dice.bool().then(|| dice.i64(0..9)),
        kind,
        event,
        reason: "bad_id".into(),
        detail: "the id is null".into(),
        headers: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        excerpt,
        size: 7,
        hash: "00".into(),
        at: None,
    }
}

/// Parked events without the times that the database gave them; each has one.
pub(super) fn untimed(parked: Vec<Parked>) -> Vec<Parked> {
    assert!(parked.iter().all(|parked| parked.at.is_some()));
    parked.into_iter().map(|parked| Parked { at: None, ..parked }).collect()
}

/// B7: only documents that refer to a deletion that stands go, and only what is outdated.
#[tokio::test]
async fn the_same_documents_go_with_a_deleted_record() {
    let declaration = shop("all", ASKED, &[PRODUCTS]);
    let both = Both::new(&declaration).await;
    let of = both.of();
    let mut dice = Rng::with_seed(1);
    let (mut removed, mut kept) = (0, 0);
    for round in 0..25 * seeds().end {
        let users = [id("ann"), id("bob")];
        let kinds = [choose(&mut dice, &Why::ALL), choose(&mut dice, &Why::ALL)];
        let shapes: Vec<(usize, i64)> = (0..6).map(|_| (dice.usize(0..8), dice.i64(-1..2))).collect();
        let ids: Vec<Bson> = (0..6).filter(|_| dice.u8(0..4) > 0).map(Bson::from).collect();
        let shift = i64::from(dice.u8(0..6) == 0);
        let mut said = Vec::new();
        for (at, store) in both.stores().iter().enumerate() {
            let writes: Vec<RecordWrite> = users
                .iter()
                .zip(kinds)
                .map(|(id, why)| gone(id, why, i64::try_from(round).unwrap()))
                .collect();
            store.write(of, &writes, 1).await.unwrap();
            let record = store.read(of, &users, None).await.unwrap().remove(&users[0]).unwrap();
            let documents = shapes.iter().enumerate().map(|(id, shape)| product(id, *shape, record.rev));
            both.fill(at, documents.collect()).await;
            let record = Record { rev: record.rev - shift, ..record };
            let gone = store.remove(embed(&declaration), of, &record, &ids).await.unwrap();
            let left = store.scan(embed(&declaration), None, 100, None).await.unwrap();
            said.push((gone, left));
        }
        assert_eq!(said.first(), said.last(), "round {round}: {kinds:?} {shapes:?} of {ids:?}");
        removed += said[0].0;
        kept += said[0].1.len();
    }
    assert!(removed > 5 && kept > 20, "{removed} removed, {kept} kept");
    both.database.drop().await;
}

/// All reasons for a record to be gone.
trait Reasons {
    const ALL: [Why; 4];
}

impl Reasons for Why {
    const ALL: [Why; 4] = [Why::Deleted, Why::Deleted, Why::Out, Why::NotFound];
}

fn gone(id: &EntityId, why: Why, version: i64) -> RecordWrite {
    let key = Key::gone(Version::new(version), why, 1);
    let (content, guard) = (Content::Gone(why), key.clone());
    let stamp = nearcopy::event::Stamp::default();
    RecordWrite::State { id: id.clone(), content, key, guard, stamp, create: true, owes: true }
}

/// A product of Ann's or Bob's, that shows this revision of it, or an older or newer one.
fn product(id: usize, (shape, difference): (usize, i64), rev: i64) -> Document {
    let stamp = |user: &str, rev: Bson| doc! { "product-user": { "ref": user, "rev": rev } };
    let same = Bson::Int64(rev + difference);
    let id = i32::try_from(id).unwrap();
    match shape {
        0 | 1 => doc! { "_id": id, "userId": "ann", "_nearcopy": stamp("ann", same) },
        2 => doc! { "_id": id, "userId": "ann", "_nearcopy": stamp("bob", same) },
        3 => doc! { "_id": id, "userId": "bob", "_nearcopy": stamp("ann", same) },
        4 => doc! { "_id": id, "userId": ["ann"], "_nearcopy": stamp("ann", same) },
        5 => doc! { "_id": id, "userId": "ann", "_nearcopy": stamp("ann", Bson::Null) },
        6 => doc! { "_id": id, "userId": "ann", "_nearcopy": { "other": 1 } },
        _ => doc! { "_id": id, "userId": "ann" },
    }
}

impl Both {
    /// Puts just these documents into one of both.
    async fn fill(&self, which: usize, documents: Vec<Document>) {
        let products = self.database.collection("products");
        if which == 0 {
            products.delete_many(doc! {}).await.unwrap();
            products.insert_many(documents).await.unwrap();
            return;
        }
        for document in self.memory.all("products") {
            self.memory.delete("products", document.get("_id").unwrap().clone());
        }
        for document in documents {
            assert!(self.memory.insert("products", document));
        }
    }
}

/// C6: who is held is not retired, however long it is marked.
#[tokio::test]
async fn a_record_that_is_held_is_not_retired_from_either() {
    let both = Both::new(&shop("referenced", ASKED, &[PRODUCTS])).await;
    let (of, ann) = (both.of(), id("ann"));
    for (until, expected) in [(HOUR, 0), (Duration::ZERO, 1)] {
        let until = nearcopy::clock::wall_micros() / 1000 + i64::try_from(until.as_millis()).unwrap();
        let held = doc! { "$set": { "_nearcopy.hold": bson::DateTime::from_millis(until) } };
        for store in both.stores() {
            store.write(of, &[placeholder("ann")], 1).await.unwrap();
            store.mark(of, std::slice::from_ref(&ann)).await.unwrap();
        }
        both.database.collection("users").update_one(doc! { "_id": "ann" }, held).await.unwrap();
        both.memory.hold(&of.name, &ann, Some(until));
        tokio::time::sleep(Duration::from_millis(5)).await;
        for store in both.stores() {
            let marked = store.marked(of, Duration::ZERO, 10).await.unwrap();
            assert_eq!(store.retire(of, &marked).await.unwrap(), expected);
        }
    }
    assert!(both.memory.records(&of.name).is_empty());
    both.database.drop().await;
}

/// A2, B3, M3: as with a real deposed primary, what is not tied to a moment may be the past; what is, is not.
#[tokio::test(start_paused = true)]
async fn a_pod_that_is_cut_off_sees_the_past_until_it_has_a_newer_moment() {
    let declaration = shop("all", ASKED, &[PRODUCTS]);
    let of = declaration.replica("users").unwrap();
    let memory = Memory::new(1000, 1);
    let (old, new) = (memory.pod("old"), memory.pod("new"));
    let stores: [&dyn Store; 2] = [&old, &new];
    let write =
        async |at: usize, event| stores[at].write(of, &of_events(&declaration, &[event]), 1).await.unwrap();
    let version = async |at: usize, after| {
        let read = stores[at].read(of, &[id("ann")], after).await.unwrap();
        read[&id("ann")].key.as_ref().unwrap().version.get()
    };
    let before = write(1, saved("ann", 1, "ann")).await.moment;
    memory.deposed("old", true);
    tokio::time::advance(HOUR).await;
    let after = write(1, saved("ann", 3, "anna")).await.moment;
    assert!(after > before && memory.now() == 3_601_000);
    assert_eq!((version(0, None).await, version(0, before).await, version(0, after).await), (1, 1, 3));
    assert_eq!(version(1, None).await, 3);

    let idle = write(0, saved("ann", 1, "ann")).await;
    assert_eq!(
        (idle.changed, version(0, idle.moment).await),
        (0, 1),
        "it changes nothing there, and says so"
    );
    let beat = stores[0].heartbeat().await.unwrap();
    assert_eq!(version(0, beat).await, 3, "a write that a majority confirmed reveals the truth");
    let late = write(0, deleted("ann", 2)).await;
    assert_eq!((late.changed, version(0, late.moment).await), (0, 3), "the truth decides what is written");
    memory.deposed("old", false);
    assert_eq!(version(0, None).await, 3);
}
