//! Parked events. They are kept for ever here.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Database, Pod, first};
use crate::event::{EntityId, EntityType};
use crate::store::{Parked, ParkedStore, StoreError};

#[async_trait]
impl ParkedStore for Pod {
    async fn park(&self, parked: &[Parked]) -> Result<(), StoreError> {
        let mut database = self.lock();
        for parked in parked {
            database.park(parked);
        }
        Ok(())
    }

    async fn parked(&self, replica: Option<&str>, most: usize) -> Result<Vec<Parked>, StoreError> {
        let database = self.lock();
        let wanted = |parked: &&Parked| {
            replica.is_none_or(|name| parked.replica.as_ref().is_some_and(|known| known.as_str() == name))
        };
        let all = database.seen(&self.name, None).parked.values().filter(wanted);
        let mut found: Vec<Parked> = all.cloned().collect();
        found.sort_by_key(|parked| parked.at);
        Ok(first(found.into_iter(), most))
    }

    async fn parked_one(&self, id: uuid::Uuid) -> Result<Option<Parked>, StoreError> {
        Ok(self.lock().seen(&self.name, None).parked.get(&id).cloned())
    }

    async fn unpark(&self, ids: &[uuid::Uuid]) -> Result<u64, StoreError> {
        let mut database = self.lock();
        let dropped = ids.iter().filter(|id| database.contents.parked.remove(id).is_some()).count();
        database.next();
        Ok(dropped as u64)
    }

    async fn parked_about(
        &self,
        replica: &EntityType,
        entity: Option<&EntityId>,
    ) -> Result<Vec<uuid::Uuid>, StoreError> {
        let database = self.lock();
        let about = |parked: &&Parked| match entity {
            Some(entity) => {
                parked.replica.as_ref() == Some(replica) && parked.entity.as_ref() == Some(entity)
            }
            None => {
                let theirs = parked.replica.as_ref().is_none_or(|known| known == replica);
                theirs && parked.entity.is_none() && parked.excerpt.is_some()
            }
        };
        let found = database.seen(&self.name, None).parked.values().filter(about);
        Ok(found.map(|parked| parked.id).collect())
    }

    async fn suspicions(&self, ids: &[uuid::Uuid]) -> Result<BTreeMap<uuid::Uuid, u64>, StoreError> {
        let database = self.lock();
        let noted = &database.seen(&self.name, None).suspects;
        Ok(ids.iter().filter_map(|id| Some((*id, *noted.get(id)?))).collect())
    }

    async fn suspect(&self, ids: &[uuid::Uuid]) -> Result<(), StoreError> {
        let mut database = self.lock();
        for id in ids {
            *database.contents.suspects.entry(*id).or_default() += 1;
            database.next();
        }
        Ok(())
    }

    async fn acquit(&self, ids: &[uuid::Uuid]) -> Result<(), StoreError> {
        let mut database = self.lock();
        database.contents.suspects.retain(|id, _| !ids.contains(id));
        database.next();
        Ok(())
    }

    async fn count_parked(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut counted = BTreeMap::new();
        for parked in self.lock().seen(&self.name, None).parked.values() {
            let replica = parked.replica.as_ref().map_or("", EntityType::as_str);
            *counted.entry(replica.to_owned()).or_default() += 1;
        }
        Ok(counted)
    }

    async fn parked_page(
        &self,
        replica: &EntityType,
        from: Option<uuid::Uuid>,
        most: usize,
    ) -> Result<Vec<Parked>, StoreError> {
        let database = self.lock();
        let wanted = |parked: &&Parked| {
            let later = from.is_none_or(|from| parked.id > from);
            later && parked.replica.as_ref() == Some(replica)
        };
        let found = database.seen(&self.name, None).parked.values().filter(wanted).cloned();
        Ok(first(found, most))
    }
}

impl Database {
    /// Puts an event aside. One that is parked already keeps its time.
    pub(super) fn park(&mut self, parked: &Parked) {
        let known = self.contents.parked.get(&parked.id).and_then(|known| known.at);
        let kept = Parked { at: Some(known.unwrap_or(self.now())), ..parked.clone() };
        self.put_aside.insert(parked.id, kept.clone());
        self.contents.parked.insert(parked.id, kept);
        self.next();
    }
}
