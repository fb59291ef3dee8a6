//! Epochs at work: every pod says that it is there and what it has heard, and hears within seconds that an owner was
//! restored from a backup.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Halted, Pipeline};
use crate::event::EntityType;
use crate::replication::{Record, Subscription, Timeline};
use crate::store::{Epochs, Moment, Timelines};
use crate::telemetry::metric;

/// How often a pod says that it is there, and listens.
const EVERY: Duration = Duration::from_secs(2);
/// How long it counts as being there without saying so again.
const HOLD: Duration = Duration::from_secs(15);
/// So many answers below what is held are no accident any more.
const MANY: u64 = 4;

/// The timelines as they were last heard, and whether that was ever the case.
#[derive(Default)]
pub(super) struct Heard {
    last: Mutex<Arc<Timelines>>,
    once: CancellationToken,
}

/// How many answers went back, by replica.
#[derive(Default)]
pub(super) struct Regressions(Mutex<BTreeMap<EntityType, u64>>);

impl Heard {
    fn last(&self) -> Arc<Timelines> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes note; says whether there is anything new.
    fn note(&self, heard: Timelines) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let news = !self.once.is_cancelled() || **last != heard;
        if news {
            *last = Arc::new(heard);
        }
        drop(last);
        self.once.cancel();
        news
    }
}

impl Pipeline {
    /// Is present until the program stops. That comes before listening: whoever declares a restoration either finds
    /// this pod, and waits for it, or is heard by it.
    pub(super) async fn be_present(self: Arc<Self>) -> Result<(), Halted> {
        let ended = self.announce_for_ever().await;
        // A presence that is not taken back ends by itself.
        let _departed = self.store.depart().await;
        ended
    }

    async fn announce_for_ever(&self) -> Result<(), Halted> {
        loop {
            let moment = self.announce().await?;
            if self.hear(moment).await? {
                self.announce().await?;
            }
            self.pause(EVERY).await?;
        }
    }

    async fn announce(&self) -> Result<Option<Moment>, Halted> {
        let heard = self.heard.last();
        let known = |of: &Arc<Subscription>| heard.get(&of.name).map_or(0, Timeline::current);
        let epochs: Epochs =
            self.declaration.replicas.iter().map(|of| (of.name.clone(), known(of))).collect();
        self.persist(|| self.store.announce(&epochs, HOLD)).await
    }

    /// Listens; says whether there was anything new.
    pub(super) async fn hear(&self, after: Option<Moment>) -> Result<bool, Halted> {
        let heard = self.persist(|| self.store.timelines(after)).await?;
        Ok(self.heard.note(heard))
    }

    /// Waits until this pod has listened for the first time.
    pub(super) async fn has_heard(&self) -> Result<(), Halted> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Halted),
            () = self.heard.once.cancelled() => Ok(()),
        }
    }

    /// A replica's timeline as far as it is known here.
    pub(super) async fn timeline(&self, of: &Subscription) -> Result<Timeline, Halted> {
        if !self.heard.once.is_cancelled() {
            self.hear(None).await?;
        }
        Ok(self.heard.last().get(&of.name).cloned().unwrap_or_default())
    }

    /// Whether records come from an epoch that this pod had not heard of, and has now. What it decided without is
    /// decided again.
    pub(super) async fn was_behind<'r>(
        &self,
        epoch: i64,
        mut records: impl Iterator<Item = &'r Record>,
    ) -> Result<bool, Halted> {
        if !records.any(|record| record.epoch() > epoch) {
            return Ok(false);
        }
        let moment = self.persist(|| self.store.heartbeat()).await?;
        self.hear(moment).await
    }

    /// Counts answers below what is held. When they have become many, and each time they have doubled, it says so.
    pub(super) fn gone_back(&self, of: &Subscription, answers: usize) {
        if answers == 0 {
            return;
        }
        metric::regressions(of.name.as_str(), answers);
        let mut regressions = self.regressions.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = regressions.entry(of.name.clone()).or_default();
        let before = *counted;
        *counted += answers as u64;
        let doubled = before == 0 || counted.ilog2() > before.ilog2();
        if *counted >= MANY && doubled {
            tracing::warn!(
                event = "owner.gone_back",
                entity.r#type = %of.name,
                answers = *counted,
                "the owner's versions have gone back; if it was restored from a backup, run `nearcopy rebase`"
            );
        }
    }
}
