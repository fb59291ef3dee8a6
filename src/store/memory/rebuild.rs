//! Read models that are folded anew, and put in the place of those that are served.

use std::cmp::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, DateTime, Document};

use super::change::What;
use super::meaning::millis;
use super::order::{Id, compare};
use super::read_model::{Standing, next_deadline};
use super::{Collection, Database, Pod};
use crate::event::EntityType;
use crate::replication::ReadModel;
use crate::store::{Checkpoint, Comparison, RebuildStore, StoreError};

#[async_trait]
impl RebuildStore for Pod {
    async fn begin_anew(&self, _: &ReadModel, next: &EntityType) -> Result<(), StoreError> {
        let mut database = self.lock();
        database.drop_model(next);
        database.collection(next.as_str());
        Ok(())
    }

    async fn freeze(&self, of: &EntityType, hold: Duration) -> Result<Vec<Checkpoint>, StoreError> {
        let mut database = self.lock();
        let until = database.now() + millis(hold);
        for (_, standing) in database.contents.standings.iter_mut().filter(|((name, _), _)| name == of) {
            standing.turn += 1;
            standing.frozen = Some(until);
        }
        Ok(database.checkpoints(of))
    }

    async fn keep_frozen(
        &self,
        of: &EntityType,
        at: &[Checkpoint],
        hold: Duration,
    ) -> Result<bool, StoreError> {
        let mut database = self.lock();
        let (until, mut all) = (database.now() + millis(hold), true);
        for at in at {
            match database.frozen(of, at) {
                Some(standing) => standing.frozen = Some(until),
                None => all = false,
            }
        }
        Ok(all)
    }

    async fn thaw(&self, of: &EntityType, at: &[Checkpoint]) -> Result<(), StoreError> {
        let mut database = self.lock();
        for at in at {
            if let Some(standing) = database.standing(of, at) {
                standing.frozen = None;
                standing.turn += 1;
            }
        }
        Ok(())
    }

    async fn give_up(&self, next: &EntityType) -> Result<(), StoreError> {
        self.lock().drop_model(next);
        self.tell();
        Ok(())
    }

    async fn compare(&self, of: &EntityType, next: &EntityType) -> Result<Comparison, StoreError> {
        let database = self.lock();
        let none = Collection::new();
        let [served, rebuilt] =
            [of, next].map(|name| database.contents.collections.get(name.as_str()).unwrap_or(&none));
        let is_same = |(id, served): &(&Id, &Document)| {
            let rebuilt = rebuilt.get(id);
            rebuilt.is_some_and(|rebuilt| compare(&own(served), &own(rebuilt)) == Ordering::Equal)
        };
        let same = served.iter().filter(is_same).count() as u64;
        let (served, rebuilt) = (served.len() as u64, rebuilt.len() as u64);
        Ok(Comparison { served, rebuilt, different: served.max(rebuilt).saturating_sub(same) })
    }

    async fn set_aside(&self, of: &EntityType, before: &EntityType) -> Result<(), StoreError> {
        let mut database = self.lock();
        let served = database.collection(of.as_str()).clone();
        database.contents.collections.insert(before.to_string(), served);
        database.contents.standings.retain(|(name, _), _| name != before);
        for at in database.checkpoints(of) {
            database.stand(before, &at);
        }
        Ok(())
    }

    async fn take_over_deadlines(&self, of: &EntityType, next: &EntityType) -> Result<(), StoreError> {
        let mut database = self.lock();
        let now = database.now();
        let served = database.collection(of.as_str()).clone();
        let rebuilt = database.contents.collections.get_mut(next.as_str());
        for (id, document) in rebuilt.into_iter().flatten() {
            if next_deadline(document).is_some_and(|next| next.timestamp_millis() <= now) {
                tell_as(document, served.get(id), now);
            }
        }
        database.next();
        Ok(())
    }

    async fn remember_like(
        &self,
        of: &EntityType,
        others: &EntityType,
        at: &[Checkpoint],
    ) -> Result<bool, StoreError> {
        let mut database = self.lock();
        let Some(Checkpoint { memory, .. }) = database.checkpoints(others).into_iter().next() else {
            return Ok(false);
        };
        let mut all = true;
        for at in at {
            match database.frozen(of, at) {
                Some(standing) => standing.memory.clone_from(&memory),
                None => all = false,
            }
        }
        Ok(all)
    }

    async fn replace(&self, of: &EntityType, by: &EntityType) -> Result<bool, StoreError> {
        let mut database = self.lock();
        let Some(documents) = database.contents.collections.remove(by.as_str()) else { return Ok(false) };
        for renamed in [of, by] {
            database.log(renamed.as_str(), &Id(Bson::Null), What::Dropped);
        }
        database.contents.collections.insert(of.to_string(), documents);
        drop(database);
        self.tell();
        Ok(true)
    }

    async fn stand_at(
        &self,
        of: &EntityType,
        at: &[Checkpoint],
        others: &EntityType,
    ) -> Result<(), StoreError> {
        let mut database = self.lock();
        let turn = database.checkpoints(of).iter().map(|at| at.turn).max().unwrap_or_default() + 1;
        database.contents.standings.retain(|(name, _), _| name != of && name != others);
        for at in at {
            database.stand(of, &Checkpoint { turn, ..at.clone() });
        }
        Ok(())
    }
}

impl Database {
    /// Where a read model stands, if nobody has had a turn since.
    fn standing(&mut self, of: &EntityType, at: &Checkpoint) -> Option<&mut Standing> {
        let standing = self.contents.standings.get_mut(&(of.clone(), at.partition));
        standing.filter(|standing| standing.turn == at.turn)
    }

    /// The same, if it is still frozen.
    fn frozen(&mut self, of: &EntityType, at: &Checkpoint) -> Option<&mut Standing> {
        self.standing(of, at).filter(|standing| standing.frozen.is_some())
    }

    /// Drops the documents of a read model, and forgets where it stands.
    fn drop_model(&mut self, of: &EntityType) {
        if self.contents.collections.remove(of.as_str()).is_some() {
            self.log(of.as_str(), &Id(Bson::Null), What::Dropped);
        }
        self.contents.standings.retain(|(name, _), _| name != of);
    }
}

/// Notes which deadlines of a document that have passed are told already: all but those that the served document has not
/// told.
fn tell_as(document: &mut Document, served: Option<&Document>, now: i64) {
    let untold = |rule: &str| {
        let theirs = served.and_then(|served| deadlines(served)?.get_document(rule).ok());
        theirs.is_some_and(|theirs| theirs.get_bool("told").is_ok_and(|told| !told))
    };
    let Ok(own) = document.get_document_mut("_nearcopy") else { return };
    let mut next: Option<DateTime> = None;
    let Ok(due) = own.get_document_mut("due") else { return };
    for (rule, deadline) in due.iter_mut() {
        let Some(deadline) = deadline.as_document_mut() else { continue };
        let (told, at) =
            (deadline.get_bool("told").is_ok_and(|told| told), deadline.get_datetime("at").ok().copied());
        let passed = at.is_some_and(|at| at.timestamp_millis() <= now);
        let told = told || (passed && !untold(rule));
        deadline.insert("told", told);
        next = next.into_iter().chain(at.filter(|_| !told)).min();
    }
    match next {
        Some(next) => drop(own.insert("next", next)),
        None => drop(own.remove("next")),
    }
}

fn deadlines(document: &Document) -> Option<&Document> {
    document.get_document("_nearcopy").ok()?.get_document("due").ok()
}

/// A document without what is nearcopy's own in it.
fn own(document: &Document) -> Bson {
    let mut own = document.clone();
    own.remove("_nearcopy");
    own.into()
}
