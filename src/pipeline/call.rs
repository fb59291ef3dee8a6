//! Calls for a look at the owner, where no event can say what is to be held.

use std::time::Duration;

use super::{Halted, Pipeline, patience};
use crate::event::EntityId;
use crate::replication::{RecordWrite, Subscription};

impl Pipeline {
    /// Has the owner asked about these entities, so long from now at the latest; those without a record are wanted by
    /// nobody.
    pub(super) async fn call(
        &self,
        of: &Subscription,
        ids: &[EntityId],
        wait: Duration,
    ) -> Result<(), Halted> {
        let asks: Vec<RecordWrite> = ids.iter().map(|id| RecordWrite::Ask { id: id.clone(), wait }).collect();
        let mut pauses = patience::pauses();
        // A call always changes its record. Where none was changed, there is none, or a deposed primary has answered.
        while self.persist(|| self.store.write(of, &asks, 0)).await?.idle {
            let moment = self.persist(|| self.store.heartbeat()).await?;
            if self.persist(|| self.store.read(of, ids, moment)).await?.is_empty() {
                return Ok(());
            }
            self.pause(pauses.next().unwrap_or_default()).await?;
        }
        self.wanted.send_replace(());
        Ok(())
    }
}
