//! What something costs: the clocks of all that take part, before and after.

use tokio::time::Instant;

use crate::result::Cost;
use crate::usage::{Group, busy_us};

/// The clocks as they stood at the beginning.
pub(crate) struct Meter {
    pub(crate) began: Instant,
    groups: [Option<Group>; 4],
    before: [u64; 4],
    busy: u64,
}

impl Meter {
    /// Begins to measure what this process costs, and what it has database and broker do.
    pub(crate) fn start(process: u32) -> Self {
        let groups = [
            Some(Group::tree(process)),
            Group::service("mongodb", "mongod"),
            Group::service("rabbitmq", "beam.smp"),
            (process != std::process::id()).then(|| Group::only(std::process::id())),
        ];
        let before = groups.each_ref().map(|group| used(group.as_ref()));
        Self { began: Instant::now(), groups, before, busy: busy_us() }
    }

    /// What it has cost until now, by this count of events or documents; the work itself was done at that time.
    pub(crate) fn read(&self, ended: Instant, count: usize) -> Cost {
        let after = self.groups.each_ref().map(|group| used(group.as_ref()));
        let spent: Vec<u64> =
            after.iter().zip(&self.before).map(|(after, before)| after.saturating_sub(*before)).collect();
        let others = busy_us().saturating_sub(self.busy).saturating_sub(spent.iter().sum());
        let each = |at: usize| self.groups[at].as_ref().map(|_| spent[at] as f64 / count as f64);
        Cost {
            seconds: (ended - self.began).as_secs_f64(),
            own_us: each(0).unwrap_or_default(),
            mongod_us: each(1),
            rabbitmq_us: each(2),
            peak_mb: self.groups[0].as_ref().map_or(0.0, Group::peak_mb),
            others: others as f64 / 1e6 / self.began.elapsed().as_secs_f64(),
        }
    }
}

fn used(group: Option<&Group>) -> u64 {
    group.map_or(0, Group::cpu_us)
}
