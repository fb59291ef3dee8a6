//! `make model`: every interleaving of the protocol in the small, and what breaks when a rule is taken out.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a model that cannot go on fails at that line, and prints what it found"
)]

mod ask;
mod batch;
mod check;
#[path = "../support/declared.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod declared;
mod document;
mod guard;
mod guards;
mod held;
mod hydrate;
mod interleavings;
mod protocol;
mod report;
mod rest;
mod retire;
mod scenarios;
mod setting;
mod statement;
mod store;
mod task;
mod words;
mod world;

/// Prints the tables; fails if a scenario does not hold, or if a rule is not missed.
fn main() -> std::process::ExitCode {
    let only = std::env::args().nth(1);
    if report::print(only.as_deref()) {
        std::process::ExitCode::SUCCESS
    } else {
        std::process::ExitCode::FAILURE
    }
}
