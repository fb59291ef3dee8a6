//! Read models: turns, what they leave behind, and what is put in the place of what.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use fastrand::Rng;
use futures::TryStreamExt;
use nearcopy::event::{EntityId, EntityType, FieldPath};
use nearcopy::replication::{Alert, ReadModel};
use nearcopy::store::{
    Checkpoint, Folded, Found, Needs, Noted, OutboxStore, Parked, ParkedStore, Reached, RebuildStore,
};
use uuid::Uuid;

use super::others::{number, parked, untimed};
use super::{Both, choose, seeds};
use crate::declared::{declared, id};

const HOUR: Duration = Duration::from_secs(3600);

const THINGS: &str = "
service: shop
sources:
  events:
    stream: { name: events }
read_models:
  things:
    source: events
    key: data.id
    on: { Grown: { set: { size: data.size } } }
";

/// All that is asked of a store of read models.
trait Models: RebuildStore + OutboxStore + ParkedStore {}

impl<T: RebuildStore + OutboxStore + ParkedStore> Models for T {}

/// From where a turn believes to go on.
#[derive(Clone, Copy, Debug)]
enum Belief {
    Right,
    Outdated,
    Nowhere,
}

/// One step, the same for both stores.
#[derive(Clone, Debug)]
enum Step {
    Turn(EntityType, Option<u16>, Belief, Box<Turn>),
    Freeze(Duration),
    KeepFrozen(Belief, Duration),
    Thaw(Belief),
    BeginAnew,
    GiveUp,
    Compare,
    SetAside,
    Replace(EntityType),
    StandWhere(EntityType),
    RememberLike(Belief),
    TakeOverDeadlines,
    Lapsed(Option<DateTime>),
    Told(Vec<Uuid>),
    NoteFoldedBy(String),
}

/// What a turn needs, and what comes of it.
#[derive(Clone, Debug)]
struct Turn {
    needs: Needs,
    stored: Vec<Document>,
    deleted: Vec<EntityId>,
    parked: Vec<Parked>,
    unparked: Vec<Uuid>,
    alerts: Vec<Alert>,
}

/// P1, P2: a turn is done whole or not at all, from the very place where it was expected, in memory as in MongoDB.
#[tokio::test]
async fn turns_and_what_is_put_in_their_place_are_the_same_in_memory() {
    let declaration = declared(THINGS);
    let both = Both::new(&declaration).await;
    let of = declaration.read_models.first().unwrap().clone();
    let stores: [Arc<dyn Models>; 2] = [both.database.store.clone(), Arc::new(both.memory.pod("one"))];
    let (mut dice, mut turns) = (Rng::with_seed(1), [0, 0]);
    for step in 0..100 * seeds().end {
        let told = any(&mut dice);
        let mut said = Vec::new();
        for store in &stores {
            said.push((take(&**store, &of, &told).await, state(&**store).await));
        }
        assert_eq!(said.first(), said.last(), "step {step}: {told:?}");
        if matches!(told, Step::Turn(..)) {
            turns[usize::from(said[0].0.starts_with("true"))] += 1;
        }
        for name in names() {
            both.same_things(name.as_str(), &format!("step {step}: {told:?}")).await;
        }
    }
    assert!(turns[0] > 10 && turns[1] > 10, "{turns:?}: turns are taken, and refused");
    both.database.drop().await;
}

/// The whole, and partitions, which no read model has at once: stores need not know that.
const PARTITIONS: [Option<u16>; 4] = [None, Some(0), Some(1), Some(10)];

fn names() -> [EntityType; 3] {
    ["things", "things.next", "things.before"].map(EntityType::new)
}

fn any(dice: &mut Rng) -> Step {
    let [things, next, before] = names();
    let belief =
        choose(dice, &[Belief::Right, Belief::Right, Belief::Right, Belief::Outdated, Belief::Nowhere]);
    let hold = choose(dice, &[Duration::ZERO, HOUR]);
    match dice.u8(0..28) {
        0 => Step::Freeze(hold),
        1 => Step::KeepFrozen(belief, hold),
        2..5 => Step::Thaw(belief),
        5 => Step::BeginAnew,
        6 => Step::GiveUp,
        7 => Step::Compare,
        8 => Step::SetAside,
        9 => Step::Replace(choose(dice, &[next, before])),
        10 => Step::StandWhere(choose(dice, &[next, before])),
        11 => Step::Told(vec![number(dice.u128(0..4))]),
        13 => Step::RememberLike(belief),
        14 | 15 => Step::TakeOverDeadlines,
        16 | 17 => Step::Lapsed(choose(dice, &[None, Some(YEARS[0]), Some(YEARS[1])])),
        12 => Step::NoteFoldedBy(choose(dice, &["one".to_owned(), "two".to_owned()])),
        _ => {
            let of = choose(dice, &[things.clone(), things, next]);
            Step::Turn(of, choose(dice, &PARTITIONS), belief, Box::new(turn(dice)))
        }
    }
}

fn turn(dice: &mut Rng) -> Turn {
    let mut some = |most: usize| (0..dice.usize(0..=most)).map(|_| dice.u128(0..4)).collect::<Vec<_>>();
    let (keys, stored, deleted) = (some(2), some(3), some(1));
    let (unparked, alerts, aside) = (some(1), some(2), some(1));
    let matching = (0..dice.usize(0..2)).map(|_| {
        let path = choose(dice, &["size", "tags", "at.place"]);
        vec![(FieldPath::parse(path).unwrap(), value(dice))]
    });
    let matching = matching.collect();
    let events = (0..dice.usize(0..3)).map(|_| format!("e{}", dice.u8(0..6))).collect();
    let needs = Needs { keys: keys.into_iter().map(key).collect(), matching, events };
    let parked = aside.iter().map(|_| parked(dice, &names()[..1])).collect();
    let stored: Vec<Document> = stored.into_iter().map(|of| document(dice, of)).collect();
    let deleted: Vec<EntityId> = deleted.into_iter().map(key).collect();
    // What is stored is not deleted in the same turn.
    let deleted =
        deleted.into_iter().filter(|id| stored.iter().all(|of| of.get("_id") != Some(&id.to_bson())));
    Turn {
        needs,
        deleted: deleted.collect(),
        stored,
        parked,
        unparked: unparked.into_iter().map(number).collect(),
        alerts: alerts.into_iter().map(alert).collect(),
    }
}

fn key(number: u128) -> EntityId {
    id(["a", "b", "c", "d"][usize::try_from(number).unwrap()])
}

fn value(dice: &mut Rng) -> Bson {
    choose(dice, &[1_i64.into(), 1.0.into(), 2_i64.into(), "x".into(), Bson::Null, vec![1_i64, 2].into()])
}

fn document(dice: &mut Rng, number: u128) -> Document {
    let tags: Vec<Bson> = (0..dice.usize(0..3)).map(|_| value(dice)).collect();
    let mut document = doc! { "_id": key(number).to_bson(), "size": value(dice), "tags": tags };
    if dice.bool() {
        document.insert("at", doc! { "place": value(dice) });
    }
    match dice.u8(0..4) {
        0 => drop(document.insert("_nearcopy", doc! { "rev": dice.i64(0..9) })),
        1 | 2 => drop(document.insert("_nearcopy", deadlines(dice))),
        _ => {}
    }
    document
}

/// Long past, past, and far ahead.
const YEARS: [DateTime; 3] = [
    DateTime::from_millis(1_000_000_000_000),
    DateTime::from_millis(1_500_000_000_000),
    DateTime::from_millis(4_000_000_000_000),
];

/// What is nearcopy's own in a document with deadlines.
fn deadlines(dice: &mut Rng) -> Document {
    let (mut due, mut next) = (Document::new(), None::<DateTime>);
    for rule in ["late", "later"].into_iter().take(dice.usize(1..=2)) {
        let (at, told) = (choose(dice, &YEARS), dice.bool());
        due.insert(rule, doc! { "at": at, "told": told, "id": "an id", "body": "{}" });
        next = next.into_iter().chain((!told).then_some(at)).min();
    }
    let mut own = doc! { "due": due };
    own.extend(next.map(|next| ("next".to_owned(), next.into())));
    if dice.u8(0..5) == 0 {
        own.insert("held", 1_i64);
    }
    own
}

fn alert(which: u128) -> Alert {
    let text = |text: &str| text.to_owned();
    let (model, rule, exchange) = (text("things"), text("large"), text("alerts"));
    let (routing_key, kind, body) = (text("alert.large"), text("Large"), text("{}"));
    Alert { id: number(which), model, rule, exchange, routing_key, kind, body }
}

/// Takes a step; what was said to it, in words.
async fn take(store: &dyn Models, of: &Arc<ReadModel>, step: &Step) -> String {
    let [things, next, before] = names();
    match step {
        Step::Turn(of, partition, belief, turn) => take_turn(store, of, *partition, *belief, turn).await,
        Step::Freeze(hold) => format!("{:?}", store.freeze(&things, *hold).await.unwrap()),
        Step::KeepFrozen(belief, hold) => {
            let at = believed(store, &things, *belief).await;
            store.keep_frozen(&things, &at, *hold).await.unwrap().to_string()
        }
        Step::Thaw(belief) => {
            let at = believed(store, &things, *belief).await;
            store.thaw(&things, &at).await.unwrap();
            String::new()
        }
        Step::BeginAnew => format!("{:?}", store.begin_anew(of, &next).await.unwrap()),
        Step::GiveUp => format!("{:?}", store.give_up(&next).await.unwrap()),
        Step::Compare => format!("{:?}", store.compare(&things, &next).await.unwrap()),
        Step::SetAside => format!("{:?}", store.set_aside(&things, &before).await.unwrap()),
        Step::Replace(by) => store.replace(&things, by).await.unwrap().to_string(),
        Step::StandWhere(others) => {
            let at = store.checkpoints(others).await.unwrap();
            format!("{:?}", store.stand_at(&things, &at, others).await.unwrap())
        }
        Step::RememberLike(belief) => {
            let at = believed(store, &things, *belief).await;
            store.remember_like(&things, &next, &at).await.unwrap().to_string()
        }
        Step::TakeOverDeadlines => format!("{:?}", store.take_over_deadlines(&things, &next).await.unwrap()),
        Step::Lapsed(before) => {
            let lapsed = store.lapsed(&things, *before, 10).await.unwrap();
            format!(
                "{:?}",
                lapsed.map(|mut lapsed| {
                    lapsed.keys.sort();
                    lapsed
                })
            )
        }
        Step::Told(ids) => format!("{:?}", store.told(ids).await.unwrap()),
        Step::NoteFoldedBy(by) => {
            let before = store.folded_by(&things).await.unwrap();
            store.note_folded_by(&things, by).await.unwrap();
            format!("{before:?}")
        }
    }
}

async fn take_turn(
    store: &dyn Models,
    of: &EntityType,
    partition: Option<u16>,
    belief: Belief,
    turn: &Turn,
) -> String {
    let expected = believed(store, of, belief).await.into_iter().find(|at| at.partition == partition);
    let place = expected.as_ref().map_or(1, |at| at.place + 1);
    let next = Checkpoint::after(expected.as_ref(), place, format!("mark {place}"));
    let reached = (place % 3 == 0).then_some(Reached::At(YEARS[0])).or(next.reached);
    // What is drawn by lot is another one in each store.
    let memory = expected.as_ref().map_or_else(|| format!("of {of}"), |at| at.memory.clone());
    let next = Checkpoint { partition, memory, reached, ..next };
    let seen = Arc::new(Mutex::new((Vec::new(), BTreeSet::new())));
    let (see, made) = (seen.clone(), turn.clone());
    let fold = move |found: Found| {
        let Found { mut documents, events: known } = found;
        documents.sort_by(|(one, _), (other, _)| one.cmp(other));
        documents.dedup();
        let Turn { needs, stored, deleted, parked, unparked, alerts } = made;
        let stored = stored.iter().map(RawDocumentBuf::try_from).collect();
        let events: BTreeSet<String> =
            needs.events.into_iter().filter(|event| !known.contains(event)).collect();
        *see.lock().unwrap() = (documents, known);
        let noted = Noted { events: events.into_iter().collect(), keep: HOUR };
        Folded { stored, deleted, parked, unparked, alerts, noted }
    };
    let done = store.turn(of, expected.as_ref(), &next, &turn.needs, Box::new(fold)).await.unwrap();
    format!("{done} {:?}", seen.lock().unwrap())
}

async fn believed(store: &dyn Models, of: &EntityType, belief: Belief) -> Vec<Checkpoint> {
    let at = store.checkpoints(of).await.unwrap();
    match belief {
        Belief::Right => at,
        Belief::Outdated => at.into_iter().map(|at| Checkpoint { turn: at.turn - 1, ..at }).collect(),
        Belief::Nowhere => Vec::new(),
    }
}

/// Where the read models stand, and what waits.
async fn state(store: &dyn Models) -> String {
    let mut standing = Vec::new();
    for name in names() {
        standing.push(store.checkpoints(&name).await.unwrap());
    }
    let mut parked = untimed(store.parked(None, 100).await.unwrap());
    parked.sort_by_key(|parked| parked.id);
    let mut outgoing = store.outgoing(100).await.unwrap();
    outgoing.sort_by_key(|alert| alert.id);
    format!("{standing:?} {parked:?} {outgoing:?}")
}

impl Both {
    async fn same_things(&self, name: &str, story: &str) {
        let found = self.database.collection(name).find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap();
        let stored: Vec<Document> = found.try_collect().await.unwrap();
        assert_eq!(stored, self.memory.all(name), "MongoDB and memory, `{name}`, {story}");
    }
}
