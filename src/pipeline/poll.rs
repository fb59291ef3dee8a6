//! Asks for events, page by page.
//!
//! A position is remembered once all that comes before it has had its effect: after the settling, for replicas; in the
//! transaction with the documents, for read models. So whatever goes wrong, the same page is asked for again.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bson::doc;
use bytes::Bytes;
use tokio::sync::watch as signal;

use super::deadline::{LOOK_EVERY, Lookout};
use super::lease::RENEWED_EVERY;
use super::patience::{LONGEST_PAUSE, pauses};
use super::project::{Interrupted, Projection, REMEMBERED};
use super::{Halted, Pipeline};
use crate::clock::Stopwatch;
use crate::event::Headers;
use crate::fetch::{Feed, FeedError, FetchError};
use crate::replication::{Bench, FeedSpec, Inflow, Page};
use crate::source::{Delivery, Ledger};
use crate::store::Lapsed;

/// How an event is written that stands in a page; only where that must be said.
const CONTENT_TYPE: &str = "application/cloudevents+json";
/// How a checkpoint says a position, lest another kind of place be taken for one.
const AFTER: &str = "after:";

/// A feed at work for replicas.
pub struct Polling {
    /// Which.
    pub of: Arc<FeedSpec>,
    /// How it is asked.
    pub feed: Arc<dyn Feed>,
    /// What is in the way, if anything is.
    pub trouble: signal::Sender<Option<String>>,
}

impl Pipeline {
    /// Asks for ever, one pod at a time.
    pub(super) async fn poll(self: Arc<Self>, polling: Polling) -> Result<(), Halted> {
        self.has_heard().await?;
        let lease = format!("feed:{}", polling.of.name);
        self.leased(&lease, async {
            loop {
                let held = self.if_leased(&lease, self.poll_for_ever(&polling, &lease)).await?;
                if held.is_none() {
                    // Another pod asks, which is as it should be.
                    polling.trouble.send_replace(None);
                }
                self.pause(RENEWED_EVERY).await?;
            }
        })
        .await
    }

    async fn poll_for_ever(&self, polling: &Polling, position: &str) -> Result<Infallible, Halted> {
        let source = Inflow::Feed(polling.of.clone());
        let mut waits = pauses();
        loop {
            let stored = self.persist(|| self.store.position(position)).await?;
            let after = stored.as_ref().and_then(|stored| stored.get_str("after").ok());
            let after = after.unwrap_or_else(|| polling.of.first());
            let page = match self.page(&*polling.feed, after).await? {
                Ok(page) => page,
                Err(error) => {
                    polling.complain(&error);
                    self.pause(waits.next().unwrap_or(LONGEST_PAUSE)).await?;
                    continue;
                }
            };
            waits = pauses();
            polling.trouble.send_replace(None);
            if page.next == after {
                self.pause(polling.of.every).await?;
                continue;
            }
            if self.take_in(&source, after, page.items).await? {
                let next = doc! { "after": page.next };
                self.persist(|| self.store.set_position(position, Some(&next))).await?;
            }
        }
    }

    /// Works through events; says whether all of them are settled.
    async fn take_in(&self, source: &Inflow, after: &str, items: Vec<String>) -> Result<bool, Halted> {
        let settled = Arc::new(Settled::default());
        let all = items.len();
        let mut deliveries = deliveries(after, items, &settled);
        while !deliveries.is_empty() {
            let later = deliveries.split_off(self.rhythm.batch.min(deliveries.len()));
            let now = std::mem::replace(&mut deliveries, later);
            Box::pin(self.run_batch(source, now)).await?;
        }
        Ok(settled.0.load(Ordering::Relaxed) == all)
    }

    /// Asks for what comes after a position, once an owner need not be left in peace any more.
    async fn page(&self, feed: &dyn Feed, after: &str) -> Result<Result<Page, FeedError>, Halted> {
        loop {
            let page = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Halted),
                page = feed.page(after) => page,
            };
            match page {
                Err(FeedError::Owner(FetchError::Resting)) => self.pause(RENEWED_EVERY).await?,
                told => return Ok(told),
            }
        }
    }

    /// Folds page after page into a read model, until that is interrupted.
    pub(super) async fn fold_from_feed(
        &self,
        projection: &Projection,
        feed: &dyn Feed,
    ) -> Result<Infallible, Interrupted> {
        let Inflow::Feed(spec) = &projection.inflow else { return Err(Interrupted::Ended) };
        let mut checkpoint = self.take_over(projection).await?;
        let (mut bench, mut lookout) = (Bench::default(), Lookout::new(projection));
        loop {
            let stored = checkpoint.as_ref().and_then(|at| at.mark.strip_prefix(AFTER));
            let after = stored.unwrap_or_else(|| spec.first()).to_owned();
            let Page { items, next } = self.page(feed, &after).await??;
            projection.trouble.send_replace(None);
            let items = projection.read(deliveries(&after, items, &Arc::new(Settled::default())));
            lookout.hear(&items);
            let mut lapsed = lookout.look(projection).await?;
            if next == after && lapsed.is_none() {
                lapsed = self.wait_for_deadlines(projection, &mut lookout, spec.every).await?;
                if lapsed.is_none() {
                    continue;
                }
            }
            let place = (0, format!("{AFTER}{next}"));
            let (order, known) =
                projection.prepare(checkpoint.as_ref(), place, bench, Arc::new(items), lapsed);
            checkpoint = Some(order.next.clone());
            let stored = projection.finish(order.begin(projection, &self.under_way), &self.settled).await?;
            bench = known.or(stored).filter(|bench| bench.bytes() <= REMEMBERED).unwrap_or_default();
        }
    }

    /// Waits until it is time to ask again, or a deadline has passed.
    async fn wait_for_deadlines(
        &self,
        projection: &Projection,
        lookout: &mut Lookout,
        every: Duration,
    ) -> Result<Option<Lapsed>, Interrupted> {
        let waiting = Stopwatch::start();
        let step = if projection.of.has_deadlines() { LOOK_EVERY } else { every };
        while waiting.elapsed() < every {
            self.pause(step.min(every)).await?;
            let lapsed = lookout.look(projection).await?;
            if lapsed.is_some() {
                return Ok(lapsed);
            }
        }
        Ok(None)
    }
}

impl Polling {
    fn complain(&self, error: &FeedError) {
        let said = error.to_string();
        let (source, class) = (&*self.of.name, error.class());
        let before = self.trouble.send_replace(Some(said.clone()));
        if before.as_ref() == Some(&said) {
            tracing::debug!(event = "feed.failed", source, %class, "{said}");
        } else {
            tracing::warn!(event = "feed.failed", source, %class, "what comes next is not told: {said}");
        }
    }
}

/// The events of a page, each of which has a place of its own, the same each time that the page is asked for.
fn deliveries(after: &str, items: Vec<String>, ledger: &Arc<Settled>) -> Vec<Delivery> {
    let delivery = |(number, item): (u64, String)| {
        let place = xxhash_rust::xxh3::xxh3_64(format!("{number}/{after}").as_bytes());
        let (content_type, ledger) = (Some(CONTENT_TYPE.to_owned()), ledger.clone());
        Delivery::new(Bytes::from(item), content_type, Headers::new(), false, number, ledger).at(Some(place))
    };
    (0..).zip(items).map(delivery).collect()
}

/// Counts what is settled of a page.
#[derive(Default)]
struct Settled(AtomicUsize);

impl Ledger for Settled {
    fn settle(&self, _tag: u64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
