//! Explores a scenario, and says in a line what was found.

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use super::guard::Guard;
use super::protocol::Protocol;
use super::setting::Setting;

/// What an exploration found.
pub(crate) struct Found {
    /// How many different states there are.
    pub states: usize,
    /// How many steps the farthest is away.
    pub depth: usize,
    /// How long that took.
    pub took: Duration,
    /// What does not hold, and the steps that show it.
    pub broken: Option<(&'static str, Vec<String>)>,
    /// Whether all was seen.
    pub complete: bool,
}

/// Explores all of a scenario, with a rule taken out if one is named. On one thread the way to what is broken is
/// the shortest there is.
pub(crate) fn explore(setting: &Setting, without: Option<Guard>, threads: usize) -> Found {
    #[expect(clippy::disallowed_methods, reason = "how long an exploration takes is for a person to read")]
    let begun = Instant::now();
    let protocol = Protocol::new(setting.clone(), without);
    let checker = protocol.checker().threads(threads).finish_when(HasDiscoveries::Any).timeout(LONGEST);
    let checker = checker.spawn_bfs().join();
    let found = checker.discoveries().into_iter().min_by_key(|(_, path)| path.clone().into_actions().len());
    Found {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: begun.elapsed(),
        broken: found.map(|(name, path)| {
            let steps = path.into_vec().into_iter();
            let steps = steps.filter_map(|(world, action)| Some(checker.model().describe(&world, action?)));
            (name, steps.collect())
        }),
        complete: begun.elapsed() < LONGEST,
    }
}

/// No exploration goes on for longer.
const LONGEST: Duration = Duration::from_secs(150);
