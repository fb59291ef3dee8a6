//! What is wanted of nearcopy, and whether it is so.

use crate::result::{FanOut, Latency, Replay, Results, Run, Start};
use crate::statistics::Spread;

/// A figure beside what is wanted of it.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) wanted: Wanted,
    pub(crate) unit: &'static str,
    /// Nothing where it was not measured.
    pub(crate) found: Option<Spread>,
}

/// A bound.
#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    pub(crate) fn is_met(&self) -> bool {
        self.found.is_some_and(|found| match self.wanted {
            Wanted::AtLeast(least) => found.median >= least,
            Wanted::AtMost(most) => found.median <= most,
        })
    }
}

/// All figures; of a run that was a part, those that it measured.
pub(crate) fn figures(results: &Results) -> Vec<Figure> {
    let mut all = of_throughput(results);
    all.extend(of_fan_out(results));
    all.push(figure("replay, events/s ÷ raw", Wanted::AtLeast(0.80), "", replay_ratios(results)));
    all.extend(of_latency(results));
    all.extend(of_start(results));
    all.retain(|figure| results.is_whole || figure.found.is_some());
    all
}

fn figure(name: impl Into<String>, wanted: Wanted, unit: &'static str, found: Option<Spread>) -> Figure {
    Figure { name: name.into(), wanted, unit, found }
}

/// Ratios of nearcopy to another contender, round by round, so that what disturbs a round disturbs both.
pub(crate) fn ratios(
    results: &Results,
    workload: &str,
    other: &str,
    value: impl Fn(&Run) -> f64,
) -> Option<Spread> {
    let runs = |name: &str| {
        let of = results.throughput.iter().filter(|run| run.workload == workload && run.contender == name);
        of.map(&value).collect::<Vec<f64>>()
    };
    Spread::of(runs("nearcopy").iter().zip(runs(other)).map(|(ours, theirs)| ours / theirs))
}

fn of_throughput(results: &Results) -> Vec<Figure> {
    let peaks = results.throughput.iter().filter(|run| run.contender == "nearcopy");
    let memory = Spread::of(peaks.map(|run| run.cost.peak_mb));
    let ratio = |other: &str, value: fn(&Run) -> f64| ratios(results, "uniform", other, value);
    vec![
        figure("events/s ÷ raw", Wanted::AtLeast(0.90), "", ratio("raw", Run::per_second)),
        figure("events/s ÷ good Node", Wanted::AtLeast(2.0), "", ratio("node", Run::per_second)),
        figure("own CPU ÷ good Node", Wanted::AtMost(0.45), "", ratio("node", |run| run.cost.own_us)),
        figure("peak memory ÷ good Node", Wanted::AtMost(0.25), "", ratio("node", |run| run.cost.peak_mb)),
        figure("peak memory under load", Wanted::AtMost(40.0), "MB", memory),
    ]
}

fn of_fan_out(results: &Results) -> Vec<Figure> {
    groupings(results)
        .into_iter()
        .map(|(users, each)| {
            let of = |name: &str| fan_out_rates(results, name, users, each);
            let pairs = of("nearcopy").into_iter().zip(of("raw"));
            let name = format!("fan-out, {each} each, documents/s ÷ raw updates");
            figure(name, Wanted::AtLeast(0.95), "", Spread::of(pairs.map(|(ours, theirs)| ours / theirs)))
        })
        .collect()
}

/// Ratios of nearcopy to the least program that folds the same stream, round by round.
pub(crate) fn replay_ratios(results: &Results) -> Option<Spread> {
    let rates = |name: &str| {
        let of = results.replay.iter().filter(|one| one.contender == name);
        of.map(Replay::per_second).collect::<Vec<f64>>()
    };
    Spread::of(rates("nearcopy").iter().zip(rates("raw")).map(|(ours, theirs)| ours / theirs))
}

/// Users and documents each, as far as they were measured.
pub(crate) fn groupings(results: &Results) -> Vec<(u32, u32)> {
    let mut found: Vec<(u32, u32)> =
        results.fan_out.iter().map(|one| (one.users, one.documents_each)).collect();
    found.sort_by_key(|(_, each)| *each);
    found.dedup();
    found
}

pub(crate) fn fan_out_rates(results: &Results, contender: &str, users: u32, each: u32) -> Vec<f64> {
    let of = results
        .fan_out
        .iter()
        .filter(|one| one.contender == contender && (one.users, one.documents_each) == (users, each));
    of.map(FanOut::per_second).collect()
}

fn of_latency(results: &Results) -> Vec<Figure> {
    let of = |contender: &str, rate: Option<u32>| {
        let fits =
            move |one: &&Latency| one.contender == contender && rate.is_none_or(|rate| one.rate == rate);
        results.latency.iter().find(fits)
    };
    let p50 = |rate: u32| of("nearcopy", Some(rate)).and_then(|found| Spread::of([found.p50_ms]));
    let both = of("nearcopy", Some(2_000)).zip(of("one-by-one", None));
    let ratio = both.and_then(|(ours, theirs)| Spread::of([ours.p99_ms / theirs.p99_ms]));
    vec![
        figure("p50 at 500 events/s", Wanted::AtMost(5.0), "ms", p50(500)),
        figure("p50 at 2,000 events/s", Wanted::AtMost(5.0), "ms", p50(2_000)),
        figure("p99 at 2,000 events/s ÷ one by one at its own rate", Wanted::AtMost(1.0), "", ratio),
    ]
}

fn of_start(results: &Results) -> Vec<Figure> {
    let start = results.start.as_ref();
    let of = |times: fn(&Start) -> &[f64]| start.and_then(|start| Spread::of(times(start).iter().copied()));
    let idle = start.and_then(|start| Spread::of([start.idle_mb]));
    vec![
        figure("first event applied after a start", Wanted::AtMost(300.0), "ms", of(|start| &start.again_ms)),
        figure("the same, upon an empty database", Wanted::AtMost(300.0), "ms", of(|start| &start.first_ms)),
        figure("memory at rest", Wanted::AtMost(20.0), "MB", idle),
    ]
}
