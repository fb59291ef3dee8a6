//! A queue that is read by one pod at a time: opened when it has its turn, and ended with the connection.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::topology::Topology;
use super::{Options, Source, SourceError, Status, open};
use crate::replication::{Class, SourceSpec};
use crate::source::{Inbox, LogError, Queue};

/// A read model's own queue.
pub struct ModelQueue {
    spec: Arc<SourceSpec>,
    options: Options,
}

impl ModelQueue {
    /// Prepares it; nothing is asked of the broker yet. Only what no broker could ever accept is an error.
    pub fn new(spec: &Arc<SourceSpec>, options: Options) -> Result<Self, SourceError> {
        options.checked()?;
        Topology::new(&spec.queue)?;
        Ok(Self { spec: spec.clone(), options })
    }
}

#[async_trait]
impl Queue for ModelQueue {
    async fn open(&self) -> Result<Inbox, LogError> {
        let stop = CancellationToken::new();
        let refused = |error: SourceError| LogError { class: error.class(), reason: error.report() };
        let Source { inbox, mut status, .. } =
            open(&self.spec, self.options.clone(), stop.clone()).map_err(refused)?;
        let is_settled = |now: &Status| !matches!(now, Status::Connecting);
        let opened = status.wait_for(is_settled).await.map(|now| now.clone());
        if let Ok(Status::Connected { new_queue, .. }) = opened {
            let (source, queue) = (&self.spec.name, &self.spec.queue.queue);
            tracing::info!(event = "queue.reading", source, queue, new_queue, "the queue is read");
            tokio::spawn(async move {
                let is_over = |now: &Status| !matches!(now, Status::Connected { .. });
                // However it ends: nobody connects again.
                let _lost = status.wait_for(is_over).await.is_ok();
                stop.cancel();
            });
            return Ok(inbox);
        }
        stop.cancel();
        match opened {
            Ok(Status::Lost { class, reason, .. }) => Err(LogError { class, reason }),
            _ => Err(LogError { class: Class::Transient, reason: "the queue is not read any more".into() }),
        }
    }
}
