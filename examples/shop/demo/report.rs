//! What a person sees: chapters, promises with their times, and a table at the end.

#![expect(clippy::print_stdout, reason = "telling the story is what it is for")]

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::Instant;

use crate::metrics::Books;

const WIDTH: usize = 84;

/// Tells the story on standard output; coloured on a terminal unless `NO_COLOR` is set.
pub(crate) struct Report {
    coloured: bool,
    began: Instant,
    chapters: Cell<usize>,
    promises: Cell<usize>,
}

impl Report {
    pub(crate) fn new() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            coloured: std::io::stdout().is_terminal() && !unwanted,
            began: Instant::now(),
            chapters: Cell::new(0),
            promises: Cell::new(0),
        }
    }

    pub(crate) fn title(&self, text: &str) {
        println!("\n{}\n", self.paint("1", text));
    }

    pub(crate) fn chapter(&self, text: &str) {
        self.chapters.set(self.chapters.get() + 1);
        println!("\n{}", self.paint("1", &format!("{}. {text}", self.chapters.get())));
    }

    /// Tells what happens, without a promise.
    pub(crate) fn note(&self, text: &str) {
        println!("   {}", self.paint("2", &format!("· {text}")));
    }

    /// A promise that was kept.
    pub(crate) fn kept(&self, text: &str, took: Option<Duration>) {
        self.promises.set(self.promises.get() + 1);
        let gap = WIDTH.saturating_sub(5 + text.chars().count());
        let time = took.map(|took| format!("{:>gap$}", shown(took))).unwrap_or_default();
        println!("   {} {text}{time}", self.paint("32", "✓"));
    }

    /// Waits until `probe` succeeds, and tells how long after `since` that was. Its last error is what was seen instead.
    pub(crate) async fn eventually(
        &self,
        promise: &str,
        since: Instant,
        within: Duration,
        probe: impl AsyncFn() -> Result<()>,
    ) -> Result<()> {
        let began = Instant::now();
        loop {
            let Err(seen) = probe().await else {
                self.kept(promise, Some(since.elapsed()));
                return Ok(());
            };
            if began.elapsed() > within {
                return Err(anyhow!(
                    "expected within {}: {promise}\n  seen instead: {seen:#}",
                    shown(within)
                ));
            }
            // Exact to a twentieth, and cheap when it takes long.
            tokio::time::sleep((began.elapsed() / 20).max(Duration::from_millis(2))).await;
        }
    }

    /// The promise that broke.
    pub(crate) fn broken(&self, error: &anyhow::Error) {
        println!("   {} {error:#}\n", self.paint("31", "✗"));
    }

    /// The books of all lives of nearcopy, and what differs at the end.
    pub(crate) fn table(&self, books: &Books, drift: usize) {
        let total = books.total();
        println!("\n{}", self.paint("1", "The books"));
        row("received", &total.received.to_string());
        for outcome in ["applied", "stale", "duplicate", "ignored", "deferred", "parked", "abandoned"] {
            row(outcome, &total.outcome(outcome).to_string());
        }
        let quantile = |share| total.lag_at(share).unwrap_or_else(|| "not measured".to_owned());
        row("lag p50", &quantile(0.50));
        row("lag p99", &quantile(0.99));
        row("drift", &drift.to_string());
        if books.lives() > 1 {
            let lives = books.lives();
            self.note(&format!(
                "summed over {lives} lives of nearcopy; a killed one counts up to its last scrape"
            ));
        }
    }

    /// The last line of a story in which nothing broke.
    pub(crate) fn end(&self) {
        let (promises, time) = (self.promises.get(), shown(self.began.elapsed()));
        println!("\n{}\n", self.paint("1;32", &format!("All {promises} promises kept, in {time}.")));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn row(name: &str, value: &str) {
    println!("   {name:<18}{value:>12}");
}

/// A duration as a person says it.
pub(crate) fn shown(time: Duration) -> String {
    match time.as_millis() {
        0 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        millis @ ..1_000 => format!("{millis} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}
