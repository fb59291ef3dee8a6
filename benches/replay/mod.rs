//! How fast a read model is folded from a stream, beside the least program that does the same.

mod raw;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use futures::TryStreamExt;
use tokio::time::{Instant, sleep};

use crate::contender::Arena;
use crate::event::{Spread as Chosen, Workload};
use crate::report::note;
use crate::result::Replay;
use crate::usage::Group;

/// The stream.
pub(crate) const STREAM: &str = "bench.history";
/// The read model, and its collection.
const MODEL: &str = "users";
/// How many users the events are of.
const USERS: u32 = 20_000;
const PATIENCE: Duration = Duration::from_secs(300);
const MANIFEST: &str = "
service: bench
sources:
  history:
    stream: { name: bench.history }
    event: { id: id, type: type, time: occurredAt, data: data }
read_models:
  users:
    source: history
    key: data.id
    on:
      user.updated:
        set: { username: data.username, email: data.email, city: data.address.city }
        inc: { changes: 1 }
    stamp: changed
";

/// Measures with so many events, each round beside the least program that does the same.
pub(crate) async fn measure(arena: &Arena, events: usize, rounds: usize) -> Result<Vec<Replay>> {
    let link = arena.broker.renew().await?;
    link.declare_stream(STREAM).await?;
    let workload = Workload::new(Chosen::Uniform, events, USERS, 0, 1);
    link.publish_to("", STREAM, &workload.events).await?;
    note(&format!("{events} events are in the stream"));
    let mut all: Vec<Replay> = Vec::new();
    let mut noted = |contender: &str, seconds: f64, peak_mb: Option<f64>| {
        let replay = Replay { contender: contender.to_owned(), events, seconds, peak_mb };
        note(&format!("replay by {contender}: {:.0} events/s", replay.per_second()));
        all.push(replay);
    };
    for _ in 0..rounds {
        arena.database.renew().await?;
        let (took, last) = raw::replay(arena, events).await?;
        check(arena, events).await?;
        noted("raw", took.as_secs_f64(), None);
        arena.database.renew().await?;
        let (took, peak) = replay(arena, last).await?;
        check(arena, events).await?;
        noted("nearcopy", took.as_secs_f64(), Some(peak));
    }
    link.close().await?;
    Ok(all)
}

/// Has nearcopy fold up to the last event; how long that took, and the memory it had at most.
async fn replay(arena: &Arena, last: i64) -> Result<(Duration, f64)> {
    let began = Instant::now();
    let mut process = arena.start_nearcopy(MANIFEST, &[])?;
    let checkpoints = arena.database.durable("nearcopy.checkpoints");
    let mut peak = 0.0_f64;
    loop {
        let at: Option<Document> = checkpoints.find_one(doc! { "_id": MODEL }).await?;
        peak = peak.max(Group::only(process.id()).resident_mb());
        if at.is_some_and(|at| at.get_i64("place").is_ok_and(|place| place == last)) {
            break;
        }
        process.is_sound()?;
        ensure!(began.elapsed() < PATIENCE, "not all is folded:\n{}", process.last_words());
        sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    process.stop().await?;
    Ok((took, peak))
}

/// Each event has had its effect once.
async fn check(arena: &Arena, events: usize) -> Result<()> {
    let sum = doc! { "$group": { "_id": null, "changes": { "$sum": "$changes" } } };
    let users = arena.database.durable(MODEL);
    let found: Vec<Document> = users.aggregate([sum]).await?.try_collect().await?;
    let changes = found.first().context("there are no users")?.get_i64("changes")?;
    ensure!(usize::try_from(changes)? == events, "{changes} changes of {events} events");
    Ok(())
}
