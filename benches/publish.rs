//! Where results go: a file for machines, and, when asked for, the plot and the chapter that readers see.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::report::note;
use crate::result::Results;
use crate::{figure, svg, table};

/// Between these lines of the README stands what this program writes.
const BEGIN: &str = "<!-- bench: written by `make bench-publish` -->";
const END: &str = "<!-- bench: end -->";

/// Keeps the results of this run as the last ones.
pub(crate) fn keep(results: &Results) -> Result<()> {
    let path = last()?;
    fs::write(&path, serde_json::to_string_pretty(results)? + "\n")?;
    fs::write(path.with_extension("svg"), svg::plot(results))?;
    note(&format!("kept in {}", path.display()));
    Ok(())
}

/// Puts the last results into the repository, if they are whole.
pub(crate) fn publish() -> Result<()> {
    let path = last()?;
    let text = fs::read_to_string(&path).context("there are no results yet: run `make bench`")?;
    let results: Results = serde_json::from_str(&text)?;
    ensure!(results.is_whole, "the last run of the bench was a part only: run `make bench` without limits");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::write(root.join("benches/results.json"), &text)?;
    fs::write(root.join("benches/results.svg"), svg::plot(&results))?;
    let readme = root.join("README.md");
    let old = fs::read_to_string(&readme)?;
    let (before, rest) = old.split_once(BEGIN).context("README.md lacks the line where this begins")?;
    let (_, after) = rest.split_once(END).context("README.md lacks the line where this ends")?;
    fs::write(readme, format!("{before}{BEGIN}\n\n{}\n{END}{after}", chapter(&results)?))?;
    note("README.md, benches/results.json and benches/results.svg are up to date");
    Ok(())
}

fn last() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(3).context("this program lies in no target folder")?;
    fs::create_dir_all(target.join("bench"))?;
    Ok(target.join("bench/results.json"))
}

/// What the README says of a run.
fn chapter(results: &Results) -> Result<String> {
    let machine = &results.machine;
    let mut text = format!(
        "Measured on {}, {} cores, {:.0} GB, {}, RabbitMQ {} and MongoDB {} (one-node replica set, majority and \
         journal) on the same cores as the consumer; Node {}, {}. {} rounds, {} in all, commit `{}`.\n",
        machine.processor,
        machine.cores,
        machine.memory_gb,
        machine.kernel,
        machine.rabbitmq,
        machine.mongodb,
        machine.node.trim_start_matches('v'),
        machine.python,
        results.rounds,
        minutes(results.seconds),
        machine.commit,
    );
    writeln!(text, "\n![Events per second of each consumer](benches/results.svg)")?;
    if let Some(told) = saturated(results) {
        writeln!(text, "\n{told}")?;
    }
    let parts = [
        table::throughput(results, "uniform"),
        table::throughput(results, "zipf"),
        table::growth(results),
        table::fan_out(results),
        table::hydration(results),
        table::replay(results),
        table::latency(results),
        table::wanted(results),
    ];
    for (title, table) in parts.into_iter().flatten() {
        writeln!(text, "\n**{title}**\n\n{}", table.trim_end())?;
    }
    let figures = figure::figures(results);
    let met = figures.iter().filter(|figure| figure.is_met()).count();
    writeln!(text, "\n{met} of {} figures are met.", figures.len())?;
    for remark in table::remarks(results) {
        writeln!(text, "\n{remark}")?;
    }
    Ok(text)
}

fn minutes(seconds: f64) -> String {
    format!("{:.0} minutes", seconds / 60.0)
}

/// Who takes the processors while nearcopy works off a backlog: that is what limits it.
fn saturated(results: &Results) -> Option<String> {
    let fits = |run: &&crate::result::Run| run.contender == "nearcopy" && run.workload == "uniform";
    let run = results.throughput.iter().find(fits)?;
    let cores = |us: f64| us * run.per_second() / 1e6;
    let (mongod, rabbitmq) = (cores(run.cost.mongod_us?), cores(run.cost.rabbitmq_us?));
    let own = cores(run.cost.own_us);
    let busy = mongod + rabbitmq + own + run.cost.others;
    Some(format!(
        "What is saturated: of {} cores, {busy:.1} are busy while nearcopy works off a backlog; {mongod:.1} of them in \
         mongod, {rabbitmq:.1} in RabbitMQ, {own:.1} in nearcopy, {:.1} in something else.",
        results.machine.cores, run.cost.others,
    ))
}
