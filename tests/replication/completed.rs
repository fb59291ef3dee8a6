//! What an owner's answers do to records of an older generation.

use nearcopy::event::Version;
use nearcopy::replication::{Answer, Content, Due, Key, Record, RecordWrite, State, Why, merge};

use crate::merge::{fields, gone, live, record, spec};

/// C1: an equal version under a higher shape completes the record.
#[test]
fn a_newer_shape_wins_at_an_equal_version() {
    let held = record(State::Live, Some(live(5)), None, false);
    let answer = Answer::Found {
        version: Some(Version::new(5)),
        content: Content::Live(fields("ann").try_into().unwrap()),
    };
    let RecordWrite::Answer { content: Some((_, Some(key))), .. } =
        merge(&held, &answer, 0, 2, &spec(), true)
    else {
        panic!("the answer is not written")
    };
    assert_eq!(key.shape, 2);
}

/// C1: it wins over what the owner has settled, too, and whatever is needed still; but what holds no fields lacks none,
/// and a version that is behind completes nothing.
#[test]
fn a_newer_shape_completes_only_what_is_live_and_not_ahead() {
    let settled = Key { hash: Key::SETTLED.into(), ..live(5) };
    let cases = [
        (State::Live, settled, None, 5, true),
        (State::Live, live(5), Some(6), 5, true),
        (State::Live, live(6), None, 5, false),
        (State::Gone(Why::Deleted), gone(5, Why::Deleted), None, 5, false),
        (State::Gone(Why::NotFound), live(5), None, 5, false),
        (State::Pending, live(5), None, 5, false),
    ];
    for (state, key, need, version, wins) in cases {
        let answer = Answer::Found {
            version: Some(Version::new(version)),
            content: Content::Live(fields("ann").try_into().unwrap()),
        };
        let held = record(state, Some(key), need, false);
        let RecordWrite::Answer { content, due, satisfied, .. } = merge(&held, &answer, 0, 2, &spec(), true)
        else {
            panic!()
        };
        assert_eq!(content.is_some(), wins, "{state:?} {need:?}");
        assert!(due != Due::Never && !satisfied, "it is asked again: {state:?} {need:?}");
    }
}

/// C1: an answer without a version completes a record once it is settled, though it shows nothing new.
#[test]
fn a_settled_answer_without_a_version_completes_what_lacks() {
    let answer = Answer::Found { version: None, content: Content::Live(fields("ann").try_into().unwrap()) };
    for (lacks, settled, enters) in [(true, true, true), (true, false, false), (false, true, false)] {
        let held = Record { lacks, ..record(State::Live, Some(live(5)), None, settled) };
        let RecordWrite::Answer { content, .. } = merge(&held, &answer, 0, 1, &spec(), true) else {
            panic!()
        };
        assert_eq!(content.is_some(), enters, "lacks: {lacks}, settled: {settled}");
    }
    let older = record(State::Live, Some(live(5)), None, true);
    let RecordWrite::Answer { content: Some((_, Some(key))), .. } =
        merge(&older, &answer, 0, 2, &spec(), true)
    else {
        panic!()
    };
    assert_eq!((key.shape, &*key.hash), (2, Key::SETTLED));
}
