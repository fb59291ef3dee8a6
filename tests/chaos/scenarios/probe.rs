//! How long it takes from publishing a change until the consumer's document shows it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bson::{Document, doc};
use mongodb::Collection;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::report::shown;
use crate::stage::Stage;
use crate::world::shop::PRODUCTS;

/// How many users are renamed in turn, each with one product.
const PROBES: u64 = 200;
/// How often a product is looked at that does not show its user's new name yet.
const LOOK_EVERY: Duration = Duration::from_millis(4);
/// Longer than this is for ever.
const PATIENCE: Duration = Duration::from_secs(180);

/// Users of which each is shown by one product.
pub(crate) struct Probes {
    stage: Arc<Stage>,
    products: Collection<Document>,
    next: u64,
    rng: fastrand::Rng,
}

/// The times of many changes.
#[derive(Clone, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Probes {
    /// Makes them, and waits until each shows its user.
    pub(crate) async fn new(stage: &Arc<Stage>) -> Result<Self> {
        let products = stage.database.collection(PRODUCTS);
        let mut probes = Self { stage: stage.clone(), products, next: 0, rng: fastrand::Rng::with_seed(7) };
        let all: Vec<Document> =
            (0..PROBES).map(|number| doc! { "_id": name(number), "userId": name(number) }).collect();
        probes.products.insert_many(all).await?;
        let mut first = Times::default();
        for _ in 0..PROBES {
            first.0.push(probes.once().await?);
        }
        Ok(probes)
    }

    /// Renames one user and waits until that shows.
    pub(crate) async fn once(&mut self) -> Result<Duration> {
        let (id, wanted) = self.rename().await;
        visible(self.products.clone(), id, wanted, Instant::now()).await
    }

    /// Renames so many users in a second until something is done; the time that each took to show.
    pub(crate) async fn until<T>(
        &mut self,
        per_second: u32,
        done: impl Future<Output = Result<T>>,
    ) -> Result<(T, Times)> {
        let (mut waiting, mut times) = (JoinSet::new(), Times::default());
        let mut ticks = interval(Duration::from_secs(1) / per_second);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut done = std::pin::pin!(done);
        let value = loop {
            tokio::select! {
                value = &mut done => break value?,
                _ = ticks.tick() => {
                    let (id, wanted) = self.rename().await;
                    waiting.spawn(visible(self.products.clone(), id, wanted, Instant::now()));
                }
            }
        };
        while let Some(time) = waiting.join_next().await {
            times.0.push(time??);
        }
        Ok((value, times))
    }

    async fn rename(&mut self) -> (String, String) {
        self.next += 1;
        let id = name(self.next % PROBES);
        let (name, event) = self.stage.owner.rename(&id, &mut self.rng);
        self.stage.publisher.send(vec![event]).await;
        (id, name)
    }
}

impl Times {
    /// The time within which this share of the changes showed.
    pub(crate) fn at(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of some thousands"
        )]
        let at = (f64::from(u32::try_from(sorted.len()).unwrap_or(u32::MAX)) * share) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// For people.
    pub(crate) fn summary(&self) -> String {
        let [half, most, worst] = [0.5, 0.99, 1.0].map(|share| shown(self.at(share)));
        format!("p50 {half}, p99 {most}, worst {worst} of {}", self.0.len())
    }
}

/// A later name of the same user is as good.
async fn visible(
    products: Collection<Document>,
    id: String,
    wanted: String,
    began: Instant,
) -> Result<Duration> {
    let version = |name: &str| name.split(' ').nth(1).and_then(|version| version.parse::<i64>().ok());
    loop {
        let product = products.find_one(doc! { "_id": &id }).await.ok().flatten();
        let shows =
            product.as_ref().and_then(|product| product.get_document("user").ok()?.get_str("username").ok());
        if shows.is_some_and(|shows| version(shows) >= version(&wanted)) {
            return Ok(began.elapsed());
        }
        ensure!(began.elapsed() < PATIENCE, "{id} does not show {wanted}, but {shows:?}");
        sleep(LOOK_EVERY).await;
    }
}

fn name(number: u64) -> String {
    format!("probe-{number}")
}
