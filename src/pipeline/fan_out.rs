//! Brings the documents that refer to a record in line with it: few at once, many in their own time.

use std::collections::BTreeSet;
use std::sync::Arc;

use bson::doc;
use futures::future::try_join_all;

use super::{Halted, Pipeline, What};
use crate::clock::Stopwatch;
use crate::event::EntityId;
use crate::replication::{Embed, EmbedWrite, Record, RecordWrite, Rendering, Scope, Subscription};
use crate::store::{Moment, Written};
use crate::telemetry::metric;

/// Up to so many documents are brought in line with one statement; a record with more goes page by page.
const INLINE: u64 = 1_000;
/// How many documents are looked at together where each is taken by itself.
const PAGE: usize = 500;
/// How many documents are deleted in one transaction.
const REMOVED: usize = 100;
/// How many statements go to the database together: more only make a command last, and others wait behind it.
const STATEMENTS: usize = 100;
/// How many such commands are under way at once: while one waits for the majority, the other is carried out.
const ABREAST: usize = 2;

impl Pipeline {
    /// Fans records out that owe it, as they were read after that moment, and says which debts are cleared by that.
    /// Records with many documents are put in line instead, and go on owing; those of a newer generation go on owing
    /// to a pod that knows it.
    pub(super) async fn fan_out(
        &self,
        of: &Subscription,
        owing: &[Record],
        moment: Option<Moment>,
    ) -> Result<Vec<RecordWrite>, Halted> {
        let owing: Vec<&Record> = owing.iter().filter(|record| !of.leaves_alone(record)).collect();
        if owing.is_empty() {
            return Ok(Vec::new());
        }
        let embeds = self.declaration.embeds_of(&of.name);
        let shown = embeds.map(|embed| self.fan_out_embed(embed, of, &owing, moment));
        let deferred: BTreeSet<EntityId> = try_join_all(shown).await?.into_iter().flatten().collect();
        for id in &deferred {
            self.large.push(&of.name, id.clone());
        }
        self.diary.note(&of.name, deferred.iter().map(|id| (id.clone(), What::FanOutBegun)));
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

    /// Fans records out to one embed; says which more documents refer to than one statement should touch. Where none
    /// does, there is nothing to do: one that comes to refer to a record from now on is hydrated from what it is now.
    async fn fan_out_embed(
        &self,
        embed: &Embed,
        of: &Subscription,
        owing: &[&Record],
        moment: Option<Moment>,
    ) -> Result<BTreeSet<EntityId>, Halted> {
        let watch = Stopwatch::start();
        let ids: Vec<EntityId> = owing.iter().map(|record| record.id.clone()).collect();
        let referring = self.persist(|| self.store.count(embed, &ids, INLINE + 1, moment)).await?;
        if referring.any {
            let small = owing.iter().copied().filter(|record| !referring.many.contains(&record.id));
            self.show(embed, of, small.clone(), Scope::Everywhere).await?;
            let name: Arc<str> = embed.name.as_str().into();
            let shown = small.map(|record| (record.id.clone(), What::FannedOut(name.clone())));
            self.diary.note(&of.name, shown);
        }
        metric::fan_out_duration(&embed.name, watch.elapsed());
        Ok(referring.many)
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
        let changed = self.embed(embed, &writes).await?;
        metric::fan_out_documents(&embed.name, changed);
        Ok(changed)
    }

    /// Runs statements, which do not depend on one another, and says how many documents they have changed.
    pub(super) async fn embed(&self, embed: &Embed, writes: &[EmbedWrite]) -> Result<u64, Halted> {
        let mut changed = 0;
        for group in writes.chunks(STATEMENTS * ABREAST) {
            let commands = group.chunks(STATEMENTS).map(|command| self.embed_together(embed, command));
            changed += try_join_all(commands).await?.iter().sum::<u64>();
        }
        self.load.add(changed);
        Ok(changed)
    }

    /// Runs statements in one command; what the database refuses is taken apart until the documents that cannot take
    /// it are known, and those are put aside.
    async fn embed_together(&self, embed: &Embed, writes: &[EmbedWrite]) -> Result<u64, Halted> {
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
        let mut pages = self.persist(|| self.store.matching(embed, write.filter.clone())).await?;
        loop {
            let Ok(ids) = pages.next(PAGE).await else {
                // The cursor is lost. What is done is done, and no longer matches.
                self.pause(self.rhythm.sweep_every).await?;
                pages = self.persist(|| self.store.matching(embed, write.filter.clone())).await?;
                continue;
            };
            if ids.is_empty() {
                return Ok(changed);
            }
            for id in ids {
                let filter = doc! { "$and": [{ "_id": &id }, &write.filter] };
                let single = [EmbedWrite { filter, ..write.clone() }];
                let written = self.persist(|| self.store.embed(embed, &single)).await?;
                changed += written.changed;
                for refusal in written.refused {
                    self.park_document(embed, &id, &refusal.reason).await?;
                }
            }
        }
    }

    /// Deletes the documents of a deleted record, a page at a time.
    async fn remove(&self, embed: &Embed, of: &Subscription, record: &Record) -> Result<(), Halted> {
        let filter = embed.outdated(record);
        let mut pages = self.persist(|| self.store.matching(embed, filter.clone())).await?;
        loop {
            let Ok(ids) = pages.next(REMOVED).await else {
                self.pause(self.rhythm.sweep_every).await?;
                pages = self.persist(|| self.store.matching(embed, filter.clone())).await?;
                continue;
            };
            if ids.is_empty() {
                return Ok(());
            }
            let removed = self.persist(|| self.store.remove(embed, of, record, &ids)).await?;
            tracing::info!(
                event = "embed.removed",
                embed = embed.name,
                documents = removed,
                "documents of a deleted entity are deleted"
            );
        }
    }
}
