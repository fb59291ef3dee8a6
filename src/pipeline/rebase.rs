//! An owner was restored from a backup: a new epoch begins, every pod hears of it, and then the owner is asked about
//! all that is held.

use std::time::Duration;

use super::{Halted, Pipeline};
use crate::clock::Stopwatch;
use crate::replication::{Subscription, Timeline};
use crate::store::Presence;

/// How often it is looked whether every pod has heard.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long pods are waited for.
    pub patience: Duration,
    /// Over how long the questions to the owner are spread.
    pub spread: Duration,
}

/// A rebase that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebased {
    /// The epoch that has begun.
    pub epoch: i64,
    /// How many pods have heard of it.
    pub pods: usize,
    /// About how many records the owner will be asked; none where it cannot be asked.
    pub asked: Option<u64>,
}

/// Why a rebase is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RebaseError {
    /// The time is still to come.
    #[error("the database's clock has not come to that time yet")]
    Early,
    /// A later restoration is known.
    #[error("a restoration at a later time is known already")]
    Superseded,
    /// Some pods have not heard of it yet.
    #[error("{} has not heard of it yet", names(.0))]
    Unheard(Vec<Presence>),
    /// The program stops.
    #[error(transparent)]
    Halted(#[from] Halted),
}

impl Pipeline {
    /// Begins a new epoch of a replica, with a restoration of its owner at that time, in microseconds since 1970. It
    /// may be repeated: what is done is not done again, but for the questions to the owner.
    ///
    /// The owner is asked only when every pod has heard: one that has not takes the owner's new versions for old.
    pub async fn rebase(&self, of: &Subscription, at: i64, pace: Pace) -> Result<Rebased, RebaseError> {
        let at = at.div_euclid(1000).saturating_mul(1000);
        let moment = self.persist(|| self.store.restored(of, at)).await?;
        let timelines = self.persist(|| self.store.timelines(moment)).await?;
        let timeline = timelines.get(&of.name).cloned().unwrap_or_default();
        if timeline.restored().last() != Some(&at) {
            let later = timeline.restored().last() > Some(&at);
            return Err(if later { RebaseError::Superseded } else { RebaseError::Early });
        }
        let pods = self.all_have_heard(of, &timeline, pace.patience).await?;
        let mut asked = None;
        if of.fetch.is_some() {
            asked = Some(self.persist(|| self.store.ask_all(of, pace.spread)).await?);
        }
        Ok(Rebased { epoch: timeline.current(), pods, asked })
    }

    /// Waits for every pod that is at work; says how many there are.
    async fn all_have_heard(
        &self,
        of: &Subscription,
        timeline: &Timeline,
        patience: Duration,
    ) -> Result<usize, RebaseError> {
        let waiting = Stopwatch::start();
        loop {
            let pods = self.persist(|| self.store.present()).await?;
            let count = pods.len();
            let behind =
                |pod: &Presence| pod.epochs.get(&of.name).is_some_and(|epoch| *epoch < timeline.current());
            let unheard: Vec<Presence> = pods.into_iter().filter(behind).collect();
            if unheard.is_empty() {
                return Ok(count);
            }
            if waiting.elapsed() >= patience {
                return Err(RebaseError::Unheard(unheard));
            }
            self.pause(LOOK_EVERY).await?;
        }
    }
}

fn names(pods: &[Presence]) -> String {
    let name = |pod: &Presence| format!("pod {} on {}", pod.id, pod.host);
    pods.iter().map(name).collect::<Vec<_>>().join(", ")
}
