//! A queue that is read by one pod at a time: opened when it has its turn, and ended with the connection.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::topology::Topology;
use super::{Options, Source, SourceError, Status, open_once};
use crate::replication::{Class, SourceSpec};
use crate::source::{LogError, Opened, Queue};

/// A read model's own queue, or a partition.
pub struct TurnQueue {
    spec: Arc<SourceSpec>,
    options: Options,
    stop: CancellationToken,
}

impl TurnQueue {
    /// Prepares it; nothing is asked of the broker yet. Only what no broker could ever accept is an error. Once it is to stop,
    /// it ends, and what is settled by then, or soon after, is acknowledged.
    pub fn new(
        spec: &Arc<SourceSpec>,
        options: Options,
        stop: CancellationToken,
    ) -> Result<Self, SourceError> {
        options.checked()?;
        Topology::new(&spec.queue)?;
        Ok(Self { spec: spec.clone(), options, stop })
    }
}

#[async_trait]
impl Queue for TurnQueue {
    async fn open(&self) -> Result<Opened, LogError> {
        let opened = open_once(&self.spec, self.options.clone(), self.stop.child_token());
        let Source { inbox, mut status, task, .. } = opened.map_err(LogError::from)?;
        let is_settled = |now: &Status| !matches!(now, Status::Connecting);
        match status.wait_for(is_settled).await.map(|now| now.clone()) {
            Ok(Status::Connected { new_queue, .. }) => {
                let (source, queue) = (&self.spec.name, self.spec.queue.name());
                tracing::info!(event = "queue.reading", source, queue, new_queue, "the queue is read");
                // A panic in there has been reported.
                let closed = Box::pin(async move { drop(task.await) });
                Ok(Opened { inbox, is_new: new_queue, closed })
            }
            Ok(Status::Lost { class, reason, .. }) => Err(LogError { class, reason }),
            _ => Err(LogError { class: Class::Transient, reason: "the queue is not read any more".into() }),
        }
    }
}

impl From<SourceError> for LogError {
    fn from(error: SourceError) -> Self {
        Self { class: error.class(), reason: error.report() }
    }
}
