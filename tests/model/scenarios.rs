//! What is explored: each interleaving by its name, and wider worlds in which they all meet.

use super::interleavings as small;
use super::interleavings::NOTHING;
use super::setting::{Asked, Setting};
use super::world::Left;

/// A scenario by its name.
pub(crate) struct Scenario {
    /// What it shows, as a sentence.
    pub name: &'static str,
    /// What is in it.
    pub setting: Setting,
}

/// The named interleavings.
pub(crate) fn interleavings() -> Vec<Scenario> {
    let named = |name: &'static str, setting: Setting| Scenario { name, setting };
    vec![
        named("A1   an event is passed by, and the first answer is older", small::passed_by()),
        named("A1   a deletion is passed by, and the first answer is older", small::deletion_passed_by()),
        named(
            "A1   a pod that passed an earlier event by must look again",
            small::passed_by_and_remembered(),
        ),
        named("A2   a deposed primary passes a wanted event by", small::lost_on_a_deposed_primary()),
        named("A3   two pods make one record", small::two_make_one_record()),
        named("A4   a batch is judged by what the database holds", small::folded()),
        named("A5   an older event comes after a 404", small::late_after_404()),
        named("A6   a deletion overtakes the creation", small::deletion_overtakes()),
        named("A7   a deletion at the same version", small::deleted_at_one_version(Asked::Versioned)),
        named("A7   the same, of an owner who cannot be asked", small::deleted_at_one_version(Asked::Never)),
        named("A8   two contents under one version", small::two_contents()),
        named("A8   two contents, and a placeholder to fill", small::two_contents_of_a_placeholder()),
        named("A9   created after the owner did not know it", small::created_after_404()),
        named("A10  a deletion is kept while somebody refers to it", small::deletion_is_kept()),
        named("A11  answers without a version", small::unversioned()),
        named("A11  a late 404 takes nothing away", small::late_404()),
        named("A14  a placeholder is filled by an event", small::filled_by_an_event()),
        named("V2   an event tells a version only", small::told_by_version()),
        named("F2   the owner shows a version later than declared", small::told_of_what_is_overdue()),
        named("V2   an event tells not even a version", small::told_vaguely()),
        named("V2   created again, told by its version only", small::created_again()),
        named(
            "V2   the owner's word is what is held, and an older event comes",
            small::told_of_what_is_held(),
        ),
        named("V2   deleted again, and an older event comes", small::deleted_again()),
        named("D2   a call for a look is lost", small::called_in_vain()),
        named("D2   the same, where two contents call for it", small::decided_in_vain()),
        named("B1   a crash after an answer is written", small::crash_after_an_answer()),
        named("B1   a crash after an event is written", small::crash_after_an_event()),
        named("B2   a second life, and another content at one version", small::second_life()),
        named("B3   a document is inserted after the fan-out has passed", small::inserted_after_the_scan()),
        named("B4   from one entity to another that is pending", small::another_is_pending()),
        named("B4   a reference is cleared", small::reference_is_cleared()),
        named("B5   a document is copied, another written back", small::copied()),
        named("B6   from one entity to another and back", small::there_and_back()),
        named("B6   a document is replaced by one without a stamp", small::replaced()),
        named("B8   what a document first showing a deleted entity keeps", small::kept_when_deleted()),
        named("C1   two retire one record, and it is wanted meanwhile", small::two_who_retire()),
        named("C2   a record is wanted while it is retired", small::wanted_while_retired()),
        named("C3   a record changes while it is retired, and is wanted", small::changed_while_retired()),
        named("C5   a reference moves between two looks", small::reference_moves()),
        named("D2   a reply is lost", small::reply_is_lost()),
        named("D3   the winner of a batch is refused", small::winner_is_refused()),
        named("D4   an event that nobody can store is made good by the owner", small::poison_is_healed()),
    ]
}

/// The wider worlds.
pub(crate) fn wide() -> Vec<Scenario> {
    let named = |name: &'static str, setting: Setting| Scenario { name, setting };
    vec![
        named(
            "wide: a crash wherever it may be, from placeholder to confirmation",
            Setting { left: Left { crashes: 1, lost: 1, ..NOTHING }, ..small::passed_by() },
        ),
        named(
            "wide: three versions, redelivered, with a crash",
            Setting { left: Left { crashes: 1, redeliveries: 1, ..NOTHING }, ..small::folded() },
        ),
        named(
            "wide: an owner two of whose changes are less than a read lag apart",
            Setting { parts: 2, ..small::late_after_404() },
        ),
        named(
            "wide: two retire, one wants, in pods that do two things at once",
            small::two_who_retire_and_one_who_wants(),
        ),
        named(
            "wide: a second life, with a crash",
            Setting { left: Left { crashes: 1, marks: 1, ..NOTHING }, ..small::second_life() },
        ),
        named(
            "wide: there and back, with a crash, in pods that do two things at once",
            Setting {
                tasks: 2,
                sweeps: true,
                left: Left { crashes: 1, ..NOTHING },
                ..small::there_and_back()
            },
        ),
        named(
            "wide: two entities in one batch, a document from one to the other, a crash",
            Setting { batch: 2, left: Left { crashes: 1, ..NOTHING }, ..small::two_entities() },
        ),
    ]
}
