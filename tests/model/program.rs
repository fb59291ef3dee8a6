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
mod held;
mod hydrate;
#[path = "../support/meaning.rs"]
#[expect(dead_code, reason = "the simulation uses the rest")]
mod meaning;
mod protocol;
mod rest;
mod retire;
mod scenarios;
mod setting;
mod statement;
mod store;
mod task;
mod words;
mod world;

fn main() {
    for scenario in scenarios::all() {
        let found = check::explore(&scenario.setting, None, 2);
        println!(
            "{:<90} {:>9} {:>4} {:>7.1?} {}",
            scenario.name,
            found.states,
            found.depth,
            found.took,
            found.broken.is_none()
        );
        if let Some((name, steps)) = found.broken {
            println!("  {name}");
            for step in steps {
                println!("    {step}");
            }
        }
    }
}
