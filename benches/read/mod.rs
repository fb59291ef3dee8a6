//! How fast replicas are read: from the database and from memory, beside the driver itself; and what many cost who watch.

mod ask;
mod grpc;
mod load;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::contender::Arena;
use crate::event::Workload;
use crate::manifest::manifest;
use crate::meter::Meter;
use crate::process::Process;
use crate::report::{self, note};
use crate::result::Cost;
use crate::statistics::Spread;
use crate::throughput::last_visible;
use crate::usage::Group;
use crate::{machine, run};

use ask::{Driver, Echo, Rest};
use grpc::Grpc;
use load::{Latencies, closed, open};

/// Where it is read.
pub(crate) const ADDRESS: &str = "127.0.0.1:19465";
/// How many users there are, and how many of them are asked for.
pub(crate) const USERS: u32 = 20_000;
const HOT: u32 = 2_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Who is asked: each row of the table.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Driver,
    Echo,
    RestUncached,
    Rest,
    GrpcUncached,
    Grpc,
}

const WAYS: [(Way, &str); 6] = [
    (Way::Driver, "the driver's find"),
    (Way::Echo, "an echo, which reads nothing"),
    (Way::RestUncached, "REST, nothing in memory"),
    (Way::GrpcUncached, "gRPC, nothing in memory"),
    (Way::Rest, "REST, from memory"),
    (Way::Grpc, "gRPC, from memory"),
];

/// What was found in one turn of one way.
struct Turn {
    per_second: f64,
    cost: Cost,
    /// At half of that.
    at_half: Latencies,
    /// At half of what the driver makes.
    at_drivers_half: Latencies,
}

/// How often in a second those who ask can be told to, beside all that they ask.
const MOST_TOLD: f64 = 32_000.0;

/// Measures in so many rounds, and prints what was found.
pub(crate) async fn measure(rounds: usize) -> Result<()> {
    let arena = run::arena().await?;
    let machine = machine::describe(&arena).await?;
    note(&format!("{}, {} cores, load {}", machine.processor, machine.cores, machine.load_before));
    fill(&arena).await?;
    let mut found: Vec<Vec<Turn>> = WAYS.iter().map(|_| Vec::new()).collect();
    let mut drivers = None;
    for round in 0..rounds {
        for at in 0..WAYS.len() {
            let (way, name) = WAYS[(at + round) % WAYS.len()];
            let turn = turn(&arena, way, drivers).await?;
            drivers = if way == Way::Driver { Some(turn.per_second) } else { drivers };
            let (rate, half, same) = (turn.per_second, turn.at_half, turn.at_drivers_half);
            note(&format!(
                "round {}, {name}: {rate:.0}/s; at half of that {half}, of the driver's {same}",
                round + 1
            ));
            found[(at + round) % WAYS.len()].push(turn);
        }
    }
    let mut table = reads(&found);
    table += &watch::measure(&arena).await?;
    report::print(&table);
    arena.broker.remove().await?;
    arena.database.raw.drop().await?;
    Ok(())
}

/// Has nearcopy write down the users.
async fn fill(arena: &Arena) -> Result<()> {
    arena.database.renew().await?;
    let link = arena.broker.renew().await?;
    let mut process = start(arena, 0)?;
    let first = Workload::each_once(USERS, 1);
    link.publish(&first.events).await?;
    last_visible(arena, &mut process, first.last, PATIENCE).await?;
    arena.database.has(&first.newest(), PATIENCE).await?;
    process.stop().await?;
    link.close().await
}

/// Starts nearcopy with so many bytes for what is hot.
fn start(arena: &Arena, cache: u64) -> Result<Process> {
    let cache = cache.to_string();
    let settings = [("NEARCOPY__READ__LISTEN", ADDRESS), ("NEARCOPY__READ__CACHE", &cache)];
    arena.start_nearcopy(&manifest(""), &settings)
}

/// One turn of one way: how many answers come in a second at most, what they cost, and how long each takes at half of that.
async fn turn(arena: &Arena, way: Way, drivers: Option<f64>) -> Result<Turn> {
    if way == Way::Driver {
        // One for all who ask, as a service has it, and made where they ask: upon another thread it would be slower.
        let (url, driver) = (arena.database.url.clone(), Arc::new(OnceCell::new()));
        let connect = move || {
            let (url, driver) = (url.clone(), driver.clone());
            async move { driver.get_or_try_init(|| Driver::new(&url)).await.cloned() }
        };
        return both(std::process::id(), None, connect).await;
    }
    if way == Way::Echo {
        let address = Echo::serve()?;
        return both(std::process::id(), drivers, move || Echo::connect(address)).await;
    }
    let cache = if matches!(way, Way::Rest | Way::Grpc) { 8 << 20 } else { 0 };
    let process = start(arena, cache)?;
    ask::is_served(ADDRESS, PATIENCE).await?;
    let found = match way {
        Way::Rest | Way::RestUncached => both(process.id(), drivers, || Rest::connect(ADDRESS)).await,
        _ => both(process.id(), drivers, || Grpc::connect(ADDRESS)).await,
    };
    note(&format!("  {:.1} MB held", Group::only(process.id()).resident_mb()));
    process.stop().await?;
    found
}

/// Asks as fast as can be, then at half of that rate, and then as often as all others are asked. Those who ask have one thread together, as the one who answers
/// has: more of them would only take the processors from him, and from each other.
async fn both<A: ask::Ask, F: Future<Output = Result<A>>>(
    answering: u32,
    drivers: Option<f64>,
    connect: impl Fn() -> F + Send + 'static,
) -> Result<Turn> {
    let asking = move || -> Result<Turn> {
        if !machine::goes_first() {
            note(
                "  whoever asks waits for a processor like everybody else: to go first needs rights that are not there",
            );
        }
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            // Before it counts: connections are made, and memory is filled.
            closed(&connect, HOT).await?;
            let meter = Meter::start(answering);
            let answers = closed(&connect, HOT).await?;
            let cost = meter.read(Instant::now(), answers);
            let per_second = answers as f64 / cost.seconds;
            let at_half = open(&connect, HOT, MOST_TOLD.min(per_second / 2.0)).await?;
            let at_drivers_half = match drivers {
                Some(drivers) => open(&connect, HOT, drivers / 2.0).await?,
                None => at_half,
            };
            Ok(Turn { per_second, cost, at_half, at_drivers_half })
        })
    };
    // A thread of its own: nobody else is to go first.
    let asking = std::thread::spawn(asking);
    tokio::task::spawn_blocking(|| asking.join()).await?.ok().context("those who ask have died")?
}

fn reads(found: &[Vec<Turn>]) -> String {
    let mut table = String::from(
        "\n| get by id | answers/s | ÷ the driver | µs of whoever answers | of the database | p50, p99 at half of that, ms | at half of the driver's |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let direct: Vec<f64> = found.iter().take(1).flatten().map(|turn| turn.per_second).collect();
    for (turns, (_, name)) in found.iter().zip(WAYS) {
        let median =
            |of: &dyn Fn(&Turn) -> f64| Spread::of(turns.iter().map(of)).map_or(0.0, |spread| spread.median);
        let ratios = turns.iter().zip(&direct).map(|(turn, direct)| turn.per_second / direct);
        table += &format!(
            "| {name} | {:.0} | {:.2} | {:.0} | {:.0} | {:.2}, {:.2} | {:.2}, {:.2} |\n",
            median(&|turn| turn.per_second),
            Spread::of(ratios).map_or(0.0, |spread| spread.median),
            median(&|turn| turn.cost.own_us),
            median(&|turn| turn.cost.mongod_us.unwrap_or_default()),
            median(&|turn| turn.at_half.p50),
            median(&|turn| turn.at_half.p99),
            median(&|turn| turn.at_drivers_half.p50),
            median(&|turn| turn.at_drivers_half.p99),
        );
    }
    table
}
