//! How long it takes from publishing a change until the consumer's document shows it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bson::{Document, doc};
use futures::TryStreamExt;
use mongodb::Collection;
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
pub(crate) struct Times {
    each: Vec<Duration>,
    still: Duration,
}

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
            first.each.push(probes.once().await?);
        }
        Ok(probes)
    }

    /// Renames one user and waits until that shows.
    pub(crate) async fn once(&mut self) -> Result<Duration> {
        let (id, wanted) = self.rename().await;
        let mut waiting = Waiting::new(self.products.clone());
        waiting.add(id, &wanted);
        while !waiting.probes.is_empty() {
            sleep(LOOK_EVERY).await;
            waiting.look().await?;
        }
        Ok(waiting.times.at(1.0))
    }

    /// Renames so many users in a second until something is done; the time that each took to show.
    pub(crate) async fn until<T>(
        &mut self,
        per_second: u32,
        done: impl Future<Output = Result<T>>,
    ) -> Result<(T, Times)> {
        let mut waiting = Waiting::new(self.products.clone());
        // Both go on at all times: what one of them waits for may be in the hands of the other.
        let value = tokio::select! {
            value = done => value?,
            failed = self.measure(per_second, &mut waiting) => return Err(failed),
        };
        while !waiting.probes.is_empty() {
            sleep(LOOK_EVERY).await;
            waiting.look().await?;
        }
        Ok((value, waiting.times))
    }

    /// Renames so many users in a second and looks for what does not show yet, until that fails.
    async fn measure(&mut self, per_second: u32, waiting: &mut Waiting) -> anyhow::Error {
        let [mut ticks, mut looks] = [Duration::from_secs(1) / per_second, LOOK_EVERY].map(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let (id, wanted) = self.rename().await;
                    waiting.add(id, &wanted);
                }
                _ = looks.tick() => {
                    if let Err(error) = waiting.look().await {
                        return error;
                    }
                }
            }
        }
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
        let mut sorted = self.each.clone();
        sorted.sort();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of some thousands"
        )]
        let at = (f64::from(u32::try_from(sorted.len()).unwrap_or(u32::MAX)) * share) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// The longest time for which changes waited and none of them came to show.
    pub(crate) fn still(&self) -> Duration {
        self.still
    }

    /// For people.
    pub(crate) fn summary(&self) -> String {
        let [half, most, worst] = [0.5, 0.99, 1.0].map(|share| shown(self.at(share)));
        format!("p50 {half}, p99 {most}, worst {worst} of {}", self.each.len())
    }
}

/// Changes that do not show yet. All are looked for together, so that looking costs the database next to nothing.
struct Waiting {
    products: Collection<Document>,
    probes: Vec<Probe>,
    times: Times,
    /// Since when changes wait and none has come to show.
    since: Instant,
}

struct Probe {
    id: String,
    version: i64,
    began: Instant,
}

impl Waiting {
    fn new(products: Collection<Document>) -> Self {
        Self { products, probes: Vec::new(), times: Times::default(), since: Instant::now() }
    }

    fn add(&mut self, id: String, wanted: &str) {
        let (version, began) = (version(wanted).unwrap_or_default(), Instant::now());
        if self.probes.is_empty() {
            self.since = began;
        }
        self.probes.push(Probe { id, version, began });
    }

    /// Takes out those that show by now; a later name of the same user is as good.
    async fn look(&mut self) -> Result<()> {
        if self.probes.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = self.probes.iter().map(|probe| probe.id.as_str()).collect();
        let mut shown = BTreeMap::new();
        // A database that does not answer now does so later.
        if let Ok(mut found) = self.products.find(doc! { "_id": { "$in": ids } }).await {
            while let Ok(Some(product)) = found.try_next().await {
                let name = product.get_document("user").and_then(|user| user.get_str("username"));
                if let (Ok(id), Some(version)) = (product.get_str("_id"), name.ok().and_then(version)) {
                    shown.insert(id.to_owned(), version);
                }
            }
        }
        let (now, times, before) = (Instant::now(), &mut self.times, self.probes.len());
        self.probes.retain(|probe| {
            let shows = shown.get(&probe.id).is_some_and(|version| *version >= probe.version);
            if shows {
                times.each.push(now - probe.began);
            }
            !shows
        });
        if self.probes.len() < before {
            times.still = times.still.max(now - self.since);
            self.since = now;
        }
        let oldest = self.probes.iter().map(|probe| probe.began.elapsed()).max().unwrap_or_default();
        ensure!(oldest < PATIENCE, "a change has not been shown for {oldest:?}");
        Ok(())
    }
}

/// The version in a user's name.
fn version(name: &str) -> Option<i64> {
    name.split(' ').nth(1)?.parse().ok()
}

fn name(number: u64) -> String {
    format!("probe-{number}")
}
