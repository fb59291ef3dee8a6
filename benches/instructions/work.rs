//! What is counted: fixed events, led through the steps.

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;
use nearcopy::event::{ChangeEvent, Headers, Message};
use nearcopy::replication::{Folded, SourceSpec, Subscription, Timeline, fold};
use nearcopy::store::RecordStore;
use nearcopy::store::mongo::{Mongo, Options};
use secrecy::SecretString;

use crate::event::Event;
use crate::manifest::{USERS, manifest};

/// How many events are taken together, and how many users there are.
const BATCH: usize = 1_000;
const PEOPLE: u64 = 20_000;
/// When they are read, in microseconds since 1970: in the middle of 2026.
const NOW: i64 = 1_782_864_000_000_000;

/// How far events are led. Each step goes through all before it.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(super) enum Step {
    /// Only bodies are made.
    Prepare,
    /// A message is opened.
    Open,
    /// What it means to a replica.
    Interpret,
    /// A batch becomes writes.
    Fold,
    /// The writes are said to the database.
    Write,
}

impl Step {
    pub(super) const ALL: [Self; 5] = [Self::Prepare, Self::Open, Self::Interpret, Self::Fold, Self::Write];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Open => "open",
            Self::Interpret => "interpret",
            Self::Fold => "fold",
            Self::Write => "write",
        }
    }
}

/// Leads so many events so far.
pub(super) fn go(step: Step, events: u64, server: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let read = nearcopy::manifest::parse("nearcopy.yaml", &manifest(""), &|_| None);
    let declaration = read.map_err(|findings| anyhow!("{findings}"))?;
    let store = runtime.block_on(Mongo::connect(Options {
        url: SecretString::from(format!("mongodb://{server}/?directConnection=true")),
        database: Some("instructions".into()),
        parked_for: std::time::Duration::from_secs(3600),
    }))?;
    let source = declaration.sources.first().context("no source")?.clone();
    let of = declaration.replica(USERS)?.clone();
    let bodies = bodies(events)?;
    for batch in bodies.chunks(BATCH) {
        if let Some(folded) = lead(step, (&source, &of), batch)? {
            runtime.block_on(store.write(&of, &folded.writes, 1))?;
        }
    }
    Ok(())
}

/// Leads a batch up to a step; what is to be written, if it comes to that.
fn lead(step: Step, (source, of): (&SourceSpec, &Subscription), bodies: &[String]) -> Result<Option<Folded>> {
    if step == Step::Prepare {
        return Ok(None);
    }
    let headers = Headers::new();
    let mut events: Vec<ChangeEvent> = Vec::with_capacity(bodies.len());
    for body in bodies {
        let message = Message { body: body.as_bytes(), content_type: None, headers: &headers };
        let notice = source.envelope.open(&message).map_err(|error| anyhow!("{error}"))?;
        if step != Step::Open {
            let event = of.interpret(&notice, NOW).map_err(|misread| anyhow!("{}", misread.error))?;
            events.push(event.context("an event without a meaning")?);
        }
    }
    if matches!(step, Step::Open | Step::Interpret) {
        return Ok(None);
    }
    let folded = fold(of, &events, &Timeline::default());
    Ok((step == Step::Write).then_some(folded))
}

/// The same in every run: all users in turn, in leaps, so that neighbours differ.
fn bodies(events: u64) -> Result<Vec<String>> {
    const LEAP: u64 = 7_919;
    let body = |at: u64| {
        let mut body = String::new();
        let user = u32::try_from(at * LEAP % PEOPLE)?;
        Event { user, version: u32::try_from(at / PEOPLE)? + 1 }.write(&mut body);
        Ok(body)
    };
    (0..events).map(body).collect()
}
