//! The command line: where the parts are wired together, and nowhere else.
//!
//! Data goes to standard output, talk to standard error. Exit codes are part of the interface: see [`Exit`].

mod backfill;
mod check;
mod desk;
mod diff;
mod erase;
mod explain;
mod failure;
mod help;
mod init;
mod output;
mod parked;
mod plan;
mod progress;
mod promise;
mod read_model;
mod rebase;
mod reload;
mod run;
mod split;
mod status;
mod table;
mod test;
mod wiring;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::api;
use crate::lifecycle::ExitReason;
use crate::manifest;
use crate::settings::Settings;
use failure::Failure;
use output::Output;

/// Keeps a near copy of the data another service owns.
#[derive(Parser)]
#[command(name = "nearcopy", version, about, max_term_width = 100, after_help = help::PROGRAM)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// A settings file (TOML), between the built-in defaults and the environment.
    #[arg(long, global = true, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Sets one setting, above every other layer, such as rabbitmq.prefetch=500.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Replicates what the manifest declares, until it is told to stop.
    #[command(after_help = help::RUN)]
    Run(Manifest),
    /// Reads the manifest and says everything that is wrong with it.
    #[command(after_help = help::CHECK)]
    Check {
        #[command(flatten)]
        manifest: Manifest,
        /// Also looks at the broker, the database and the owners; changes nothing there.
        #[arg(long)]
        online: bool,
        /// The form of the answer.
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Drafts a manifest from sample events or descriptions of an API.
    #[command(after_help = help::INIT)]
    Init(init::Arguments),
    /// Plays the tests of manifests, without broker and database.
    #[command(after_help = help::TEST)]
    Test(test::Arguments),
    /// Prints the JSON Schema of the manifest.
    #[command(after_help = help::SCHEMA)]
    Schema,
    /// Describes what can be read by REST, for tools.
    #[command(after_help = help::OPENAPI)]
    Openapi(Manifest),
    /// Shows how everything stands, and what of it needs a person.
    #[command(after_help = help::STATUS)]
    Status(status::Arguments),
    /// Says why a value is there, or is not.
    #[command(after_help = help::EXPLAIN)]
    Explain(explain::Arguments),
    /// Shows, retries and drops events that were put aside.
    #[command(after_help = help::PARKED)]
    Parked {
        #[command(subcommand)]
        command: parked::Command,
    },
    /// Rebuilds read models.
    #[command(after_help = help::READ_MODEL)]
    ReadModel {
        #[command(subcommand)]
        command: read_model::Command,
    },
    /// Says what a manifest would change on the database that it is meant for.
    #[command(after_help = help::PLAN)]
    Plan {
        #[command(flatten)]
        manifest: Manifest,
        /// The form of the answer.
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Compares records with what owners say, and documents with records.
    #[command(after_help = help::DIFF)]
    Diff(diff::Arguments),
    /// Compares likewise, and puts right what differs.
    #[command(after_help = help::RECONCILE)]
    Reconcile(diff::Reconcile),
    /// Has entities fetched that no event has told of.
    #[command(after_help = help::BACKFILL)]
    Backfill(backfill::Arguments),
    /// Follows an owner that was restored from a backup, though its versions have gone back.
    #[command(after_help = help::REBASE)]
    Rebase(rebase::Arguments),
    /// Erases one entity from everything that nearcopy keeps, and writes a receipt.
    #[command(after_help = help::ERASE)]
    Erase(erase::Arguments),
    /// Shows the settings in force and where each was given; secrets are left out.
    #[command(after_help = help::SETTINGS)]
    Settings,
    /// Prints completions for a shell.
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Where the manifest is.
#[derive(clap::Args, Clone)]
struct Manifest {
    /// Files, or folders of them; where none is given, the setting manifest.paths names them.
    #[arg(value_name = "MANIFEST")]
    paths: Vec<PathBuf>,
}

/// How the program ends. Arguments that are not understood end it with 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// What was compared is not the same, or what was planned would change something.
    Different = 3,
    /// The manifest or the settings are wrong.
    Invalid = 4,
    /// The broker, the database or an owner could not be reached, or is not as it must be.
    Unreachable = 5,
    /// A second signal cut the end short.
    Interrupted = 130,
}

impl From<ExitReason> for Exit {
    fn from(reason: ExitReason) -> Self {
        match reason {
            ExitReason::Stopped => Self::Done,
            ExitReason::Interrupted => Self::Interrupted,
            ExitReason::OutOfTime | ExitReason::Failed(_) => Self::Failed,
        }
    }
}

type Outcome = Result<Exit, Failure>;

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let exit = dispatch(&Arguments::parse()).unwrap_or_else(|failure| {
        complain(&failure.text);
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn dispatch(arguments: &Arguments) -> Outcome {
    let settings = || Settings::load(arguments.settings.as_deref(), &flags(&arguments.set));
    match &arguments.command {
        Command::Run(manifest) => run::run(&settings()?, &manifest.paths),
        Command::Check { manifest, online, output } => {
            check::check(&settings()?, &manifest.paths, *online, *output)
        }
        Command::Init(arguments) => init::init(arguments),
        Command::Test(arguments) => test::test(arguments),
        Command::Schema => print(&format!("{:#}", manifest::schema())),
        Command::Openapi(manifest) => {
            let declared = wiring::unguarded(&settings()?, &manifest.paths)?;
            let replicas = declared.readable().map(|of| &**of);
            print(&format!("{:#}", api::read::openapi(&declared.service, replicas)))
        }
        Command::Status(arguments) => status::status(&settings()?, arguments),
        Command::Explain(arguments) => explain::explain(&settings()?, arguments),
        Command::Parked { command } => parked::parked(&settings()?, command),
        Command::ReadModel { command } => read_model::read_model(&settings()?, command),
        Command::Plan { manifest, output } => plan::plan(&settings()?, manifest, *output),
        Command::Diff(arguments) => diff::diff(&settings()?, arguments),
        Command::Reconcile(arguments) => diff::reconcile(&settings()?, arguments),
        Command::Backfill(arguments) => backfill::backfill(&settings()?, arguments),
        Command::Rebase(arguments) => rebase::rebase(&settings()?, arguments),
        Command::Erase(arguments) => erase::erase(&settings()?, arguments),
        Command::Settings => print(&settings()?.to_string()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "nearcopy", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

/// Takes `--set` apart. Should it be wrong, its text is not repeated: it may be a secret at the wrong place.
fn flags(set: &[String]) -> Vec<(String, String)> {
    let is_key =
        |key: &str| key.chars().all(|letter| letter.is_ascii_alphanumeric() || "._".contains(letter));
    let flag = |text: &String| {
        let (key, value) = text.split_once('=').filter(|(key, _)| is_key(key))?;
        Some((key.to_owned(), value.to_owned()))
    };
    let usage = "--set is written KEY=VALUE, such as --set rabbitmq.prefetch=500";
    let wrong = || Arguments::command().error(ErrorKind::ValueValidation, usage);
    set.iter().map(|text| flag(text).unwrap_or_else(|| wrong().exit())).collect()
}

/// Writes data. A reader that has gone away is no failure.
fn print(text: &str) -> Outcome {
    let written = writeln!(std::io::stdout(), "{}", text.trim_end());
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::saying(Exit::Failed, format!("standard output cannot be written: {error}")))
        }
        _ => Ok(Exit::Done),
    }
}

/// Writes talk. Where nobody can hear it, nothing is left to be said.
fn complain(text: &str) {
    let _unheard = writeln!(std::io::stderr(), "{}", text.trim_end());
}

/// Whether talk may have colours.
fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
