//! The main run: an act without anything to heal what is lost, then one in which the broker loses events.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;

use crate::act::Act;
use crate::faults::{Counts, HARMLESS, LOSSY};
use crate::machine::process::Place;
use crate::machine::replica_set::MEMBERS;
use crate::machine::sidecars::Sidecars;
use crate::manifest::{Fields, manifest};
use crate::report::{note, row, title};
use crate::scenarios::{failover, hot_entity, lifecycle, outage, read_model};
use crate::stage::{Size, Stage};
use crate::{Arguments, Scenario};

/// How often the owner is asked again in the act in which the broker loses events.
const RECONCILE: Duration = Duration::from_secs(20);
/// A log so small that it can be made to roll over, in megabytes.
const SMALL_LOG: u32 = 32;
/// One that does not, in megabytes.
const LARGE_LOG: u32 = 4_000;

/// Plays what is asked for.
pub(crate) async fn scenario(arguments: &Arguments, place: &Place) -> Result<()> {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(1..1_000_000));
    title(&format!("nearcopy under chaos, seed {seed}, commit {}", commit()));
    match arguments.scenario {
        Scenario::Main | Scenario::Strict | Scenario::Lossy => main(arguments, place, seed).await,
        Scenario::Failover => failover::play(place, &size(arguments, seed)).await,
        Scenario::Outage => {
            let (seconds, rate) = (arguments.outage_seconds, arguments.outage_rate);
            outage::play(place, &size(arguments, seed), seconds, rate).await
        }
        Scenario::ReadModel => read_model::play(place, &size(arguments, seed), arguments.kills).await,
        Scenario::Lifecycle => {
            // One member, as in the figures of the bench, so that both can be compared.
            let size =
                Size { members: arguments.members.unwrap_or(1), tended: true, ..size(arguments, seed) };
            lifecycle::play(place, &size).await
        }
        Scenario::HotEntity => {
            let members = arguments.members.unwrap_or(MEMBERS);
            let size = Size { members, ..size(arguments, seed) };
            hot_entity::play(place, &size, arguments.documents).await
        }
    }
}

/// What a figure is measured with: nothing stands between, and the log is as large as it would be.
fn size(arguments: &Arguments, seed: u64) -> Size {
    Size {
        sidecars: arguments.sidecars,
        members: MEMBERS,
        oplog: LARGE_LOG,
        reconcile: None,
        proxies: false,
        tended: false,
        seed,
    }
}

/// One act after the other, or one of them alone.
async fn main(arguments: &Arguments, place: &Place, seed: u64) -> Result<()> {
    let acts = acts(arguments, seed);
    let first = acts.first().and_then(|(_, reconcile)| *reconcile);
    let size = Size { reconcile: first, oplog: SMALL_LOG, proxies: true, ..size(arguments, seed) };
    let stage = Stage::set_up(place, &size).await?;
    note(&format!("all is up: {}", versions(&stage, size.sidecars).await?));
    let counts = Counts::default();
    for (number, (act, reconcile)) in acts.iter().enumerate() {
        if number > 0 {
            stage.sidecars.stop().await?;
            Sidecars::declare(place, &manifest(&stage.api.url(), *reconcile, Fields::Three), size.sidecars)?;
            stage.sidecars.heal().await?;
            stage.sidecars.all_well().await?;
        }
        let verdict = act.play(&stage, &counts).await?;
        tally(&stage, &counts).await;
        verdict.pronounce(act.name)?;
    }
    stage.sidecars.stop().await?;
    note("every promise held");
    Ok(())
}

fn acts(arguments: &Arguments, seed: u64) -> Vec<(Act, Option<Duration>)> {
    let long = Duration::from_secs_f64(arguments.minutes * 60.0);
    let (rate, lossy) = (arguments.rate, arguments.kills / 5);
    let strict = Act {
        name: "nothing may be lost",
        faults: HARMLESS,
        kills: arguments.kills - lossy,
        long: long.mul_f64(0.75),
        rate,
        seed,
    };
    let lossy = Act {
        name: "what the broker loses is found again",
        faults: LOSSY,
        kills: lossy,
        long: long.mul_f64(0.25),
        rate,
        seed: seed + 1,
    };
    let whole = |act| Act { kills: arguments.kills, long, ..act };
    match arguments.scenario {
        Scenario::Strict => vec![(whole(strict), None)],
        Scenario::Lossy => vec![(whole(lossy), Some(RECONCILE))],
        _ => vec![(strict, None), (lossy, Some(RECONCILE))],
    }
}

async fn versions(stage: &Stage, sidecars: usize) -> Result<String> {
    let set = stage.set.lock().await;
    let database = set.run(0, bson::doc! { "buildInfo": 1 }).await?;
    let database = database.get_str("version").unwrap_or("unknown");
    let broker = stage.broker.lock().await.version().await?;
    let nearcopy = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "{sidecars} sidecars of nearcopy {nearcopy}, MongoDB {database} with 3 members, RabbitMQ {broker}"
    ))
}

/// What was done and what came of it, from the beginning of the run.
async fn tally(stage: &Arc<Stage>, counts: &Counts) {
    title("Tally since the beginning");
    for (fault, count) in counts.all() {
        row(&fault, &count.to_string(), true);
    }
    let publisher = &stage.publisher;
    for (name, count) in [
        ("events attempted", &publisher.attempted),
        ("events confirmed", &publisher.confirmed),
        ("publications repeated", &publisher.repeated),
    ] {
        row(name, &count.load(Ordering::Relaxed).to_string(), true);
    }
    let (books, _) = stage.sidecars.books().await;
    row("deliveries received, as last seen", &books.total("events_received").to_string(), true);
    for outcome in ["applied", "stale", "duplicate", "ignored", "deferred", "parked", "abandoned"] {
        row(outcome, &books.total(&format!("events {outcome}")).to_string(), true);
    }
    for (name, counter) in [
        ("questions to the owner", "fetches "),
        ("documents hydrated", "hydrated_documents "),
        ("documents fanned out", "fan_out_documents "),
        ("records retired", "retired_records"),
        ("change streams opened again", "change_stream_restarts "),
        ("conflicts", "conflicts"),
    ] {
        row(name, &books.total_of(counter).to_string(), true);
    }
    row("requests the owner has had", &stage.api.asked().to_string(), true);
    let (known, doubtful) = stage.shop.lock().await.counts();
    row("documents of the shop", &format!("{known}, {doubtful} of them in doubt"), true);
}

fn commit() -> String {
    let asked =
        Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "--short", "HEAD"]).output();
    asked
        .map_or_else(|_| "unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
