//! Who consumes: programs that take events from the same queue and keep the same fields of the same users.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::broker::Broker;
use crate::database::{DATABASE, Database};
use crate::event::Spread;
use crate::manifest::{QUEUE, USERS};
use crate::process::Process;

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Contender {
    /// The least program that does it, with an AMQP reader of its own.
    Raw,
    /// The same upon the client library that Rust programs use.
    RawLapin,
    /// nearcopy, as it is shipped.
    Nearcopy,
    /// Node as one would write it who knows how.
    Node,
    /// Node as one would write it at first.
    NodeSingly,
    /// Python as one would write it who knows how.
    Python,
    /// The raw program, which writes each event and waits for it before it takes the next.
    OneByOne,
}

/// All that take part in the comparison of throughput.
pub(crate) const ALL: [Contender; 6] = [
    Contender::Raw,
    Contender::RawLapin,
    Contender::Nearcopy,
    Contender::Node,
    Contender::NodeSingly,
    Contender::Python,
];

impl Contender {
    /// Its name in the table and in the file of results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::RawLapin => "raw-lapin",
            Self::Nearcopy => "nearcopy",
            Self::Node => "node",
            Self::NodeSingly => "node-singly",
            Self::Python => "python",
            Self::OneByOne => "one-by-one",
        }
    }

    /// By how much fewer events it gets than others, since it would take too long.
    pub(crate) fn divisor(self) -> usize {
        if matches!(self, Self::NodeSingly | Self::OneByOne) { 20 } else { 1 }
    }

    /// In how many of so many rounds it takes part.
    pub(crate) fn rounds(self, rounds: usize, spread: Spread) -> usize {
        match (self, spread) {
            (Self::Raw | Self::Nearcopy | Self::Node, Spread::Uniform) => rounds,
            (_, Spread::Uniform) | (Self::Raw | Self::Nearcopy, Spread::Zipf) => rounds.div_ceil(2),
            (_, Spread::Zipf) => 1,
        }
    }
}

/// Where contenders run, and upon what.
pub(crate) struct Arena {
    pub(crate) folder: PathBuf,
    pub(crate) broker: Broker,
    pub(crate) database: Database,
}

impl Arena {
    /// Starts a contender, nearcopy with that manifest.
    pub(crate) fn start(&self, contender: Contender, manifest: &str) -> Result<Process> {
        if contender == Contender::Nearcopy {
            return self.start_nearcopy(manifest, &[]);
        }
        let log = self.folder.join(format!("{}.log", contender.name()));
        let mut command = match contender {
            Contender::Node => self.node("bulk.js"),
            Contender::NodeSingly => self.node("singly.js"),
            Contender::Python => self.python("bulk.py"),
            _ => Command::new(beside("examples/raw")?),
        };
        let settings = match contender {
            Contender::OneByOne => [("BATCH", "1"), ("IN_FLIGHT", "1"), ("PREFETCH", "100")],
            _ => [("BATCH", "1000"), ("IN_FLIGHT", "2"), ("PREFETCH", "4000")],
        };
        command
            .envs(settings)
            .env("READER", if contender == Contender::RawLapin { "lapin" } else { "own" })
            .env("RABBITMQ_URL", self.broker.url())
            .env("QUEUE", QUEUE)
            .env("MONGODB_URL", &self.database.url)
            .env("DATABASE", DATABASE)
            .env("COLLECTION", USERS);
        Process::start(&mut command, &log)
    }

    /// Starts nearcopy with these settings beside the addresses.
    pub(crate) fn start_nearcopy(&self, manifest: &str, settings: &[(&str, &str)]) -> Result<Process> {
        let log = self.folder.join("nearcopy.log");
        Process::start(self.nearcopy(manifest)?.envs(settings.iter().copied()), &log)
    }

    /// nearcopy with its defaults: only addresses are said.
    fn nearcopy(&self, manifest: &str) -> Result<Command> {
        let path = self.folder.join("nearcopy.yaml");
        std::fs::write(&path, manifest)?;
        let mut command = Command::new(beside("nearcopy")?);
        command
            .arg("run")
            .arg(path)
            .env("NEARCOPY__RABBITMQ__URL", self.broker.url())
            .env("NEARCOPY__MONGODB__URL", &self.database.url)
            .env("NEARCOPY__MONGODB__DATABASE", DATABASE)
            .env("NEARCOPY__ADMIN__LISTEN", ADMIN)
            .env("NEARCOPY__LOG__FORMAT", "json");
        Ok(command)
    }

    fn node(&self, script: &str) -> Command {
        let mut command = Command::new("node");
        command.arg(contenders().join(script)).env("NODE_PATH", self.folder.join("node/node_modules"));
        command
    }

    fn python(&self, script: &str) -> Command {
        let mut command = Command::new("python3");
        command.arg(contenders().join(script)).env("PYTHONPATH", self.folder.join("python"));
        command
    }
}

/// Where nearcopy serves its numbers.
pub(crate) const ADMIN: &str = "127.0.0.1:19464";

fn contenders() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/contenders"))
}

/// A program where cargo put it: beside us.
pub(crate) fn beside(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(std::path::Path::parent).context("this program lies in no folder")?;
    let program = folder.join(name);
    ensure!(program.exists(), "{} is not built: run `make bench`", program.display());
    Ok(program)
}
