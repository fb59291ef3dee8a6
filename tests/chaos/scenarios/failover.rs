//! M2: how long it takes from the election of a primary until nearcopy writes to it.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use mongodb::options::ReadConcern;
use tokio::time::{Instant, sleep};

use crate::machine::process::Place;
use crate::machine::replica_set::{DATABASE, ReplicaSet};
use crate::report::{row, shown, title};
use crate::stage::{Size, Stage};

/// How often it is measured.
const ROUNDS: usize = 5;
/// The longest it may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Events in a second.
const RATE: u32 = 100;

/// Kills the primary a few times.
pub(crate) async fn play(place: &Place, size: &Size) -> Result<()> {
    title("The primary is killed");
    let stage = Stage::set_up(place, size).await?;
    stage.rate.store(RATE, Ordering::Relaxed);
    let working = stage.clone();
    let owner = tokio::spawn(async move { working.owner_works(3).await });
    let mut worst = Duration::ZERO;
    for round in 1..=ROUNDS {
        sleep(Duration::from_secs(3)).await;
        let mut set = stage.set.lock().await;
        let (elected, written) = fail_over(&mut set).await?;
        row(
            &format!("round {round}"),
            &format!("elected after {}, first write {} later", shown(elected), shown(written)),
            written <= LIMIT,
        );
        worst = worst.max(written);
        set.heal().await?;
    }
    owner.abort();
    row("first good write (at most 5 s)", &shown(worst), worst <= LIMIT);
    ensure!(worst <= LIMIT, "the first write came {worst:?} after the election");
    Ok(())
}

/// Kills it; the times from then to the election, and from the election to the first write that a majority has.
async fn fail_over(set: &mut ReplicaSet) -> Result<(Duration, Duration)> {
    let old = set.elected(&[]).await?;
    set.kill(old)?;
    let killed = Instant::now();
    let new = set.elected(&[old]).await?;
    let (elected, micros) = (killed.elapsed(), now());
    let users = set.client(new).database(DATABASE).collection::<Document>("users");
    let later = doc! { "_nearcopy.rev": { "$gt": i64::try_from(micros)? } };
    let began = Instant::now();
    loop {
        let reading = users.find_one(later.clone()).read_concern(ReadConcern::majority());
        if reading.await.context("the new primary does not answer")?.is_some() {
            return Ok((elected, began.elapsed()));
        }
        ensure!(began.elapsed() < Duration::from_secs(60), "nobody writes to the new primary");
        sleep(Duration::from_millis(20)).await;
    }
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()
}
