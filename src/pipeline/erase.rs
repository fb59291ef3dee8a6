//! One entity is erased: from its record, from every document that shows it, from the events that were put aside.
//!
//! The record goes first, so that whoever still fans out an older revision of it finds its documents stamped with a
//! newer one. From then on every pod makes documents show nothing of it, whatever their embed keeps of the deleted.

use std::collections::BTreeMap;

use super::{Halted, Pipeline};
use crate::event::{EntityId, Version};
use crate::replication::{Embed, Key, Record, RecordWrite, Scope, State, Subscription, Why};
use crate::store::Moment;

/// How many documents are looked at together.
const PAGE: usize = 500;
/// How often what is still shown is cleared before that is reported.
const ATTEMPTS: usize = 3;

/// What is held of one entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    /// Its record.
    pub record: Option<Record>,
    /// How many documents show something of it, by embed.
    pub documents: BTreeMap<String, u64>,
    /// How many parked events speak of it.
    pub parked: usize,
    /// How many parked events of its replica may, and do not say so.
    pub unattributed: usize,
}

/// What was erased, and what a look has found afterwards.
#[derive(Clone, Debug, PartialEq)]
pub struct Erased {
    /// How many documents were cleared, by embed.
    pub documents: BTreeMap<String, u64>,
    /// How many parked events were removed.
    pub parked: u64,
    /// What is held now.
    pub left: Holding,
}

impl Holding {
    /// Whether nothing is held but that it is gone.
    pub fn is_empty(&self) -> bool {
        let gone = self.record.as_ref().is_none_or(|record| matches!(record.state, State::Gone(_)));
        gone && self.parked == 0 && self.documents.values().all(|documents| *documents == 0)
    }
}

impl Pipeline {
    /// Looks what is held of an entity.
    pub async fn holding(&self, of: &Subscription, id: &EntityId) -> Result<Holding, Halted> {
        let moment = self.persist(|| self.store.heartbeat()).await?;
        let record = self.record(of, id, moment).await?;
        let mut documents = BTreeMap::new();
        for embed in self.declaration.embeds_of(&of.name) {
            documents.insert(embed.name.clone(), self.showing(embed, id).await?);
        }
        let parked = self.persist(|| self.store.parked_about(&of.name, Some(id))).await?.len();
        let unattributed = self.persist(|| self.store.parked_about(&of.name, None)).await?.len();
        Ok(Holding { record, documents, parked, unattributed })
    }

    /// Erases an entity. It may be repeated, and run beside any number of pods.
    ///
    /// What is left is a deletion at the version held, or at the given one if that is higher: only a higher version
    /// brings the entity back. Where there is no record, one is made only for a given version, and not where only
    /// wanted entities are kept.
    pub async fn erase(
        &self,
        of: &Subscription,
        id: &EntityId,
        version: Option<Version>,
    ) -> Result<Erased, Halted> {
        let epoch = self.timeline(of).await?.current();
        let floor = Key::gone(version.unwrap_or(Version::new(0)), Why::Erased, of.shape).in_epoch(epoch);
        let create = version.is_some() && of.keep.creates();
        let write = [RecordWrite::Erase { id: id.clone(), floor, create, owes: of.embedded }];
        self.persist(|| self.store.write(of, &write, 0)).await?;
        let about = self.persist(|| self.store.parked_about(&of.name, Some(id))).await?;
        let parked = self.persist(|| self.store.unpark(&about)).await?;
        let mut documents: BTreeMap<String, u64> = BTreeMap::new();
        let mut left = self.holding(of, id).await?;
        for _ in 0..ATTEMPTS {
            let erased = |record: &&Record| record.state == State::Gone(Why::Erased);
            let Some(record) = left.record.as_ref().filter(erased) else { break };
            for embed in self.declaration.embeds_of(&of.name) {
                *documents.entry(embed.name.clone()).or_default() += self.clear(embed, of, record).await?;
            }
            let paid = [RecordWrite::Paid { id: id.clone(), rev: record.rev }];
            left = self.holding(of, id).await?;
            if left.documents.values().all(|documents| *documents == 0) {
                self.pay(of, &paid).await?;
                break;
            }
        }
        Ok(Erased { documents, parked, left })
    }

    /// Makes every document that refers to an erased record show nothing of it, and stamps it with that revision.
    async fn clear(&self, embed: &Embed, of: &Subscription, record: &Record) -> Result<u64, Halted> {
        let mut cleared = 0;
        for filter in [embed.outdated(record), embed.shown(&record.id)] {
            let mut pages = self.persist(|| self.store.matching(embed, filter.clone())).await?;
            loop {
                let Ok(ids) = pages.next(PAGE).await else {
                    self.pause(self.rhythm.sweep_every).await?;
                    pages = self.persist(|| self.store.matching(embed, filter.clone())).await?;
                    continue;
                };
                if ids.is_empty() {
                    break;
                }
                cleared += self.show(embed, of, std::iter::once(record), Scope::Exactly(&ids)).await?;
            }
        }
        Ok(cleared)
    }

    async fn showing(&self, embed: &Embed, id: &EntityId) -> Result<u64, Halted> {
        let filter = embed.shown(id);
        let (mut showing, mut pages) =
            (0, self.persist(|| self.store.matching(embed, filter.clone())).await?);
        loop {
            let Ok(ids) = pages.next(PAGE).await else {
                self.pause(self.rhythm.sweep_every).await?;
                (showing, pages) = (0, self.persist(|| self.store.matching(embed, filter.clone())).await?);
                continue;
            };
            if ids.is_empty() {
                return Ok(showing);
            }
            showing += ids.len() as u64;
        }
    }

    async fn record(
        &self,
        of: &Subscription,
        id: &EntityId,
        after: Option<Moment>,
    ) -> Result<Option<Record>, Halted> {
        let ids = [id.clone()];
        Ok(self.persist(|| self.store.read(of, &ids, after)).await?.remove(id))
    }
}
