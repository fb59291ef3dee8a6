//! All that a run needs, put up.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex as Plain, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use mongodb::Database;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::machine::broker::{self, Broker};
use crate::machine::process::Place;
use crate::machine::replica_set::{self, ReplicaSet};
use crate::machine::sidecars::{Plan, Sidecars};
use crate::manifest::{Fields, manifest};
use crate::proxy::{Proxy, Wire};
use crate::world::api::Api;
use crate::world::owner::{Owner, garbage};
use crate::world::publisher::Publisher;
use crate::world::reader::{Noticed, Reader};
use crate::world::shop::{ANCHORS, Shop, anchor_user, connect};

/// How many users there are, besides those that the anchors refer to.
const USERS: u64 = 1_500;
/// How often the shop does something.
const SHOP_EVERY: Duration = Duration::from_millis(25);

/// How big a run is.
#[derive(Clone)]
pub(crate) struct Size {
    pub(crate) sidecars: usize,
    /// Members of the database.
    pub(crate) members: usize,
    /// Megabytes of the database's log.
    pub(crate) oplog: u32,
    pub(crate) reconcile: Option<Duration>,
    /// Whether proxies stand between the sidecars and the rest.
    pub(crate) proxies: bool,
    /// Whether a kubelet starts the sidecars and ends them.
    pub(crate) tended: bool,
    pub(crate) seed: u64,
}

/// Everything around the sidecars, and the sidecars.
pub(crate) struct Stage {
    pub(crate) set: Mutex<ReplicaSet>,
    pub(crate) broker: Mutex<Broker>,
    pub(crate) broker_url: String,
    pub(crate) sidecars: Sidecars,
    pub(crate) to_broker: Proxy,
    pub(crate) to_database: Vec<Proxy>,
    pub(crate) owner: Arc<Owner>,
    pub(crate) api: Api,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) shop: Mutex<Shop>,
    pub(crate) noticed: Arc<Plain<Noticed>>,
    pub(crate) database: Database,
    /// Held by whoever needs the sidecars to stay as they are.
    pub(crate) hands: Mutex<()>,
    /// Events that the owner makes in a second.
    pub(crate) rate: AtomicU32,
    /// What the manifest at work declares.
    pub(crate) fields: Plain<Fields>,
}

impl Stage {
    /// Puts everything up and waits until it is well; nothing happens yet.
    pub(crate) async fn set_up(place: &Place, size: &Size) -> Result<Arc<Self>> {
        let (set, broker) =
            tokio::join!(ReplicaSet::start(place, size.members, size.oplog), Broker::start(place));
        let (set, broker) = (set?, broker?);
        let (to_broker, to_database) = (
            Proxy::before(broker.authority(), Wire::Amqp).await?,
            Proxy::before_set(&set.authorities()).await?,
        );
        let owner = Arc::new(Owner::new());
        let api = Api::start(owner.clone())?;
        let shop = Shop::open(&set.url(), USERS, size.seed).await?;
        let ways: Vec<String> = to_database.iter().map(Proxy::authority).collect();
        let plan = Plan {
            manifest: manifest(&api.url(), size.reconcile, Fields::Three),
            broker: if size.proxies { broker::url_at(&to_broker.authority()) } else { broker.url() },
            database: if size.proxies { replica_set::url_at(&ways) } else { set.url() },
        };
        let sidecars = if size.tended {
            Sidecars::tended(place, &plan, size.sidecars).await?
        } else {
            Sidecars::start(place, &plan, size.sidecars).await?
        };
        let stage = Self {
            broker_url: broker.url(),
            publisher: Publisher::start(broker.url()),
            noticed: Reader::start(&set.url(), owner.clone()).await?,
            database: connect(&set.url()).await?,
            set: Mutex::new(set),
            broker: Mutex::new(broker),
            sidecars,
            to_broker,
            to_database,
            owner,
            api,
            shop: Mutex::new(shop),
            hands: Mutex::new(()),
            rate: AtomicU32::new(0),
            fields: Plain::new(Fields::Three),
        };
        Ok(Arc::new(stage))
    }

    /// The fields that must be held at rest.
    pub(crate) fn declared(&self) -> Fields {
        *self.fields.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on these are.
    pub(crate) fn declare(&self, fields: Fields) {
        *self.fields.lock().unwrap_or_else(PoisonError::into_inner) = fields;
    }

    /// Nothing changes any more: whoever holds this keeps the shop from its work, and the owner's last event is
    /// confirmed.
    pub(crate) async fn rest(&self) -> Result<MutexGuard<'_, Shop>> {
        self.rate.store(0, Ordering::Relaxed);
        // The shop ends what it is at, and then knows what became of it.
        let resting = self.shop.lock().await;
        self.published().await?;
        Ok(resting)
    }

    /// Waits until the last event is confirmed; some may be about to be published.
    pub(crate) async fn published(&self) -> Result<()> {
        timeout(Duration::from_secs(60), async {
            sleep(Duration::from_millis(100)).await;
            while self.publisher.waiting() > 0 {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .context("the publisher cannot publish")
    }

    /// The owner's users change, for ever, at the rate of the moment; some events come twice, some late.
    pub(crate) async fn owner_works(&self, seed: u64) {
        const TICKS: u32 = 50;
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut ticks = interval(Duration::from_secs(1) / TICKS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut later, mut rest) = (Vec::new(), 0);
        loop {
            ticks.tick().await;
            rest += self.rate.load(Ordering::Relaxed);
            let mut events = Vec::new();
            let count = rest / TICKS;
            rest %= TICKS;
            for _ in 0..count {
                let event = self.owner.touch(&somebody(&mut rng), &mut rng);
                match rng.u8(..100) {
                    0..3 => later.push((event, false)),
                    3..6 => {
                        later.push((event.clone(), true));
                        events.push(event);
                    }
                    _ => events.push(event),
                }
                if rng.u16(..1000) == 0 {
                    events.push(garbage(&mut rng));
                }
            }
            self.publisher.send(events).await;
            // What is late comes in any order; when the owner rests, all of it has come.
            let most = if self.rate.load(Ordering::Relaxed) == 0 { 0 } else { 40 };
            while later.len() > most {
                let (event, is_again) = later.swap_remove(rng.usize(..later.len()));
                if is_again {
                    self.publisher.send_again(event).await;
                } else {
                    self.publisher.send(vec![event]).await;
                }
            }
        }
    }

    /// The shop works, for ever.
    pub(crate) async fn shop_works(&self) {
        loop {
            self.shop.lock().await.act().await;
            sleep(SHOP_EVERY).await;
        }
    }
}

/// Some user; those that the anchors refer to come often.
pub(crate) fn somebody(rng: &mut fastrand::Rng) -> String {
    if rng.u8(..5) == 0 { anchor_user(rng.u64(..ANCHORS)) } else { format!("u{}", rng.u64(..USERS)) }
}
