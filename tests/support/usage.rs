//! What processes cost, as the kernel accounts for it.

use std::fs;

/// What a tick of the kernel's accounting is, in microseconds: `USER_HZ` is 100 wherever Linux runs.
const TICK_US: u64 = 10_000;

/// Processes that belong together, whose cost is added up.
#[derive(Clone, Debug)]
pub(crate) struct Group(pub(crate) Vec<u32>);

impl Group {
    /// A process and all that descend from it, as of now.
    pub(crate) fn tree(root: u32) -> Self {
        let all: Vec<(u32, u32)> = processes().into_iter().filter_map(|id| Some((id, parent(id)?))).collect();
        let mut found = vec![root];
        let mut at = 0;
        while let Some(parent) = found.get(at).copied() {
            found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
            at += 1;
        }
        Self(found)
    }

    /// The processor time they have used, in microseconds.
    pub(crate) fn cpu_us(&self) -> u64 {
        self.0.iter().filter_map(|id| ticks(*id)).sum::<u64>() * TICK_US
    }

    /// The most memory that any of them has held, in megabytes.
    pub(crate) fn peak_mb(&self) -> f64 {
        self.status("VmHWM:")
    }

    /// What the kernel says under this name of the memory of all, in megabytes.
    pub(crate) fn status(&self, name: &str) -> f64 {
        let kilobytes = |id: &u32| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        self.0.iter().filter_map(kilobytes).sum::<f64>() / 1024.0
    }
}

/// The processor time that the machine has used for anything, in microseconds.
pub(crate) fn busy_us() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .lines()
        .next()
        .map(|line| line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect())
        .unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq, steal; what guests use is in user already
    fields
        .iter()
        .enumerate()
        .filter(|(at, _)| ![3, 4].contains(at) && *at < 8)
        .map(|(_, ticks)| ticks)
        .sum::<u64>()
        * TICK_US
}

/// All processes that there are.
pub(crate) fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The fields of a process's accounting after its name, which may hold anything.
fn stat(id: u32) -> Option<Vec<u64>> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect())
}

fn parent(id: u32) -> Option<u32> {
    u32::try_from(*stat(id)?.get(1)?).ok()
}

fn ticks(id: u32) -> Option<u64> {
    let stat = stat(id)?;
    Some(stat.get(11)? + stat.get(12)?)
}
