//! How many instructions an event costs on its way through the rules: figures that no other load on the machine
//! disturbs, so that a change for the worse is seen even where time cannot be trusted.
//!
//! The way goes through the library's public faces: a message is opened, interpreted, folded with others, and written
//! by the store, to a server that only says yes. Each step is run under callgrind together with those before it, with
//! some events and with twice as many, so that neither the start nor the earlier steps count. `make instructions`
//! compares with what is written down beside this program.

mod server;
mod work;

#[path = "../event.rs"]
#[expect(dead_code, reason = "the order of events is of no interest here")]
mod event;
#[path = "../manifest.rs"]
mod manifest;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

use server::Server;
use work::Step;

/// So many events, and twice as many.
const EVENTS: u64 = 2_000;
/// By how much a figure may differ from the one that is written down.
const TOLERANCE: f64 = 0.03;
/// How a line of callgrind begins that says how many instructions there were.
const COLLECTED: &str = "Collected :";

/// Instructions an event, by step, in the order of steps.
type Figures = Vec<(String, f64)>;

/// Counts the instructions that an event costs.
#[derive(Parser)]
struct Arguments {
    /// Writes down what is found, instead of comparing.
    #[arg(long)]
    accept: bool,
    /// Only works: goes this far with the events, for others to count.
    #[arg(long, value_enum, requires = "events", requires = "server")]
    work: Option<Step>,
    /// With so many.
    #[arg(long)]
    events: Option<u64>,
    /// Where the server is.
    #[arg(long)]
    server: Option<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("FAILED: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if let (Some(step), Some(events), Some(server)) = (arguments.work, arguments.events, &arguments.server) {
        return work::go(step, events, server);
    }
    let found = count()?;
    let path = written_down();
    if arguments.accept {
        std::fs::write(&path, text(&found)).with_context(|| path.display().to_string())?;
        tell(&text(&found));
        return Ok(());
    }
    let known = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    compare(&read(&known)?, &found)
}

/// Counts them all.
fn count() -> Result<Figures> {
    let server = Server::start()?;
    let (mut found, mut before, mut total) = (Figures::new(), 0.0, 0.0);
    for step in Step::ALL {
        let [some, twice] = [EVENTS, 2 * EVENTS].map(|events| collected(step, events, &server));
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let each = (twice? - some?) as f64 / EVENTS as f64;
        if step != Step::Prepare {
            found.push((step.name().to_owned(), each - before));
            total += each - before;
        }
        before = each;
    }
    found.push(("total".into(), total));
    Ok(found)
}

/// How many instructions this program executes that goes so far with so many events.
fn collected(step: Step, events: u64, server: &Server) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--work", step.name(), "--events", &events.to_string(), "--server", &server.address])
        .output()
        .context("valgrind cannot be started")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind failed:\n{told}");
    let line = told.lines().find_map(|line| Some(line.split_once(COLLECTED)?.1.trim()));
    line.with_context(|| format!("callgrind does not say how many:\n{told}"))?.parse().context("a number")
}

fn compare(known: &[(String, f64)], found: &[(String, f64)]) -> Result<()> {
    let mut wrong = Vec::new();
    for (name, found) in found {
        let known = known.iter().find(|(of, _)| of == name);
        let Some((_, known)) = known else { bail!("{name} is not written down: run with --accept") };
        let change = found / known - 1.0;
        let is_right = change.abs() <= TOLERANCE;
        tell(&format!(
            "{} {name:<10} {found:>8.0} instructions an event, {:+.1} %",
            if is_right { ' ' } else { '✗' },
            change * 100.0
        ));
        if !is_right {
            wrong.push(name.as_str());
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} differ by more than {:.0} %: mend it, or, if it is meant, `make instructions ACCEPT=1`",
        wrong.join(", "),
        TOLERANCE * 100.0
    );
    Ok(())
}

fn text(figures: &[(String, f64)]) -> String {
    let mut text =
        String::from("# Instructions an event, by step; written by `make instructions ACCEPT=1`.\n");
    for (name, figure) in figures {
        // Writing into a text does not fail.
        let _written = writeln!(text, "{name} {figure:.0}");
    }
    text
}

fn read(text: &str) -> Result<Figures> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, figure) = line.split_once(' ').context("a line without a figure")?;
            Ok((name.to_owned(), figure.parse()?))
        })
        .collect()
}

fn written_down() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

#[expect(clippy::print_stdout, reason = "telling what is counted is what it is for")]
fn tell(text: &str) {
    println!("{text}");
}
