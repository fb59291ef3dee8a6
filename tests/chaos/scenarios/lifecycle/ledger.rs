//! What came of each phase, and the table of it for people.

#![expect(clippy::print_stdout, reason = "a table is there to be read")]

use std::time::Duration;

use super::super::probe::Times;
use crate::kubelet::Answers;
use crate::markdown::Table;
use crate::report::shown;

/// One phase, as it is told of.
pub(super) struct Entry {
    pub(super) phase: &'static str,
    /// How many pods there were, before and after.
    pub(super) pods: (usize, usize),
    /// The fewest in service at any moment.
    pub(super) least: usize,
    /// How long those took that came into service.
    pub(super) ready: Vec<Duration>,
    /// How long changes took to show.
    pub(super) times: Option<Times>,
    /// How long it took after the last change until nothing was wrong.
    pub(super) lag: Option<Duration>,
    /// How many pods were told to end, and how long the slowest of their sidecars took.
    pub(super) ends: Option<(usize, Duration)>,
    pub(super) answers: Answers,
    /// Promises that were not kept.
    pub(super) wrong: Vec<String>,
}

/// What was measured while a backlog was worked off.
pub(super) struct Backlog {
    pub(super) pods: usize,
    pub(super) events: u64,
    /// How long it took.
    pub(super) took: Duration,
    /// How many cores were busy with whom.
    pub(super) cores: Vec<String>,
}

/// Prints all phases, what probes were answered, and how fast backlogs were worked off.
pub(super) fn print(entries: &[Entry], backlogs: &[Backlog]) {
    for table in [phases(entries), answers(entries), speed(backlogs)] {
        if !table.is_empty() {
            println!("\n{}", table.text());
        }
    }
}

fn phases(entries: &[Entry]) -> Table {
    let mut table = Table::new(&[
        "phase",
        "pods",
        "least in service",
        "ready after",
        "slowest change",
        "longest standstill",
        "lag at the end",
        "ended with 0",
        "promises",
    ]);
    let none = || "-".to_owned();
    for entry in entries {
        let (before, after) = entry.pods;
        let pods = if before == after { after.to_string() } else { format!("{before} → {after}") };
        let ready = entry.ready.iter().max().map_or_else(none, |ready| shown(*ready));
        let (slowest, still) = entry
            .times
            .as_ref()
            .map_or_else(|| (none(), none()), |times| (shown(times.at(1.0)), shown(times.still())));
        let lag = entry.lag.map_or_else(none, shown);
        let ends =
            entry.ends.map_or_else(none, |(pods, slowest)| format!("{pods} within {}", shown(slowest)));
        let promises = if entry.wrong.is_empty() { "held" } else { "BROKEN" };
        let least = entry.least.to_string();
        table.row([
            entry.phase.to_owned(),
            pods,
            least,
            ready,
            slowest,
            still,
            lag,
            ends,
            promises.to_owned(),
        ]);
    }
    table
}

fn answers(entries: &[Entry]) -> Table {
    let mut table = Table::new(&["probes", "/startupz", "/readyz", "/livez"]);
    for entry in entries {
        let told = |path: &str| {
            let all = entry.answers.iter().filter(|((asked, _), _)| *asked == path);
            let all = all.map(|((_, answer), count)| {
                let answer = answer.map_or("none".to_owned(), |code| code.to_string());
                format!("{count} × {answer}")
            });
            let all: Vec<String> = all.collect();
            if all.is_empty() { "-".to_owned() } else { all.join(", ") }
        };
        table.row([entry.phase.to_owned(), told("/startupz"), told("/readyz"), told("/livez")]);
    }
    table
}

fn speed(backlogs: &[Backlog]) -> Table {
    let mut table =
        Table::new(&["a backlog worked off by", "events", "settled after", "events/s", "cores busy with"]);
    for backlog in backlogs {
        let pods = if backlog.pods == 1 { "1 pod".to_owned() } else { format!("{} pods", backlog.pods) };
        let (took, rate) = (shown(backlog.took), format!("{:.0}", backlog.rate()));
        table.row([pods, backlog.events.to_string(), took, rate, backlog.cores.join(", ")]);
    }
    table
}

impl Backlog {
    /// Events settled in a second.
    pub(super) fn rate(&self) -> f64 {
        let events = u32::try_from(self.events).unwrap_or(u32::MAX);
        f64::from(events) / self.took.as_secs_f64()
    }
}
