//! Retirement: marks that are never the same, and deletions under them.

use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, oid::ObjectId};

use super::meaning::millis;
use super::{Mark, Pod, first};
use crate::event::EntityId;
use crate::replication::Subscription;
use crate::store::{Moment, RetireStore, StoreError};

#[async_trait]
impl RetireStore for Pod {
    async fn mark(&self, of: &Subscription, ids: &[EntityId]) -> Result<Option<Moment>, StoreError> {
        let mut database = self.lock();
        let at = database.now();
        for id in ids {
            let number = u64::from(database.token());
            let Some(held) = database.records(&of.name).get_mut(id) else { continue };
            if held.mark.is_none() {
                held.mark = Some(Mark { id: object_id(number), at });
                held.record.marked = true;
            }
        }
        database.next();
        Ok(Some(database.last()))
    }

    async fn marked(
        &self,
        of: &Subscription,
        grace: Duration,
        most: usize,
    ) -> Result<Vec<(EntityId, Bson)>, StoreError> {
        let database = self.lock();
        let latest = database.now() - millis(grace);
        let records = database.seen(&self.name, None).records.get(&of.name).into_iter().flatten();
        let known = records.filter(|(_, held)| !of.leaves_alone(&held.record));
        let marks = known.filter_map(|(id, held)| Some((held.mark.as_ref()?, id)));
        let mut ripe: Vec<(&Mark, &EntityId)> = marks.filter(|(mark, _)| mark.at <= latest).collect();
        ripe.sort_by_key(|(mark, id)| (mark.at, *id));
        Ok(first(ripe.into_iter().map(|(mark, id)| (id.clone(), mark.id.clone())), most))
    }

    async fn retire(&self, of: &Subscription, marked: &[(EntityId, Bson)]) -> Result<u64, StoreError> {
        let mut database = self.lock();
        let (now, mut retired) = (database.now(), 0);
        for (id, mark) in marked {
            let held = database.held(of, id);
            let is_marked = held.is_some_and(|held| held.mark.as_ref().is_some_and(|held| held.id == *mark));
            let is_held = held.is_some_and(|held| held.hold.is_some_and(|until| until > now));
            if is_marked && !is_held {
                database.records(&of.name).remove(id);
                retired += 1;
            }
        }
        database.next();
        Ok(retired)
    }
}

fn object_id(number: u64) -> Bson {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Bson::ObjectId(ObjectId::from_bytes(bytes))
}
