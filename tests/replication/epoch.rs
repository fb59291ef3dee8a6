//! An owner that is restored from a backup begins a new epoch: what belongs to the old one loses, whatever its version.

use bson::doc;
use nearcopy::event::{Change, ChangeEvent, Stamp, Version};
use nearcopy::replication::{
    Answer, Content, Due, Expected, Judgement, Key, Outcome, Record, RecordWrite, State, Timeline, Why, fold,
    has_gone_back, judge, merge,
};

use crate::declared::{ASKED, id, shop, users};
use crate::merge::{answers, live, record, spec, states};

const RESTORED: i64 = 1_000_000;

fn timeline() -> Timeline {
    Timeline::new(vec![RESTORED])
}

fn event(version: i64, at: i64, change: Change) -> ChangeEvent {
    let stamp = Stamp { at: Some(at), ..Stamp::default() };
    ChangeEvent { entity: id("42"), version: Some(Version::new(version)), change, stamp }
}

fn saved(version: i64, at: i64) -> ChangeEvent {
    event(version, at, Change::Upsert(doc! { "username": "ann" }.try_into().unwrap()))
}

/// Every record and answer, the answer known to be of epoch 1 and the record held from epoch 0.
fn across(mut check: impl FnMut(&Record, &Answer, bool, &RecordWrite)) {
    for (_, state, key) in states() {
        for (_, answer) in answers() {
            for (need, settled) in [(None, false), (Some(1_000), false), (None, true), (Some(1_000), true)] {
                let record = record(state, key.clone(), need, settled);
                check(&record, &answer, settled, &merge(&record, &answer, 1, 1, &spec(), true));
            }
        }
    }
}

/// A15: of two events the one of the later epoch leads, in whichever order they come.
#[test]
fn an_event_of_the_new_epoch_leads_over_a_higher_version_of_the_old() {
    let declaration = shop("all", ASKED, &[]);
    let mut events = [saved(1_000, RESTORED - 1), saved(501, RESTORED)];
    for _ in 0..2 {
        let folded = fold(users(&declaration), &events, &timeline());
        let [RecordWrite::State { key, guard, .. }] = &folded.writes[..] else { panic!("{folded:?}") };
        assert_eq!((key.epoch, key.version, guard.epoch), (1, Version::new(501), 1));
        events.reverse();
    }
}

/// A15: what an event of the old epoch asks for is met by anything of the new one, and not the other way round.
#[test]
fn a_need_is_measured_in_its_epoch() {
    let declaration = shop("all", ASKED, &[]);
    let of = users(&declaration);
    let judged = |event: ChangeEvent, held: Key, need: Option<i64>| {
        let expected = fold(of, &[event], &timeline()).expected.remove(0).1;
        let Expected::Need(Some(_)) = expected else { panic!("{expected:?}") };
        judge(&expected, Some(&record(State::Live, Some(held), need, false)), &of.keep, 1)
    };
    let (old, new) = (event(1_000, RESTORED - 1, Change::Refresh), event(501, RESTORED, Change::Refresh));
    assert_eq!(judged(old.clone(), live(500).in_epoch(1), None), Judgement::Covered(Outcome::Stale));
    assert_eq!(judged(new.clone(), live(1_000), None), Judgement::Open);
    assert_eq!(judged(new, live(1_000), Some(501)), Judgement::Covered(Outcome::Deferred));
    assert_eq!(judged(old, live(999), None), Judgement::Open);
}

/// V5, A15: the first answer of the new epoch wins, ends what was needed before, and is asked for again.
#[test]
fn a_versioned_answer_of_the_new_epoch_wins_over_all_that_is_held() {
    across(|record, answer, _, write| {
        let Answer::Found { version: Some(version), content: said } = answer else { return };
        let RecordWrite::Answer { content, satisfied, due, .. } = write else { panic!() };
        let Some((content, Some(key))) = content else { panic!("{record:?} {answer:?} {write:?}") };
        assert_eq!((content, key.epoch, key.version, *satisfied), (said, 1, *version, true));
        assert_ne!(*due, Due::Never);
    });
}

/// V5, A15: once the owner, asked in the new epoch, is believed, nothing of the old one enters any more.
#[test]
fn a_settled_answer_of_any_kind_leaves_the_old_epoch_behind() {
    across(|record, answer, settled, write| {
        let RecordWrite::Answer { content, satisfied, due, .. } = write else { panic!() };
        let key = content.as_ref().map_or(&record.key, |(_, key)| key);
        if settled && record.key.is_some() {
            let newest = Key::gone(Version::new(i64::MAX), Why::Deleted, 9);
            assert!(key.as_ref() > Some(&newest), "{record:?} {answer:?} {write:?}");
            assert!(satisfied, "a need of the old epoch binds: {record:?} {answer:?} {write:?}");
        } else {
            assert_ne!(*due, Due::Never, "a first answer is asked again: {record:?} {answer:?} {write:?}");
        }
        let is_gone =
            matches!(content, Some((Content::Gone(_), _))) || matches!(record.state, State::Gone(_));
        assert!(is_gone || *answer != Answer::NotFound || !settled);
    });
}

/// C5: a pod that has not heard of the new epoch brings nothing of the old one back.
#[test]
fn an_answer_under_an_epoch_that_is_over_changes_nothing() {
    for (_, state, key) in states() {
        for (_, answer) in answers() {
            let Answer::Found { version: Some(_), .. } = answer else { continue };
            let Some(key) = key.clone().map(|key| key.in_epoch(1)) else { continue };
            for settled in [false, true] {
                let record = record(state, Some(key.clone()), None, settled);
                let write = merge(&record, &answer, 0, 1, &spec(), true);
                let RecordWrite::Answer { content, due, .. } = &write else { panic!() };
                assert!(content.is_none() && *due != Due::Never, "{record:?} {answer:?} {write:?}");
            }
        }
    }
}

/// G2: what was deleted comes back by a higher key only; an owner whose versions begin anew needs an epoch for that.
#[test]
fn a_deletion_yields_to_a_lower_version_only_in_a_later_epoch() {
    let declaration = shop("all", ASKED, &[]);
    let deletion = Key::gone(Version::new(1_000), Why::Deleted, 1);
    let guard = |at: i64, version: i64| {
        let folded = fold(users(&declaration), &[saved(version, at)], &timeline());
        let [RecordWrite::State { guard, .. }] = &folded.writes[..] else { panic!("{folded:?}") };
        guard.clone()
    };
    let old = RESTORED - 1;
    assert!(guard(old, 1) < deletion && guard(old, 1_000) < deletion && guard(old, 1_001) > deletion);
    assert!(guard(RESTORED, 1) > deletion);
}

/// A15: an event that was put aside is made good only by what its own epoch, or a later one, holds.
#[test]
fn a_parked_event_is_made_good_within_its_epoch() {
    let held = |epoch: i64| record(State::Live, Some(live(500).in_epoch(epoch)), None, true);
    assert!(held(1).has_overtaken(0, Some(1_000), None));
    assert!(held(1).has_overtaken(1, Some(500), None));
    assert!(!held(1).has_overtaken(1, Some(501), None));
    assert!(!held(0).has_overtaken(1, Some(1), None));
}

/// V5: versions have gone back where the owner, asked again and after its read lag, still gives a lower one.
#[test]
fn only_an_owner_that_was_asked_again_has_gone_back() {
    let gone_back = |tries: u32, settled: bool, version: i64, epoch: i64| {
        let held = Record { tries, ..record(State::Live, Some(live(5)), None, settled) };
        let content = Content::Live(doc! { "username": "ann" }.try_into().unwrap());
        let answer = Answer::Found { version: Some(Version::new(version)), content };
        has_gone_back(&held, &answer, epoch, &spec())
    };
    assert!(gone_back(1, true, 4, 0));
    assert!(!gone_back(0, true, 4, 0), "it was asked only once");
    assert!(!gone_back(1, false, 4, 0), "its replicas may be late");
    assert!(!gone_back(1, true, 5, 0));
    assert!(!gone_back(1, true, 4, 1), "somebody has said so already");
    let held = record(State::Live, Some(live(5)), None, true);
    assert!(!has_gone_back(&held, &Answer::NotFound, 0, &spec()));
}
