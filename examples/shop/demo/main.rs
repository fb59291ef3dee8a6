//! The story of a shop, played live: two services, nearcopy between them, and each promise checked as it is told.
//!
//! `make demo` gives it a broker and a database. It ends with a table, and with a failing exit code if a promise broke.

#![expect(clippy::disallowed_methods, reason = "the story is timed by the real clock, not by nearcopy's")]

mod broker;
mod metrics;
mod process;
mod replica;
mod report;
mod shop;
mod stage;
mod story;

use std::path::PathBuf;

use clap::Parser;

use report::Report;
use stage::Stage;

/// Plays the story of a shop with live services, and checks every promise on the way.
#[derive(Parser)]
struct Arguments {
    /// Leave everything running at the end, and print where it is.
    #[arg(long)]
    keep: bool,
    /// The manifest nearcopy runs.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/products.yaml"))]
    manifest: PathBuf,
    /// How many products one user has.
    #[arg(long, default_value_t = 200)]
    products: usize,
    /// How many updates flow while nearcopy is killed.
    #[arg(long, default_value_t = 5_000)]
    updates: usize,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let report = Report::new();
    let ended = run(&arguments, &report).await;
    ended.as_ref().err().into_iter().for_each(|error| report.broken(error));
    // The driver's tasks end with the process: while a runtime ends, one that comes last may panic, and say so.
    std::process::exit(i32::from(ended.is_err()))
}

async fn run(arguments: &Arguments, report: &Report) -> anyhow::Result<()> {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        anyhow::bail!("another TLS provider is installed already");
    }
    let mut stage = Stage::set_up(&arguments.manifest).await?;
    let played = tokio::select! {
        played = tell(&mut stage, report, arguments) => played,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let played = played.map_err(|error| anyhow::anyhow!("{error:#}\n\n{}", stage.nearcopy.last_words()));
    if arguments.keep {
        stage.leave_running(report);
        played?;
        report.end();
        return Ok(());
    }
    let cleaned = stage.clean_up().await;
    played.and(cleaned)?;
    report.end();
    Ok(())
}

async fn tell(stage: &mut Stage, report: &Report, arguments: &Arguments) -> anyhow::Result<()> {
    stage.raise_curtain(report).await?;
    story::play(stage, report, arguments.products, arguments.updates).await?;
    let drift = stage.drift().await?.len();
    report.table(&stage.books, drift);
    anyhow::ensure!(drift == 0, "{drift} records or products differ from what they copy");
    Ok(())
}
