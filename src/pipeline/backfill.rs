//! Makes entities wanted that no event has told of: because somebody names them, or documents refer to them.
//!
//! Whoever is wanted and not known is asked for by whatever pod is at work. So a backfill can be cut off and begun anew at
//! any time: who is held, or wanted already, is passed over.

use std::time::Duration;

use bson::Bson;

use super::hydrate::{References, references};
use super::{Halted, Pipeline};
use crate::event::EntityId;
use crate::replication::{Embed, RecordWrite, Subscription};

/// How many documents are read together.
const PAGE: usize = 500;
/// How many may be wanted and not known yet before no more are added: the owner has others to answer, too.
const OPEN: u64 = 2_000;
/// How often it is looked whether there is room again.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a backfill has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backfilled {
    /// How many entities were looked at.
    pub entities: u64,
    /// How many of them nothing was known of; they are wanted now.
    pub wanted: u64,
}

/// How a backfill is done.
pub struct Backfill<'b> {
    /// The replica.
    pub of: &'b Subscription,
    /// How long who is wanted is not retired, though no document refers to him.
    pub hold: Option<Duration>,
    /// Whether it is only counted who would be wanted.
    pub only_look: bool,
    /// Is told how far it has come, and how many are still to be asked for.
    pub tell: &'b (dyn Fn(Backfilled, u64) + Send + Sync),
}

impl Pipeline {
    /// Makes some entities wanted, as soon as there is room for more questions.
    pub async fn backfill(
        &self,
        backfill: &Backfill<'_>,
        ids: &[EntityId],
        so_far: &mut Backfilled,
    ) -> Result<(), Halted> {
        let of = backfill.of;
        let held = self.persist(|| self.store.read(of, ids, None)).await?;
        let unknown = ids.iter().filter(|id| !held.contains_key(*id));
        let placeholder =
            |id: &EntityId| RecordWrite::Placeholder { id: id.clone(), ask: true, hold: backfill.hold };
        let writes: Vec<RecordWrite> = unknown.map(placeholder).collect();
        if !writes.is_empty() && !backfill.only_look {
            self.make_room_for_questions(backfill, *so_far).await?;
            self.persist(|| self.store.write(of, &writes, 0)).await?;
        }
        so_far.entities += ids.len() as u64;
        so_far.wanted += writes.len() as u64;
        (backfill.tell)(*so_far, 0);
        Ok(())
    }

    /// Makes all wanted that the documents of an embed refer to.
    pub async fn backfill_references(
        &self,
        backfill: &Backfill<'_>,
        embed: &Embed,
        so_far: &mut Backfilled,
    ) -> Result<(), Halted> {
        let moment = self.persist(|| self.store.heartbeat()).await?;
        let mut from: Option<Bson> = None;
        loop {
            let page = self.persist(|| self.store.scan(embed, from.as_ref(), PAGE, moment)).await?;
            let Some(last) = page.last().and_then(|document| document.get("_id").cloned()) else {
                return Ok(());
            };
            from = Some(last);
            let References { known, .. } = references(embed, backfill.of, &page);
            let ids: Vec<EntityId> = known.into_keys().collect();
            self.backfill(backfill, &ids, so_far).await?;
        }
    }

    async fn make_room_for_questions(
        &self,
        backfill: &Backfill<'_>,
        so_far: Backfilled,
    ) -> Result<(), Halted> {
        loop {
            let open = self.persist(|| self.store.backlog(backfill.of)).await?.pending;
            if open < OPEN {
                return Ok(());
            }
            (backfill.tell)(so_far, open);
            self.pause(LOOK_EVERY).await?;
        }
    }
}
