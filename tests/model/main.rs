//! The protocol's interleavings, explored to the last one, each as small as it can be; `make model` explores wider
//! worlds, and takes every rule out once.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails at that very line")]

mod ask;
mod batch;
#[expect(dead_code, reason = "the program prints the rest")]
mod check;
#[path = "../support/declared.rs"]
#[expect(dead_code, reason = "the tests on real servers use the rest")]
mod declared;
mod document;
mod guard;
mod guards;
mod held;
mod hydrate;
#[expect(dead_code, reason = "the program explores the rest")]
mod interleavings;
mod protocol;
mod rest;
mod retire;
mod setting;
mod statement;
mod store;
mod task;
mod words;
mod world;

use guard::Guard;
use interleavings as small;
use setting::{Asked, Setting};

/// Explores all of a scenario; the steps to what does not hold are the message.
fn holds(setting: &Setting) {
    let found = check::explore(setting, None, 1);
    assert!(found.broken.is_none(), "{:#?}", found.broken);
    assert!(found.complete && found.states > 10, "{} states", found.states);
}

/// Takes a rule out, where something must break then.
fn is_missed(guard: Guard) {
    let removal = guards::removals().into_iter().find(|removal| removal.guard == guard).unwrap();
    let found = check::explore(&removal.setting, Some(guard), 1);
    assert_eq!(found.broken.is_some(), removal.stands_in.is_none(), "taken out: {}", removal.rule);
}

/// A1: an event was passed by just before its entity was wanted, and the owner's first answer is older.
#[test]
fn an_event_passed_by_is_made_good_by_the_second_answer() {
    holds(&small::passed_by());
}

/// A1: the same, of a deletion.
#[test]
fn a_deletion_passed_by_is_made_good_by_the_second_answer() {
    holds(&small::deletion_passed_by());
}

/// A2: a write upon a deposed primary changes nothing and is told to have gone well.
#[test]
fn what_a_deposed_primary_passes_by_goes_round_again() {
    holds(&small::lost_on_a_deposed_primary());
}

/// A4, D1: each event of a batch is judged by what the database holds.
#[test]
fn a_batch_is_judged_event_by_event() {
    holds(&small::folded());
}

/// A3: of two pods that make one record, the newer state stays.
#[test]
fn two_pods_that_make_one_record_agree() {
    holds(&small::two_make_one_record());
}

/// A6: a tombstone is left where there was no record.
#[test]
fn a_creation_that_comes_after_its_deletion_stays_out() {
    holds(&small::deletion_overtakes());
}

/// A7: some owners delete without counting up.
#[test]
fn a_deletion_at_the_same_version_enters() {
    holds(&small::deleted_at_one_version(Asked::Versioned));
    holds(&small::deleted_at_one_version(Asked::Never));
}

/// A8: the owner decides between two contents of one version.
#[test]
fn two_contents_of_one_version_end_as_the_owner_has_it() {
    holds(&small::two_contents());
}

/// A9: what the owner did not know yet comes by its event, or by the next question.
#[test]
fn what_is_created_after_a_404_comes_in() {
    holds(&small::created_after_404());
}

/// A10: a tombstone stays as long as somebody refers to it.
#[test]
fn a_deletion_is_kept_while_it_is_referred_to() {
    holds(&small::deletion_is_kept());
}

/// A11: answers without a version enter where nothing is known, or when settled.
#[test]
fn an_owner_without_versions_is_followed() {
    holds(&small::unversioned());
}

/// A11: a 404 that comes late from the owner takes nothing away.
#[test]
fn a_late_404_takes_nothing_away() {
    holds(&small::late_404());
}

/// V2, F2: an event may tell a version only, or not even that; and the owner's read side may show it late.
#[test]
fn what_is_only_announced_is_asked_for() {
    holds(&small::told_by_version());
    holds(&small::told_vaguely());
    holds(&small::told_of_what_is_overdue());
    holds(&small::created_again());
}

/// V2, A11, F4: whoever has called for the owner's word does not know of which version it is. What comes late after it
/// is asked about, also where the word was what was held already.
#[test]
fn what_comes_after_the_owners_word_is_asked_about() {
    holds(&small::told_of_what_is_held());
    holds(&small::deleted_again());
}

/// V2, A8, D2: a deposed primary finds nothing to change, and so calls for nothing.
#[test]
fn a_call_for_a_look_that_is_lost_is_made_again() {
    holds(&small::called_in_vain());
    holds(&small::decided_in_vain());
}

/// A14: no key, and no stamp, counts as an older one.
#[test]
fn a_placeholder_is_filled_by_an_event() {
    holds(&small::filled_by_an_event());
}

/// B1: the debt is in the record, whoever dies.
#[test]
fn a_crash_after_a_write_leaves_a_debt_and_no_loss() {
    holds(&small::crash_after_an_answer());
    holds(&small::crash_after_an_event());
}

/// B3: a document inserted behind a fan-out is hydrated from what that fan-out showed.
#[test]
fn a_document_inserted_behind_the_fan_out_shows_the_same() {
    holds(&small::inserted_after_the_scan());
}

/// B4: no document goes on showing whom it no longer refers to.
#[test]
fn a_document_shows_only_whom_it_refers_to() {
    holds(&small::another_is_pending());
    holds(&small::reference_is_cleared());
}

/// B5: what the app copies or writes back is repaired.
#[test]
fn what_is_copied_or_written_back_is_repaired() {
    holds(&small::copied());
}

/// B6: from one entity to another and back, whatever is still on its way.
#[test]
fn a_reference_that_goes_there_and_back_shows_the_newest() {
    holds(&small::there_and_back());
    holds(&small::replaced());
}

/// B4, B8: what a deleted entity leaves behind is never what another entity left there.
#[test]
fn a_deleted_entity_keeps_only_what_was_its_own() {
    holds(&small::kept_when_deleted());
}

/// C1: two pods retire one record, and it is wanted meanwhile.
#[test]
fn a_mark_seen_before_deletes_nothing_marked_since() {
    holds(&small::two_who_retire());
}

/// C2: of a new reference and a retirement, one sees the other.
#[test]
fn what_is_wanted_while_it_is_retired_is_there_in_the_end() {
    holds(&small::wanted_while_retired());
}

/// C4, C5: both looks may miss a reference that moves; it is then asked for again.
#[test]
fn a_reference_that_moves_between_two_looks_is_there_in_the_end() {
    holds(&small::reference_moves());
}

/// D2: a timeout means unknown.
#[test]
fn a_write_whose_reply_is_lost_goes_round_again() {
    holds(&small::reply_is_lost());
}

/// D3: the older events of a batch do not go down with the newest.
#[test]
fn what_was_folded_behind_a_refused_state_enters() {
    holds(&small::winner_is_refused());
}

/// D4: the owner makes good what could not be stored.
#[test]
fn a_refused_event_is_made_good_by_the_owner() {
    holds(&small::poison_is_healed());
}

/// The model can tell: without a rule it finds what breaks.
#[test]
fn a_rule_that_is_taken_out_is_missed() {
    let few = [
        Guard::Key,
        Guard::ReadBack,
        Guard::SettleLast,
        Guard::Owes,
        Guard::Evict,
        Guard::SameStamp,
        Guard::Placeholder,
        Guard::LookAgain,
    ];
    few.into_iter().for_each(is_missed);
}
