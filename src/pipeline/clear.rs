//! Takes away what earlier generations of an embed left in documents, once nothing declares it any more.

use std::sync::Arc;

use bson::doc;

use super::{Halted, Pipeline};
use crate::replication::Leftover;

/// How many documents are one page.
const PAGE: usize = 500;

impl Pipeline {
    /// Walks through the documents until nothing is left in them. Older pods may go on writing for a while, so it is
    /// done only when, a comparison's time after the first pass, another one has found nothing.
    pub(super) async fn clear_leftover(self: Arc<Self>, left: Leftover) -> Result<(), Halted> {
        let name = left.name();
        self.leased(&name, self.clear_until_done(&left, &name)).await
    }

    async fn clear_until_done(&self, left: &Leftover, name: &str) -> Result<(), Halted> {
        let mut passes = 0;
        while !self.is_cleared(name).await? {
            let Some(cleared) = self.if_leased(name, self.clear_pass(left)).await? else {
                self.pause(self.rhythm.sweep_every * 5).await?;
                continue;
            };
            tracing::info!(
                event = "embed.cleared",
                embed = left.embed().name,
                documents = cleared,
                "what is not declared any more was taken out of documents"
            );
            passes += 1;
            if passes > 1 && cleared == 0 {
                let done = doc! { "done": true };
                self.persist(|| self.store.set_position(name, Some(&done))).await?;
            }
            self.pause(self.rhythm.drift_every).await?;
        }
        // Nothing is left to be done; a task lasts as long as the program.
        self.stop.cancelled().await;
        Err(Halted)
    }

    async fn is_cleared(&self, name: &str) -> Result<bool, Halted> {
        Ok(self.persist(|| self.store.position(name)).await?.is_some())
    }

    async fn clear_pass(&self, left: &Leftover) -> Result<u64, Halted> {
        let embed = left.embed();
        let (mut changed, mut pages) = (0, self.persist(|| self.store.matching(embed, left.filter())).await?);
        loop {
            let Ok(ids) = pages.next(PAGE).await else {
                // The cursor is lost. What is cleared no longer matches.
                self.pause(self.rhythm.sweep_every).await?;
                pages = self.persist(|| self.store.matching(embed, left.filter())).await?;
                continue;
            };
            if ids.is_empty() {
                return Ok(changed);
            }
            changed += self.embed(embed, &[left.clear(&ids)]).await?;
        }
    }
}
