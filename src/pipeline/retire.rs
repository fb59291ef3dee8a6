//! Retires records that nobody refers to: mark, wait, look again, delete under that very mark.

use super::{Halted, Pipeline, What};
use crate::event::EntityId;
use crate::replication::{Keep, Record, RecordWrite, Subscription};
use crate::store::Moment;
use crate::telemetry::metric;

/// How many records are looked at together.
const PAGE: usize = 500;

impl Pipeline {
    /// Marks every record that no document refers to.
    pub(super) async fn mark_unreferenced(&self, of: &Subscription) -> Result<(), Halted> {
        if !matches!(of.keep, Keep::Referenced) {
            return Ok(());
        }
        let free = |record: &Record| !record.marked && !of.leaves_alone(record);
        let mut from: Option<EntityId> = None;
        loop {
            let page = self.persist(|| self.store.page(of, from.as_ref(), PAGE)).await?;
            let Some(last) = page.keys().next_back().cloned() else { return Ok(()) };
            let unmarked = page.into_values().filter(free).map(|record| record.id).collect();
            let free = self.unreferenced(of, unmarked, None).await?;
            if !free.is_empty() {
                self.persist(|| self.store.mark(of, &free)).await?;
            }
            from = Some(last);
        }
    }

    /// Looks again, causally after the marks, at those that have been marked long enough.
    pub(super) async fn retire_marked(&self, of: &Subscription) -> Result<(), Halted> {
        loop {
            let marked = self.persist(|| self.store.marked(of, self.rhythm.retire_grace, PAGE)).await?;
            if marked.is_empty() {
                return Ok(());
            }
            // The marks are older than this write, so what is read after it is read after them.
            let moment = self.persist(|| self.store.heartbeat()).await?;
            let ids: Vec<EntityId> = marked.iter().map(|(id, _)| id.clone()).collect();
            let free = self.unreferenced(of, ids, moment).await?;
            let (retired, wanted): (Vec<_>, Vec<_>) =
                marked.into_iter().partition(|(id, _)| free.contains(id));
            let freed: Vec<RecordWrite> =
                wanted.into_iter().map(|(id, _)| RecordWrite::Unmark { id }).collect();
            self.persist(|| self.store.write(of, &freed, 0)).await?;
            let count = self.persist(|| self.store.retire(of, &retired)).await?;
            metric::retired(of.name.as_str(), count);
            if count == retired.len() as u64 {
                self.diary.note(&of.name, retired.into_iter().map(|(id, _)| (id, What::Retired)));
            }
            // Those that were freed are marked no longer; who still sees them so reads what is outdated, and looks again
            // in the next round.
            if count == 0 {
                return Ok(());
            }
        }
    }

    /// Those of these entities that no document of any embed refers to.
    async fn unreferenced(
        &self,
        of: &Subscription,
        mut ids: Vec<EntityId>,
        after: Option<Moment>,
    ) -> Result<Vec<EntityId>, Halted> {
        for embed in self.declaration.embeds_of(&of.name) {
            let referenced = self.persist(|| self.store.referenced(embed, &ids, after)).await?;
            ids.retain(|id| !referenced.contains(id));
        }
        Ok(ids)
    }
}
