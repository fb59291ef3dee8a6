//! The real pipeline on ports in memory, in virtual time: everything that goes wrong, from one seed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a run that cannot go on ends at that very line, and the tally is what is asked for"
)]

#[path = "../support/declared.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod declared;
#[path = "../support/meaning.rs"]
mod meaning;
#[path = "../support/memory/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod memory;

mod asking;
mod broker;
mod chance;
mod consumer;
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

use plan::Plan;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    if let Some(seed) = value("--seed") {
        let outcome = run::run(Plan::of(seed), None, true);
        println!("{:#?}", Plan::of(seed));
        outcome.lines.iter().for_each(|line| println!("{line}"));
        println!("{:#?} rested after {:?}, {:?}", outcome.violations, outcome.rested_after, outcome.counts);
        return;
    }
    let (from, count) = (value("--from").unwrap_or(1), value("--seeds").unwrap_or(100));
    let mut bad = 0;
    let mut worst = std::time::Duration::ZERO;
    for seed in from..from + count {
        let outcome = run::run(Plan::of(seed), None, false);
        if value("--slow").is_some() {
            println!(
                "{seed} {:?} {:?} {}",
                outcome.rested_after,
                outcome.counts.get("effects"),
                outcome.effects
            );
        }
        worst = worst.max(outcome.rested_after);
        if let Some(first) = outcome.violations.first() {
            bad += 1;
            println!("seed {seed}: {}: {}", first.law, first.detail);
        }
    }
    println!("{bad} of {count} are bad; the longest rest took {worst:?}");
}
