//! The queues that a source was read from while it was split otherwise: taken out of the flow of events, and read until they
//! are empty.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::hash::SHARE;
use super::topology::{Topology, depth};
use super::wire::Wire;
use super::{Options, SourceError, TurnQueue};
use crate::replication::{QueueSpec, SourceSpec};
use crate::source::{Former, Left, LogError, Queue};

/// What is left of other numbers of partitions of one source.
pub struct FormerQueues {
    spec: Arc<SourceSpec>,
    options: Options,
    stop: CancellationToken,
}

impl FormerQueues {
    /// Prepares to look; nothing is asked of the broker yet. Only what no broker could ever accept is an error.
    pub fn new(
        spec: &Arc<SourceSpec>,
        options: Options,
        stop: CancellationToken,
    ) -> Result<Self, SourceError> {
        options.checked()?;
        Topology::new(&spec.queue)?;
        Ok(Self { spec: spec.clone(), options, stop })
    }

    /// Looks whether a queue is there, and if so, has no more events come into it, as far as that is safe; says how many wait.
    async fn set_aside(&self, former: &QueueSpec, number: Option<u16>) -> Result<Option<u32>, SourceError> {
        let topology = Topology::new(former)?;
        let address = self.options.checked()?;
        let name = format!("nearcopy {} former {}", self.options.service, topology.queue);
        let Options { ca, connect_timeout, .. } = &self.options;
        let wire = Wire::dial(&address, &name, ca.clone(), *connect_timeout).await?;
        let looked = async {
            if depth(&wire, &topology.queue).await?.is_none() {
                return Ok(None);
            }
            if let (true, Some(now)) = (self.spec.queue.declare, self.now_bound(former, number)) {
                // What is to get its messages is bound before it is not bound any more.
                if let Some(first) = self.spec.parts().first() {
                    Topology::new(&first.queue)?.establish(&wire).await?;
                }
                Topology::new(&now)?.unbind(&wire).await?;
            }
            Ok(depth(&wire, &topology.queue).await?.map(|depth| depth.messages))
        };
        let looked = looked.await;
        wire.close().await;
        looked
    }

    /// How a queue is bound, if it may be unbound: where another one is sure to get its messages. Whoever has one queue again
    /// cannot be sure that pods do not still read partitions, and would take away the other one's binding in turn: then there
    /// might be none.
    fn now_bound(&self, former: &QueueSpec, number: Option<u16>) -> Option<QueueSpec> {
        let split = self.spec.queue.split.as_ref()?;
        Some(match number {
            None => former.clone(),
            Some(_) => QueueSpec {
                exchange: split.exchange(&former.queue),
                bindings: vec![SHARE.to_owned()],
                ..former.clone()
            },
        })
    }
}

#[async_trait]
impl Former for FormerQueues {
    async fn look(&self, number: Option<u16>) -> Result<Left, LogError> {
        let former = Arc::new(self.spec.former(number));
        match self.set_aside(&former.queue, number).await? {
            None => Ok(Left::Gone),
            Some(0) => Ok(Left::Empty),
            Some(_) => {
                let queue = TurnQueue::new(&former, self.options.clone(), self.stop.clone())?;
                queue.open().await.map(Left::Waits)
            }
        }
    }
}
