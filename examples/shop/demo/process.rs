//! Child processes: started, killed without a word, started again, and never left behind.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::time::Instant;

const STARTS_WITHIN: Duration = Duration::from_mins(1);
const LAST_LINES: usize = 12;
const LINE_WIDTH: usize = 240;
const STOPS_WITHIN: Duration = Duration::from_secs(20);

/// One program of the story. Dropping it kills it.
pub(crate) struct Process {
    pub(crate) name: &'static str,
    /// Where it listens: `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    pub(crate) log: PathBuf,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    /// The path that answers with success once it is ready.
    ready: &'static str,
    child: Option<Child>,
}

impl Process {
    /// Describes a program; nothing runs yet. Its output goes to `folder/name.log`.
    pub(crate) fn new(
        name: &'static str,
        program: PathBuf,
        port: u16,
        ready: &'static str,
        folder: &Path,
    ) -> Self {
        Self {
            name,
            url: format!("http://127.0.0.1:{port}"),
            log: folder.join(format!("{name}.log")),
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
            ready,
            child: None,
        }
    }

    pub(crate) fn argument(mut self, value: impl Into<String>) -> Self {
        self.arguments.push(value.into());
        self
    }

    pub(crate) fn environment(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Starts it and waits until it says it is ready.
    pub(crate) async fn start(&mut self, http: &reqwest::Client) -> Result<Duration> {
        ensure!(self.child.is_none(), "{} runs already", self.name);
        let began = Instant::now();
        self.child = Some(self.spawn()?);
        let ready = format!("{}{}", self.url, self.ready);
        let mut seen = "no answer".to_owned();
        while began.elapsed() < STARTS_WITHIN {
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()?
            {
                bail!("{} ended at once ({status}): see {}", self.name, self.log.display());
            }
            match http.get(&ready).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(began.elapsed()),
                Ok(answer) => seen = format!("status {}", answer.status()),
                Err(_) => {} // not listening yet
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!(
            "{} is not ready after {STARTS_WITHIN:?}: {ready} gave {seen}; see {}",
            self.name,
            self.log.display()
        )
    }

    fn spawn(&self) -> Result<Child> {
        let log = File::options().create(true).append(true).open(&self.log).context("the log")?;
        Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0) // Ctrl-C is ours to answer
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// SIGKILL: it gets no chance to finish anything.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().with_context(|| format!("{} does not run", self.name))?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM: it may finish, and must do so in time and with success.
    pub(crate) async fn stop(&mut self) -> Result<Duration> {
        let began = Instant::now();
        let child = self.child.as_mut().with_context(|| format!("{} does not run", self.name))?;
        ensure!(Command::new("kill").arg(child.id().to_string()).status()?.success(), "kill failed");
        while began.elapsed() < STOPS_WITHIN {
            if let Some(status) = child.try_wait()? {
                self.child = None;
                ensure!(status.success(), "{} ended with {status} when told to stop", self.name);
                return Ok(began.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("{} still runs {STOPS_WITHIN:?} after it was told to stop", self.name)
    }

    /// Gives up the child: it outlives us. Its process id, if it runs.
    pub(crate) fn leave_running(&mut self) -> Option<u32> {
        self.child.take().map(|child| child.id())
    }

    /// The last lines of its log, and where to read the rest.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let mut words = format!("the last lines of {}:", self.log.display());
        for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
            words.push_str("\n   │ ");
            words.extend(line.chars().take(LINE_WIDTH));
        }
        words
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill().ok(); // it fails only if nothing runs
    }
}
