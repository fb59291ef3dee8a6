//! What the owner's answers do to records: every state met by every answer.

use std::time::Duration;

use bson::{Document, doc};
use nearcopy::event::{FieldPath, IdKind, Version, VersionRule};
use nearcopy::replication::{
    Answer, AnswerPaths, Content, Due, FetchSpec, Key, Record, RecordWrite, State, UrlTemplate, Why,
    back_off, merge,
};

use crate::declared::id;

pub(crate) const SETTLE: Duration = Duration::from_secs(30);
pub(crate) const RECONCILE: Duration = Duration::from_secs(3600);
pub(crate) const REV: i64 = 1_000_000_000;
const CLAIM: i64 = 77;

pub(crate) fn spec() -> FetchSpec {
    let path = |text: &str| FieldPath::parse(text).unwrap();
    let answers =
        AnswerPaths::new(&path("id"), IdKind::String, VersionRule::None, path(""), path(""), Vec::new());
    FetchSpec {
        url: UrlTemplate::parse("http://owner/{id}", "id").unwrap(),
        by: std::collections::BTreeMap::new(),
        list: None,
        batch: None,
        batch_size: 1,
        concurrency: 1,
        timeout: Duration::from_secs(1),
        settle: SETTLE,
        reconcile: Some(RECONCILE),
        answers,
    }
}

pub(crate) fn fields(name: &str) -> Document {
    doc! { "username": name }
}

pub(crate) fn live(version: i64) -> Key {
    Key::live(Version::new(version), 1, &fields("ann").try_into().unwrap())
}

pub(crate) fn gone(version: i64, why: Why) -> Key {
    Key::gone(Version::new(version), why, 1)
}

/// Every kind of record: what is held, and at version 5 where there is a version.
pub(crate) fn states() -> Vec<(&'static str, State, Option<Key>)> {
    vec![
        ("pending", State::Pending, None),
        ("live, no version", State::Live, None),
        ("live at 5", State::Live, Some(live(5))),
        ("deleted at 5", State::Gone(Why::Deleted), Some(gone(5, Why::Deleted))),
        ("erased at 5", State::Gone(Why::Erased), Some(gone(5, Why::Erased))),
        ("out at 5", State::Gone(Why::Out), Some(gone(5, Why::Out))),
        ("404, no version", State::Gone(Why::NotFound), None),
        ("404 over 5", State::Gone(Why::NotFound), Some(live(5))),
    ]
}

pub(crate) fn answers() -> Vec<(&'static str, Answer)> {
    let found = |version: Option<i64>, content: Content| Answer::Found {
        version: version.map(Version::new),
        content,
    };
    let ann = || Content::Live(fields("ann").try_into().unwrap());
    vec![
        ("4", found(Some(4), ann())),
        ("5", found(Some(5), ann())),
        ("5, other content", found(Some(5), Content::Live(fields("bob").try_into().unwrap()))),
        ("5, out", found(Some(5), Content::Gone(Why::Out))),
        ("6", found(Some(6), ann())),
        ("no version", found(None, ann())),
        ("no version, other content", found(None, Content::Live(fields("bob").try_into().unwrap()))),
        ("not found", Answer::NotFound),
    ]
}

pub(crate) fn record(state: State, key: Option<Key>, need: Option<i64>, settled: bool) -> Record {
    let lag = i64::try_from(SETTLE.as_micros()).unwrap();
    Record {
        key,
        rev: REV,
        need: need.map(Version::new),
        due: Some(CLAIM),
        asked: Some(REV + if settled { lag } else { lag - 1 }),
        fields: if state == State::Live { fields("ann") } else { Document::new() },
        ..Record::blank(id("42"), state)
    }
}

/// What a write does, in a few words.
pub(crate) fn in_words(write: &RecordWrite) -> String {
    let RecordWrite::Answer { content, satisfied, due, .. } = write else { panic!("{write:?}") };
    let content = content.as_ref().map_or("-".to_owned(), |(content, key)| {
        let what = match content {
            Content::Live(fields) => fields.as_raw().get_str("username").unwrap().to_owned(),
            Content::Gone(why) => why.as_str().to_owned(),
        };
        let key = key.as_ref().map_or("no key".to_owned(), |key| {
            format!("{key}{}", if &*key.hash == Key::SETTLED { "~" } else { "" })
        });
        format!("{what} {key}")
    });
    let due = match due {
        Due::Now => "now".to_owned(),
        Due::Never => "never".into(),
        Due::After(RECONCILE) => "reconcile".into(),
        Due::After(wait) => format!("{} s", wait.as_secs()),
    };
    format!("{content}, {due}{}", if *satisfied { ", met" } else { "" })
}

/// Every cell of the table, for a person to read against the protocol's rows for answers.
#[test]
fn every_answer_does_to_every_record_what_the_table_says() {
    let mut table = String::new();
    for (held, state, key) in states() {
        table += &format!("\n{held}\n");
        for (said, answer) in answers() {
            for need in [None, Some(5), Some(6)] {
                let outcome = |settled: bool| {
                    let record = record(state, key.clone(), need, settled);
                    in_words(&merge(&record, &answer, 0, 1, &spec(), true))
                };
                let need = need.map_or(String::new(), |need| format!(" (need {need})"));
                table += &format!(
                    "  {:<36} at once: {:<26} settled: {}\n",
                    said.to_owned() + &need,
                    outcome(false),
                    outcome(true)
                );
            }
        }
    }
    insta::assert_snapshot!(table);
}

/// Runs a check over every state, answer, need, and kind of answer.
fn for_all(mut check: impl FnMut(&Record, &Answer, bool, &RecordWrite)) {
    for (_, state, key) in states() {
        for (_, answer) in answers() {
            for need in [None, Some(4), Some(5), Some(6), Some(7)] {
                for settled in [false, true] {
                    let record = record(state, key.clone(), need, settled);
                    check(&record, &answer, settled, &merge(&record, &answer, 0, 1, &spec(), true));
                }
            }
        }
    }
}

/// F1: the guard is what was read when the owner was asked, and nothing else.
#[test]
fn every_answer_is_guarded_by_the_revision_and_the_claim_it_was_asked_under() {
    for_all(|record, _, _, write| {
        let RecordWrite::Answer { rev, claim, owes, content, .. } = write else { panic!() };
        assert_eq!((*rev, claim), (record.rev, &record.claim));
        assert_eq!(*owes, content.is_some(), "what changed is owed, and nothing else");
    });
}

/// F2, A11: a provisional answer overwrites nothing but what is older or unknown; F4: and turns nothing into gone.
#[test]
fn only_a_settled_answer_wins_without_a_higher_version() {
    for_all(|record, answer, settled, write| {
        let RecordWrite::Answer { content, .. } = write else { panic!() };
        if settled || content.is_none() {
            return;
        }
        let unknown = record.key.is_none() && record.state == State::Pending;
        let higher = match (answer, &record.key) {
            (Answer::Found { version: Some(version), .. }, Some(held)) => *version > held.version,
            (Answer::Found { version: Some(_), .. }, None) => true,
            _ => false,
        };
        // The same version from a live state is below a deletion, and above none.
        let outranks = matches!(answer, Answer::Found { content: Content::Gone(_), .. });
        assert!(unknown || higher || outranks, "{record:?} {answer:?} {write:?}");
    });
}

/// G1, G6: no resurrection: an equal version never brings back what was deleted or erased, settled or not.
#[test]
fn a_deletion_yields_only_to_a_higher_version() {
    for_all(|record, answer, _, write| {
        let RecordWrite::Answer { content: Some((Content::Live(_), Some(key))), .. } = write else { return };
        if matches!(record.state, State::Gone(Why::Deleted | Why::Erased))
            && matches!(answer, Answer::Found { version: Some(_), .. })
        {
            assert!(key.version > record.key.as_ref().unwrap().version);
        }
    });
}

/// The owner's order never goes back, whatever an answer says.
#[test]
fn no_answer_lowers_the_version_held() {
    for_all(|record, _, _, write| {
        let RecordWrite::Answer { content: Some((_, key)), .. } = write else { return };
        if let Some(held) = &record.key {
            assert!(key.as_ref().is_some_and(|key| key.version >= held.version), "{record:?} {write:?}");
        }
    });
}

/// A13: a need ends by a settled answer that meets it; until then the owner is asked again.
#[test]
fn a_need_that_is_not_met_is_asked_for_again() {
    for_all(|record, answer, settled, write| {
        let RecordWrite::Answer { satisfied, due, .. } = write else { panic!() };
        let Some(need) = record.need else { return };
        let meets = match answer {
            Answer::Found { version: Some(version), .. } => *version >= need,
            Answer::Found { version: None, .. } => true,
            Answer::NotFound => false,
        };
        let held = record.key.as_ref().is_some_and(|key| key.version >= need);
        if !held && (!settled || !meets) {
            assert!(!*satisfied, "{record:?} {answer:?} {write:?}");
        }
        if !*satisfied {
            assert!(*due != Due::Never && *due != Due::After(RECONCILE), "{record:?} {answer:?} {write:?}");
        }
    });
}

/// A5, A9: what rests on a 404, or on nothing, is asked for again.
#[test]
fn what_rests_on_weak_knowledge_always_has_a_next_question() {
    for_all(|record, _, _, write| {
        let RecordWrite::Answer { content, due, .. } = write else { panic!() };
        let (state, key) = match content {
            None => (record.state, record.key.clone()),
            Some((Content::Live(_), key)) => (State::Live, key.clone()),
            Some((Content::Gone(why), key)) => (State::Gone(*why), key.clone()),
        };
        if state == State::Gone(Why::NotFound) || key.is_none() {
            assert_ne!(*due, Due::Never, "{record:?} {write:?}");
        }
    });
}

/// A1: every fill is asked again.
#[test]
fn a_first_answer_is_confirmed_after_the_owners_read_lag() {
    let first = record(State::Pending, None, None, true);
    for (said, answer) in answers() {
        let RecordWrite::Answer { due, .. } = merge(&first, &answer, 0, 1, &spec(), true) else { panic!() };
        assert_eq!(due, Due::After(SETTLE), "{said}");
    }
}

/// D8, G2: what is gone may come back, and the event that says so be lost: it is compared like all that is held. Where
/// no comparison is declared, and for what was erased here, that is the end of it.
#[test]
fn what_is_gone_is_compared_with_the_owner_like_all_that_is_held() {
    let forever = FetchSpec { reconcile: None, ..spec() };
    for why in [Why::Deleted, Why::Out] {
        let held = record(State::Gone(why), Some(gone(5, why)), None, true);
        assert_eq!(next_of(&held, &Answer::NotFound, &spec()), (Due::After(RECONCILE), 0));
        assert_eq!(next_of(&held, &Answer::NotFound, &forever), (Due::Never, 0));
    }
    let erased = record(State::Gone(Why::Erased), Some(gone(5, Why::Erased)), None, true);
    assert_eq!(next_of(&erased, &Answer::NotFound, &spec()), (Due::Never, 0));
}

#[test]
fn nothing_is_owed_where_nothing_is_embedded() {
    let RecordWrite::Answer { owes, content, .. } =
        merge(&record(State::Pending, None, None, false), &answers()[0].1, 0, 1, &spec(), false)
    else {
        panic!()
    };
    assert!(content.is_some() && !owes);
}

/// A9: the pause doubles and has an end.
#[test]
fn questions_in_vain_are_asked_ever_more_rarely_and_never_given_up() {
    let pauses: Vec<u64> = (0..6).map(|tries| back_off(SETTLE, tries).as_secs()).collect();
    assert_eq!(pauses, [30, 30, 60, 120, 240, 480]);
    assert_eq!(back_off(SETTLE, u32::MAX), Duration::from_secs(86_400));
    let mut missing = record(State::Gone(Why::NotFound), None, None, true);
    missing.tries = 3;
    let RecordWrite::Answer { due, tries, .. } = merge(&missing, &Answer::NotFound, 0, 1, &spec(), true)
    else {
        panic!()
    };
    assert_eq!((due, tries), (Due::After(Duration::from_secs(240)), 4));
}

fn next_of(record: &Record, answer: &Answer, spec: &FetchSpec) -> (Due, u32) {
    let RecordWrite::Answer { due, tries, .. } = merge(record, answer, 0, 1, spec, true) else { panic!() };
    (due, tries)
}

/// A7, F2: somebody called for a look, and the owner's late replica still shows what was before.
#[test]
fn an_answer_that_may_be_old_ends_no_look_that_was_called_for() {
    let old = Answer::Found {
        version: Some(Version::new(4)),
        content: Content::Live(fields("ann").try_into().unwrap()),
    };
    for (held, state, key) in states() {
        for answer in [&Answer::NotFound, &old] {
            let mut called = record(state, key.clone(), None, false);
            (called.since, called.tries) = (called.asked, 20);
            if state != State::Pending && (key.is_some() || *answer == Answer::NotFound) {
                assert_eq!(next_of(&called, answer, &spec()), (Due::After(SETTLE), 0), "{held}: {answer:?}");
            }
        }
    }
}

/// A5, A9: the owner was away for long, which says nothing of how often its answers will be in vain.
#[test]
fn pauses_begin_anew_when_the_record_changes() {
    let mut waited = record(State::Pending, None, None, true);
    waited.tries = 20;
    assert_eq!(next_of(&waited, &Answer::NotFound, &spec()), (Due::After(SETTLE), 1));
}

/// A9: what is asked again ever more rarely is still compared as often as was declared.
#[test]
fn no_pause_is_longer_than_until_the_next_comparison() {
    let mut held = record(State::Live, None, None, true);
    held.tries = 20;
    let same = Answer::Found { version: None, content: Content::Live(fields("ann").try_into().unwrap()) };
    assert_eq!(next_of(&held, &same, &spec()).0, Due::After(RECONCILE));
    let forever = FetchSpec { reconcile: None, ..spec() };
    assert_eq!(next_of(&held, &same, &forever).0, Due::After(Duration::from_secs(86_400)));
}
