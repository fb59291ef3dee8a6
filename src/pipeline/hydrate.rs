//! Follows the consumer's collections: who is referred to is wanted, and new documents show at once what is held.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document};

use super::{Halted, Pipeline, What, patience};
use crate::clock::Stopwatch;
use crate::event::{EntityId, EntityType, IdKind};
use crate::replication::{Embed, EmbedWrite, RecordWrite, Rendering, Scope, Subscription};
use crate::store::{Changes, Hints, Moment, Records, StoreError};
use crate::telemetry::metric;

/// How many documents are looked at together when a whole collection is walked through.
const PAGE: usize = 500;
/// How old a position becomes at most that nothing has come after: whoever takes over reads the log from there on.
const NOTED_EVERY: Duration = Duration::from_secs(10);
/// How long a change is waited for.
const WAIT: Duration = Duration::from_secs(1);
/// How long nobody looks for changes, after none were found, while much is written here. The server takes whoever waits
/// through every single write, his own included; whoever comes later it takes through all of them at once.
const REST: Duration = Duration::from_millis(20);

impl Pipeline {
    /// Follows one collection for ever: one pod of each generation at a time, from its stored position, from the
    /// beginning where there is none. So whatever is shown newly is brought to every document. A position that the log
    /// no longer has is forgotten, and the collection walked through.
    pub(super) async fn follow(self: Arc<Self>, collection: String) -> Result<(), Halted> {
        let embeds: Vec<Arc<Embed>> =
            self.declaration.embeds.iter().filter(|embed| embed.collection == collection).cloned().collect();
        let lease = self.in_generation(&format!("follow:{collection}"), &embeds);
        self.leased(&lease, self.follow_for_ever(&collection, &embeds, &lease)).await
    }

    async fn follow_for_ever(
        &self,
        collection: &str,
        embeds: &[Arc<Embed>],
        lease: &str,
    ) -> Result<(), Halted> {
        loop {
            match self.if_leased(lease, self.follow_on(collection, embeds, lease)).await {
                Ok(_) => {}
                Err(Interrupted::Halted) => return Err(Halted),
                Err(Interrupted::Stream(error)) => self.restart(collection, lease, &error).await?,
            }
            self.pause(Duration::from_secs(1)).await?;
        }
    }

    /// Follows from the stored position on, until that is interrupted.
    async fn follow_on(
        &self,
        collection: &str,
        embeds: &[Arc<Embed>],
        cursor: &str,
    ) -> Result<Infallible, Interrupted> {
        let from = self.persist(|| self.store.position(cursor)).await?;
        let known = from.is_some();
        let mut changes = self.store.follow(collection, embeds, from).await?;
        if !known {
            // What changes while the collection is walked through is read from here on, should the walk take longer
            // than the stream stays open.
            let begun = changes.next(Duration::ZERO).await?;
            self.walk(embeds, false).await?;
            self.persist(|| self.store.set_position(cursor, begun.position.as_ref())).await?;
        }
        // The first look may have gone through much of the log. Whoever dies after it must have brought the next one
        // further, or none would ever come to the end.
        let (mut noted, mut gauge, mut found) = (None, self.load.gauge(), false);
        loop {
            let is_high = gauge.is_high(&self.load);
            if is_high && !found {
                self.pause(REST).await?;
            }
            let wait = if is_high { Duration::ZERO } else { WAIT };
            let hints = self.take_changes(changes.as_mut(), embeds, cursor, wait).await?;
            let is_old = noted.as_ref().is_none_or(|noted: &Stopwatch| noted.elapsed() > NOTED_EVERY);
            found = !hints.documents.is_empty();
            if hints.position.is_some() && (is_old || found) {
                self.persist(|| self.store.set_position(cursor, hints.position.as_ref())).await?;
                noted = Some(Stopwatch::start());
            }
        }
    }

    /// Takes what has changed, and hydrates it; only then may the position move.
    async fn take_changes(
        &self,
        changes: &mut dyn Changes,
        embeds: &[Arc<Embed>],
        cursor: &str,
        wait: Duration,
    ) -> Result<Hints, Interrupted> {
        let hints = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(Interrupted::Halted),
            hints = changes.next(wait) => hints?,
        };
        for embed in embeds {
            let changed = self.hydrate(embed, &hints.documents, hints.moment).await?;
            metric::hydrated(&embed.name, changed);
        }
        if hints.ended {
            self.persist(|| self.store.set_position(cursor, None)).await?;
            return Err(Interrupted::Stream(StoreError::HistoryLost { collection: cursor.to_owned() }));
        }
        Ok(hints)
    }

    async fn restart(&self, collection: &str, cursor: &str, error: &StoreError) -> Result<(), Halted> {
        metric::change_stream_restarted(collection);
        tracing::warn!(event = "changes.restart", collection, %error, "the change stream is opened again");
        if matches!(error, StoreError::HistoryLost { .. }) {
            self.persist(|| self.store.set_position(cursor, None)).await?;
        }
        Ok(())
    }

    /// Looks at every document of a collection, as it is from now on: the way to start, and to repair what no event or
    /// hint told of.
    pub(super) async fn walk(&self, embeds: &[Arc<Embed>], is_repair: bool) -> Result<(), Halted> {
        // A deposed primary may not know of documents that the change stream has passed by already.
        let moment = self.persist(|| self.store.heartbeat()).await?;
        for embed in embeds {
            let mut from: Option<Bson> = None;
            loop {
                let page = self.persist(|| self.store.scan(embed, from.as_ref(), PAGE, moment)).await?;
                let Some(last) = page.last().and_then(|document| document.get("_id").cloned()) else { break };
                if is_repair {
                    self.unpark_documents(embed, &page).await?;
                }
                let changed = self.hydrate_documents(embed, &page, moment).await?;
                if is_repair {
                    metric::drift_repaired(&embed.name, changed);
                }
                from = Some(last);
            }
        }
        Ok(())
    }

    /// Brings these documents in line with what they refer to, as both are after that moment.
    async fn hydrate(&self, embed: &Embed, ids: &[Bson], moment: Option<Moment>) -> Result<u64, Halted> {
        if ids.is_empty() {
            return Ok(0);
        }
        let documents = self.persist(|| self.store.documents(embed, ids, moment)).await?;
        let (of, name) = (EntityType::new(&embed.collection), Arc::<str>::from(embed.name.as_str()));
        let looked_at = ids.iter().map(|id| (document_id(id), What::Hydrated(name.clone())));
        self.diary.note(&of, looked_at);
        self.hydrate_documents(embed, &documents, moment).await
    }

    pub(super) async fn hydrate_documents(
        &self,
        embed: &Embed,
        documents: &[Document],
        moment: Option<Moment>,
    ) -> Result<u64, Halted> {
        let Ok(of) = self.declaration.replica(embed.from.as_str()) else { return Ok(0) };
        let References { known, foreign, all } = references(embed, of, documents);
        let entities: Vec<EntityId> = known.keys().cloned().collect();
        let records = self.want(of, &entities, moment).await?;
        let mut writes: Vec<EmbedWrite> = Vec::new();
        for (entity, ids) in &known {
            let Some(record) = records.get(entity).filter(|record| !of.leaves_alone(record)) else {
                continue;
            };
            if embed.render(record) == Rendering::Remove {
                self.persist(|| self.store.remove(embed, of, record, ids)).await?;
            }
            writes.extend(embed.writes(record, Scope::Exactly(ids)));
        }
        writes.push(embed.clear_unreferenced(&all, &Bson::Null));
        for (id, value) in &foreign {
            writes.push(embed.clear_unreferenced(std::slice::from_ref(id), value));
            let reason = format!("its reference is no {}", of.selection.id_kind());
            self.park_document(embed, id, &reason).await?;
        }
        self.embed(embed, &writes).await
    }

    /// Reads records that are wanted from now on. Where there is none, one is made, and the owner asked; one that
    /// is marked for retirement is freed of its mark first, and then read. It may have been retired in that very
    /// moment, and is then made anew: nothing that was read under a mark is relied upon.
    pub(super) async fn want(
        &self,
        of: &Subscription,
        ids: &[EntityId],
        moment: Option<Moment>,
    ) -> Result<Records, Halted> {
        let (mut records, mut left, mut after) = (Records::new(), ids.to_vec(), moment);
        let (ask, mut pauses) = (of.fetch.is_some(), patience::pauses());
        loop {
            let mut read = self.persist(|| self.store.read(of, &left, after)).await?;
            left.retain(|id| read.get(id).is_none_or(|record| record.marked));
            let free = |id: &EntityId| match read.remove(id) {
                Some(_) => RecordWrite::Unmark { id: id.clone() },
                None => RecordWrite::Placeholder { id: id.clone(), ask, hold: None },
            };
            let writes: Vec<RecordWrite> = left.iter().map(free).collect();
            records.extend(read);
            if writes.is_empty() {
                return Ok(records);
            }
            let written = self.persist(|| self.store.write(of, &writes, 0)).await?;
            let made = writes.iter().filter(|write| matches!(write, RecordWrite::Placeholder { .. }));
            self.diary.note(&of.name, made.map(|write| (write.id().clone(), What::Wanted)));
            after = after.max(written.moment);
            self.wanted.send_replace(());
            if written.changed == 0 {
                // Who takes the writes and who answers the reads do not agree: the database is between two primaries.
                self.pause(pauses.next().unwrap_or_default()).await?;
            }
        }
    }
}

/// The id of a document as a person writes it.
fn document_id(id: &Bson) -> EntityId {
    let kinds = [IdKind::String, IdKind::Int, IdKind::ObjectId, IdKind::Uuid];
    let known = kinds.into_iter().find_map(|kind| EntityId::from_bson(id, kind));
    known.unwrap_or_else(|| EntityId::String(id.to_string().into()))
}

/// Who is referred to by which documents.
pub(super) struct References {
    pub(super) known: BTreeMap<EntityId, Vec<Bson>>,
    foreign: Vec<(Bson, Bson)>,
    all: Vec<Bson>,
}

pub(super) fn references(embed: &Embed, of: &Subscription, documents: &[Document]) -> References {
    let mut found = References { known: BTreeMap::new(), foreign: Vec::new(), all: Vec::new() };
    for document in documents {
        let Some(id) = document.get("_id") else { continue };
        found.all.push(id.clone());
        for reference in embed.reference.find(document) {
            match EntityId::from_bson(reference, of.selection.id_kind()) {
                Some(entity) => {
                    let referring = found.known.entry(entity).or_default();
                    if referring.last() != Some(id) {
                        referring.push(id.clone());
                    }
                }
                None => found.foreign.push((id.clone(), reference.clone())),
            }
        }
    }
    found
}

/// Why following ended.
enum Interrupted {
    Halted,
    Stream(StoreError),
}

impl From<Halted> for Interrupted {
    fn from(_: Halted) -> Self {
        Self::Halted
    }
}

impl From<StoreError> for Interrupted {
    fn from(error: StoreError) -> Self {
        Self::Stream(error)
    }
}
