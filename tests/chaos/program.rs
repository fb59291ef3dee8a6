//! The promises under every fault: real processes that are killed, paused and cut off, judged by an oracle.
//!
//! Two or three sidecars, a replica set of three members and a broker run as processes of their own; proxies stand
//! between them; the owner, the consumer's shop, a reader and the oracle are in this program. `make chaos` plays the
//! main run; `--scenario` measures one figure.

#![expect(clippy::disallowed_methods, reason = "chaos is timed by the real clock, not by nearcopy's")]

mod act;
mod application;
mod faults;
mod kubelet;
mod machine;
mod manifest;
#[path = "../support/markdown.rs"]
mod markdown;
mod oracle;
mod proxy;
mod report;
mod run;
mod scenarios;
mod stage;
mod tally;
#[path = "../support/usage.rs"]
mod usage;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use machine::process::Place;

/// Kills, pauses and cuts off real processes, and proves that nothing is lost.
#[derive(Clone, Parser)]
struct Arguments {
    /// How many processes are killed in the main run.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// How long the faults of the main run last.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// What chance makes of it; a fresh one each time, unless it is given.
    #[arg(long)]
    seed: Option<u64>,
    /// How many sidecars there are.
    #[arg(long, default_value_t = 2)]
    sidecars: usize,
    /// Events in a second, in the main run.
    #[arg(long, default_value_t = 300)]
    rate: u32,
    /// What to play.
    #[arg(long, value_enum, default_value_t = Scenario::Main)]
    scenario: Scenario,
    /// How many products the hot entity has.
    #[arg(long, default_value_t = 1_000_000)]
    documents: u32,
    /// How many members the database has, in the scenarios that leave that open.
    #[arg(long)]
    members: Option<usize>,
    /// How long each party is gone.
    #[arg(long, default_value_t = 60)]
    outage_seconds: u64,
    /// Events in a second meanwhile.
    #[arg(long, default_value_t = 2_000)]
    outage_rate: u32,
    /// Plays the application of a pod instead, beside the sidecar that is read there.
    #[arg(long, hide = true)]
    beside: Option<String>,
    /// Tells of each fault.
    #[arg(long)]
    verbose: bool,
    /// Keeps the logs even if all is well.
    #[arg(long)]
    keep: bool,
}

/// What can be played.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Scenario {
    /// Both acts of the main run.
    Main,
    /// Its first act alone: faults that lose nothing, and nothing that would heal what is lost.
    Strict,
    /// Its second act alone: the broker loses events, and the owner is asked again from time to time.
    Lossy,
    /// How long it takes from the election of a primary until it is written to.
    Failover,
    /// How long it takes to make up for the loss of the owner, the broker, and the database.
    Outage,
    /// A user with very many products is renamed.
    HotEntity,
    /// A stream is folded, and rebuilt.
    ReadModel,
    /// Pods of a sidecar and an application are started, probed, ended, killed, replaced and scaled, as on Kubernetes.
    Lifecycle,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    report::begin(arguments.verbose);
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        report::note("FAILED: another TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    if let Some(sidecar) = &arguments.beside {
        return application::play(sidecar).await;
    }
    match play(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::note(&format!("FAILED: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn play(arguments: &Arguments) -> Result<()> {
    let place = Place::new()?;
    let played = tokio::select! {
        played = run::scenario(arguments, &place) => played,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    if played.is_err() || arguments.keep {
        report::note(&format!("the logs are kept in {}", place.folder.display()));
    }
    let closed = place.close(played.is_err() || arguments.keep);
    played.and(closed)
}
