//! The real pipeline on ports in memory, in virtual time: everything that goes wrong, from one seed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a run that cannot go on ends at that very line, and the tally is what is asked for"
)]

#[path = "../support/declared.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod declared;

mod asking;
mod broker;
mod chance;
mod consumer;
mod crowd;
mod faults;
mod journal;
mod judge;
mod judge_embeds;
mod life;
mod owner;
mod peace;
mod plan;
mod run;
mod stage;
mod store;
mod store_epoch;
mod watch;

use std::process::{Command, ExitCode};

use crowd::{Case, Tally};

/// `--seeds n [--from k]` plays many, `--seed n` one with its whole journal, `--sweep` every fault at every effect.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    if let Some(seed) = value("--seed") {
        println!("{}", Case::of_seed(seed).report());
        return ExitCode::from(u8::from(!Case::of_seed(seed).play(false).violations.is_empty()));
    }
    if arguments.iter().any(|argument| argument == "--sweep") {
        let cases = crowd::sweep();
        println!("{} effects, each struck by 5 kinds of faults: {} runs", cases.len() / 5, cases.len());
        return tell(&crowd::play_all(&cases));
    }
    let (from, count) = (value("--from").unwrap_or(1), value("--seeds").unwrap_or(2_000));
    let cases: Vec<Case> = (from..from + count).map(Case::of_seed).collect();
    tell(&crowd::play_all(&cases))
}

/// One case of a broken law with all that belongs to it, the names of the others, and the tally.
fn tell(tally: &Tally) -> ExitCode {
    if let Some(case) = tally.broken.first() {
        println!("{}\ncommit {}", case.report(), commit());
    }
    for Case { plan, strike } in &tally.broken {
        println!("broken: seed {} {strike:?}", plan.seed);
    }
    println!("{}", tally.table());
    ExitCode::from(u8::from(!tally.broken.is_empty()))
}

fn commit() -> String {
    let asked = Command::new("git").args(["rev-parse", "HEAD"]).output();
    let said = asked.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    said.map_or_else(|| "unknown".into(), |said| String::from_utf8_lossy(&said).trim().to_owned())
}
