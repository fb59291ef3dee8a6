//! Whom the console asks. What it shows is what the commands say, so whoever knows adapters answers for both.

use async_trait::async_trait;
use serde_json::Value;

use crate::replication::Declaration;

/// What is known, and can be done, of a sidecar at work. No answer has values of fields in it.
#[async_trait]
pub trait Desk: Send + Sync {
    /// What the sidecar replicates.
    fn declaration(&self) -> &Declaration;

    /// How everything stands, as `nearcopy status` says it.
    async fn status(&self) -> Result<Value, Refusal>;

    /// Parked events, the oldest first, at most so many.
    async fn parked(&self, replica: Option<&str>, most: usize) -> Result<Vec<Value>, Refusal>;

    /// Takes a parked event up again; or, as a rehearsal, only says whether the manifest can read it now.
    async fn retry(&self, id: uuid::Uuid, rehearsal: bool) -> Result<Value, Refusal>;

    /// Forgets a parked event; or, as a rehearsal, only says whether it is there.
    async fn forget(&self, id: uuid::Uuid, rehearsal: bool) -> Result<Value, Refusal>;

    /// Why a value is there or is not, as `nearcopy explain` says it.
    async fn explain(&self, of: &str, id: &str, path: Option<&str>) -> Result<Vec<Value>, Refusal>;
}

/// Why there is no answer. The text is for a person, and free of secrets.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// What was asked about is not there.
    #[error("{0}")]
    Unknown(String),
    /// Nobody can say it now.
    #[error("{0}")]
    Unavailable(String),
}
