//! Records: every write, under every guard, in any order; claims, marks, debts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, doc};
use fastrand::Rng;
use nearcopy::event::{EntityId, EventId, Stamp, Version};
use nearcopy::replication::{
    Content, Due, Key, Rank, Record, RecordWrite, Revision, State, Subscription, Why,
};
use nearcopy::store::{Backlog, Records, Store};

use super::{Both, USERS, aligned, choose, everybody, seeds};
use crate::declared::{ASKED, PRODUCTS, id, patched_shop, shop};

const HOUR: Duration = Duration::from_secs(3600);
const DUE: [Due; 3] = [Due::Now, Due::After(HOUR), Due::Never];

/// One step, the same for both stores.
#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Intent>, i64),
    Remember,
    Claim(usize, Duration),
    Renew(Duration),
    AskAll,
    Mark(Vec<EntityId>),
    Marked(Duration),
    Retire,
    Owing(Duration, Option<EntityId>, usize),
    Page(Option<EntityId>, usize),
    Backlog,
    Outdated(usize),
    Undated,
    /// The pods of this generation are at work from now on.
    Generation(i32),
}

/// A write; `rev` and claim are those that the store itself gave.
#[derive(Clone, Debug)]
enum Intent {
    Plain(RecordWrite),
    AsRead(RecordWrite),
}

/// What a step says, without times.
#[derive(Debug, PartialEq)]
enum Said {
    Written { changed: u64, refused: usize, statements: usize, has_moment: bool },
    Known(Vec<EntityId>),
    Count(u64),
    Backlog(Backlog),
    Is(bool),
    Nothing,
}

/// One store, and what has been read of it.
struct Side {
    store: Arc<dyn Store>,
    of: Arc<Subscription>,
    read: Records,
    marks: Vec<(EntityId, Bson)>,
}

/// H1, M1: whoever tests on the double tests on what MongoDB does.
#[tokio::test]
async fn every_write_of_a_record_does_in_memory_what_it_does_in_mongodb() {
    let reconciled = format!("{ASKED}\n      reconcile: 2h");
    let declarations = [
        shop("referenced", ASKED, &[PRODUCTS]),
        shop("all", &reconciled, &[PRODUCTS]),
        shop("all", "", &[]),
        patched_shop("all", ASKED, &[]),
    ];
    for seed in seeds() {
        for (number, declaration) in declarations.iter().enumerate() {
            let both = Both::new(declaration).await;
            walk(&both, seed, &format!("seed {seed}, declaration {number}")).await;
            both.database.drop().await;
        }
    }
}

async fn walk(both: &Both, seed: u64, name: &str) {
    let of = both.of();
    let mut sides =
        both.stores().map(|store| Side { store, of: of.clone(), read: Records::new(), marks: Vec::new() });
    let (mut dice, mut before) = (Rng::with_seed(seed), [Records::new(), Records::new()]);
    let mut history = Vec::new();
    for _ in 0..80 {
        let step = step(&mut dice);
        history.push(format!("{step:?}"));
        let [mongodb, memory] = &mut sides;
        let said = [mongodb.take(&step).await, memory.take(&step).await];
        let held = [mongodb.held().await, memory.held().await];
        let story = || format!("{name}, after\n{}", history.join("\n"));
        assert_eq!(said[0], said[1], "MongoDB and memory say; {}", story());
        assert_eq!(aligned(&held[0], &held[1]), held[1], "MongoDB and memory hold; {}", story());
        assert_eq!(
            moved(&before[0], &held[0]),
            moved(&before[1], &held[1]),
            "revisions and claims that moved; {}",
            story()
        );
        before = held;
    }
}

/// Whose revision rose, and whose claim is another.
fn moved(before: &Records, after: &Records) -> BTreeSet<(EntityId, bool, bool)> {
    let compare = |(id, record): (&EntityId, &Record)| {
        let before = before.get(id)?;
        assert!(record.rev >= before.rev, "a revision never falls");
        Some((id.clone(), record.rev > before.rev, record.claim != before.claim))
    };
    after.iter().filter_map(compare).collect()
}

impl Side {
    async fn take(&mut self, step: &Step) -> Said {
        let (store, of) = (self.store.clone(), self.of.clone());
        match step {
            Step::Write(intents, batch) => {
                let writes: Vec<RecordWrite> = intents.iter().map(|intent| self.meant(intent)).collect();
                let written = store.write(&of, &writes, *batch).await.unwrap();
                Said::Written {
                    changed: written.changed,
                    refused: written.refused.len(),
                    statements: written.statements,
                    has_moment: written.moment.is_some(),
                }
            }
            Step::Remember => {
                self.read = self.held().await;
                let others = store.read_others(&of, &everybody(), 1, None).await.unwrap();
                Said::Known(self.read.keys().chain(others.keys()).cloned().collect())
            }
            Step::Claim(most, hold) => {
                let claimed = store.claim_due(&of, *most, *hold).await.unwrap();
                let ids = claimed.iter().map(|record| record.id.clone()).collect();
                self.read.extend(claimed.into_iter().map(|record| (record.id.clone(), record)));
                Said::Known(ids)
            }
            Step::Renew(hold) => {
                let claimed: Vec<Record> = self.read.values().cloned().collect();
                store.renew(&of, &claimed, *hold).await.unwrap();
                Said::Nothing
            }
            Step::AskAll => Said::Count(store.ask_all(&of, Duration::ZERO).await.unwrap()),
            Step::Mark(ids) => {
                assert!(store.mark(&of, ids).await.unwrap().is_some());
                Said::Nothing
            }
            Step::Marked(grace) => {
                self.marks = store.marked(&of, *grace, 10).await.unwrap();
                let ids: BTreeSet<EntityId> = self.marks.iter().map(|(id, _)| id.clone()).collect();
                Said::Known(ids.into_iter().collect())
            }
            Step::Retire => Said::Count(store.retire(&of, &self.marks).await.unwrap()),
            Step::Owing(idle, from, most) => {
                let owing = store.owing(&of, *idle, from.as_ref(), *most).await.unwrap();
                Said::Known(owing.into_iter().map(|record| record.id).collect())
            }
            Step::Page(from, most) => {
                let page = store.page(&of, from.as_ref(), *most).await.unwrap();
                assert!(page.values().all(|record| record.fields.is_empty()));
                Said::Known(page.into_keys().collect())
            }
            Step::Backlog => Said::Backlog(store.backlog(&of).await.unwrap()),
            Step::Outdated(most) => Said::Count(store.outdated(&of, *most).await.unwrap().len() as u64),
            Step::Undated => Said::Is(store.is_undated(&of).await.unwrap()),
            Step::Generation(shape) => {
                self.of = Arc::new(Subscription { shape: *shape, ..Subscription::clone(&of) });
                Said::Nothing
            }
        }
    }

    async fn held(&self) -> Records {
        let moment = self.store.heartbeat().await.unwrap();
        self.store.read(&self.of, &everybody(), moment).await.unwrap()
    }

    /// A write with the revision and the claim that this store gave.
    fn meant(&self, intent: &Intent) -> RecordWrite {
        let write = match intent {
            Intent::Plain(write) => return write.clone(),
            Intent::AsRead(write) => write.clone(),
        };
        let read = self.read.get(write.id());
        let (held_rev, held_claim) =
            (read.map_or(0, |read| read.rev), read.and_then(|read| read.claim.clone()));
        match write {
            RecordWrite::Answer { id, content, patched, satisfied, due, tries, owes, .. } => {
                let (rev, claim) = (held_rev, held_claim);
                RecordWrite::Answer { id, rev, claim, content, patched, satisfied, due, tries, owes }
            }
            RecordWrite::Unanswered { id, due, tries, .. } => {
                RecordWrite::Unanswered { id, claim: held_claim, due, tries }
            }
            RecordWrite::Revise { id, revision, stamp, ask, owes, .. } => {
                let rev = read.map(|read| read.rev);
                RecordWrite::Revise { id, rev, revision, stamp, ask, owes }
            }
            RecordWrite::Upgrade { id, key, drop, fill, lacks, due, owes, .. } => {
                RecordWrite::Upgrade { id, rev: held_rev, key, drop, fill, lacks, due, owes }
            }
            RecordWrite::Paid { id, .. } => RecordWrite::Paid { id, rev: held_rev },
            other => other,
        }
    }
}

fn step(dice: &mut Rng) -> Step {
    match dice.u8(0..33) {
        0..14 => Step::Write(intents(dice), dice.i64(1..4)),
        14..17 => Step::Remember,
        17..20 => Step::Claim(10, choose(dice, &[HOUR, Duration::ZERO])),
        20 => Step::Renew(HOUR),
        21 => Step::AskAll,
        22 | 23 => Step::Mark(everybody().into_iter().filter(|_| dice.bool()).collect()),
        24 => Step::Marked(choose(dice, &[HOUR, Duration::ZERO])),
        25 => Step::Retire,
        26 | 27 => Step::Owing(choose(dice, &[HOUR, Duration::ZERO]), from(dice), dice.usize(1..4)),
        28 => Step::Page(from(dice), dice.usize(1..4)),
        29 => Step::Backlog,
        30 => Step::Outdated(dice.usize(1..4)),
        31 => Step::Undated,
        _ => Step::Generation(dice.i32(1..4)),
    }
}

fn from(dice: &mut Rng) -> Option<EntityId> {
    dice.bool().then(|| who(dice))
}

/// Some writes; of one entity none that says the same twice, because between two a millisecond may pass or not.
fn intents(dice: &mut Rng) -> Vec<Intent> {
    if dice.u8(0..4) == 0 {
        return everybody().into_iter().map(|id| Intent::Plain(state(dice, id))).collect();
    }
    let mut intents = BTreeMap::new();
    for _ in 0..dice.usize(0..6) {
        let (kind, id) = (dice.u8(0..13), who(dice));
        intents.insert((id.clone(), kind), intent(dice, kind, id));
    }
    let mut intents: Vec<Intent> = intents.into_values().collect();
    dice.shuffle(&mut intents);
    intents
}

fn intent(dice: &mut Rng, kind: u8, id: EntityId) -> Intent {
    let write = match kind {
        0 | 1 => state(dice, id),
        2 => {
            let floor = Key::floor(choose(dice, &[0, 0, 1]), Version::new(dice.i64(0..6)));
            RecordWrite::Need { id, floor: dice.bool().then_some(floor) }
        }
        3 => RecordWrite::Placeholder { id, ask: dice.bool(), hold: None },
        4 => RecordWrite::Unmark { id },
        5 => return Intent::AsRead(answer(dice, id)),
        10 => return Intent::AsRead(upgrade(dice, id)),
        11 => {
            let floor = Key::gone(Version::new(dice.i64(0..6)), Why::Erased, 1).in_epoch(dice.i64(0..2));
            RecordWrite::Erase { id, floor, create: dice.bool(), owes: dice.bool() }
        }
        8 | 9 => return Intent::AsRead(revise(dice, id)),
        6 => return Intent::AsRead(RecordWrite::Paid { id, rev: 0 }),
        7 => RecordWrite::Ask { id, wait: choose(dice, &[Duration::ZERO, HOUR]) },
        _ => {
            let (due, tries) = (choose(dice, &DUE), dice.u32(1..9));
            return Intent::AsRead(RecordWrite::Unanswered { id, claim: None, due, tries });
        }
    };
    Intent::Plain(write)
}

fn state(dice: &mut Rng, id: EntityId) -> RecordWrite {
    let (content, key) = content(dice);
    let guard = if dice.bool() { key.without_hash() } else { key.clone() };
    let stamp = stamp(dice);
    RecordWrite::State { id, content, key, guard, stamp, create: dice.bool(), owes: dice.bool() }
}

fn stamp(dice: &mut Rng) -> Stamp {
    let event = dice.bool().then(|| EventId::new("$e"));
    Stamp { event, at: dice.bool().then_some(-1), listed: dice.bool() }
}

fn answer(dice: &mut Rng, id: EntityId) -> RecordWrite {
    let content = match dice.u8(0..4) {
        0 => None,
        1 => Some((content(dice).0, None)),
        _ => {
            let (content, key) = content(dice);
            let hash = if dice.bool() { Key::SETTLED.into() } else { key.hash.clone() };
            Some((content, Some(Key { hash, ..key })))
        }
    };
    RecordWrite::Answer {
        id,
        rev: 0,
        claim: None,
        content,
        patched: patched(dice),
        satisfied: dice.bool(),
        due: choose(dice, &DUE),
        tries: dice.u32(0..3),
        owes: dice.bool(),
    }
}

fn upgrade(dice: &mut Rng, id: EntityId) -> RecordWrite {
    RecordWrite::Upgrade {
        id,
        rev: 0,
        key: dice.bool().then(|| content(dice).1),
        drop: ["username", "phone"].into_iter().filter(|_| dice.bool()).map(str::to_owned).collect(),
        fill: if dice.bool() {
            doc! { "email": "$none", "phone": "$none" }
        } else {
            doc! {}
        },
        lacks: dice.bool(),
        due: choose(dice, &DUE),
        owes: dice.bool(),
    }
}

fn revise(dice: &mut Rng, id: EntityId) -> RecordWrite {
    let (content, key) = content(dice);
    let (state, mut fields) = match content {
        Content::Gone(why) => (State::Gone(why), Document::new()),
        Content::Live(fields) => (choose(dice, &[State::Live, State::Pending]), fields.to_document()),
    };
    let patched = patched(dice);
    fields.extend(patched.keys().map(|name| (name.clone(), "$patched".into())));
    let need = dice.bool().then(|| Version::new(dice.i64(0..6)));
    let revision = Revision {
        state,
        key: dice.bool().then_some(key),
        patched,
        fields,
        need,
        shape: dice.i32(1..4),
        lacks: dice.bool(),
    };
    let stamp = stamp(dice);
    RecordWrite::Revise { id, rev: None, revision, stamp, ask: choose(dice, &DUE), owes: dice.bool() }
}

/// Some fields under versions of their own.
fn patched(dice: &mut Rng) -> BTreeMap<String, Version> {
    let names = ["username", "email"].into_iter().filter(|_| dice.u8(0..4) == 0);
    names
        .collect::<Vec<_>>()
        .into_iter()
        .map(|name| (name.to_owned(), Version::new(dice.i64(0..9))))
        .collect()
}

/// What a record is to hold, under keys that often agree in their first fields.
fn content(dice: &mut Rng) -> (Content, Key) {
    let version = Version::new(dice.i64(0..6));
    let (content, key) = match dice.u8(0..5) {
        0 => (Content::Gone(Why::Deleted), Key::gone(version, Why::Deleted, 1)),
        1 => (Content::Gone(Why::Out), Key::gone(version, Why::Out, 1)),
        2 => (Content::Gone(Why::NotFound), Key { rank: Rank::Live, ..Key::gone(version, Why::Out, 1) }),
        _ => {
            let fields = fields(dice).try_into().unwrap();
            let key = Key::live(version, 1, &fields);
            (Content::Live(fields), key)
        }
    };
    (content, Key { epoch: choose(dice, &[0, 0, 0, 1]), shape: choose(dice, &[1, 1, 2]), ..key })
}

fn fields(dice: &mut Rng) -> Document {
    let values = [
        Bson::Null,
        "ann".into(),
        "$username".into(),
        7.into(),
        doc! { "$a": 1, "b.c": [doc! {}] }.into(),
        vec![Bson::Null, 1.5.into()].into(),
    ];
    let mut fields = Document::new();
    for name in ["username", "email", "extra"] {
        if dice.bool() {
            fields.insert(name, choose(dice, &values));
        }
    }
    fields
}

fn who(dice: &mut Rng) -> EntityId {
    id(choose(dice, &USERS))
}
