//! Child processes: started, killed, paused, started again, and never left behind.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

/// The variable by which everything that a run started is known, even what its children started.
const MARK: &str = "NEARCOPY_CHAOS";

/// A place for one run: a folder of its own, and an end for whatever was started in it.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    mark: String,
    /// Once it closes, for whatever reason, the reaper kills all that bear the mark.
    lifeline: Option<ChildStdin>,
    reaper: Child,
}

/// What the reaper does: it waits for our end, then kills what bears the mark. It bears none itself.
const REAPER: &str = r#"
cat >/dev/null
for round in 1 2 3; do
  for file in $(grep -lsaxzF "$1" /proc/[0-9]*/environ 2>/dev/null); do
    id=${file#/proc/}; kill -KILL "${id%/environ}" 2>/dev/null
  done
  sleep 0.2
done
"#;

impl Place {
    /// Makes the folder, below the one where cargo put this program.
    pub(crate) fn new() -> Result<Self> {
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(3).context("this program lies in no target folder")?;
        let folder = target.join("chaos").join(format!("run-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let mark = format!("{MARK}={}", folder.display());
        let mut reaper = Command::new("bash")
            .args(["-c", REAPER, "reaper", &mark])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // an interrupt is ours to answer
            .spawn()
            .context("bash cannot be started")?;
        Ok(Self { folder, mark, lifeline: reaper.stdin.take(), reaper })
    }

    /// A program to be run here; its output goes to `name.log`.
    pub(crate) fn process(&self, name: &str, program: impl Into<PathBuf>) -> Process {
        let environment = self.mark.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Process {
            name: name.to_owned(),
            log: self.folder.join(format!("{name}.log")),
            program: program.into(),
            arguments: Vec::new(),
            environment: environment.into_iter().collect(),
            child: None,
        }
    }

    /// Ends all that still runs, and removes what is not worth keeping: all, or all but the logs.
    pub(crate) fn close(mut self, keep_logs: bool) -> Result<()> {
        drop(self.lifeline.take());
        self.reaper.wait()?;
        if !keep_logs {
            std::fs::remove_dir_all(&self.folder)?;
            return Ok(());
        }
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.is_dir() {
                std::fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }
}

/// One program that can be started any number of times. Dropping it kills it.
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) log: PathBuf,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Process {
    pub(crate) fn arguments(mut self, values: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(values.into_iter().map(Into::into));
        self
    }

    pub(crate) fn environment(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// From its next start on, this variable is so.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.retain(|(set, _)| set != name);
        self.environment.push((name.to_owned(), value.into()));
    }

    /// Starts it; what it says is added to its log.
    pub(crate) fn start(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(&self.log).context("the log")?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Whether we started it and have not ended it.
    pub(crate) fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// By which number the kernel knows it, if it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// SIGTERM, and how it ended; SIGKILL where it still runs at that time, and then nothing.
    pub(crate) async fn end(&mut self, by: Instant) -> Result<Option<ExitStatus>> {
        self.signal("-TERM")?;
        while self.is_started() {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            if Instant::now() >= by {
                self.kill()?;
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(None)
    }

    /// SIGKILL, for it and its children: no chance to finish anything.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal("-KILL", &format!("-{}", child.id()))?;
        child.wait()?;
        Ok(())
    }

    /// A signal for it and its children, such as `-STOP`; whether it could be told.
    pub(crate) fn signal(&self, name: &str) -> Result<bool> {
        let Some(child) = &self.child else { return Ok(false) };
        signal(name, &format!("-{}", child.id()))
    }

    /// How it ended, if it did so by itself.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let ended = child.try_wait()?;
        if ended.is_some() {
            self.child = None;
        }
        Ok(ended)
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = read(&self.log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What cannot be killed here is left to the reaper.
        let _left_to_the_reaper = self.kill();
    }
}

/// A text file, whatever bytes are in it; nothing where there is none.
pub(crate) fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// What `tests/services` prints, which finds or gets the programs of others.
pub(crate) fn services(argument: &str) -> Result<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/services");
    let output =
        Command::new(script).arg(argument).stderr(Stdio::inherit()).output().context("tests/services")?;
    ensure!(output.status.success(), "tests/services {argument} failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A port that is free now, below the range from which the kernel serves outgoing connections. All have five
/// digits, so that one address can stand for another in a message without changing its length.
pub(crate) fn free_port() -> Result<u16> {
    for _ in 0..500 {
        let port = fastrand::u16(20_000..32_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port between 20000 and 32000")
}

fn signal(name: &str, target: &str) -> Result<bool> {
    Ok(Command::new("kill").args([name, "--", target]).stderr(Stdio::null()).status()?.success())
}
