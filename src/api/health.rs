//! How nearcopy is: started, able to serve, alive. Who knows something sets it; probes read it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::clock;

/// Without a tick for this long, the runtime is stuck, and only a restart heals that.
const STUCK: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_secs(1);

/// A shared note of how things are; cheap to clone and to set.
///
/// Reasons are shown to whoever can reach the probes, so they name parts and never addresses or credentials.
#[derive(Clone)]
pub struct Health(Arc<Mutex<Notes>>);

struct Notes {
    phase: Phase,
    database: Option<String>,
    manifest: Option<String>,
    sources: BTreeMap<String, String>,
    ticked: Instant,
}

enum Phase {
    Starting(&'static str),
    Running,
    Stopping,
}

/// What a probe is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In one word.
    pub status: Status,
    /// Why it is not simply well.
    pub reasons: Vec<String>,
}

/// How things are, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All is well.
    Ok,
    /// What is asked for can be done, but something is wrong.
    Degraded,
    /// It cannot be done.
    Unavailable,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Begins as starting, with the database not reached yet.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Notes {
            phase: Phase::Starting("settings and manifest"),
            database: Some("not reached yet".into()),
            manifest: None,
            sources: BTreeMap::new(),
            ticked: clock::now(),
        })))
    }

    /// Start-up has come to this step; once running, there is no way back.
    pub fn starting(&self, step: &'static str) {
        let mut notes = self.notes();
        if matches!(notes.phase, Phase::Starting(_)) {
            notes.phase = Phase::Starting(step);
        }
    }

    /// Start-up is complete, unless a stop has begun meanwhile.
    pub fn running(&self) {
        let mut notes = self.notes();
        if matches!(notes.phase, Phase::Starting(_)) {
            notes.phase = Phase::Running;
        }
    }

    /// A stop has begun.
    pub fn stopping(&self) {
        self.notes().phase = Phase::Stopping;
    }

    /// The database can be reached, or why not. Without it nothing can be served.
    pub fn database(&self, state: Result<(), String>) {
        self.notes().database = state.err();
    }

    /// The manifest is the one at work, or what is wrong with the one that should take its place.
    pub fn manifest(&self, state: Result<(), String>) {
        self.notes().manifest = state.err();
    }

    /// A source is consumed, or why not. Copies are served meanwhile, so this alone makes nobody unready.
    pub fn source(&self, name: &str, state: Result<(), String>) {
        let mut notes = self.notes();
        match state {
            Ok(()) => notes.sources.remove(name),
            Err(why) => notes.sources.insert(name.to_owned(), why),
        };
    }

    /// Ticks until stopped, as a sign that the runtime still runs tasks.
    pub async fn watchdog(self, stop: CancellationToken) {
        let ticking = async {
            loop {
                self.notes().ticked = clock::now();
                tokio::time::sleep(TICK).await;
            }
        };
        stop.run_until_cancelled(ticking).await;
    }

    /// Whether a restart would heal something: only what a restart heals counts, never a dependency.
    pub fn live(&self) -> Report {
        let silent = clock::now().saturating_duration_since(self.notes().ticked);
        Report::unless(silent > STUCK, || format!("the runtime has been stuck for {} s", silent.as_secs()))
    }

    /// Whether start-up is complete.
    pub fn started(&self) -> Report {
        match self.notes().phase {
            Phase::Starting(step) => Report::unless(true, || format!("starting: {step}")),
            Phase::Running | Phase::Stopping => Report::unless(false, String::new),
        }
    }

    /// Whether what others ask for can be served.
    pub fn ready(&self) -> Report {
        let notes = self.notes();
        let phase = match notes.phase {
            Phase::Starting(step) => Some(format!("starting: {step}")),
            Phase::Stopping => Some("stopping".to_owned()),
            Phase::Running => None,
        };
        let database = notes.database.as_ref().map(|why| format!("database: {why}"));
        let unable: Vec<String> = [phase, database].into_iter().flatten().collect();
        let manifest = notes.manifest.iter().map(|why| format!("manifest: {why}"));
        let sources = notes.sources.iter().map(|(name, why)| format!("source `{name}`: {why}"));
        let hurt: Vec<String> = manifest.chain(sources).collect();
        let status = match (unable.is_empty(), hurt.is_empty()) {
            (false, _) => Status::Unavailable,
            (true, false) => Status::Degraded,
            (true, true) => Status::Ok,
        };
        Report { status, reasons: [unable, hurt].concat() }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report {
    fn unless(wrong: bool, why: impl FnOnce() -> String) -> Self {
        if wrong {
            Self { status: Status::Unavailable, reasons: vec![why()] }
        } else {
            Self { status: Status::Ok, reasons: Vec::new() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_runtime_that_runs_no_tasks_is_not_alive() {
        let health = Health::new();
        assert_eq!(health.live().status, Status::Ok);
        health.notes().ticked -= STUCK + TICK;
        assert_eq!(health.live().status, Status::Unavailable);
        let stop = CancellationToken::new();
        let watchdog = tokio::spawn(health.clone().watchdog(stop.clone()));
        while health.live().status != Status::Ok {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        watchdog.await.unwrap();
    }
}
