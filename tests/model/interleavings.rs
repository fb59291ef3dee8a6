//! The interleavings that made the protocol what it is, each as small as it can be.

use super::setting::{App, Asked, Kept, Say, Setting, Told};
use super::world::Left;

/// A crash, or whatever else may go wrong once.
pub(crate) const CRASH: Left = Left { crashes: 1, redeliveries: 0, lost: 0, failures: 0, marks: 0 };
pub(crate) const REDELIVERY: Left = Left { redeliveries: 1, crashes: 0, ..CRASH };
pub(crate) const LOST: Left = Left { lost: 1, crashes: 0, ..CRASH };
pub(crate) const MARK: Left = Left { marks: 1, crashes: 0, ..CRASH };
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

/// A1
pub(crate) fn passed_by() -> Setting {
    Setting { app: vec![App::Insert(0, 0)], ..says(unwanted(), [Say::saved(0, 2)]) }
}

/// A1
pub(crate) fn deletion_passed_by() -> Setting {
    Setting { app: vec![App::Insert(0, 0)], ..says(unwanted(), [Say::deleted(0, 2)]) }
}

/// A2
pub(crate) fn lost_on_a_deposed_primary() -> Setting {
    Setting { left: LOST, ..passed_by() }
}

/// A3
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

/// A4, D1
pub(crate) fn folded() -> Setting {
    Setting {
        batch: 3,
        left: REDELIVERY,
        ..says(held(), [Say::saved(0, 2), Say::saved(0, 3), Say::deleted(0, 4)])
    }
}

/// A5
pub(crate) fn late_after_404() -> Setting {
    Setting { app: vec![App::Insert(0, 0)], ..says(unwanted(), [Say::saved(0, 2), Say::deleted(0, 3)]) }
}

/// A6
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

/// A7
pub(crate) fn deleted_at_one_version(asked: Asked) -> Setting {
    Setting { asked, left: REDELIVERY, ..says(held(), [Say::deleted(0, 1)]) }
}

/// A8
pub(crate) fn two_contents() -> Setting {
    Setting { left: REDELIVERY, ..says(held(), [Say::saved(0, 2), Say::twice(0, 2)]) }
}

/// A9
pub(crate) fn created_after_404() -> Setting {
    Setting { says: vec![Say::saved(0, 1)], app: vec![App::Insert(0, 0)], pods: 2, ..Setting::default() }
}

/// A10
pub(crate) fn deletion_is_kept() -> Setting {
    Setting { app: vec![App::Insert(1, 0)], ..says(held(), [Say::deleted(0, 2)]) }
}

/// A11
pub(crate) fn unversioned() -> Setting {
    Setting { asked: Asked::Unversioned, ..passed_by() }
}

/// A11
pub(crate) fn late_404() -> Setting {
    let says = vec![Say::saved(0, 1), Say::deleted(0, 2), Say::saved(0, 3)];
    Setting { says, past: 2, app: vec![App::Insert(0, 0)], pods: 2, ..Setting::default() }
}

/// A14
pub(crate) fn filled_by_an_event() -> Setting {
    Setting { left: Left { failures: 1, ..NOTHING }, ..passed_by() }
}

/// V2
pub(crate) fn told_by_version() -> Setting {
    says(held(), [Say::saved(0, 2).told(Told::Version), Say::saved(0, 3)])
}

/// V2
pub(crate) fn told_vaguely() -> Setting {
    says(held(), [Say::saved(0, 2).told(Told::Vaguely), Say::saved(0, 3).told(Told::Vaguely)])
}

/// V2, F4
pub(crate) fn created_again() -> Setting {
    says(held(), [Say::deleted(0, 2), Say::saved(0, 3).told(Told::Version)])
}

/// B1
pub(crate) fn crash_after_an_answer() -> Setting {
    Setting { app: vec![App::Insert(0, 0)], left: CRASH, ..unwanted() }
}

/// B1, D2
pub(crate) fn crash_after_an_event() -> Setting {
    Setting { left: CRASH, ..says(held(), [Say::saved(0, 2), Say::saved(0, 3)]) }
}

/// B2
pub(crate) fn second_life() -> Setting {
    Setting {
        app: vec![App::Refer(0, None), App::Refer(0, Some(0))],
        left: MARK,
        ..says(held(), [Say::twice(0, 1).told(Told::Vaguely)])
    }
}

/// B3
pub(crate) fn inserted_after_the_scan() -> Setting {
    Setting { app: vec![App::Insert(1, 0)], ..says(held(), [Say::saved(0, 2)]) }
}

/// B4
pub(crate) fn another_is_pending() -> Setting {
    Setting { app: vec![App::Refer(0, Some(1))], ..says(held(), [Say::saved(1, 1)]) }
}

/// B4
pub(crate) fn reference_is_cleared() -> Setting {
    Setting { app: vec![App::Refer(0, None)], ..says(held(), [Say::saved(0, 2)]) }
}

/// B5
pub(crate) fn copied() -> Setting {
    Setting { app: vec![App::Copy(0, 1), App::WriteBack(0, 2)], ..says(held(), [Say::saved(0, 2)]) }
}

/// B6
pub(crate) fn there_and_back() -> Setting {
    let both = Setting { held: vec![0, 1], ..says(held(), [Say::saved(1, 1)]) };
    let app = vec![App::Refer(0, Some(1)), App::Refer(0, Some(0))];
    Setting { past: 2, app, ..says(both, [Say::saved(0, 2)]) }
}

/// B8
pub(crate) fn kept_when_deleted() -> Setting {
    let app = vec![App::Refer(0, Some(1))];
    let both = Setting { held: vec![0, 1], deleted: "keep", ..says(held(), [Say::saved(1, 1)]) };
    Setting { past: 2, app, ..says(both, [Say::deleted(1, 2)]) }
}

/// C1
pub(crate) fn two_who_retire() -> Setting {
    Setting { docs: Vec::new(), app: vec![App::Insert(0, 0)], left: Left { marks: 2, ..NOTHING }, ..held() }
}

/// C2
pub(crate) fn wanted_while_retired() -> Setting {
    Setting { left: MARK, ..two_who_retire() }
}

/// C4, C5
pub(crate) fn reference_moves() -> Setting {
    Setting { app: vec![App::Delete(0), App::Insert(1, 0)], left: MARK, ..held() }
}

/// D2
pub(crate) fn reply_is_lost() -> Setting {
    Setting { left: Left { lost: 1, redeliveries: 1, ..NOTHING }, ..says(held(), [Say::saved(0, 2)]) }
}

/// D3
pub(crate) fn winner_is_refused() -> Setting {
    Setting {
        asked: Asked::Never,
        keep: Kept::All,
        batch: 3,
        refused: 0b100,
        ..says(Setting { docs: Vec::new(), ..held() }, [Say::saved(0, 2), Say::saved(0, 3)])
    }
}

/// D4
pub(crate) fn poison_is_healed() -> Setting {
    Setting { batch: 2, refused: 0b10, ..says(held(), [Say::saved(0, 2), Say::saved(0, 3)]) }
}
