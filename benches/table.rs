//! The results as a person reads them.

use crate::contender;
use crate::figure::{Figure, Wanted, fan_out_rates, figures, groupings, ratios, replay_ratios};
use crate::markdown::Table;
use crate::result::{Replay, Results, Run};
use crate::statistics::Spread;

/// So many cores may be busy with something else before it is worth a word.
const DISTURBED: f64 = 0.1;

/// All that was measured.
pub(crate) fn all(results: &Results) -> String {
    let parts = [
        throughput(results, "uniform"),
        throughput(results, "zipf"),
        growth(results),
        fan_out(results),
        hydration(results),
        replay(results),
        latency(results),
        wanted(results),
    ];
    let shown = parts.into_iter().flatten().map(|(title, text)| format!("\n{title}\n\n{text}"));
    shown.chain(remarks(results).into_iter().map(|remark| format!("\n{remark}\n"))).collect()
}

/// What one must know to judge the figures.
pub(crate) fn remarks(results: &Results) -> Vec<String> {
    let mut remarks: Vec<String> = results.left_out.iter().map(|told| format!("Left out: {told}.")).collect();
    let others = results.throughput.iter().chain(&results.growth).map(|run| run.cost.others);
    let others = others.chain(results.fan_out.iter().map(|one| one.cost.others));
    if let Some(others) = Spread::of(others).filter(|others| others.median > DISTURBED) {
        remarks.push(format!(
            "The machine was busy otherwise: {} of its cores, at the median, with what is none of this.",
            within(others, 1)
        ));
    }
    remarks
}

type Titled = Option<(String, String)>;

/// A backlog, all contenders.
pub(crate) fn throughput(results: &Results, workload: &str) -> Titled {
    let mut table =
        Table::new(&["consumer", "events/s", "nearcopy ÷ it", "own CPU", "mongod", "RabbitMQ", "peak MB"]);
    for contender in contender::ALL {
        let name = contender.name();
        let of = |run: &&Run| run.workload == workload && run.contender == name;
        let runs: Vec<&Run> = results.throughput.iter().filter(of).collect();
        let spread =
            |value: &dyn Fn(&Run) -> Option<f64>| Spread::of(runs.iter().filter_map(|run| value(run)));
        let Some(rate) = spread(&|run| Some(run.per_second())) else { continue };
        let ratio = ratios(results, workload, name, Run::per_second).filter(|_| name != "nearcopy");
        table.row([
            name.to_owned(),
            thousands(rate),
            ratio.map_or(String::new(), |ratio| within(ratio, 2)),
            median(spread(&|run| Some(run.cost.own_us)), 1),
            median(spread(&|run| run.cost.mongod_us), 1),
            median(spread(&|run| run.cost.rabbitmq_us), 1),
            median(spread(&|run| Some(run.cost.peak_mb)), 0),
        ]);
    }
    let title = format!("Throughput, users {workload}; CPU in µs an event; median (least–most)");
    titled(title, &table)
}

/// The same upon more documents.
pub(crate) fn growth(results: &Results) -> Titled {
    let mut table =
        Table::new(&["consumer, users stored before", "events/s", "own CPU", "mongod", "peak MB"]);
    for run in &results.growth {
        table.row([
            format!("{}, {}", run.contender, run.workload),
            format!("{:.0}", run.per_second()),
            format!("{:.1}", run.cost.own_us),
            run.cost.mongod_us.map_or("-".into(), |us| format!("{us:.1}")),
            format!("{:.0}", run.cost.peak_mb),
        ]);
    }
    titled("Growth: the same backlog, users uniform, upon few and upon many documents", &table)
}

/// Fan-out beside bare updates.
pub(crate) fn fan_out(results: &Results) -> Titled {
    let mut table =
        Table::new(&["users × products each", "nearcopy, documents/s", "raw updates, documents/s", "ratio"]);
    for (users, each) in groupings(results) {
        let [ours, theirs] = ["nearcopy", "raw"].map(|name| fan_out_rates(results, name, users, each));
        let ratio = Spread::of(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs));
        let shown = |values: Vec<f64>| Spread::of(values).map_or("-".into(), thousands);
        table.row([
            format!("{users} × {each}"),
            shown(ours),
            shown(theirs),
            ratio.map_or("-".into(), |ratio| within(ratio, 2)),
        ]);
    }
    titled("Fan-out: all users change, and all products that embed them", &table)
}

/// New documents.
pub(crate) fn hydration(results: &Results) -> Titled {
    let found = results.hydration.as_ref()?;
    let text = format!(
        "{} products inserted in {:.1} s, all complete after {:.1} s: {:.0} documents/s, own CPU {:.1} µs each\n",
        found.documents,
        found.inserted_seconds,
        found.cost.seconds,
        f64::from(found.documents) / found.cost.seconds,
        found.cost.own_us,
    );
    Some(("Hydration: new products, completed with users that are known".into(), text))
}

/// A read model folded from a stream.
pub(crate) fn replay(results: &Results) -> Titled {
    let mut table = Table::new(&["reader", "events/s", "nearcopy ÷ it", "peak MB"]);
    for name in ["raw", "nearcopy"] {
        let runs: Vec<&Replay> = results.replay.iter().filter(|one| one.contender == name).collect();
        let Some(rate) = Spread::of(runs.iter().map(|run| run.per_second())) else { continue };
        let ratio = replay_ratios(results).filter(|_| name != "nearcopy");
        table.row([
            name.to_owned(),
            thousands(rate),
            ratio.map_or(String::new(), |ratio| within(ratio, 2)),
            median(Spread::of(runs.iter().filter_map(|run| run.peak_mb)), 0),
        ]);
    }
    let events = results.replay.first().map_or(0, |one| one.events);
    let title = format!(
        "Replay: a stream of {events} events, folded into documents; raw reads it and writes bulks of 1,000 with a \
         checkpoint in a transaction"
    );
    titled(title, &table)
}

/// Latency at fixed rates.
pub(crate) fn latency(results: &Results) -> Titled {
    let mut table = Table::new(&["consumer", "events/s", "p50 ms", "p99 ms", "p99.9 ms", "most ms"]);
    for found in &results.latency {
        let times = [found.p50_ms, found.p99_ms, found.p999_ms, found.most_ms];
        let cells = [found.contender.clone(), found.rate.to_string()];
        table.row(cells.into_iter().chain(times.map(|time| format!("{time:.1}"))));
    }
    titled("Latency: from when an event is due to be published until a reader sees it", &table)
}

/// What is wanted, and whether it is so.
pub(crate) fn wanted(results: &Results) -> Titled {
    let mut table = Table::new(&["figure", "wanted", "found", ""]);
    for figure in figures(results) {
        table.row([figure.name.clone(), bound(&figure), found(&figure), met(&figure)]);
    }
    titled("What is wanted of nearcopy", &table)
}

fn bound(figure: &Figure) -> String {
    let (sign, value) = match figure.wanted {
        Wanted::AtLeast(value) => ("≥", value),
        Wanted::AtMost(value) => ("≤", value),
    };
    let shown = if figure.unit.is_empty() { format!("{value:.2}") } else { format!("{value:.0}") };
    format!("{sign} {shown} {}", figure.unit).trim().to_owned()
}

fn found(figure: &Figure) -> String {
    let digits = if figure.unit.is_empty() { 2 } else { 1 };
    let shown = |found| format!("{} {}", within(found, digits), figure.unit).trim().to_owned();
    figure.found.map_or("not measured".into(), shown)
}

fn met(figure: &Figure) -> String {
    if figure.is_met() { "met".into() } else { "NOT MET".into() }
}

fn titled(title: impl Into<String>, table: &Table) -> Titled {
    (!table.is_empty()).then(|| (title.into(), table.text()))
}

fn median(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or("-".into(), |spread| format!("{:.digits$}", spread.median))
}

/// The median, and between what it lies if there are several values.
fn within(spread: Spread, digits: usize) -> String {
    let Spread { median, least, most } = spread;
    if least < most {
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    } else {
        format!("{median:.digits$}")
    }
}

/// Large numbers are given in hundreds: more would be noise.
fn thousands(spread: Spread) -> String {
    let shown = |value: f64| {
        let hundreds = (value / 100.0).round() / 10.0;
        if value < 10_000.0 { format!("{value:.0}") } else { format!("{hundreds:.1}k") }
    };
    let Spread { median, least, most } = spread;
    if least < most {
        format!("{} ({}–{})", shown(median), shown(least), shown(most))
    } else {
        shown(median)
    }
}
