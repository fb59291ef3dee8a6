//! Full states, patches and deletions of one entity: whatever their order, number and grouping, one result.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, doc};
use nearcopy::event::{Change, ChangeEvent, EntityId, Stamp, Version};
use nearcopy::replication::{
    Answer, Content, Declaration, Judgement, Key, Outcome, Rank, Record, RecordWrite, State, Timeline, judge,
    merge, revise,
};
use nearcopy::store::memory::meaning;
use proptest::prelude::*;

use crate::declared::{ASKED, PRODUCTS, id, patched_shop, users};

pub(crate) fn event(version: i64, change: Change) -> ChangeEvent {
    ChangeEvent { entity: id("42"), version: Some(Version::new(version)), change, stamp: Stamp::default() }
}

pub(crate) fn saved(version: i64, username: &str, email: &str) -> ChangeEvent {
    event(version, Change::Upsert(doc! { "username": username, "email": email }.try_into().unwrap()))
}

pub(crate) fn patch(version: i64, fields: Document) -> ChangeEvent {
    event(version, Change::Patch(fields))
}

pub(crate) fn deleted(version: i64) -> ChangeEvent {
    event(version, Change::Delete)
}

pub(crate) fn alone() -> Arc<Declaration> {
    patched_shop("all", "", &[])
}

pub(crate) fn asked() -> Arc<Declaration> {
    patched_shop("referenced", ASKED, &[PRODUCTS])
}

/// A database of one record, by the meaning of each write, and its clock in milliseconds.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) record: Option<Record>,
    pub(crate) now: i64,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) conflicts: usize,
}

/// A batch on its way: what is still open of it, and what was read for it.
pub(crate) struct Underway {
    pub(crate) open: Vec<ChangeEvent>,
    pub(crate) read: Option<Record>,
    pub(crate) batch: i64,
}

impl Held {
    /// Where the entity is wanted and not known.
    pub(crate) fn wanted(of: &Declaration) -> Self {
        let mut held = Self::default();
        held.write(of, &RecordWrite::Placeholder { id: id("42"), ask: true, hold: None }, 0);
        held
    }

    fn write(&mut self, of: &Declaration, write: &RecordWrite, batch: i64) {
        if let Some(next) = meaning::apply(users(of), self.record.as_ref(), write, self.now, batch) {
            self.record = Some(next);
        }
    }

    /// Writes by what was read before, reads back, and judges; says what goes round again.
    pub(crate) fn round(&mut self, of: &Declaration, underway: Underway) -> Underway {
        self.now += 1;
        let read: BTreeMap<EntityId, Record> =
            underway.read.into_iter().map(|record| (record.id.clone(), record)).collect();
        let revised = revise(users(of), &underway.open, &Timeline::default(), &read);
        assert!(revised.folded.writes.len() <= 3, "one write a record: {revised:?}");
        for write in &revised.folded.writes {
            self.write(of, write, underway.batch);
        }
        let mut open = Vec::new();
        for (event, (_, expected)) in underway.open.into_iter().zip(&revised.folded.expected) {
            match judge(expected, self.record.as_ref(), &users(of).keep, underway.batch) {
                Judgement::Covered(outcome) => self.outcomes.push(outcome),
                Judgement::Conflict => self.conflicts += 1,
                Judgement::Open => open.push(event),
            }
        }
        Underway { open, read: self.record.clone(), batch: underway.batch }
    }

    pub(crate) fn take(&mut self, of: &Declaration, events: &[ChangeEvent], batch: i64) {
        let mut underway = Underway { open: events.to_vec(), read: self.record.clone(), batch };
        for _ in 0..3 {
            underway = self.round(of, underway);
        }
        assert_eq!(underway.open, [], "nobody is in the way, and it is not done: {:?}", self.record);
    }

    pub(crate) fn run(mut self, of: &Declaration, events: &[ChangeEvent], size: usize) -> Self {
        for (number, batch) in (1..).zip(events.chunks(size)) {
            self.take(of, batch, number);
        }
        self
    }

    /// Two pods take turns: a step of one falls between the reading and the writing of the other.
    fn race(mut self, of: &Declaration, pods: [&[ChangeEvent]; 2], turns: &[bool]) -> Self {
        let mut pods = [(1, pods[0].to_vec()), (2, pods[1].to_vec())].map(|(batch, open)| Underway {
            open,
            read: self.record.clone(),
            batch,
        });
        let fair = [true, false].repeat(20);
        for turn in turns.iter().chain(&fair) {
            let pod = &mut pods[usize::from(*turn)];
            let none = Underway { open: Vec::new(), read: None, batch: pod.batch };
            *pod = self.round(of, std::mem::replace(pod, none));
        }
        assert!(pods.iter().all(|pod| pod.open.is_empty()), "a race has no end");
        self
    }

    /// The owner is asked until it need not be any more, each time long after the record has changed.
    pub(crate) fn settle(mut self, of: &Declaration, answer: &Answer) -> Self {
        let of_users = users(of);
        let spec = of_users.fetch.as_ref().unwrap();
        for _ in 0..10 {
            self.now += 1_000_000;
            let record = self.record.clone().unwrap();
            let Some(claimed) = meaning::claim(&record, "me", Duration::from_secs(1), self.now) else {
                break;
            };
            self.record = Some(claimed.clone());
            let write = merge(&claimed, answer, 0, of_users.shape, spec, true);
            self.write(of, &write, 0);
        }
        self
    }

    /// What is held, without what differs from run to run.
    fn state(&self) -> (State, Option<Key>, BTreeMap<String, Version>, Document) {
        let record = self.record.as_ref().unwrap();
        (record.state, record.key.clone(), record.patched.clone(), record.fields.clone())
    }

    pub(crate) fn record(&self) -> &Record {
        self.record.as_ref().unwrap()
    }
}

fn any_fields() -> impl Strategy<Value = Document> {
    let value = prop_oneof![
        Just(Bson::Null),
        prop::sample::select(vec!["a", "b", "c"]).prop_map(|text| Bson::String(text.to_owned()))
    ];
    let names = prop::sample::subsequence(vec!["username", "email", "extra"], 1..=3);
    (names, prop::collection::vec(value, 3))
        .prop_map(|(names, values)| names.into_iter().map(str::to_owned).zip(values).collect())
}

fn any_change() -> impl Strategy<Value = ChangeEvent> {
    let change = prop_oneof![
        3 => any_fields().prop_map(|fields| Change::Upsert(fields.try_into().unwrap())),
        4 => any_fields().prop_map(Change::Patch),
        1 => Just(Change::Delete),
    ];
    (1_i64..6, change).prop_map(|(version, change)| event(version, change))
}

/// A set of events, twice: each time in its own order, with its own duplicates.
fn two_histories() -> impl Strategy<Value = [Vec<ChangeEvent>; 2]> {
    prop::collection::vec(any_change(), 1..9).prop_flat_map(|events| {
        let history = || {
            let again = prop::collection::vec(prop::sample::select(events.clone()), 0..4);
            let events = events.clone();
            again.prop_flat_map(move |again| Just([events.clone(), again].concat()).prop_shuffle())
        };
        [history(), history()]
    })
}

proptest! {
    /// A13, D1, D2, V1: order, duplicates and grouping of full states, patches and deletions change nothing, ties
    /// included, where nobody can be asked.
    #[test]
    fn any_history_of_the_same_events_ends_in_the_same_record([one, two] in two_histories(), size in 1_usize..6) {
        let of = alone();
        let first = Held::default().run(&of, &one, size);
        let second = Held::default().run(&of, &two, two.len());
        prop_assert_eq!(first.state(), second.state());
        prop_assert_eq!(first.outcomes.len() + first.conflicts, one.len(), "each has its line in the books");
    }

    /// A13: two pods that take turns at one record, each by what it has read before, end there, too.
    #[test]
    fn two_pods_that_race_for_a_record_end_in_the_same_one(
        [one, two] in two_histories(), at in 0_usize..9, turns in prop::collection::vec(any::<bool>(), 0..8),
    ) {
        let of = alone();
        let (left, right) = two.split_at(at.min(two.len()));
        let alone = Held::default().run(&of, &one, one.len());
        let raced = Held::default().race(&of, [left, right], &turns);
        prop_assert_eq!(alone.state(), raced.state());
        prop_assert_eq!(raced.outcomes.len() + raced.conflicts, two.len());
    }

    /// A8, A13: with an owner to ask, versions depend on no order, contents only where one version has two of them,
    /// and that is noticed; the owner's settled word makes it one.
    #[test]
    fn with_an_owner_to_ask_its_word_ends_every_difference([one, two] in two_histories(), size in 1_usize..6) {
        let of = asked();
        let first = Held::wanted(&of).run(&of, &one, size);
        let second = Held::wanted(&of).run(&of, &two, two.len());
        let versions = |held: &Held| {
            let (state, key, patched, _) = held.state();
            (state, key.map(|key| key.without_hash()), patched)
        };
        prop_assert_eq!(versions(&first), versions(&second));
        let tied = first.state() != second.state();
        prop_assert!(!tied || (first.conflicts > 0 && second.conflicts > 0), "a difference nobody has noticed");
        let newest = one.iter().filter_map(|event| event.version).max();
        let truth = doc! { "username": "true", "email": "true" };
        let answer = Answer::Found { version: newest, content: Content::Live(truth.clone().try_into().unwrap()) };
        let ask = RecordWrite::Ask { id: id("42"), wait: Duration::ZERO };
        let ends = [first, second].map(|mut held| {
            held.write(&of, &ask, 0);
            held.settle(&of, &answer)
        });
        prop_assert_eq!(versions(&ends[0]), versions(&ends[1]));
        let (state, key, patched, fields) = ends[0].state();
        prop_assert!(patched.is_empty() && ends[0].record().need.is_none());
        if key.unwrap().rank == Rank::Live {
            prop_assert_eq!((state, fields), (State::Live, truth));
        }
    }
}
