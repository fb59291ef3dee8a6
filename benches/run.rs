//! All parts in turn, and what is made of them.

use std::path::PathBuf;

use anyhow::Result;
use tokio::time::Instant;

use crate::broker::Broker;
use crate::contender::{self, Arena, Contender};
use crate::database::Database;
use crate::event::{Spread, Workload};
use crate::report::{self, note};
use crate::result::{Latency, Results};
use crate::{
    Arguments, Part, fan_out, hydration, latency, library, machine, publish, replay, start, table, throughput,
};

/// How many users there are; and how many for whom the same is measured once more.
const USERS: u32 = 20_000;
const MANY_USERS: u32 = 200_000;
/// How many rounds are the least that results are published of, and how many events of a backlog and of a stream.
const ROUNDS: usize = 3;
const EVENTS: usize = 200_000;
const REPLAYED: usize = 1_000_000;
/// Users of fan-outs change, and a stream is replayed, so many times: a median of more would take too long.
const FAN_OUTS: usize = 2;
const REPLAYS: usize = 2;
/// The rates at which latency is measured, in events a second.
const RATES: [u32; 2] = [500, 2_000];
/// Of what one can do at most, so much is what one can do for long.
const SUSTAINABLE: f64 = 0.7;

/// By when, of all the time that there is, no further round of a part begins.
const UNTIL_UNIFORM: f64 = 0.40;
const UNTIL_ZIPF: f64 = 0.55;
const UNTIL_FAN_OUT: f64 = 0.75;

/// Measures what is asked for.
pub(crate) async fn all(arguments: &Arguments) -> Result<()> {
    let (arena, began) = (arena().await?, Instant::now());
    let mut results = Results { machine: machine::describe(&arena).await?, ..Results::default() };
    results.rounds = arguments.rounds;
    note(&format!("{} cores, load {}", results.machine.cores, results.machine.load_before));
    parts(arguments, &arena, began, &mut results).await?;
    arena.broker.remove().await?;
    arena.database.raw.drop().await?;
    results.seconds = began.elapsed().as_secs_f64();
    results.is_whole = arguments.is_whole();
    report::print(&table::all(&results));
    publish::keep(&results)
}

async fn parts(arguments: &Arguments, arena: &Arena, began: Instant, results: &mut Results) -> Result<()> {
    if arguments.wants(Part::Throughput) {
        backlogs(arguments, arena, began, Spread::Uniform, results).await?;
    }
    if arguments.wants(Part::Zipf) {
        backlogs(arguments, arena, began, Spread::Zipf, results).await?;
    }
    if arguments.wants(Part::Latency) {
        latencies(arena, results).await?;
    }
    if arguments.wants(Part::Start) {
        results.start = Some(start::measure(arena).await?);
        note("started some times");
    }
    if arguments.wants(Part::Hydration) {
        let found = hydration::measure(arena).await?;
        note(&format!("hydration: {} products in {:.1} s", found.documents, found.cost.seconds));
        results.hydration = Some(found);
    }
    if arguments.wants(Part::Growth) {
        growth(arguments, arena, results).await?;
    }
    if arguments.wants(Part::Replay) {
        results.replay = replay::measure(arena, arguments.replay, arguments.rounds.min(REPLAYS)).await?;
    }
    if arguments.wants(Part::FanOut) {
        let is_early = arguments.has_time(began, UNTIL_FAN_OUT);
        let rounds = if is_early { arguments.rounds.min(FAN_OUTS) } else { 1 };
        results.fan_out = fan_out::measure(arena, rounds).await?;
    }
    Ok(())
}

/// Every contender in turn, round by round; each round begins with another one.
async fn backlogs(
    arguments: &Arguments,
    arena: &Arena,
    began: Instant,
    spread: Spread,
    results: &mut Results,
) -> Result<()> {
    let contenders = contenders(arguments, arena, results);
    let until = if spread == Spread::Uniform { UNTIL_UNIFORM } else { UNTIL_ZIPF };
    for round in 0..arguments.rounds {
        if round > 0 && !arguments.has_time(began, until) {
            leave_out(results, format!("{}, from round {} on: it took too long", spread.name(), round + 1));
            break;
        }
        for at in 0..contenders.len() {
            let contender = contenders[(at + round) % contenders.len()];
            if round >= contender.rounds(arguments.rounds, spread) {
                continue;
            }
            let count = arguments.events / contender.divisor();
            let workload = Workload::new(spread, count, USERS, 0, round as u64 + 1);
            let run = throughput::measure(arena, contender, &workload, spread.name()).await?;
            report::turn(round + 1, &run);
            results.throughput.push(run);
        }
    }
    Ok(())
}

async fn growth(arguments: &Arguments, arena: &Arena, results: &mut Results) -> Result<()> {
    for users in [USERS, MANY_USERS] {
        for contender in [Contender::Nearcopy, Contender::Raw] {
            let name = users.to_string();
            let run = throughput::measure_grown(arena, contender, arguments.events, users, &name).await?;
            report::turn(1, &run);
            results.growth.push(run);
        }
    }
    Ok(())
}

/// nearcopy at fixed rates beside the least that must pass, and one that writes one event after the other at a rate that
/// it can bear.
async fn latencies(arena: &Arena, results: &mut Results) -> Result<()> {
    let mut measured = |found: Latency| {
        let Latency { contender, rate, p50_ms, p99_ms, .. } = &found;
        note(&format!("latency of {contender} at {rate} events/s: p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms"));
        results.latency.push(found);
    };
    for rate in RATES {
        for contender in [Contender::Raw, Contender::Nearcopy] {
            measured(latency::measure(arena, contender, rate).await?);
        }
    }
    let backlog = Workload::new(Spread::Uniform, 2_000, USERS, 0, 1);
    let most = throughput::measure(arena, Contender::OneByOne, &backlog, "uniform").await?.per_second();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some hundreds")]
    let rate = (most * SUSTAINABLE / 10.0) as u32 * 10;
    measured(latency::measure(arena, Contender::OneByOne, rate.max(10)).await?);
    Ok(())
}

/// Those that can take part; of the others it is said why not.
fn contenders(arguments: &Arguments, arena: &Arena, results: &mut Results) -> Vec<Contender> {
    let mut able = Vec::new();
    for contender in contender::ALL.into_iter().filter(|contender| arguments.wants_contender(*contender)) {
        match library::get(contender, &arena.folder) {
            Ok(()) => able.push(contender),
            Err(reason) => leave_out(results, format!("{}: {reason}", contender.name())),
        }
    }
    able
}

fn leave_out(results: &mut Results, what: String) {
    note(&format!("left out: {what}"));
    if !results.left_out.contains(&what) {
        results.left_out.push(what);
    }
}

/// What all parts run upon.
pub(crate) async fn arena() -> Result<Arena> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.services/bench"));
    std::fs::create_dir_all(&folder)?;
    Ok(Arena { folder, broker: Broker::given()?, database: Database::given().await? })
}

impl Arguments {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn wants_contender(&self, contender: Contender) -> bool {
        self.contenders.is_empty() || self.contenders.iter().any(|name| name == contender.name())
    }

    /// Whether a further round may begin. Who asks for a part has all the time for it.
    fn has_time(&self, began: Instant, until: f64) -> bool {
        !self.only.is_empty() || began.elapsed().as_secs_f64() < self.minutes * 60.0 * until
    }

    /// Whether what is measured may be published.
    fn is_whole(&self) -> bool {
        let is_all = self.only.is_empty() && self.contenders.is_empty();
        is_all && self.rounds >= ROUNDS && self.events >= EVENTS && self.replay >= REPLAYED
    }
}
