//! `nearcopy test`: does a manifest do what its tests promise?
//!
//! Each test runs the real pipeline, between a broker, owners and a database in memory, and in virtual time: nothing is
//! waited for, and what is left to chance can be repeated.

mod compare;
mod play;
mod report;
mod rest;
mod stage;

use std::path::PathBuf;

use super::check::errors;
use super::{Exit, Failure, Outcome, Output, print};
use crate::manifest::{self, Diagnostics, Suite};
use compare::Wrong;
use play::{Manner, play};

/// What is tested, and how hard.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Files of tests, or folders of them (*.test.yaml).
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Has the events of queues come in any order, and those of several sources at any time.
    #[arg(long)]
    shuffle: bool,
    /// Has every event come so often; a stream is read again instead, as after a crash.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Repeats what was left to chance.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// A test that was played, and what was wrong then.
struct Verdict {
    file: String,
    name: String,
    wrong: Vec<Wrong>,
}

/// Plays all tests, one after the other.
pub(super) fn test(arguments: &Arguments) -> Outcome {
    let suites = match load(&arguments.paths) {
        Ok(suites) => suites,
        Err(wrong) => return reject(wrong, arguments.output),
    };
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(0..1_000_000));
    let manner = Manner { shuffle: arguments.shuffle, repeat: arguments.repeat, seed };
    let mut verdicts = Vec::new();
    for suite in &suites {
        for case in &suite.cases {
            let wrong = play(suite, case, manner).map_err(|error| Failure::new(Exit::Failed, &error))?;
            verdicts.push(Verdict { file: suite.file.clone(), name: case.name.clone(), wrong });
        }
    }
    let (table, value) = (|| report::table(&verdicts, manner), || report::json(&verdicts, manner));
    print(&arguments.output.say(table, value))?;
    let is_kept = verdicts.iter().all(|verdict| verdict.wrong.is_empty());
    Ok(if is_kept { Exit::Done } else { Exit::Failed })
}

/// Reads all files; the error is what is wrong with any of them.
fn load(paths: &[PathBuf]) -> Result<Vec<Suite>, Vec<Diagnostics>> {
    let (mut suites, mut wrong) = (Vec::new(), Vec::new());
    for file in manifest::suites(paths).map_err(|missing| vec![missing])? {
        match manifest::load_suite(&file) {
            Ok(suite) => suites.push(suite),
            Err(diagnostics) => wrong.push(diagnostics),
        }
    }
    if wrong.is_empty() { Ok(suites) } else { Err(wrong) }
}

fn reject(wrong: Vec<Diagnostics>, output: Output) -> Outcome {
    if output != Output::Table {
        let value = || report::rejected(&wrong.iter().flat_map(errors).collect::<Vec<_>>());
        print(&output.say(String::new, value))?;
        return Ok(Exit::Invalid);
    }
    let failures = wrong.into_iter().map(Failure::from);
    Err(failures.reduce(|one, other| one.and(&other)).unwrap_or_else(|| Failure::saying(Exit::Invalid, "")))
}
