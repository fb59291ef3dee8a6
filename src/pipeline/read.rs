//! Answers readers: from what is held, and where that will not do, after a look at the owner.
//!
//! A reader has somebody waiting, so nothing here is repeated until it succeeds: it is told what there is when its time
//! is over, and whether that is what it wished.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Pipeline;
use crate::clock::Stopwatch;
use crate::event::EntityId;
use crate::replication::{Place, Query, Reading, RecordWrite, Service, State, Subscription, Wish};
use crate::store::{ReadStore, StoreError};

/// The first pause before what is wished for is looked for again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(80);

/// What readers are answered from.
pub struct Reader {
    pipeline: Arc<Pipeline>,
    store: Arc<dyn ReadStore>,
}

/// What a reader is told of an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The entity.
    pub id: EntityId,
    /// What is held, if anything is.
    pub reading: Option<Reading>,
    /// Whether its time was over before that was what it wished.
    pub late: bool,
}

impl Reader {
    /// Reads from this store, and has this pipeline ask owners.
    pub fn new(pipeline: Arc<Pipeline>, store: Arc<dyn ReadStore>) -> Self {
        Self { pipeline, store }
    }

    /// Every replica that can be read.
    pub fn replicas(&self) -> &[Arc<Subscription>] {
        &self.pipeline.declaration.replicas
    }

    /// Reads entities, each told once and in the order of their ids, within this time.
    pub async fn read(
        &self,
        of: &Subscription,
        ids: impl IntoIterator<Item = EntityId>,
        wish: &Wish,
        within: Duration,
    ) -> Result<Vec<Told>, StoreError> {
        let (watch, mut pause) = (Stopwatch::start(), FIRST_PAUSE);
        let mut left: BTreeSet<EntityId> = ids.into_iter().collect();
        let (mut told, mut asked) = (BTreeMap::new(), BTreeSet::new());
        loop {
            let ids: Vec<EntityId> = left.iter().cloned().collect();
            let mut found: BTreeMap<EntityId, Reading> = self
                .store
                .look_up(of, &ids)
                .await?
                .into_iter()
                .map(|read| (read.record.id.clone(), read))
                .collect();
            let over = watch.elapsed() >= within;
            let mut asks = Vec::new();
            for id in ids {
                let reading = found.remove(&id);
                let service = wish.service(of, reading.as_ref(), asked.contains(&id));
                if service == Service::Ask && !over {
                    asks.push(question(of, &id, reading.as_ref()));
                    asked.insert(id);
                } else if service == Service::Tell || over {
                    left.remove(&id);
                    told.insert(id.clone(), Told { id, reading, late: service != Service::Tell });
                }
            }
            if left.is_empty() {
                return Ok(told.into_values().collect());
            }
            self.ask(of, &asks).await?;
            tokio::time::sleep(pause.min(within.saturating_sub(watch.elapsed()))).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// The live records that meet a query, in its order, from behind a place on, and the place of the last one if there
    /// may be more. Nobody is asked.
    pub async fn list(
        &self,
        of: &Subscription,
        query: &Query,
        after: Option<&Place>,
        most: usize,
    ) -> Result<(Vec<Reading>, Option<Place>), StoreError> {
        let found = self.store.list(of, query, after, most).await?;
        let more = found.last().filter(|_| found.len() == most).map(|last| query.place(&last.record));
        Ok((found, more))
    }

    async fn ask(&self, of: &Subscription, asks: &[RecordWrite]) -> Result<(), StoreError> {
        if !asks.is_empty() {
            self.pipeline.store.write(of, asks, 0).await?;
            self.pipeline.wanted.send_replace(());
        }
        Ok(())
    }
}

/// What has the owner asked: whoever is missing is wanted from now on.
fn question(of: &Subscription, id: &EntityId, reading: Option<&Reading>) -> RecordWrite {
    match reading {
        Some(reading) if reading.record.state != State::Pending => {
            RecordWrite::Ask { id: id.clone(), wait: Duration::ZERO }
        }
        _ => RecordWrite::Placeholder { id: id.clone(), ask: true, hold: Some(of.reads.wanted) },
    }
}
