//! Processes: those we start, those of the services, and what the kernel says of their cost.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::time::{Instant, sleep};

/// What a tick of the kernel's accounting is, in microseconds: `USER_HZ` is 100 wherever Linux runs.
const TICK_US: u64 = 10_000;
/// How long a process may take to end when told to.
const END: Duration = Duration::from_secs(20);

/// A process of ours. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it says goes to that file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| log.display().to_string())?;
        let told = format!("{} cannot be started", command.get_program().display());
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(Self { child: command.spawn().context(told)?, log: log.to_owned() })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails if it has ended by itself.
    pub(crate) fn is_sound(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended by itself ({status}):\n{}", self.last_words());
        }
        Ok(())
    }

    /// A signal, such as `-STOP`.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let told = Command::new("kill").args([name, &self.id().to_string()]).status()?;
        ensure!(told.success(), "kill {name} failed");
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.signal("-TERM")?;
        let deadline = Instant::now() + END;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "it does not stop:\n{}", self.last_words());
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// The end of what it has said.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or it ends here.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Processes that belong together, whose cost is added up.
#[derive(Clone, Debug)]
pub(crate) struct Group(Vec<u32>);

impl Group {
    /// One process alone.
    pub(crate) fn only(id: u32) -> Self {
        Self(vec![id])
    }

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

    /// The processes of a service: those that `tests/services` has marked; where it started none, the only program of
    /// that name. Nothing where that cannot be told, as with a server on another machine.
    pub(crate) fn service(name: &str, program: &str) -> Option<Self> {
        let mark = format!("NEARCOPY_SERVICE={}/.services/{name}", env!("CARGO_MANIFEST_DIR"));
        let marked = |id: &u32| {
            let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let marked: Vec<u32> = processes().into_iter().filter(marked).collect();
        if !marked.is_empty() {
            return Some(Self(marked));
        }
        let named = |id: &u32| {
            fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|found| found.trim() == program)
        };
        let named: Vec<u32> = processes().into_iter().filter(named).collect();
        (named.len() == 1).then_some(Self(named))
    }

    /// The processor time they have used, in microseconds.
    pub(crate) fn cpu_us(&self) -> u64 {
        self.0.iter().filter_map(|id| ticks(*id)).sum::<u64>() * TICK_US
    }

    /// The most memory that any of them has held, in megabytes.
    pub(crate) fn peak_mb(&self) -> f64 {
        self.status("VmHWM:")
    }

    /// The memory that they hold now, in megabytes.
    pub(crate) fn resident_mb(&self) -> f64 {
        self.status("VmRSS:")
    }

    fn status(&self, name: &str) -> f64 {
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

fn processes() -> Vec<u32> {
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
