//! nearcopy is killed in the middle of its work and started again: the books close, and nothing is lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::ADA;
use crate::metrics::Scrape;
use crate::report::{Report, shown};
use crate::shop::Users;
use crate::stage::Stage;

/// Many users with few updates each: of what is under way at the kill, much is the last word on its user, and no later
/// event would hide its loss.
const CROWD: usize = 500;
const UPDATES_OF_ADA: usize = 50;
const SETTLES_WITHIN: Duration = Duration::from_mins(2);

pub(super) async fn nearcopy_is_killed(stage: &mut Stage, report: &Report, updates: usize) -> Result<()> {
    report.chapter("nearcopy is killed amid the updates");
    gather_crowd(stage, report).await?;

    let done = AtomicUsize::new(0);
    let users = stage.users.clone();
    let began = Instant::now();
    tokio::try_join!(flood(&users, updates, &done), kill_amid(stage, report, updates, &done))?;
    report.note(&format!("{updates} updates told in {}", shown(began.elapsed())));

    let since = Instant::now();
    let settled = async || {
        let drift = stage.drift().await?;
        ensure!(drift.is_empty(), "{} differ; the first: {}", drift.len(), drift[0]);
        Ok(())
    };
    let promise = "nothing is lost: every record is the owner's, every product its record's";
    report.eventually(promise, since, SETTLES_WITHIN, settled).await?;
    let closed = |now: &Scrape| now.received > 0 && now.is_closed();
    stage.expect_numbers(report, "the books close: each event received has one outcome", closed).await?;
    Ok(())
}

async fn gather_crowd(stage: &Stage, report: &Report) -> Result<()> {
    let since = Instant::now();
    stream::iter(0..CROWD)
        .map(|number| async move {
            let user = member(number);
            stage.users.create(&user, &user).await?;
            stage.products.create(&format!("p-{user}"), &user).await?;
            Ok::<_, anyhow::Error>(())
        })
        .buffer_unordered(8)
        .try_collect::<Vec<()>>()
        .await?;
    let complete = async || {
        let drift = stage.drift().await?;
        ensure!(drift.is_empty(), "{} differ; the first: {}", drift.len(), drift[0]);
        Ok(())
    };
    let promise = format!("{CROWD} more users, a product each: all complete");
    report.eventually(&promise, since, SETTLES_WITHIN, complete).await
}

/// Every update is another name. One user after the other; between them ada, with all her products behind her.
async fn flood(users: &Users, updates: usize, done: &AtomicUsize) -> Result<()> {
    stream::iter(0..updates)
        .map(|number| async move {
            let is_adas = number % (updates / UPDATES_OF_ADA).max(1) == 0;
            let user = if is_adas { ADA.to_owned() } else { member(number * CROWD / updates) };
            users.rename(&user, &format!("name-{number}")).await?;
            done.fetch_add(1, Ordering::Relaxed);
            Ok::<_, anyhow::Error>(())
        })
        .buffer_unordered(32)
        .try_collect::<Vec<()>>()
        .await
        .map(drop)
}

async fn kill_amid(stage: &mut Stage, report: &Report, updates: usize, done: &AtomicUsize) -> Result<()> {
    let began = Instant::now();
    while done.load(Ordering::Relaxed) < updates * 2 / 5 {
        ensure!(
            began.elapsed() < SETTLES_WITHIN,
            "after {SETTLES_WITHIN:?} fewer than 2 of 5 updates are told"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stage.scrape().await?;
    stage.nearcopy.kill()?;
    stage.books.close_life();
    report.note(&format!("killed after {} of {updates} updates", done.load(Ordering::Relaxed)));
    let took = stage.nearcopy.start(&stage.http).await?;
    report.kept("started again, it is ready", Some(took));
    Ok(())
}

fn member(number: usize) -> String {
    format!("crowd-{number}")
}
