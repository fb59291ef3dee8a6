//! A stream is folded and rebuilt while everything dies: counters are exact, nobody sees a step back, alerts have one id.

mod stream;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use fastrand::Rng;
use futures::TryStreamExt;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::machine::broker::Broker;
use crate::machine::eventually;
use crate::machine::process::{Place, Process};
use crate::machine::replica_set::ReplicaSet;
use crate::machine::sidecars::{Plan, Sidecars, program};
use crate::report::{note, row, shown, title, trace};
use crate::stage::Size;
use crate::world::shop::connect;

use stream::{ALERTED_AT, Counted, STREAM};

/// The read model, and its collection.
const MODEL: &str = "counters";
/// How long everything may take to come to rest after the last fault.
const REST: Duration = Duration::from_secs(60);
/// How often a rebuild is begun, in faults.
const REBUILD_EVERY: u32 = 6;

/// What is declared.
fn manifest() -> String {
    format!(
        "service: counting
sources:
  counted:
    stream: {{ name: {STREAM} }}
    event: {{ time: at }}
read_models:
  {MODEL}:
    source: counted
    key: data.counter
    on:
      Counted: {{ inc: {{ sum: data.by, times: 1 }}, count: {{ members: data.member }} }}
      Marked: {{ where: {{ group: data.group }}, inc: {{ marks: 1 }} }}
      Grouped: {{ set: {{ group: data.group }} }}
    stamp: changed
    rules:
      many:
        when: \"after.times >= {ALERTED_AT} && (!has(before.times) || before.times < {ALERTED_AT})\"
        emit: {{ exchange: alerts, key: many, type: Many, data: {{ counter: data.counter }} }}
"
    )
}

/// Everything that is there.
struct Scene<'p> {
    place: &'p Place,
    set: Mutex<ReplicaSet>,
    broker: Mutex<Broker>,
    sidecars: Sidecars,
    plan: Plan,
}

/// Kills so many processes while events come, and judges.
pub(crate) async fn play(place: &Place, size: &Size, kills: u32) -> Result<()> {
    let seed = size.seed;
    title("A stream is folded and rebuilt while everything dies");
    let (set, broker) =
        tokio::join!(ReplicaSet::start(place, size.members, size.oplog), Broker::start(place));
    let (set, broker) = (set?, broker?);
    stream::declare(&broker.url()).await?;
    let plan = Plan { manifest: manifest(), broker: broker.url(), database: set.url() };
    let sidecars = Sidecars::start(place, &plan, size.sidecars).await?;
    let scene = Scene { place, set: Mutex::new(set), broker: Mutex::new(broker), sidecars, plan };
    let stop = Arc::new(AtomicBool::new(false));
    let publishing = tokio::spawn(stream::publish(scene.plan.broker.clone(), seed, stop.clone()));
    let watching = tokio::spawn(witness::watch(scene.plan.database.clone(), stop.clone()));
    note("all is up");
    let tally = scene.faults(kills, &mut Rng::with_seed(seed)).await?;
    stop.store(true, Ordering::Relaxed);
    let published = publishing.await??;
    scene.heal().await?;
    let healed = Instant::now();
    let expected = stream::replay(&scene.plan.broker).await?;
    scene.is_folded(&expected).await?;
    row("events published, as far as confirmed", &published.to_string(), true);
    row("events in the stream", &expected.events.to_string(), true);
    for (what, times) in tally {
        row(&what, &times.to_string(), true);
    }
    row("time to lag 0 (at most 60 s)", &shown(healed.elapsed()), healed.elapsed() <= REST);
    let (looks, steps_back) = watching.await??;
    row("looks at counters meanwhile", &looks.to_string(), looks > 0);
    row("steps back before a reader's eyes", &steps_back.to_string(), steps_back == 0);
    let wrong = scene.wrong(&expected).await?;
    row("counters that are not exact", &wrong.to_string(), wrong == 0);
    let told = scene.told(expected.alerted().len()).await?;
    let twice = told.values().filter(|ids| ids.len() > 1).count();
    let missing = expected.alerted().iter().filter(|counter| !told.contains_key(**counter)).count();
    row("alerts due", &expected.alerted().len().to_string(), !expected.alerted().is_empty());
    row("alerts never told", &missing.to_string(), missing == 0);
    row("alerts told under two ids", &twice.to_string(), twice == 0);
    let (_, fallen) = scene.sidecars.books().await;
    row("sidecars in trouble", &fallen.len().to_string(), fallen.is_empty());
    ensure!(fallen.is_empty(), "{}", fallen.join("\n"));
    ensure!(steps_back == 0 && wrong == 0 && missing == 0 && twice == 0, "a promise is broken");
    scene.sidecars.stop().await
}

impl Scene<'_> {
    /// Lets processes die, one after the other, until enough have.
    async fn faults(&self, kills: u32, rng: &mut Rng) -> Result<BTreeMap<String, u32>> {
        let (mut tally, mut rebuilding) = (BTreeMap::<String, u32>::new(), None::<Process>);
        for fault in 0..kills {
            sleep(Duration::from_millis(rng.u64(200..3_000))).await;
            if let Some(mut rebuild) = rebuilding.take() {
                let ended = rebuild.ended()?;
                rebuild.kill()?;
                let how = if ended.is_some() { "rebuilds that ended" } else { "rebuilds that were killed" };
                *tally.entry(how.into()).or_default() += 1;
            }
            if fault % REBUILD_EVERY == REBUILD_EVERY - 1 {
                rebuilding = Some(self.begin_rebuild()?);
                sleep(Duration::from_millis(rng.u64(100..8_000))).await;
            }
            let what = self.fault(rng).await?;
            trace(what);
            *tally.entry(what.into()).or_default() += 1;
        }
        if let Some(mut rebuild) = rebuilding {
            rebuild.kill()?;
        }
        Ok(tally)
    }

    async fn fault(&self, rng: &mut Rng) -> Result<&'static str> {
        let pod = rng.usize(..self.sidecars.count());
        Ok(match rng.u8(..20) {
            0..12 => {
                self.sidecars.kill(pod).await?;
                self.sidecars.launch(pod).await?;
                "sidecars killed"
            }
            12..15 => {
                self.sidecars.signal(pod, "-STOP").await?;
                sleep(Duration::from_secs(5)).await;
                self.sidecars.signal(pod, "-CONT").await?;
                "sidecars stopped for 5 s"
            }
            15..18 => {
                let mut set = self.set.lock().await;
                let primary = set.elected(&[]).await?;
                set.kill(primary)?;
                set.launch(primary)?;
                "primaries killed"
            }
            _ => {
                let mut broker = self.broker.lock().await;
                broker.kill()?;
                broker.restart().await?;
                "brokers killed"
            }
        })
    }

    fn begin_rebuild(&self) -> Result<Process> {
        let manifest = self.place.folder.join("manifest-0.yaml").display().to_string();
        let arguments = ["read-model", "rebuild", MODEL, "--manifest", &manifest].map(str::to_owned);
        let mut rebuild = self
            .place
            .process("rebuild", program()?)
            .arguments(arguments)
            .environment("NEARCOPY__RABBITMQ__URL", &self.plan.broker)
            .environment("NEARCOPY__MONGODB__URL", &self.plan.database);
        rebuild.start()?;
        Ok(rebuild)
    }

    async fn heal(&self) -> Result<()> {
        self.set.lock().await.heal().await?;
        let mut broker = self.broker.lock().await;
        if !broker.is_started() {
            broker.restart().await?;
        }
        drop(broker);
        self.sidecars.heal().await
    }

    /// Waits until the last event is folded.
    async fn is_folded(&self, expected: &Counted) -> Result<()> {
        let database = connect(&self.plan.database).await?;
        let checkpoints = database.collection::<Document>("nearcopy.checkpoints");
        eventually("the last event is folded", REST * 3, async || {
            let at = checkpoints.find_one(doc! { "_id": MODEL }).await?.context("nothing is folded")?;
            let place = at.get_i64("place")?;
            ensure!(place == expected.last, "{place} of {}", expected.last);
            Ok(())
        })
        .await
    }

    /// How many counters are not what the stream says.
    async fn wrong(&self, expected: &Counted) -> Result<usize> {
        let database = connect(&self.plan.database).await?;
        let stored: Vec<Document> = database.collection(MODEL).find(doc! {}).await?.try_collect().await?;
        let right = stored.iter().filter(|stored| expected.is(stored)).count();
        Ok(expected.counters.len().max(stored.len()) - right)
    }

    /// The ids under which each counter's alert was told.
    async fn told(&self, due: usize) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let mut told = BTreeMap::<String, BTreeSet<String>>::new();
        let deadline = Instant::now() + REST;
        while told.len() < due && Instant::now() < deadline {
            for (counter, id) in stream::alerts(&self.plan.broker).await? {
                told.entry(counter).or_default().insert(id);
            }
            sleep(Duration::from_millis(500)).await;
        }
        Ok(told)
    }
}
