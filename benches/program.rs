//! How fast nearcopy is, beside others that do the same, upon a real broker and a real database.
//!
//! `make bench` runs all of it; `--only` a part.

#![expect(clippy::disallowed_methods, reason = "a bench is timed by the real clock, not by nearcopy's")]
#![expect(clippy::cast_precision_loss, reason = "figures of a bench are far below 2^52")]

mod broker;
mod contender;
mod database;
mod event;
mod fan_out;
mod figure;
mod hydration;
mod latency;
mod library;
mod machine;
mod manifest;
#[path = "../tests/support/markdown.rs"]
mod markdown;
mod meter;
mod metrics;
mod process;
mod publish;
mod read;
mod replay;
mod report;
mod result;
mod run;
mod start;
mod statistics;
mod svg;
mod table;
mod throughput;
#[path = "../tests/support/usage.rs"]
mod usage;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};

/// Measures nearcopy beside others that do the same.
#[derive(Clone, Parser)]
struct Arguments {
    /// How often each contender has its turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many events a backlog has.
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    /// About how long a whole run may take: rounds after the first are left out where it would take longer.
    #[arg(long, default_value_t = 15.0)]
    minutes: f64,
    /// The parts to run; all, unless some are named.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// The contenders to run; all, unless some are named.
    #[arg(long, value_delimiter = ',')]
    contenders: Vec<String>,
    /// Measures nothing, but puts the results of the last whole run where readers look: table, plot and file.
    #[arg(long)]
    publish: bool,
    /// Measures how fast replicas are read, and nothing else.
    #[arg(long)]
    reads: bool,
    /// How many events a stream has that is folded into documents.
    #[arg(long, default_value_t = 1_000_000)]
    replay: usize,
}

/// What can be measured by itself.
#[derive(Clone, Copy, PartialEq, Debug, ValueEnum)]
enum Part {
    /// A backlog, users chosen evenly.
    Throughput,
    /// A backlog, users chosen by Zipf's law.
    Zipf,
    /// Users change, and so do the products that embed them.
    FanOut,
    /// New products.
    Hydration,
    /// From publishing to seeing, at fixed rates.
    Latency,
    /// From the start to the first event; memory at rest.
    Start,
    /// The same backlog upon few and upon many documents.
    Growth,
    /// A read model, folded from a stream.
    Replay,
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let ended = play(&Arguments::parse()).await;
    ended.as_ref().err().into_iter().for_each(|error| report::note(&format!("FAILED: {error:#}")));
    // The driver's tasks end with the process: while a runtime ends, one that comes last may panic, and say so.
    std::process::exit(i32::from(ended.is_err()))
}

async fn play(arguments: &Arguments) -> Result<()> {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        bail!("another TLS provider is installed already");
    }
    if arguments.publish {
        return publish::publish();
    }
    tokio::select! {
        played = part(arguments) => played,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

async fn part(arguments: &Arguments) -> Result<()> {
    if arguments.reads { read::measure(arguments.rounds).await } else { run::all(arguments).await }
}
