//! The scenarios.

use super::check::Scenario;
use super::setting::{App, Say, Setting};
use super::world::Left;

/// All of them.
pub(crate) fn all() -> Vec<Scenario> {
    vec![Scenario {
        name: "an event is passed by, and the owner's first answer is older",
        setting: Setting {
            says: vec![Say::saved(0, 1), Say::saved(0, 2)],
            past: 1,
            app: vec![App::Insert(0, 0)],
            pods: 2,
            left: Left { crashes: 1, ..Left::default() },
            ..Setting::default()
        },
    }]
}
