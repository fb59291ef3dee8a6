//! The way back: what rules have others told goes where events come from.

use async_trait::async_trait;

use super::LogError;
use crate::replication::Alert;

/// Tells others.
///
/// * *At least once.* What was passed on before an error may have arrived; it is passed on again, under the same id.
/// * *Confirmed.* Once it returns, the broker is answerable for all of it.
#[async_trait]
pub trait Outlet: Send + Sync {
    /// Publishes messages, and waits until the broker has them.
    async fn publish(&self, alerts: &[Alert]) -> Result<(), LogError>;
}
