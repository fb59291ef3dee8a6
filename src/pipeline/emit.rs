//! Tells others what rules have found, from the outbox that was written with the documents.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as signal;
use uuid::Uuid;

use super::patience::pauses;
use super::{Halted, Pipeline, patience};
use crate::source::Outlet;
use crate::store::OutboxStore;

/// How many messages go out together.
const TOGETHER: usize = 200;
/// How often is looked for what another pod has left in the outbox.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Which pod tells.
const LEASE: &str = "outbox";

/// What tells others, and from where.
pub struct Emission {
    /// What is to be told.
    pub outbox: Arc<dyn OutboxStore>,
    /// How.
    pub outlet: Arc<dyn Outlet>,
    /// Moves whenever there is something.
    pub told: signal::Receiver<()>,
}

impl Pipeline {
    /// Tells others for ever, one pod at a time.
    pub(super) async fn emit(self: Arc<Self>, mut emission: Emission) -> Result<(), Halted> {
        self.leased(LEASE, self.emit_for_ever(&mut emission)).await
    }

    async fn emit_for_ever(&self, emission: &mut Emission) -> Result<(), Halted> {
        loop {
            self.if_leased(LEASE, self.emit_all(emission)).await?;
            let waiting = tokio::time::timeout(LOOK_EVERY, emission.told.changed());
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Halted),
                // Whether somebody says so or time has passed: it is looked again.
                _ = waiting => {}
            }
        }
    }

    /// Tells all that is in the outbox. What was told and not forgotten, because somebody died in between, is told again,
    /// under the same id.
    async fn emit_all(&self, emission: &Emission) -> Result<(), Halted> {
        let mut waits = pauses();
        loop {
            let alerts = self.persist(|| emission.outbox.outgoing(TOGETHER)).await?;
            if alerts.is_empty() {
                return Ok(());
            }
            if let Err(error) = emission.outlet.publish(&alerts).await {
                let (class, messages) = (error.class, alerts.len());
                tracing::warn!(event = "outbox.waiting", %class, %error, messages, "others cannot be told");
                self.pause(waits.next().unwrap_or(patience::LONGEST_PAUSE)).await?;
                continue;
            }
            let ids: Vec<Uuid> = alerts.iter().map(|alert| alert.id).collect();
            self.persist(|| emission.outbox.told(&ids)).await?;
        }
    }
}
