//! Records: written as `meaning` has it, read back as they are, or as a deposed primary has them.

use std::time::Duration;

use async_trait::async_trait;
use bson::Document;

use super::meaning::{self, millis};
use super::{Contents, Database, Held, Pod, epoch, first};
use crate::event::EntityId;
use crate::replication::{Record, RecordWrite, State, Subscription};
use crate::store::{Backlog, Moment, RecordStore, Records, StoreError, Written};

#[async_trait]
impl RecordStore for Pod {
    async fn write(
        &self,
        of: &Subscription,
        writes: &[RecordWrite],
        batch: i64,
    ) -> Result<Written, StoreError> {
        let mut database = self.lock();
        let now = database.now();
        if let Some(frozen) = database.deposed.get(&self.name) {
            let held = |write: &RecordWrite| known(&frozen.contents, of, write.id());
            let is_idle = |write: &RecordWrite| after(of, held(write), write, now, batch).is_none();
            if writes.iter().all(is_idle) {
                let moment = (!writes.is_empty()).then_some(frozen.at);
                return Ok(Written { moment, statements: writes.len(), idle: true, ..Written::default() });
            }
        }
        let mut changed = 0;
        for write in writes {
            let records = database.records(&of.name);
            if let Some(next) = after(of, records.get(write.id()), write, now, batch) {
                records.insert(write.id().clone(), next);
                database.next();
                changed += 1;
            }
        }
        Ok(database.written(writes.len(), changed, Vec::new()))
    }

    async fn heartbeat(&self) -> Result<Option<Moment>, StoreError> {
        let mut database = self.lock();
        database.next();
        Ok(Some(database.last()))
    }

    async fn read(
        &self,
        of: &Subscription,
        ids: &[EntityId],
        after: Option<Moment>,
    ) -> Result<Records, StoreError> {
        let database = self.lock();
        let contents = database.seen(&self.name, after);
        let found = ids.iter().filter_map(|id| known(contents, of, id));
        let shown =
            found.map(|held| if of.embedded || of.compares() { held.record.clone() } else { bare(held) });
        Ok(by_id(shown))
    }

    async fn read_others(
        &self,
        of: &Subscription,
        ids: &[EntityId],
        batch: i64,
        after: Option<Moment>,
    ) -> Result<Records, StoreError> {
        let read = self.read(of, ids, after).await?;
        Ok(read.into_iter().filter(|(_, record)| record.batch != Some(batch)).collect())
    }

    async fn claim_due(
        &self,
        of: &Subscription,
        most: usize,
        hold: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        let mut database = self.lock();
        let now = database.now();
        let mut due: Vec<(i64, EntityId)> = all(database.seen(&self.name, None), of)
            .filter(|held| !of.leaves_alone(&held.record))
            .filter_map(|held| Some((held.record.due.filter(|due| *due <= now)?, held.record.id.clone())))
            .collect();
        due.sort();
        let token = format!("{}-{}", self.name, database.token());
        let ids = first(due.into_iter().map(|(_, id)| id), most);
        let records = database.records(&of.name);
        let mut claimed = Records::new();
        for id in ids {
            let Some(held) = records.get_mut(&id) else { continue };
            let Some(record) = meaning::claim(&held.record, &token, hold, now) else { continue };
            held.record = record.clone();
            claimed.insert(id, record);
        }
        database.next();
        Ok(claimed.into_values().collect())
    }

    async fn renew(&self, of: &Subscription, claimed: &[Record], hold: Duration) -> Result<(), StoreError> {
        let mut database = self.lock();
        let now = database.now();
        let records = database.records(&of.name);
        for (id, token) in claimed.iter().filter_map(|record| Some((&record.id, record.claim.as_ref()?))) {
            let Some(held) = records.get_mut(id) else { continue };
            if let Some(renewed) = meaning::renew(&held.record, token, hold, now) {
                held.record = renewed;
            }
        }
        database.next();
        Ok(())
    }

    async fn owing(
        &self,
        of: &Subscription,
        idle: Duration,
        from: Option<&EntityId>,
        most: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let database = self.lock();
        let latest = (database.now() - millis(idle)) * 1000;
        let owes = |held: &&Held| held.record.owes && held.record.rev <= latest;
        let later = |held: &&Held| from.is_none_or(|from| held.record.id > *from);
        let found = all(database.seen(&self.name, None), of).filter(owes).filter(later);
        Ok(first(found.map(|held| held.record.clone()), most))
    }

    async fn ask_all(&self, of: &Subscription, spread: Duration) -> Result<u64, StoreError> {
        let mut database = self.lock();
        let (now, mut changed) = (database.now(), 0);
        let mut dice = database.dice.fork();
        for held in database.records(&of.name).values_mut() {
            let wait = dice.i64(0..=millis(spread));
            let called = meaning::called(&held.record, now + wait, now);
            changed += u64::from(called != held.record);
            held.record = called;
        }
        database.next();
        Ok(changed)
    }

    async fn backlog(&self, of: &Subscription) -> Result<Backlog, StoreError> {
        let database = self.lock();
        let count = |counts: &dyn Fn(&Record) -> bool| {
            let found = all(database.seen(&self.name, None), of).filter(|held| counts(&held.record));
            found.count() as u64
        };
        Ok(Backlog {
            pending: count(&|record| record.state == State::Pending),
            owing: count(&|record| record.owes),
            outdated: count(&|record| record.shape < of.shape),
            lacking: count(&|record| record.lacks),
        })
    }

    async fn outdated(&self, of: &Subscription, most: usize) -> Result<Vec<Record>, StoreError> {
        let database = self.lock();
        let older = all(database.seen(&self.name, None), of).filter(|held| held.record.shape < of.shape);
        Ok(first(older.map(|held| held.record.clone()), most))
    }

    async fn page(
        &self,
        of: &Subscription,
        from: Option<&EntityId>,
        most: usize,
    ) -> Result<Records, StoreError> {
        let database = self.lock();
        let later = |held: &&Held| from.is_none_or(|from| held.record.id > *from);
        let found = all(database.seen(&self.name, None), of).filter(later).map(bare);
        Ok(by_id(first(found, most).into_iter()))
    }
}

fn all<'c>(contents: &'c Contents, of: &Subscription) -> impl Iterator<Item = &'c Held> {
    contents.records.get(&of.name).into_iter().flatten().map(|(_, held)| held)
}

fn known<'c>(contents: &'c Contents, of: &Subscription, id: &EntityId) -> Option<&'c Held> {
    contents.records.get(&of.name)?.get(id)
}

/// What a write makes of what is held; `None` where nothing is different after it.
fn after(of: &Subscription, held: Option<&Held>, write: &RecordWrite, now: i64, batch: i64) -> Option<Held> {
    let before = held.map(|held| &held.record);
    let record = meaning::apply(of, before, write, now, batch)?;
    if before == Some(&record) {
        return None;
    }
    let mark = held.and_then(|held| held.mark.clone()).filter(|_| record.marked);
    let until = match write {
        RecordWrite::Placeholder { hold: Some(hold), .. } => Some(now + millis(*hold)),
        _ => held.and_then(|held| held.hold),
    };
    let (hold, dated) = (until, epoch::dated(held, write));
    Some(Held { record, mark, hold, dated })
}

/// The record without its fields, which not everybody needs.
fn bare(held: &Held) -> Record {
    Record { fields: Document::new(), ..held.record.clone() }
}

fn by_id(records: impl Iterator<Item = Record>) -> Records {
    records.map(|record| (record.id.clone(), record)).collect()
}

impl Database {
    /// What is held of an entity.
    pub(super) fn held(&self, of: &Subscription, id: &EntityId) -> Option<&Held> {
        known(&self.contents, of, id)
    }
}
