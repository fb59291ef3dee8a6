//! The log, and those who follow it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bson::{Document, doc};
use tokio::time::timeout;

use super::meaning::millis;
use super::order::Id;
use super::update::Touched;
use super::{Lease, Memory, Pod, moment};
use crate::replication::Embed;
use crate::store::{ChangeStore, Changes, Hints, StoreError};

/// How many changes are taken together at most.
const BATCH: usize = 1_000;

/// One line of the log.
pub(super) struct Entry {
    pub(super) at: u32,
    pub(super) collection: String,
    pub(super) id: Id,
    pub(super) what: What,
}

/// What happened to a document, or to all.
pub(super) enum What {
    Inserted,
    Replaced,
    Updated(Touched),
    Deleted,
    Dropped,
}

impl Memory {
    /// Cuts the log: nobody can go on from a position before now.
    pub fn cut_log(&self) {
        let mut database = self.lock();
        database.log.clear();
        database.forgotten = database.moment;
        drop(database);
        self.written.notify_waiters();
    }
}

#[async_trait]
impl ChangeStore for Pod {
    fn has_change_streams(&self) -> bool {
        true
    }

    async fn follow(
        &self,
        collection: &str,
        embeds: &[Arc<Embed>],
        from: Option<Document>,
    ) -> Result<Box<dyn Changes>, StoreError> {
        let database = self.lock();
        let lost = || StoreError::HistoryLost { collection: collection.to_owned() };
        let at = match from {
            None => database.moment,
            Some(position) => counter(&position).filter(|at| *at >= database.forgotten).ok_or_else(lost)?,
        };
        let following = Following {
            memory: self.memory.clone(),
            collection: collection.to_owned(),
            roots: roots(embeds),
            at,
            is_ended: false,
        };
        Ok(Box::new(following))
    }

    async fn position(&self, name: &str) -> Result<Option<Document>, StoreError> {
        Ok(self.lock().seen(&self.name, None).positions.get(name).cloned())
    }

    async fn set_position(&self, name: &str, position: Option<&Document>) -> Result<(), StoreError> {
        let mut database = self.lock();
        database.next();
        match position {
            Some(position) => database.contents.positions.insert(name.to_owned(), position.clone()),
            None => database.contents.positions.remove(name),
        };
        Ok(())
    }

    async fn lease(&self, name: &str, hold: Duration) -> Result<bool, StoreError> {
        let mut database = self.lock();
        database.next();
        let now = database.now();
        let until = now + millis(hold);
        let known = database.leases.get(name);
        let is_free = known.is_none_or(|lease| lease.holder == self.name || lease.until <= now);
        if is_free {
            database.leases.insert(name.to_owned(), Lease { holder: self.name.clone(), until });
        }
        Ok(is_free)
    }

    async fn release(&self, name: &str) -> Result<(), StoreError> {
        let mut database = self.lock();
        database.next();
        if database.leases.get(name).is_some_and(|lease| lease.holder == self.name) {
            database.leases.remove(name);
        }
        Ok(())
    }
}

/// Somebody who follows a collection, and has come so far.
struct Following {
    memory: Memory,
    collection: String,
    roots: BTreeSet<String>,
    at: u32,
    is_ended: bool,
}

#[async_trait]
impl Changes for Following {
    async fn next(&mut self, wait: Duration) -> Result<Hints, StoreError> {
        let written = self.memory.written.clone();
        let mut told = written.notified();
        let mut hints = self.take()?;
        let waited = timeout(wait, async {
            while hints.documents.is_empty() && !hints.ended {
                told.await;
                told = written.notified();
                hints = self.take()?;
            }
            Ok::<(), StoreError>(())
        });
        waited.await.unwrap_or(Ok(()))?;
        Ok(hints)
    }
}

impl Following {
    /// Takes what is there, and moves on.
    fn take(&mut self) -> Result<Hints, StoreError> {
        let database = self.memory.lock();
        if self.at < database.forgotten || self.is_ended {
            return Err(StoreError::HistoryLost { collection: self.collection.clone() });
        }
        let mut hints = Hints::default();
        let new = database.log.partition_point(|entry| entry.at <= self.at);
        self.at = database.moment;
        for entry in database.log[new..].iter().filter(|entry| entry.collection == self.collection) {
            match &entry.what {
                What::Inserted | What::Replaced => hints.documents.push(entry.id.0.clone()),
                What::Updated(touched) if is_foreign(touched, &self.roots) => {
                    hints.documents.push(entry.id.0.clone());
                }
                What::Updated(_) | What::Deleted => continue,
                What::Dropped => self.is_ended = true,
            }
            hints.moment = Some(moment(entry.at));
            if self.is_ended || hints.documents.len() == BATCH {
                self.at = entry.at;
                break;
            }
        }
        hints.ended = self.is_ended;
        hints.position = Some(doc! { "at": i64::from(self.at) });
        Ok(hints)
    }
}

/// The first names of everything that embeds read or write.
fn roots(embeds: &[Arc<Embed>]) -> BTreeSet<String> {
    let of_embed = |embed: &Arc<Embed>| {
        let owned = embed.owned_paths().into_iter().map(root).map(str::to_owned);
        owned.chain([root(&embed.reference.dotted()).to_owned()]).collect::<Vec<_>>()
    };
    embeds.iter().flat_map(of_embed).chain(["_nearcopy".to_owned()]).collect()
}

fn root(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}

/// Whether embeds are concerned and no stamp is moved. Who moves a stamp is one of us.
fn is_foreign(touched: &Touched, roots: &BTreeSet<String>) -> bool {
    let is_ours = touched.set.iter().any(|path| path.split('.').any(|name| name == "_nearcopy"));
    !is_ours && touched.set.iter().chain(&touched.removed).any(|path| roots.contains(root(path)))
}

fn counter(position: &Document) -> Option<u32> {
    u32::try_from(position.get_i64("at").ok()?).ok()
}
