//! New products, which nearcopy completes with what it knows of their users.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use mongodb::IndexModel;
use tokio::time::{Instant, sleep};

use crate::contender::{Arena, Contender};
use crate::event::{Event, Workload};
use crate::fan_out::{EMBED, PRODUCTS, product, quiet};
use crate::manifest::manifest;
use crate::meter::Meter;
use crate::metrics::metric;
use crate::result::Hydration;
use crate::throughput::last_visible;

const USERS: u32 = 20_000;
const NEW: u32 = 100_000;
const PATIENCE: Duration = Duration::from_secs(200);

/// Inserts products while nearcopy runs, and waits until all of them show their users.
pub(crate) async fn measure(arena: &Arena) -> Result<Hydration> {
    arena.database.renew().await?;
    let link = arena.broker.renew().await?;
    let products = arena.database.durable(PRODUCTS);
    products.create_index(IndexModel::builder().keys(doc! { "userId": 1 }).build()).await?;
    let mut process = arena.start(Contender::Nearcopy, &manifest(EMBED))?;
    link.publish(&Workload::each_once(USERS, 1).events).await?;
    last_visible(arena, &mut process, Event { user: USERS, version: 1 }, PATIENCE).await?;
    quiet(&process).await?;
    let mut rng = fastrand::Rng::with_seed(1);
    let new: Vec<Document> = (0..NEW).map(|number| product(format!("p{number}"), rng.u32(..USERS))).collect();
    let meter = Meter::start(process.id());
    for page in new.chunks(1_000) {
        products.insert_many(page).await?;
    }
    let inserted_seconds = meter.began.elapsed().as_secs_f64();
    let deadline = Instant::now() + PATIENCE;
    while metric("nearcopy_hydrated_documents_total").await? < f64::from(NEW) {
        process.is_sound()?;
        ensure!(Instant::now() < deadline, "not all products are hydrated");
        sleep(Duration::from_millis(10)).await;
    }
    let ended = Instant::now();
    let cost = meter.read(ended, NEW as usize);
    process.stop().await?;
    let right = doc! { "$expr": { "$eq": ["$user.username", {
        "$concat": ["user-", { "$substrBytes": ["$userId", 1, -1] }, "-1"],
    }] } };
    let count = products.count_documents(right).await.context("counting products")?;
    ensure!(count == u64::from(NEW), "{count} products are right, not {NEW}");
    link.close().await?;
    Ok(Hydration { documents: NEW, inserted_seconds, cost })
}
