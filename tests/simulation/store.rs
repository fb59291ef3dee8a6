//! A pod's store, with all that can go wrong between the two, and somebody who watches what is written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, Document};
use nearcopy::event::{EntityId, EntityType};
use nearcopy::replication::{Embed, EmbedWrite, Record, RecordWrite, Subscription};
use nearcopy::store::memory::Pod;
use nearcopy::store::{
    Backlog, ChangeStore, Changes, EmbedStore, Hints, Moment, Pages, Parked, ParkedStore, RecordStore,
    Records, Referring, RetireStore, StoreError, Written,
};

use crate::faults::{Fate, Faults};
use crate::life::Life;
use crate::peace::Peace;
use crate::watch::Watch;

/// What stands between a pod and its store.
#[derive(Clone)]
pub(crate) struct Troubled {
    pub(crate) inner: Pod,
    pub(crate) life: Life,
    pub(crate) faults: Faults,
    pub(crate) watch: Watch,
    pub(crate) peace: Peace,
}

pub(crate) type Done<T> = Result<T, StoreError>;

fn unavailable(what: &str) -> StoreError {
    StoreError::Unavailable { action: what.into(), detail: "nobody answered".into() }
}

impl Troubled {
    /// One effect, wherever its fate lets it come to.
    pub(crate) async fn effect<T>(
        &self,
        what: &'static str,
        on: impl FnOnce() -> String + Send,
        act: impl Future<Output = Done<T>> + Send,
    ) -> Done<T> {
        let fate = self.faults.enter(&self.life, what, on).await;
        if fate == Fate::FailBefore {
            return Err(unavailable(what));
        }
        let done = act.await;
        self.faults.leave(&self.life, fate).await;
        if fate == Fate::FailAfter { Err(unavailable(what)) } else { done }
    }
}

#[async_trait]
impl RecordStore for Troubled {
    async fn write(&self, of: &Subscription, writes: &[RecordWrite], batch: i64) -> Done<Written> {
        let act = async {
            for write in writes {
                match write {
                    RecordWrite::Answer { .. }
                    | RecordWrite::Unanswered { .. }
                    | RecordWrite::Placeholder { .. }
                    | RecordWrite::Unmark { .. }
                    | RecordWrite::Paid { .. } => {}
                    other => self.peace.calls_for(Some(other.id())),
                }
            }
            let written = self.inner.write(of, writes, batch).await;
            self.watch.look(&self.life);
            written
        };
        self.effect("write", || writes.iter().map(told).collect::<Vec<_>>().join(", "), act).await
    }

    async fn heartbeat(&self) -> Done<Option<Moment>> {
        self.effect("heartbeat", String::new, self.inner.heartbeat()).await
    }

    async fn read(&self, of: &Subscription, ids: &[EntityId], after: Option<Moment>) -> Done<Records> {
        let on = || format!("{} after {after:?}", list(ids));
        self.effect("read", on, self.inner.read(of, ids, after)).await
    }

    async fn read_others(
        &self,
        of: &Subscription,
        ids: &[EntityId],
        batch: i64,
        after: Option<Moment>,
    ) -> Done<Records> {
        let on = || format!("{} not of {batch} after {after:?}", list(ids));
        self.effect("read others", on, self.inner.read_others(of, ids, batch, after)).await
    }

    async fn claim_due(&self, of: &Subscription, most: usize, hold: Duration) -> Done<Vec<Record>> {
        let act = async {
            let claimed = self.inner.claim_due(of, most, hold).await;
            self.watch.look(&self.life);
            claimed
        };
        self.effect("claim", || format!("up to {most}"), act).await
    }

    async fn renew(&self, of: &Subscription, claimed: &[Record], hold: Duration) -> Done<()> {
        let on = || claimed.iter().map(|record| record.id.to_string()).collect::<Vec<_>>().join(" ");
        self.effect("renew", on, self.inner.renew(of, claimed, hold)).await
    }

    async fn owing(
        &self,
        of: &Subscription,
        idle: Duration,
        from: Option<&EntityId>,
        most: usize,
    ) -> Done<Vec<Record>> {
        self.effect("owing", String::new, self.inner.owing(of, idle, from, most)).await
    }

    async fn ask_all(&self, of: &Subscription, spread: Duration) -> Done<u64> {
        self.peace.calls_for(None);
        self.effect("ask all", String::new, self.inner.ask_all(of, spread)).await
    }

    async fn outdated(&self, of: &Subscription, most: usize) -> Done<Vec<Record>> {
        self.effect("outdated", String::new, self.inner.outdated(of, most)).await
    }

    async fn backlog(&self, of: &Subscription) -> Done<Backlog> {
        self.effect("backlog", String::new, self.inner.backlog(of)).await
    }

    async fn page(&self, of: &Subscription, from: Option<&EntityId>, most: usize) -> Done<Records> {
        self.effect("page", String::new, self.inner.page(of, from, most)).await
    }
}

#[async_trait]
impl RetireStore for Troubled {
    async fn mark(&self, of: &Subscription, ids: &[EntityId]) -> Done<Option<Moment>> {
        self.effect("mark", || list(ids), self.inner.mark(of, ids)).await
    }

    async fn marked(&self, of: &Subscription, grace: Duration, most: usize) -> Done<Vec<(EntityId, Bson)>> {
        self.effect("marked", String::new, self.inner.marked(of, grace, most)).await
    }

    async fn retire(&self, of: &Subscription, marked: &[(EntityId, Bson)]) -> Done<u64> {
        let act = async {
            for (id, _) in marked {
                self.peace.calls_for(Some(id));
            }
            let retired = self.inner.retire(of, marked).await;
            self.watch.look(&self.life);
            retired
        };
        let on = || marked.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(" ");
        self.effect("retire", on, act).await
    }
}

#[async_trait]
impl EmbedStore for Troubled {
    async fn count(
        &self,
        embed: &Embed,
        references: &[EntityId],
        many: u64,
        after: Option<Moment>,
    ) -> Done<Referring> {
        let on = || format!("{} {} after {after:?}", embed.name, list(references));
        self.effect("count", on, self.inner.count(embed, references, many, after)).await
    }

    async fn embed(&self, embed: &Embed, writes: &[EmbedWrite]) -> Done<Written> {
        let act = async {
            let before = self.watch.documents(embed);
            let written = self.inner.embed(embed, writes).await;
            self.watch.compare(&self.life, embed, &before);
            written
        };
        let on = || {
            let writes: Vec<String> =
                writes.iter().map(|write| format!("{} {}", write.filter, write.update)).collect();
            format!("{} {}", embed.name, writes.join("; "))
        };
        self.effect("embed", on, act).await
    }

    async fn matching(&self, embed: &Embed, filter: Document) -> Done<Box<dyn Pages>> {
        let on = || format!("{} {filter}", embed.name);
        let walk = self.effect("matching", on, self.inner.matching(embed, filter.clone())).await?;
        Ok(Box::new(TroubledPages { walk, store: self.clone() }))
    }

    async fn matching_in_order(
        &self,
        embed: &Embed,
        filter: Document,
        after: Option<&Bson>,
    ) -> Done<Option<Box<dyn Pages>>> {
        let on = || format!("{} {filter} after {after:?}", embed.name);
        let walk = self.inner.matching_in_order(embed, filter.clone(), after);
        let walk = self.effect("matching in order", on, walk).await?;
        Ok(walk.map(|walk| Box::new(TroubledPages { walk, store: self.clone() }) as Box<dyn Pages>))
    }

    async fn documents(&self, embed: &Embed, ids: &[Bson], after: Option<Moment>) -> Done<Vec<Document>> {
        let on = || format!("{} {ids:?} after {after:?}", embed.name);
        self.effect("documents", on, self.inner.documents(embed, ids, after)).await
    }

    async fn scan(
        &self,
        embed: &Embed,
        from: Option<&Bson>,
        most: usize,
        after: Option<Moment>,
    ) -> Done<Vec<Document>> {
        let on = || format!("{} after {after:?}", embed.name);
        self.effect("scan", on, self.inner.scan(embed, from, most, after)).await
    }

    async fn referenced(
        &self,
        embed: &Embed,
        ids: &[EntityId],
        after: Option<Moment>,
    ) -> Done<Vec<EntityId>> {
        let on = || format!("{} {} after {after:?}", embed.name, list(ids));
        self.effect("referenced", on, self.inner.referenced(embed, ids, after)).await
    }

    async fn remove(&self, embed: &Embed, of: &Subscription, record: &Record, ids: &[Bson]) -> Done<u64> {
        let act = async {
            let before = self.watch.documents(embed);
            let removed = self.inner.remove(embed, of, record, ids).await;
            self.watch.compare(&self.life, embed, &before);
            removed
        };
        let on = || format!("{} of {} {:?}", embed.name, record.id, ids);
        self.effect("remove", on, act).await
    }
}

#[async_trait]
impl ParkedStore for Troubled {
    async fn park(&self, parked: &[Parked]) -> Done<()> {
        let on = || parked.iter().map(|parked| parked.reason.clone()).collect::<Vec<_>>().join(" ");
        self.effect("park", on, self.inner.park(parked)).await
    }

    async fn parked(&self, replica: Option<&str>, most: usize) -> Done<Vec<Parked>> {
        self.effect("parked", String::new, self.inner.parked(replica, most)).await
    }

    async fn parked_one(&self, id: uuid::Uuid) -> Done<Option<Parked>> {
        self.effect("parked one", String::new, self.inner.parked_one(id)).await
    }

    async fn unpark(&self, ids: &[uuid::Uuid]) -> Done<u64> {
        self.effect("unpark", || ids.len().to_string(), self.inner.unpark(ids)).await
    }

    async fn parked_about(&self, replica: &EntityType, entity: Option<&EntityId>) -> Done<Vec<uuid::Uuid>> {
        self.effect("parked about", String::new, self.inner.parked_about(replica, entity)).await
    }

    async fn suspicions(&self, ids: &[uuid::Uuid]) -> Done<BTreeMap<uuid::Uuid, u64>> {
        self.effect("suspicions", || ids.len().to_string(), self.inner.suspicions(ids)).await
    }

    async fn suspect(&self, ids: &[uuid::Uuid]) -> Done<()> {
        self.effect("suspect", || ids.len().to_string(), self.inner.suspect(ids)).await
    }

    async fn acquit(&self, ids: &[uuid::Uuid]) -> Done<()> {
        self.effect("acquit", || ids.len().to_string(), self.inner.acquit(ids)).await
    }

    async fn count_parked(&self) -> Done<BTreeMap<String, u64>> {
        self.effect("count parked", String::new, self.inner.count_parked()).await
    }

    async fn parked_page(
        &self,
        replica: &EntityType,
        from: Option<uuid::Uuid>,
        most: usize,
    ) -> Done<Vec<Parked>> {
        self.effect("parked page", String::new, self.inner.parked_page(replica, from, most)).await
    }
}

#[async_trait]
impl ChangeStore for Troubled {
    fn has_change_streams(&self) -> bool {
        true
    }

    async fn follow(
        &self,
        collection: &str,
        embeds: &[Arc<Embed>],
        from: Option<Document>,
    ) -> Done<Box<dyn Changes>> {
        let on = || format!("{collection} from {from:?}");
        let changes = self.effect("follow", on, self.inner.follow(collection, embeds, from.clone())).await?;
        Ok(Box::new(TroubledChanges { changes, collection: collection.to_owned(), store: self.clone() }))
    }

    async fn position(&self, name: &str) -> Done<Option<Document>> {
        self.effect("position", || name.to_owned(), self.inner.position(name)).await
    }

    async fn set_position(&self, name: &str, position: Option<&Document>) -> Done<()> {
        let on = || format!("{name} {position:?}");
        self.effect("set position", on, self.inner.set_position(name, position)).await
    }

    async fn lease(&self, name: &str, hold: Duration) -> Done<bool> {
        if self.faults.strikes(self.faults.trouble().leases) {
            // Somebody else may have it, too: a clock jumped, a pod slept.
            return self.effect("lease (unasked)", || name.to_owned(), async { Ok(true) }).await;
        }
        self.effect("lease", || name.to_owned(), self.inner.lease(name, hold)).await
    }

    async fn release(&self, name: &str) -> Done<()> {
        self.effect("release", || name.to_owned(), self.inner.release(name)).await
    }
}

/// A walk that may be lost.
struct TroubledPages {
    walk: Box<dyn Pages>,
    store: Troubled,
}

#[async_trait]
impl Pages for TroubledPages {
    async fn next(&mut self, most: usize) -> Done<Vec<Bson>> {
        let store = self.store.clone();
        store.effect("next page", String::new, self.walk.next(most)).await
    }
}

/// A change stream that may be cut.
struct TroubledChanges {
    changes: Box<dyn Changes>,
    collection: String,
    store: Troubled,
}

#[async_trait]
impl Changes for TroubledChanges {
    async fn next(&mut self, wait: Duration) -> Done<Hints> {
        let store = self.store.clone();
        if store.faults.strikes(store.faults.trouble().streams) {
            let collection = self.collection.clone();
            return store
                .effect("lose history", || collection.clone(), async {
                    Err(StoreError::HistoryLost { collection: collection.clone() })
                })
                .await;
        }
        let hints = store.effect("changes", String::new, self.changes.next(wait)).await;
        if let Ok(hints) = &hints {
            store.watch.hinted(&store.life, &self.collection, &hints.documents);
        }
        hints
    }
}

fn list(ids: &[EntityId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// A write in few words.
fn told(write: &RecordWrite) -> String {
    match write {
        RecordWrite::State { id, content, key, .. } => format!("state {id} {key} {content:?}"),
        RecordWrite::Need { id, floor } => format!("need {id} {floor:?}"),
        RecordWrite::Placeholder { id, .. } => format!("placeholder {id}"),
        RecordWrite::Unmark { id } => format!("unmark {id}"),
        RecordWrite::Answer { id, rev, content, due, satisfied, .. } => {
            format!("answer {id} upon {rev} {content:?} {due:?} satisfied {satisfied}")
        }
        RecordWrite::Unanswered { id, due, .. } => format!("unanswered {id} {due:?}"),
        RecordWrite::Ask { id, wait } => format!("ask {id} {wait:?}"),
        RecordWrite::Revise { id, rev, revision, .. } => format!("revise {id} upon {rev:?} {revision:?}"),
        RecordWrite::Paid { id, rev } => format!("paid {id} {rev}"),
        other => format!("{other:?}"),
    }
}
