//! Brings the documents that refer to a record in line with it: few at once, many page by page.
//!
//! There is no cursor to keep: how far a fan-out has come stands in the stamps, and that it is owed stands in the
//! record. A crash costs one more look.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bson::{Bson, doc};
use tokio::sync::Notify;

use super::{Halted, Pipeline};
use crate::clock::Stopwatch;
use crate::event::{EntityId, EntityType};
use crate::replication::{Embed, EmbedWrite, Record, RecordWrite, Rendering, Scope, Subscription};
use crate::store::{Removal, Written};
use crate::telemetry::metric;

/// Up to so many documents are brought in line with one statement; a record with more goes page by page.
const INLINE: u64 = 1_000;
/// How many documents are one page.
const PAGE: usize = 500;
/// How many statements go to the database together: more only make a command last, and others wait behind it.
const STATEMENTS: usize = 100;

/// Records whose fan-out is too large to be done at once, in line.
#[derive(Default)]
pub struct Backlog {
    waiting: Mutex<VecDeque<(EntityType, EntityId)>>,
    filled: Notify,
}

impl Pipeline {
    /// Fans records out that owe it, and says which debts are cleared by that. Records with many documents are
    /// put in line instead, and go on owing.
    pub(super) async fn fan_out(
        &self,
        of: &Subscription,
        owing: &[Record],
    ) -> Result<Vec<RecordWrite>, Halted> {
        if owing.is_empty() {
            return Ok(Vec::new());
        }
        let mut deferred = BTreeSet::new();
        for embed in self.declaration.embeds_of(&of.name) {
            let watch = Stopwatch::start();
            let large = self.large(embed, owing).await?;
            let small = owing.iter().filter(|record| !large.contains(&record.id));
            self.show(embed, of, small, Scope::Everywhere).await?;
            deferred.extend(large);
            metric::fan_out_duration(&embed.name, watch.elapsed());
        }
        for id in &deferred {
            self.large.push(&of.name, id.clone());
        }
        let done = owing.iter().filter(|record| !deferred.contains(&record.id));
        Ok(done.map(|record| RecordWrite::Paid { id: record.id.clone(), rev: record.rev }).collect())
    }

    /// Writes down that debts are cleared.
    pub(super) async fn pay(&self, of: &Subscription, paid: &[RecordWrite]) -> Result<(), Halted> {
        if paid.is_empty() {
            return Ok(());
        }
        self.persist(|| self.store.write(of, paid, 0)).await.map(|_| ())
    }

    /// The records among these that more documents refer to than one statement should touch.
    async fn large(&self, embed: &Embed, owing: &[Record]) -> Result<BTreeSet<EntityId>, Halted> {
        let ids: Vec<EntityId> = owing.iter().map(|record| record.id.clone()).collect();
        let counted = self.persist(|| self.store.count(embed, &ids, INLINE + 1)).await?;
        Ok(counted.into_keys().collect())
    }

    /// Makes documents show these records.
    pub(super) async fn show<'r>(
        &self,
        embed: &Embed,
        of: &Subscription,
        records: impl Iterator<Item = &'r Record>,
        scope: Scope<'_>,
    ) -> Result<u64, Halted> {
        let mut writes = Vec::new();
        for record in records {
            if embed.render(record) == Rendering::Remove {
                self.remove(embed, of, record).await?;
            }
            writes.extend(embed.writes(record, scope));
        }
        let mut changed = 0;
        for chunk in writes.chunks(STATEMENTS) {
            changed += self.embed(embed, chunk).await?;
        }
        metric::fan_out_documents(&embed.name, changed);
        Ok(changed)
    }

    /// Runs statements; what the database refuses is taken apart until the documents that cannot take it are
    /// known, and those are put aside.
    pub(super) async fn embed(&self, embed: &Embed, writes: &[EmbedWrite]) -> Result<u64, Halted> {
        let Written { mut changed, refused, .. } = self.persist(|| self.store.embed(embed, writes)).await?;
        for refusal in refused {
            if let Some(write) = writes.get(refusal.index) {
                changed += self.embed_carefully(embed, write).await?;
            }
        }
        Ok(changed)
    }

    /// Runs a refused statement for one document after the other.
    async fn embed_carefully(&self, embed: &Embed, write: &EmbedWrite) -> Result<u64, Halted> {
        let mut changed = 0;
        let mut from: Option<Bson> = None;
        loop {
            let page = self.persist(|| self.store.scan(embed, &write.filter, from.as_ref(), PAGE)).await?;
            let ids: Vec<Bson> = page.into_iter().filter_map(|mut found| found.remove("_id")).collect();
            let Some(last) = ids.last() else { return Ok(changed) };
            from = Some(last.clone());
            for id in ids {
                let single =
                    EmbedWrite { filter: doc! { "$and": [{ "_id": &id }, &write.filter] }, ..write.clone() };
                let singles = [single];
                let written = self.persist(|| self.store.embed(embed, &singles)).await?;
                changed += written.changed;
                for refusal in written.refused {
                    self.park_document(embed, &id, &refusal.reason).await?;
                }
            }
        }
    }

    /// Deletes the documents that show a deleted record, a page at a time. Those that never showed it are left to
    /// hydration, and must not stand in the way of the others.
    async fn remove(&self, embed: &Embed, of: &Subscription, record: &Record) -> Result<(), Halted> {
        loop {
            let mut filter = embed.outdated(record);
            filter.insert(format!("{}.ref", embed.stamp_path()), record.id.to_bson());
            let ids = self.persist(|| self.store.matching(embed, filter.clone(), 100)).await?;
            let removal = Removal { ids: &ids, unstamped: false };
            let removed = self.persist(|| self.store.remove(embed, of, record, removal)).await?;
            if removed == 0 {
                return Ok(());
            }
            tracing::info!(
                event = "embed.removed",
                embed = embed.name,
                documents = removed,
                "documents of a deleted entity are deleted"
            );
        }
    }

    /// Works through the records in line, a page each in turn, so that no one holds up another.
    pub(super) async fn fan_out_large(self: Arc<Self>) -> Result<(), Halted> {
        loop {
            let Some((name, id)) = self.large.next() else {
                tokio::select! {
                    () = self.stop.cancelled() => return Err(Halted),
                    () = self.large.filled.notified() => continue,
                }
            };
            let Ok(of) = self.declaration.replica(name.as_str()).cloned() else { continue };
            match self.next_page(&of, &id).await? {
                Page::More => self.large.push(&name, id),
                Page::Last(paid) => self.pay(&of, &paid).await?,
            }
        }
    }

    /// One page of every embed of a record. It is done once nothing is left under the revision just read.
    async fn next_page(&self, of: &Subscription, id: &EntityId) -> Result<Page, Halted> {
        let ids = [id.clone()];
        let records = self.persist(|| self.store.read(of, &ids, None)).await?;
        let Some(record) = records.into_values().next() else { return Ok(Page::Last(Vec::new())) };
        let mut left = false;
        for embed in self.declaration.embeds_of(&of.name) {
            let watch = Stopwatch::start();
            let filter = embed.outdated(&record);
            let page = self.persist(|| self.store.matching(embed, filter.clone(), PAGE)).await?;
            if page.is_empty() {
                continue;
            }
            if self.show(embed, of, std::iter::once(&record), Scope::Page(&page)).await? > 0 {
                left = true;
                self.pause(watch.elapsed() / 4).await?;
            } else {
                // What is on this page cannot be changed; what is behind it still may.
                for write in embed.writes(&record, Scope::Everywhere) {
                    self.embed_carefully(embed, &write).await?;
                }
            }
        }
        let paid = RecordWrite::Paid { id: record.id, rev: record.rev };
        Ok(if left { Page::More } else { Page::Last(vec![paid]) })
    }
}

/// How a page of a large fan-out ended.
enum Page {
    More,
    Last(Vec<RecordWrite>),
}

impl Backlog {
    fn push(&self, replica: &EntityType, id: EntityId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|(name, known)| name == replica && *known == id) {
            waiting.push_back((replica.clone(), id));
        }
        drop(waiting);
        self.filled.notify_one();
    }

    fn next(&self) -> Option<(EntityType, EntityId)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}
