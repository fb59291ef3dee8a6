//! What the owner's word is worth where somebody has called for it.

use nearcopy::event::Version;
use nearcopy::replication::{Answer, Content, Due, Key, Record, RecordWrite, State, Why, merge};

use crate::merge::{RECONCILE, REV, SETTLE, fields, gone, in_words, live, record, spec};

/// V2, A8: whoever calls for a look means the owner as it will be, and not as a late replica of it still is.
#[test]
fn an_answer_is_not_settled_before_the_owners_read_lag_after_it_was_called_for() {
    let mut called = record(State::Live, Some(live(5)), None, true);
    called.since = Some(REV + 1_000);
    let answer = Answer::Found {
        version: Some(Version::new(5)),
        content: Content::Live(fields("ann").try_into().unwrap()),
    };
    let RecordWrite::Answer { due, .. } = merge(&called, &answer, 0, 1, &spec(), true) else { panic!() };
    assert_eq!(due, Due::After(SETTLE));
    called.asked = Some(REV + 1_000 + i64::try_from(SETTLE.as_micros()).unwrap());
    let RecordWrite::Answer { due, .. } = merge(&called, &answer, 0, 1, &spec(), true) else { panic!() };
    assert_eq!(due, Due::After(RECONCILE));
}

/// A5, V2: a 404 may be as late as any answer: it confirms a deletion only once it knows of what it was called for.
#[test]
fn a_late_404_does_not_end_what_was_called_for_after_a_deletion() {
    for why in [Why::Deleted, Why::Out] {
        let mut called = record(State::Gone(why), Some(gone(5, why)), None, true);
        called.since = Some(REV + 1_000);
        let asked_again = |called: &Record| {
            let write = merge(called, &Answer::NotFound, 0, 1, &spec(), true);
            let RecordWrite::Answer { due, content, .. } = write else { panic!("{write:?}") };
            assert!(content.is_none_or(|(content, _)| content == Content::Gone(why)));
            due
        };
        assert_eq!(asked_again(&called), Due::After(SETTLE));
        called.asked = Some(REV + 1_000 + i64::try_from(SETTLE.as_micros()).unwrap());
        assert_eq!(asked_again(&called), Due::After(RECONCILE));
    }
}

/// V2, A11, F4: whoever called for the owner's word does not know of which version it is, so all that comes after it is
/// asked about, also where the word is what was held already.
#[test]
fn a_word_that_was_called_for_settles_what_is_held_also_where_that_says_the_same() {
    let ann = Answer::Found { version: None, content: Content::Live(fields("ann").try_into().unwrap()) };
    let out = Answer::Found { version: None, content: Content::Gone(Why::Out) };
    let shown = (State::Live, Some(live(5)));
    let deleted = (State::Gone(Why::Deleted), Some(gone(5, Why::Deleted)));
    let left = (State::Gone(Why::Out), Some(gone(5, Why::Out)));
    let erased = (State::Gone(Why::Erased), Some(gone(5, Why::Erased)));
    let cases = [
        (shown, &ann, "ann 0.5~"),
        (deleted.clone(), &out, "deleted 0.5†~"),
        (deleted, &Answer::NotFound, "deleted 0.5†~"),
        (left.clone(), &out, "out 0.5†~"),
        (left, &Answer::NotFound, "out 0.5†~"),
        (erased, &Answer::NotFound, "erased 0.5†~"),
    ];
    for ((state, key), answer, settled) in cases {
        let in_words = |record: &Record| in_words(&merge(record, answer, 0, 1, &spec(), true));
        let mut held = record(state, key, None, true);
        assert!(in_words(&held).starts_with("-,"), "nobody called: {}", in_words(&held));
        held.since = Some(REV - 1);
        assert!(in_words(&held).starts_with(&format!("{settled},")), "{}", in_words(&held));
        let at_once = Record { asked: Some(REV), ..held.clone() };
        assert!(in_words(&at_once).starts_with("-,"), "provisional: {}", in_words(&at_once));
        held.key.as_mut().unwrap().hash = Key::SETTLED.into();
        assert!(in_words(&held).starts_with("-,"), "settled already: {}", in_words(&held));
    }
}
