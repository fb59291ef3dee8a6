//! N4: a user whom very many products refer to is renamed. All must show it, even if sidecars are killed meanwhile,
//! and others must hardly notice. How much they do is measured before the first kill: who waits for a dead sidecar waits
//! for that.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use mongodb::options::{InsertManyOptions, WriteConcern};
use tokio::time::{Instant, sleep};

use super::probe::Probes;
use crate::machine::eventually;
use crate::machine::process::Place;
use crate::report::{note, row, shown, title, trace};
use crate::stage::{Size, Stage};
use crate::world::shop::PRODUCTS;

/// The user.
const HOT: &str = "hot";
/// Events of others in a second, and of these, those that are measured. Few enough that a small machine, which holds
/// the whole set as well, is not at its limit with them alone.
const OTHERS: u32 = 100;
const MEASURED: u32 = 50;
/// How long others are measured without a rename, before and after: long enough for a checkpoint of the database, like
/// the rename.
const QUIET: Duration = Duration::from_secs(90);
/// How long the rename goes on before sidecars are killed.
const UNDISTURBED: Duration = Duration::from_secs(90);
/// By how much others' p99 may grow.
const LIMIT: f64 = 2.0;
/// How long a fan-out may take: on a small machine others' peace leaves it some hundred documents a second.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// How often a sidecar is killed.
const KILL_EVERY: Duration = Duration::from_secs(10);

/// Measures it with so many products.
pub(crate) async fn play(place: &Place, size: &Size, documents: u32) -> Result<()> {
    title(&format!("A user with {documents} products is renamed"));
    let stage = Stage::set_up(place, size).await?;
    let hot = Hot { stage: stage.clone(), documents };
    stage.rate.store(OTHERS - MEASURED, Ordering::Relaxed);
    let owner = stage.clone();
    let works = tokio::spawn(async move { owner.owner_works(1).await });
    let measured = hot.measure().await;
    works.abort();
    measured
}

struct Hot {
    stage: Arc<Stage>,
    documents: u32,
}

impl Hot {
    async fn measure(&self) -> Result<()> {
        let mut probes = Probes::new(&self.stage).await?;
        self.insert().await?;
        let ((), before) = probes.until(MEASURED, quiet()).await?;
        row("others, nothing else going on", &before.summary(), true);
        let rename = self.begin().await;
        let (_, during) = probes.until(MEASURED, self.complete(&rename, UNDISTURBED, None)).await?;
        row("others, during the rename", &during.summary(), true);
        let (kills, killed) =
            probes.until(MEASURED, self.complete(&rename, PATIENCE, Some(KILL_EVERY))).await?;
        let took = rename.began.elapsed();
        row("others, with a kill every 10 s", &killed.summary(), true);
        let ((), after) = probes.until(MEASURED, quiet()).await?;
        row("others, after it", &after.summary(), true);
        // Each window for itself: one that something else on the machine disturbs must not hide the other.
        let quiet = before.at(0.99).min(after.at(0.99));
        let ratio = during.at(0.99).as_secs_f64() / quiet.as_secs_f64();
        let rate = f64::from(self.documents) / took.as_secs_f64();
        row("the rename", &format!("{}, {rate:.0} documents/s, {kills} kills, complete", shown(took)), true);
        row("others' p99, against none (at most 2)", &format!("{ratio:.2}"), ratio <= LIMIT);
        ensure!(ratio <= LIMIT, "others' p99 grew by {ratio:.2}, not {LIMIT} at most");
        Ok(())
    }

    /// Puts the products in place, as they would be after a while: each shows the user already.
    async fn insert(&self) -> Result<()> {
        let database = &self.stage.database;
        let products = database.collection::<Document>(PRODUCTS);
        let (name, event) = self.stage.owner.rename(HOT, &mut fastrand::Rng::with_seed(1));
        products.insert_one(doc! { "_id": "hot-first", "userId": HOT }).await?;
        self.stage.publisher.send(vec![event]).await;
        let first = eventually("the first product shows the user", Duration::from_secs(30), async || {
            let first = products.find_one(doc! { "_id": "hot-first" }).await?.context("it is gone")?;
            ensure!(first.get_document("user")?.get_str("username")? == name, "not yet");
            Ok(first)
        })
        .await?;
        let options =
            InsertManyOptions::builder().ordered(false).write_concern(WriteConcern::nodes(1)).build();
        for from in (1..self.documents).step_by(5_000) {
            let page: Vec<Document> = (from..self.documents.min(from + 5_000))
                .map(|number| {
                    let mut product = first.clone();
                    product.insert("_id", format!("hot-{number}"));
                    product.insert("name", "a product of some size, as products are ".repeat(4));
                    product
                })
                .collect();
            products.insert_many(page).with_options(options.clone()).await?;
        }
        note("the products are there");
        // What is inserted last is seen last.
        products.insert_one(doc! { "_id": "hot-last", "userId": "probe-0" }).await?;
        eventually("all products have been seen", PATIENCE, async || {
            let last = products.find_one(doc! { "_id": "hot-last" }).await?.context("it is gone")?;
            ensure!(last.contains_key("user"), "not yet");
            Ok(())
        })
        .await?;
        note("and have been seen by the sidecars");
        Ok(())
    }

    /// Renames the user.
    async fn begin(&self) -> Rename {
        let (name, event) = self.stage.owner.rename(HOT, &mut fastrand::Rng::with_seed(2));
        self.stage.publisher.send(vec![event]).await;
        Rename { name, began: Instant::now() }
    }

    /// Waits for so long until every product shows it, and kills a sidecar now and then; says how often.
    async fn complete(
        &self,
        rename: &Rename,
        at_most: Duration,
        kill_every: Option<Duration>,
    ) -> Result<usize> {
        let (began, mut kills, mut last) = (Instant::now(), 0, Instant::now());
        let users = self.stage.database.collection::<Document>("users");
        let paid = doc! { "_id": HOT, "username": &rename.name, "_nearcopy.owes": { "$exists": false } };
        while began.elapsed() < at_most {
            sleep(Duration::from_millis(100)).await;
            if users.find_one(paid.clone()).await?.is_some() {
                let left = self.left(rename).await?;
                ensure!(left == 0, "{left} products do not show the new name though nothing is owed");
                return Ok(kills);
            }
            if kill_every.is_some_and(|every| last.elapsed() > every) {
                let pod = kills % self.stage.sidecars.count();
                self.stage.sidecars.kill(pod).await?;
                self.stage.sidecars.launch(pod).await?;
                (kills, last) = (kills + 1, Instant::now());
                trace(&format!("killed {kills} times"));
            }
        }
        ensure!(kill_every.is_none(), "the rename is not done within {at_most:?}");
        Ok(kills)
    }

    /// How many products do not show the new name yet.
    async fn left(&self, rename: &Rename) -> Result<u64> {
        let left = doc! { "userId": HOT, "user.username": { "$ne": &rename.name } };
        Ok(self.stage.database.collection::<Document>(PRODUCTS).count_documents(left).await?)
    }
}

/// A rename under way.
struct Rename {
    name: String,
    began: Instant,
}

async fn quiet() -> Result<()> {
    sleep(QUIET).await;
    Ok(())
}
