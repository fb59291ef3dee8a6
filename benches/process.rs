//! Processes: those we start, and those of the services.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::time::{Instant, sleep};

use crate::usage::{Group, processes};

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

impl Group {
    /// One process alone.
    pub(crate) fn only(id: u32) -> Self {
        Self(vec![id])
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

    /// The memory that they hold now, in megabytes.
    pub(crate) fn resident_mb(&self) -> f64 {
        self.status("VmRSS:")
    }
}
