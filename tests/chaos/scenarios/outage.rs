//! One party is gone for a while, while the owner's users go on changing; then it is back, and all must be made up for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use bson::{Document, doc};
use tokio::time::{Instant, sleep};

use super::probe::Probes;
use crate::act::judge_at_rest;
use crate::machine::eventually;
use crate::machine::process::Place;
use crate::machine::replica_set::MEMBERS;
use crate::report::{note, row, shown, title};
use crate::stage::{Size, Stage};
use crate::world::api::Health;
use crate::world::shop::PRODUCTS;

/// The longest it may take to make up for it.
const LIMIT: Duration = Duration::from_secs(60);
/// How many users are first referred to while their owner is gone.
const STRANGERS: u32 = 500;

/// Each party in turn is gone for that long, at that many events in a second.
pub(crate) async fn play(place: &Place, size: &Size, seconds: u64, rate: u32) -> Result<()> {
    title(&format!("One party is gone for {seconds} s, at {rate} events/s"));
    let stage = Stage::set_up(place, size).await?;
    stage.rate.store(rate, Ordering::Relaxed);
    let working = stage.clone();
    let owner = tokio::spawn(async move { working.owner_works(4).await });
    let long = Duration::from_secs(seconds);
    let mut probes = Probes::new(&stage).await?;
    row("publish to visible, all being well", &shown(probes.once().await?), true);
    let mut worst = owner_gone(&stage, &mut probes, long).await?;
    worst = worst.max(broker_gone(&stage, &mut probes, long).await?);
    worst = worst.max(database_gone(&stage, &mut probes, long).await?);
    stage.rate.store(0, Ordering::Relaxed);
    sleep(Duration::from_secs(1)).await;
    owner.abort();
    judge_at_rest(&stage).await?.pronounce("the outages")?;
    ensure!(worst <= LIMIT, "it took {worst:?} to make up for an outage");
    Ok(())
}

/// F7: events flow on, and who is not known is known once the owner is back.
async fn owner_gone(stage: &Arc<Stage>, probes: &mut Probes, long: Duration) -> Result<Duration> {
    stage.api.is(Health::Dead);
    let mut rng = fastrand::Rng::with_seed(5);
    let strangers: Vec<Document> = (0..STRANGERS)
        .map(|number| {
            let id = format!("stranger-{number}");
            let _untold = stage.owner.rename(&id, &mut rng);
            doc! { "_id": &id, "userId": &id }
        })
        .collect();
    stage.database.collection::<Document>(PRODUCTS).insert_many(strangers).await?;
    sleep(long).await;
    row("publish to visible, the owner gone", &shown(probes.once().await?), true);
    let pending = doc! { "_nearcopy.state": "pending" };
    let users = stage.database.collection::<Document>("users");
    row("pending at the end", &users.count_documents(pending.clone()).await?.to_string(), true);
    stage.api.is(Health::Answers(0));
    let back = Instant::now();
    eventually("nobody is pending", LIMIT * 3, async || {
        ensure!(users.count_documents(pending.clone()).await? == 0, "some are");
        Ok(())
    })
    .await?;
    Ok(told("the owner", back.elapsed()))
}

/// D11: the owner publishes all that it could not once the broker is back.
async fn broker_gone(stage: &Arc<Stage>, probes: &mut Probes, long: Duration) -> Result<Duration> {
    let mut broker = stage.broker.lock().await;
    broker.kill()?;
    sleep(long).await;
    note(&format!("{} events wait for the broker", stage.publisher.waiting()));
    broker.restart().await?;
    // It is published after all that waits, and is visible after all of that is.
    let took = probes.once().await?;
    Ok(told("the broker", took))
}

/// M4: nothing is settled; the broker keeps the events.
async fn database_gone(stage: &Arc<Stage>, probes: &mut Probes, long: Duration) -> Result<Duration> {
    let mut set = stage.set.lock().await;
    (0..MEMBERS).try_for_each(|member| set.kill(member))?;
    sleep(long).await;
    (0..MEMBERS).try_for_each(|member| set.launch(member))?;
    set.elected(&[]).await?;
    let took = probes.once().await?;
    Ok(told("the database", took))
}

fn told(party: &str, took: Duration) -> Duration {
    row(&format!("made up for the loss of {party} (60 s)"), &shown(took), took <= LIMIT);
    took
}
