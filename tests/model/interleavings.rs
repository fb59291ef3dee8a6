//! The interleavings that made the protocol what it is, each as small as it can be.

use super::setting::{App, Asked, Kept, Say, Setting, Told};
use super::world::Left;

/// A pod that crashes once.
pub(crate) const CRASH: Left = Left { crashes: 1, redeliveries: 0, lost: 0, failures: 0, marks: 0 };
/// A delivery that comes again, elsewhere.
pub(crate) const REDELIVERY: Left = Left { redeliveries: 1, crashes: 0, ..CRASH };
/// A write that is lost.
pub(crate) const LOST: Left = Left { lost: 1, crashes: 0, ..CRASH };
/// A record that may be marked.
pub(crate) const MARK: Left = Left { marks: 1, crashes: 0, ..CRASH };
/// Nothing at all.
pub(crate) const NOTHING: Left = Left { crashes: 0, ..CRASH };

/// The owner has Ann at version 1; nobody has asked for her yet.
pub(crate) fn unwanted() -> Setting {
    Setting { says: vec![Say::saved(0, 1)], past: 1, pods: 2, ..Setting::default() }
}

/// Ann is held at version 1, and one document shows her.
pub(crate) fn held() -> Setting {
    Setting { held: vec![0], docs: vec![0], ..unwanted() }
}

fn says(setting: Setting, more: impl IntoIterator<Item = Say>) -> Setting {
    let says = setting.says.iter().copied().chain(more).collect();
    Setting { says, ..setting }
}

/// A1: an event is passed by just before its entity is wanted.
pub(crate) fn passed_by() -> Setting {
    Setting { app: vec![App::Insert(0, 0)], ..says(unwanted(), [Say::saved(0, 2)]) }
}

/// A1: the same, of a deletion.
pub(crate) fn deletion_passed_by() -> Setting {
    Setting { app: vec![App::Insert(0, 0)], ..says(unwanted(), [Say::deleted(0, 2)]) }
}

/// A1: a pod has passed an event by, then its entity is wanted, then another comes.
pub(crate) fn passed_by_and_remembered() -> Setting {
    Setting { late: 0b1, pods: 1, ..passed_by() }
}

/// A2: a write upon a deposed primary finds nothing to change, and is told to have gone well.
pub(crate) fn lost_on_a_deposed_primary() -> Setting {
    Setting { left: LOST, ..passed_by() }
}

/// A3: two pods make one record, from two versions.
pub(crate) fn two_make_one_record() -> Setting {
    Setting {
        keep: Kept::All,
        asked: Asked::Never,
        says: vec![Say::saved(0, 1), Say::saved(0, 2)],
        pods: 2,
        tasks: 2,
        left: Left { redeliveries: 1, lost: 1, ..NOTHING },
        ..Setting::default()
    }
}

/// A4, D1: three events of one entity, taken together in any way.
pub(crate) fn folded() -> Setting {
    Setting {
        batch: 3,
        left: REDELIVERY,
        ..says(held(), [Say::saved(0, 2), Say::saved(0, 3), Say::deleted(0, 4)])
    }
}

/// A5: a deletion is passed by, the owner answers 404, and an older event comes.
pub(crate) fn late_after_404() -> Setting {
    Setting { app: vec![App::Insert(0, 0)], ..says(unwanted(), [Say::saved(0, 2), Say::deleted(0, 3)]) }
}

/// A6: a deletion comes before the creation.
pub(crate) fn deletion_overtakes() -> Setting {
    Setting {
        keep: Kept::All,
        asked: Asked::Never,
        says: vec![Say::saved(0, 1), Say::deleted(0, 2)],
        pods: 2,
        left: Left { crashes: 1, redeliveries: 1, ..NOTHING },
        ..Setting::default()
    }
}

/// A7: the owner deletes without counting up.
pub(crate) fn deleted_at_one_version(asked: Asked) -> Setting {
    Setting { asked, left: REDELIVERY, ..says(held(), [Say::deleted(0, 1)]) }
}

/// A8: two contents under one version, of a record that is held.
pub(crate) fn two_contents() -> Setting {
    Setting { left: REDELIVERY, ..says(held(), [Say::saved(0, 2), Say::twice(0, 2)]) }
}

/// A8: two contents under one version, while the owner is asked for the first time.
pub(crate) fn two_contents_of_a_placeholder() -> Setting {
    let wanted = Setting { app: vec![App::Insert(0, 0)], ..unwanted() };
    Setting { pods: 1, ..says(wanted, [Say::saved(0, 2), Say::twice(0, 2)]) }
}

/// A9: the owner creates what it did not know when it was asked.
pub(crate) fn created_after_404() -> Setting {
    Setting { says: vec![Say::saved(0, 1)], app: vec![App::Insert(0, 0)], pods: 2, ..Setting::default() }
}

/// A10: another document comes to refer to what is deleted.
pub(crate) fn deletion_is_kept() -> Setting {
    Setting { app: vec![App::Insert(1, 0)], ..says(held(), [Say::deleted(0, 2)]) }
}

/// A11: the owner's answers carry no version.
pub(crate) fn unversioned() -> Setting {
    Setting { asked: Asked::Unversioned, ..passed_by() }
}

/// A11: the owner's read side does not yet know what was created again.
pub(crate) fn late_404() -> Setting {
    let says = vec![Say::saved(0, 1), Say::deleted(0, 2), Say::saved(0, 3)];
    Setting { says, past: 2, app: vec![App::Insert(0, 0)], pods: 2, ..Setting::default() }
}

/// A14: a placeholder has no key when the event comes.
pub(crate) fn filled_by_an_event() -> Setting {
    Setting { left: Left { failures: 1, ..NOTHING }, ..passed_by() }
}

/// V2: an event tells a version, and no state.
pub(crate) fn told_by_version() -> Setting {
    says(held(), [Say::saved(0, 2).told(Told::Version), Say::saved(0, 3)])
}

/// F2: an event tells a version that the owner's read side does not show for longer than it declares.
pub(crate) fn told_of_what_is_overdue() -> Setting {
    Setting { overdue: 2, ..says(held(), [Say::saved(0, 2).told(Told::Version)]) }
}

/// V2: two events tell that there is something new, no more.
pub(crate) fn told_vaguely() -> Setting {
    says(held(), [Say::saved(0, 2).told(Told::Vaguely), Say::saved(0, 3).told(Told::Vaguely)])
}

/// V2, A11: the third version says what the first one says, and is not told; the second one comes late. The owner's
/// answers carry no version.
pub(crate) fn told_of_what_is_held() -> Setting {
    let third = Say { version: 3, told: Told::Vaguely, ..Say::saved(0, 1) };
    Setting { asked: Asked::Unversioned, ..says(held(), [Say::saved(0, 2), third]) }
}

/// V2, F4: deleted, created again and deleted again, of which the last is not told, and the last but one comes late.
pub(crate) fn deleted_again() -> Setting {
    says(held(), [Say::deleted(0, 2), Say::saved(0, 3), Say::deleted(0, 4).told(Told::Vaguely)])
}

/// V2, D2: what calls for a look is lost upon a deposed primary.
pub(crate) fn called_in_vain() -> Setting {
    Setting { left: LOST, ..says(held(), [Say::saved(0, 2).told(Told::Vaguely)]) }
}

/// A8, D2: the same, of what two contents of one version call for.
pub(crate) fn decided_in_vain() -> Setting {
    Setting { left: LOST, ..says(held(), [Say::saved(0, 2), Say::twice(0, 2)]) }
}

/// V2, F4: deleted, and created again, which is told by its version only.
pub(crate) fn created_again() -> Setting {
    says(held(), [Say::deleted(0, 2), Say::saved(0, 3).told(Told::Version)])
}

/// B1: whoever wrote an answer dies before its fan-out.
pub(crate) fn crash_after_an_answer() -> Setting {
    Setting { app: vec![App::Insert(0, 0)], left: CRASH, ..unwanted() }
}

/// B1, D2: whoever wrote an event dies before its fan-out, while the next comes.
pub(crate) fn crash_after_an_event() -> Setting {
    Setting { left: CRASH, ..says(held(), [Say::saved(0, 2), Say::saved(0, 3)]) }
}

/// B2: retired and wanted again, and another content under the same version.
pub(crate) fn second_life() -> Setting {
    Setting {
        app: vec![App::Refer(0, None), App::Refer(0, Some(0))],
        left: MARK,
        ..says(held(), [Say::twice(0, 1).told(Told::Vaguely)])
    }
}

/// B3: a document is inserted when the fan-out has passed.
pub(crate) fn inserted_after_the_scan() -> Setting {
    Setting { app: vec![App::Insert(1, 0)], ..says(held(), [Say::saved(0, 2)]) }
}

/// B4: a document comes to refer to somebody who is not known yet.
pub(crate) fn another_is_pending() -> Setting {
    Setting { app: vec![App::Refer(0, Some(1))], ..says(held(), [Say::saved(1, 1)]) }
}

/// B4: a document comes to refer to nobody.
pub(crate) fn reference_is_cleared() -> Setting {
    Setting { app: vec![App::Refer(0, None)], ..says(held(), [Say::saved(0, 2)]) }
}

/// B5: a document is copied; another is given back the content it once had, under the newer stamp.
pub(crate) fn copied() -> Setting {
    Setting { app: vec![App::Copy(0, 1), App::WriteBack(0, 2)], ..says(held(), [Say::saved(0, 2)]) }
}

/// B6: a document refers to another entity, and then to the first again.
pub(crate) fn there_and_back() -> Setting {
    let both = Setting { held: vec![0, 1], ..says(held(), [Say::saved(1, 1)]) };
    let app = vec![App::Refer(0, Some(1)), App::Refer(0, Some(0))];
    Setting { past: 2, app, ..says(both, [Say::saved(0, 2)]) }
}

/// B6: a document is replaced by one without a stamp.
pub(crate) fn replaced() -> Setting {
    Setting { app: vec![App::Replace(0, 0)], left: CRASH, ..says(held(), [Say::saved(0, 2)]) }
}

/// B8: a document comes to refer to what was deleted, and shows another entity.
pub(crate) fn kept_when_deleted() -> Setting {
    let app = vec![App::Refer(0, Some(1))];
    let both = Setting { held: vec![0, 1], deleted: "keep", ..says(held(), [Say::saved(1, 1)]) };
    Setting { past: 2, app, ..says(both, [Say::deleted(1, 2)]) }
}

/// C1: two find a record that nobody refers to; then it is wanted.
pub(crate) fn two_who_retire() -> Setting {
    Setting { docs: Vec::new(), app: vec![App::Insert(0, 0)], left: Left { marks: 2, ..NOTHING }, ..held() }
}

/// C1: the same, in pods that do two things at once.
pub(crate) fn two_who_retire_and_one_who_wants() -> Setting {
    Setting { tasks: 2, ..two_who_retire() }
}

/// C2: a record is wanted while it is retired.
pub(crate) fn wanted_while_retired() -> Setting {
    Setting { left: MARK, ..two_who_retire() }
}

/// C3: an event comes while its record is marked.
pub(crate) fn changed_while_retired() -> Setting {
    Setting { left: MARK, ..says(two_who_retire(), [Say::saved(0, 2)]) }
}

/// C4, C5: the last reference goes from one document to another.
pub(crate) fn reference_moves() -> Setting {
    Setting { app: vec![App::Delete(0), App::Insert(1, 0)], left: MARK, ..held() }
}

/// D2: what became of a write is not known.
pub(crate) fn reply_is_lost() -> Setting {
    Setting { left: Left { lost: 1, redeliveries: 1, ..NOTHING }, ..says(held(), [Say::saved(0, 2)]) }
}

/// D3: the newest state of a batch is refused by the database, where nobody can be asked.
pub(crate) fn winner_is_refused() -> Setting {
    Setting {
        asked: Asked::Never,
        keep: Kept::All,
        batch: 3,
        refused: 0b100,
        ..says(Setting { docs: Vec::new(), ..held() }, [Say::saved(0, 2), Say::saved(0, 3)])
    }
}

/// D4: the same, where the owner can be asked.
pub(crate) fn poison_is_healed() -> Setting {
    Setting { batch: 2, refused: 0b10, ..says(held(), [Say::saved(0, 2), Say::saved(0, 3)]) }
}

/// Ann and Bob change, and a document goes from one to the other.
pub(crate) fn two_entities() -> Setting {
    let says = vec![Say::saved(0, 1), Say::saved(1, 1), Say::saved(0, 2), Say::deleted(1, 2)];
    Setting {
        says,
        past: 2,
        held: vec![0],
        docs: vec![0],
        app: vec![App::Refer(0, Some(1))],
        pods: 2,
        ..held()
    }
}
