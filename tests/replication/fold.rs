//! Many events of one entity: whatever their order, number and grouping, they end in the same state.

use std::sync::Arc;

use bson::{Document, doc};
use nearcopy::event::{Change, ChangeEvent, Stamp, Version};
use nearcopy::replication::{
    Content, Declaration, Expected, Judgement, Key, Outcome, Rank, Record, RecordWrite, State, Timeline, Why,
    fold, judge,
};
use proptest::prelude::*;

use crate::declared::{ASKED, PRODUCTS, id, shop, users};

fn event(version: i64, change: Change) -> ChangeEvent {
    ChangeEvent { entity: id("42"), version: Some(Version::new(version)), change, stamp: Stamp::default() }
}

fn saved(version: i64, name: &str) -> ChangeEvent {
    event(version, Change::Upsert(doc! { "username": name }.try_into().unwrap()))
}

fn deleted(version: i64) -> ChangeEvent {
    event(version, Change::Delete)
}

fn refresh(version: Option<i64>) -> ChangeEvent {
    let version = version.map(Version::new);
    ChangeEvent { entity: id("42"), version, change: Change::Refresh, stamp: Stamp::default() }
}

fn alone() -> Arc<Declaration> {
    shop("all", "", &[])
}

fn asked() -> Arc<Declaration> {
    shop("referenced", ASKED, &[PRODUCTS])
}

/// A record as the database would hold it: a write enters where its guard is above the key held.
#[derive(Default)]
struct Held {
    record: Option<Record>,
    outcomes: Vec<Outcome>,
    conflicts: usize,
}

impl Held {
    fn take(&mut self, of: &Declaration, events: &[ChangeEvent], batch: i64) {
        let folded = fold(users(of), events, &Timeline::default());
        for write in &folded.writes {
            self.write(write, batch);
        }
        for (_, expected) in &folded.expected {
            match judge(expected, self.record.as_ref(), &users(of).keep, batch) {
                Judgement::Covered(outcome) => self.outcomes.push(outcome),
                Judgement::Conflict => self.conflicts += 1,
                Judgement::Open => panic!("the database holds it, and it is judged open: {expected:?}"),
            }
        }
    }

    fn write(&mut self, write: &RecordWrite, batch: i64) {
        let held = self.record.as_ref().and_then(|record| record.key.clone());
        match write {
            RecordWrite::State { content, key, guard, .. } if held.is_none_or(|held| held < *guard) => {
                let (state, fields) = match content {
                    Content::Live(fields) => (State::Live, fields.to_document()),
                    Content::Gone(why) => (State::Gone(*why), Document::new()),
                };
                let need = self.record.as_ref().and_then(|record| record.need);
                self.record = Some(Record { key: Some(key.clone()), need, ..record(state, fields, batch) });
            }
            RecordWrite::Need { floor, .. } => {
                if let Some(record) = &mut self.record {
                    record.need = record.need.max(floor.as_ref().map(|floor| floor.version));
                }
            }
            _ => {}
        }
    }

    /// What is held, without what differs from run to run.
    fn state(&self) -> Option<(State, Document, Option<Key>)> {
        self.record.as_ref().map(|record| (record.state, record.fields.clone(), record.key.clone()))
    }
}

fn record(state: State, fields: Document, batch: i64) -> Record {
    Record { rev: 1, batch: Some(batch), fields, ..Record::blank(id("42"), state) }
}

fn any_change() -> impl Strategy<Value = ChangeEvent> {
    let change = prop_oneof![
        4 => prop_oneof![Just("ann"), Just("bob"), Just("cat")].prop_map(|name| Change::Upsert(doc! { "username": name }.try_into().unwrap())),
        1 => Just(Change::Delete),
        1 => Just(Change::Leave),
    ];
    (1_i64..5, change).prop_map(|(version, change)| event(version, change))
}

/// A set of events, twice: each time in its own order, with its own duplicates.
fn two_histories() -> impl Strategy<Value = [Vec<ChangeEvent>; 2]> {
    prop::collection::vec(any_change(), 1..8).prop_flat_map(|events| {
        let history = || {
            let again = prop::collection::vec(prop::sample::select(events.clone()), 0..4);
            let events = events.clone();
            again.prop_flat_map(move |again| Just([events.clone(), again].concat()).prop_shuffle())
        };
        [history(), history()]
    })
}

/// Events in batches of that size.
fn run(of: &Declaration, events: &[ChangeEvent], batch: usize) -> Held {
    let mut held = Held::default();
    for (number, batch) in (1..).zip(events.chunks(batch)) {
        held.take(of, batch, number);
    }
    held
}

proptest! {
    /// D1, D2, V1: without an owner to ask, order, duplicates and grouping change nothing, ties included.
    #[test]
    fn any_history_of_the_same_events_ends_in_the_same_state([one, two] in two_histories(), size in 1_usize..6) {
        let of = alone();
        let (first, second) = (run(&of, &one, size), run(&of, &two, two.len()));
        prop_assert_eq!(first.state(), second.state());
        prop_assert!(first.outcomes.contains(&Outcome::Applied));
    }

    /// A8: with an owner to ask, version and deletion do not depend on the order, and where contents differ under the
    /// winning version, somebody says so.
    #[test]
    fn with_an_owner_to_ask_only_a_tie_depends_on_the_order_and_a_tie_is_noticed(
        [one, two] in two_histories(), size in 1_usize..6,
    ) {
        let of = asked();
        let start = || Held { record: Some(record(State::Pending, Document::new(), 0)), ..Held::default() };
        let run = |events: &[ChangeEvent], size: usize| {
            let mut held = start();
            for (number, batch) in (1..).zip(events.chunks(size)) {
                held.take(&of, batch, number);
            }
            held
        };
        let (first, second) = (run(&one, size), run(&two, two.len()));
        let settled = |held: &Held| held.state().unwrap().2.unwrap().without_hash();
        prop_assert_eq!(settled(&first), settled(&second));
        let winner = settled(&first);
        let contents: std::collections::BTreeSet<String> = one
            .iter()
            .filter(|event| winner.rank == Rank::Live && event.version == Some(winner.version))
            .filter_map(|event| match &event.change {
                Change::Upsert(fields) => Some(fields.to_document().to_string()),
                _ => None,
            })
            .collect();
        prop_assert!(contents.len() < 2 || (first.conflicts > 0 && second.conflicts > 0));
    }

    /// Each event of a batch has its own line in the books, and at most one of a record's is applied.
    #[test]
    fn every_event_of_a_batch_is_judged_and_at_most_one_is_applied([events, _] in two_histories()) {
        let held = run(&alone(), &events, events.len());
        prop_assert_eq!(held.outcomes.len() + held.conflicts, events.len());
        prop_assert_eq!(held.outcomes.iter().filter(|outcome| **outcome == Outcome::Applied).count(), 1);
    }

    /// The need of a batch is the highest that any of its events names.
    #[test]
    fn the_highest_need_of_a_batch_is_written(versions in prop::collection::vec(prop::option::of(1_i64..9), 1..6)) {
        let events: Vec<ChangeEvent> = versions.iter().map(|version| refresh(*version)).collect();
        let folded = fold(users(&asked()), &events, &Timeline::default());
        let highest = versions.iter().max().copied().flatten().map(Version::new);
        prop_assert_eq!(folded.writes, vec![RecordWrite::Need { id: id("42"), floor: highest.map(|version| Key::floor(0, version)) }]);
    }
}

/// A7: some owners delete without counting up.
#[test]
fn a_deletion_beats_any_other_state_of_the_same_version_whichever_comes_first() {
    for of in [alone(), asked()] {
        for other in [saved(5, "ann"), event(5, Change::Leave)] {
            for events in [[other.clone(), deleted(5)], [deleted(5), other]] {
                let folded = fold(users(&of), &events, &Timeline::default());
                let [RecordWrite::State { content, .. }] = folded.writes.as_slice() else { panic!() };
                assert_eq!(*content, Content::Gone(Why::Deleted));
            }
        }
    }
}

#[test]
fn every_entity_of_a_batch_has_its_own_write() {
    let mut other = saved(9, "bob");
    other.entity = id("43");
    let folded = fold(users(&alone()), &[saved(1, "ann"), other, saved(2, "cat")], &Timeline::default());
    let written: Vec<_> =
        folded.writes.iter().map(|write| (write.id().clone(), key_of(write).version.get())).collect();
    assert_eq!(written, [(id("42"), 2), (id("43"), 9)]);
}

fn key_of(write: &RecordWrite) -> &Key {
    let RecordWrite::State { key, .. } = write else { panic!("{write:?}") };
    key
}

/// A6: only a reference makes a record under `referenced`; a deletion of the unknown is remembered under the others.
#[test]
fn an_event_makes_a_record_only_where_every_entity_is_kept() {
    let creates = |of: &Declaration, event: ChangeEvent| {
        let [RecordWrite::State { create, .. }] = fold(users(of), &[event], &Timeline::default()).writes[..]
        else {
            panic!()
        };
        create
    };
    let subset = shop("{ where: \"data.username != ''\" }", "", &[]);
    for event in [saved(1, "ann"), deleted(1), event(1, Change::Leave)] {
        assert!(creates(&alone(), event.clone()) && creates(&subset, event.clone()));
        assert!(!creates(&asked(), event));
    }
}

/// A refresh of an entity that is kept anyway makes its record first.
#[test]
fn a_notice_of_the_unknown_makes_a_placeholder_where_every_entity_is_kept() {
    let of = shop("all", ASKED, &[]);
    assert_eq!(
        fold(users(&of), &[refresh(Some(3))], &Timeline::default()).writes,
        [
            RecordWrite::Placeholder { id: id("42"), ask: true, hold: None },
            RecordWrite::Need { id: id("42"), floor: Some(Key::floor(0, Version::new(3))) },
        ]
    );
}

/// A2, A6: what nobody wants is ignored, and what everybody is kept of is never taken for that.
#[test]
fn an_absent_record_means_ignored_or_once_more() {
    let expected = fold(users(&alone()), &[saved(1, "ann")], &Timeline::default()).expected.remove(0).1;
    let judged = |of: &Declaration| judge(&expected, None, &users(of).keep, 1);
    assert_eq!(judged(&asked()), Judgement::Covered(Outcome::Ignored));
    assert_eq!(judged(&alone()), Judgement::Open);
}

/// A3, A4: only what the database holds counts.
#[test]
fn an_event_is_judged_by_what_the_database_holds() {
    let at = |version: i64, name: &str| Record {
        key: Some(Key::live(Version::new(version), 1, &doc! { "username": name }.try_into().unwrap())),
        ..record(State::Live, doc! { "username": name }, 7)
    };
    let settled = |version: i64| {
        let mut record = at(version, "cat");
        record.key.as_mut().unwrap().hash = Key::SETTLED.into();
        record
    };
    let without_key = Record { key: None, ..at(5, "ann") };
    let claim = |of: &Declaration, event: ChangeEvent| {
        fold(users(of), &[event], &Timeline::default()).expected.remove(0).1
    };
    let cases = [
        (saved(5, "ann"), at(5, "ann"), 7, Judgement::Covered(Outcome::Applied)),
        (saved(5, "ann"), at(5, "ann"), 8, Judgement::Covered(Outcome::Duplicate)),
        (saved(5, "ann"), at(6, "ann"), 7, Judgement::Covered(Outcome::Stale)),
        (saved(5, "ann"), at(4, "ann"), 7, Judgement::Open),
        (saved(5, "ann"), without_key, 7, Judgement::Open),
        (saved(5, "cat"), settled(5), 8, Judgement::Covered(Outcome::Duplicate)),
        (saved(5, "ann"), settled(5), 8, Judgement::Conflict),
        (saved(5, "bob"), at(5, "ann"), 8, Judgement::Conflict),
        (deleted(5), at(5, "ann"), 7, Judgement::Open),
        (refresh(None), at(5, "ann"), 7, Judgement::Covered(Outcome::Deferred)),
        (refresh(Some(5)), at(5, "ann"), 7, Judgement::Covered(Outcome::Stale)),
        (refresh(Some(6)), at(5, "ann"), 7, Judgement::Open),
        (
            refresh(Some(6)),
            Record { need: Some(Version::new(6)), ..at(5, "ann") },
            7,
            Judgement::Covered(Outcome::Deferred),
        ),
    ];
    for (event, held, batch, expected) in cases {
        let of = asked();
        assert_eq!(
            judge(&claim(&of, event.clone()), Some(&held), &users(&of).keep, batch),
            expected,
            "{event:?} on {held:?}"
        );
    }
}

/// A deferred event that was folded behind a state is still judged for itself.
#[test]
fn a_state_and_a_notice_of_one_batch_are_judged_apart() {
    let folded = fold(users(&asked()), &[saved(5, "ann"), refresh(Some(7))], &Timeline::default());
    assert!(matches!(folded.expected[0].1, Expected::State { winner: true, .. }));
    assert_eq!(folded.expected[1].1, Expected::Need(Some(Key::floor(0, Version::new(7)))));
    assert_eq!(folded.writes.len(), 2);
}
