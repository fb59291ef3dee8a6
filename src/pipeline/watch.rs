//! Somebody watches a replica: what changes, from now on or from where somebody watched before.
//!
//! Each change is told as what the entity is now, at least once, and never something older after something newer. Whoever
//! is too slow is let go, and may take it up where it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bson::doc;
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;

use super::feed::{Changed, Feed, Standing, changed_in, told};
use crate::clock::Stopwatch;
use crate::event::EntityId;
use crate::store::{ReadStore, StoreError};

/// How long the change stream may take to be opened.
const OPENED_WITHIN: Duration = Duration::from_secs(10);
/// How long what was told of the past is remembered, so that nothing older is told after it.
const REMEMBERED: Duration = Duration::from_secs(30);
/// How many changes somebody may have missed; whoever missed more is better served by reading everything anew.
const MOST_MISSED: usize = 20_000;
/// How long a position can be.
const LONGEST: usize = 1_024;

/// Watches a replica.
pub struct Watch {
    only: BTreeSet<EntityId>,
    changes: broadcast::Receiver<Arc<Changed>>,
    /// What was missed, and is told first.
    missed: std::vec::IntoIter<Arc<Changed>>,
    past: Option<Past>,
    position: String,
}

/// What was told of the time before the watch began: of each entity its revision.
struct Past {
    told: BTreeMap<EntityId, Option<i64>>,
    since: Stopwatch,
}

/// Why nothing more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The watcher was too slow; it may go on from its last position.
    Behind,
    /// What happened is not known without a gap; the watcher has to read everything anew.
    Lost,
}

impl Watch {
    pub(super) async fn begin(
        feed: Arc<Feed>,
        store: Arc<dyn ReadStore>,
        only: BTreeSet<EntityId>,
        from: Option<&str>,
    ) -> Result<Self, StoreError> {
        let (changes, standing) = feed.listen();
        let position = opened(&feed, standing).await?;
        let missed = match from {
            Some(from) => missed(&feed, &*store, from).await?,
            None => Vec::new(),
        };
        let past = from.map(|_| Past::of(&missed));
        let position = missed.last().and_then(|changed| changed.position.clone()).unwrap_or(position);
        let missed = missed.into_iter().map(Arc::new).collect::<Vec<_>>().into_iter();
        Ok(Self { only, changes, missed, past, position })
    }

    /// From where on whoever has been told everything so far would take it up.
    pub fn position(&self) -> &str {
        &self.position
    }

    /// What has changed next. Nothing is missed by whoever stops waiting for it.
    pub async fn next(&mut self) -> Result<Arc<Changed>, Ended> {
        loop {
            let is_missed = self.missed.len() > 0;
            let changed = match self.missed.next() {
                Some(changed) => changed,
                None => self.changes.recv().await.map_err(|_| Ended::Behind)?,
            };
            self.position.clone_from(changed.position.as_ref().ok_or(Ended::Lost)?);
            let changed = if is_missed { changed } else { self.not_before_the_past(changed) };
            let changed = self.asked_for(changed);
            if !changed.told.is_empty() {
                return Ok(changed);
            }
        }
    }

    /// Leaves out what is older than what was told of the past.
    fn not_before_the_past(&mut self, changed: Arc<Changed>) -> Arc<Changed> {
        match &self.past {
            Some(past) if past.since.elapsed() < REMEMBERED => changed.only(|told| {
                let revision = told.reading.as_ref().map(|reading| reading.record.rev);
                past.told.get(&told.id).is_none_or(|known| revision.is_none() || revision >= *known)
            }),
            _ => {
                self.past = None;
                changed
            }
        }
    }

    fn asked_for(&self, changed: Arc<Changed>) -> Arc<Changed> {
        if self.only.is_empty() { changed } else { changed.only(|told| self.only.contains(&told.id)) }
    }
}

impl Past {
    fn of(missed: &[Changed]) -> Self {
        let all = missed.iter().flat_map(|changed| &changed.told);
        let revision = |told: &super::Told| told.reading.as_ref().map(|reading| reading.record.rev);
        Self { told: all.map(|told| (told.id.clone(), revision(told))).collect(), since: Stopwatch::start() }
    }
}

/// Waits until changes are followed, and says from where on.
async fn opened(feed: &Feed, mut standing: watch::Receiver<Standing>) -> Result<String, StoreError> {
    let is_open = |standing: &Standing| matches!(standing, Standing::Open { .. });
    let closed = || StoreError::Unavailable {
        action: format!("watching `{}`", feed.of.name),
        detail: "the change stream could not be opened".into(),
    };
    let waiting = timeout(OPENED_WITHIN, standing.wait_for(is_open));
    let standing = waiting.await.map_err(|_| closed())?.map_err(|_| closed())?.clone();
    match standing {
        Standing::Open { position, .. } => position.get_str("_data").map(str::to_owned).map_err(|_| closed()),
        Standing::Closed => Err(closed()),
    }
}

/// What has changed since that position, up to now. The common stream was listened to before, so there is no gap.
async fn missed(feed: &Feed, store: &dyn ReadStore, from: &str) -> Result<Vec<Changed>, StoreError> {
    let lost = || StoreError::HistoryLost { collection: feed.of.name.to_string() };
    if from.len() > LONGEST || !from.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(lost());
    }
    // A position that the database never gave is refused.
    let refused = |error| if matches!(error, StoreError::Refused { .. }) { lost() } else { error };
    let following = store.follow_records(&feed.of, Some(doc! { "_data": from })).await;
    let (mut changes, mut missed, mut count) = (following.map_err(refused)?, Vec::new(), 0);
    loop {
        let hints = changes.next(Duration::ZERO).await.map_err(refused)?;
        let ids: Vec<EntityId> = changed_in(&feed.of, &hints).into_iter().collect();
        count += ids.len();
        if hints.ended || count > MOST_MISSED {
            return Err(lost());
        }
        if ids.is_empty() {
            return Ok(missed);
        }
        let found = store.look_up(&feed.of, &ids, hints.moment).await?;
        missed.push(Changed::new(told(ids, found), hints.position.as_ref()));
    }
}
