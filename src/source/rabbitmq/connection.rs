//! The supervisor: connection, channel and consumer are built, used and torn down as one.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::unconstrained;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::acknowledge::{Acknowledger, Halt, ledger};
use super::headers::headers;
use super::topology::Topology;
use super::wire::Wire;
use super::{Address, Options, SourceCounters, SourceError, Status};
use crate::clock::Stopwatch;
use crate::event::Headers;
use crate::replication::Class;
use crate::source::{Delivery, Ledger};

/// How long declaring and subscribing may take in all; a broker that has lost its quorum answers late.
const PREPARING: Duration = Duration::from_secs(30);
/// How long deliveries under way are waited for at a stop.
const GRACE: Duration = Duration::from_secs(5);
/// How long a connection on which nothing was to be done must have held for its loss to count as the first
/// one.
const PROVEN: Duration = Duration::from_secs(15);
/// How long nobody looks at the consumer while nobody asks for deliveries. It may have ended.
const UNSEEN: Duration = Duration::from_millis(200);
/// How long the broker's own reason is waited for when an acknowledgement fails.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Keeps deliveries coming until it is told to stop.
pub(super) struct Supervisor {
    pub(super) address: Address,
    pub(super) topology: Topology,
    pub(super) options: Options,
    pub(super) inbox: mpsc::Sender<Delivery>,
    pub(super) asks: Arc<Notify>,
    pub(super) status: watch::Sender<Status>,
    pub(super) counters: Arc<SourceCounters>,
    pub(super) stop: CancellationToken,
}

impl Supervisor {
    /// Connects, delivers, and begins anew after a wait whenever that ends, until the stop or until nobody
    /// takes deliveries any more.
    pub(super) async fn run(self) {
        let mut patience = Patience::default();
        loop {
            let (began, connections, acked) =
                (Stopwatch::start(), &self.counters.connections, &self.counters.acked);
            let before = (connections.get(), acked.get());
            let Err(error) = self.attempt().await else { break };
            let held = connections.get() > before.0 && began.elapsed() > PROVEN;
            if held || acked.get() > before.1 {
                patience = Patience::default();
            }
            let retry_in = patience.after(&error);
            self.status.send_replace(Status::Lost { class: error.class(), reason: error.report(), retry_in });
            tokio::select! {
                () = self.is_over() => break,
                () = sleep(retry_in) => {}
            }
        }
        self.status.send_replace(Status::Stopped);
    }

    /// Connects once, and says nothing of how that went but by the status, nor by a log line of how often: whoever reads
    /// decides what follows.
    pub(super) async fn run_once(self) {
        let Err(error) = self.attempt().await else { return drop(self.status.send_replace(Status::Stopped)) };
        let (class, reason) = (error.class(), error.report());
        if self.counters.connections.get() > 0 {
            warn!(event = "queue.lost", %class, "{reason}");
        }
        self.status.send_replace(Status::Lost { class, reason, retry_in: Duration::ZERO });
    }

    /// One connection, from dialling to its end. It ends well only when it is over for good.
    async fn attempt(&self) -> Result<(), SourceError> {
        self.counters.attempts.add(1);
        let Options { service, ca, connect_timeout, .. } = &self.options;
        let name = format!("nearcopy {service}/{}", self.topology.queue);
        let dialled = tokio::select! {
            () = self.is_over() => return Ok(()),
            dialled = Wire::dial(&self.address, &name, ca.clone(), *connect_timeout) => dialled,
        };
        let wire = dialled?;
        let ended = self.consume(&wire).await;
        wire.close().await;
        ended
    }

    async fn consume(&self, wire: &Wire) -> Result<(), SourceError> {
        let prepared = tokio::select! {
            () = self.is_over() => return Ok(()),
            prepared = timeout(PREPARING, self.prepare(wire)) => prepared,
        };
        let late = |_| SourceError::Silent { place: wire.place(), after: PREPARING };
        let (channel, consumer, new_queue) = prepared.map_err(late)??;
        self.counters.connections.add(1);
        let generation = self.counters.connections.get();
        self.status.send_replace(Status::Connected { generation, new_queue });
        info!(generation, new_queue, "reading from RabbitMQ at {}", wire.place());

        let counters = Arc::clone(&self.counters);
        let (ledger, mut acknowledger) = ledger(channel.clone(), self.options.prefetch.get(), counters);
        self.relay(wire, consumer, ledger, &mut acknowledger).await?;
        if timeout(GRACE, acknowledger.run(|| true)).await.is_err() {
            warn!("some deliveries were still under way at the stop; they come again");
        }
        Ok(())
    }

    async fn prepare(&self, wire: &Wire) -> Result<(Channel, Consumer, bool), SourceError> {
        let new_queue = self.topology.establish(wire).await?;
        let queue = &self.topology.queue;
        let refused = |act| {
            let (name, place) = (queue.to_string(), wire.place());
            move |cause| SourceError::Refused { act, name, place, cause: Box::new(cause) }
        };
        let channel = wire.channel().await?;
        let prefetch = self.options.prefetch.get();
        channel
            .basic_qos(prefetch, BasicQosOptions::default())
            .await
            .map_err(refused("bound the deliveries of"))?;
        let consumer = channel
            .basic_consume(queue.clone(), self.tag(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .map_err(refused("read from queue"))?;
        Ok((channel, consumer, new_queue))
    }

    /// Passes deliveries on and acknowledgements back, until one of them fails, or it is over.
    async fn relay(
        &self,
        wire: &Wire,
        consumer: Consumer,
        ledger: Arc<dyn Ledger>,
        acknowledger: &mut Acknowledger,
    ) -> Result<(), SourceError> {
        let may_drop = || self.stop.is_cancelled() || self.inbox.is_closed();
        let mut forward = Box::pin(self.forward(wire, consumer, ledger));
        let halted = tokio::select! {
            biased;
            () = self.is_over() => return Ok(()),
            failed = &mut forward => return Err(failed),
            failed = self.look_after(wire) => return Err(failed),
            halted = acknowledger.run(may_drop) => halted,
        };
        match halted {
            Ok(()) => Ok(()),
            Err(Halt::Dropped) => Err(SourceError::Dropped { queue: self.topology.queue.to_string() }),
            // The channel says only that it is closed; the consumer is told why.
            Err(Halt::Channel(cause)) => match timeout(LAST_WORDS, forward).await {
                Ok(told) => Err(told),
                Err(_) => Err(self.lost(wire, cause)),
            },
        }
    }

    /// Passes deliveries on until no more come, all that are there whenever somebody asks for some: to be woken for
    /// each one that comes meanwhile would cost more than to read it. The inbox has room for all that may be out at
    /// once; only right after a loss is it full, of deliveries of the connection before.
    async fn forward(&self, wire: &Wire, mut consumer: Consumer, ledger: Arc<dyn Ledger>) -> SourceError {
        loop {
            let _asked = timeout(UNSEEN, self.asks.notified()).await;
            let mut next = Some(consumer.next().await);
            while let Some(delivered) = next {
                match delivered {
                    // Nobody takes deliveries any more, and `is_over` says so; this one is given back.
                    Some(Ok(delivery)) => {
                        drop(unconstrained(self.inbox.send(self.wrap(delivery, &ledger))).await);
                    }
                    Some(Err(cause)) => return self.lost(wire, cause),
                    None => {
                        let queue = self.topology.queue.to_string();
                        return SourceError::Ended { queue, place: wire.place() };
                    }
                }
                next = consumer.next().now_or_never();
            }
        }
    }

    fn wrap(&self, delivery: lapin::message::Delivery, ledger: &Arc<dyn Ledger>) -> Delivery {
        self.counters.received.add(1);
        self.counters.redelivered.add(u64::from(delivery.redelivered));
        let properties = &delivery.properties;
        let content_type = properties.content_type().as_ref().map(ToString::to_string);
        let headers = properties.headers().as_ref().map_or_else(Headers::new, headers);
        let (tag, redelivered) = (delivery.delivery_tag, delivery.redelivered);
        Delivery::new(Bytes::from(delivery.data), content_type, headers, redelivered, tag, Arc::clone(ledger))
            .under(Some(delivery.routing_key.into()))
    }

    /// Makes queue and bindings again and again, which does nothing as long as nobody takes them away.
    /// Without a binding nothing arrives, and nothing tells us.
    async fn look_after(&self, wire: &Wire) -> SourceError {
        loop {
            sleep(self.options.topology_check).await;
            if let Err(error) = self.topology.establish(wire).await {
                return error;
            }
        }
    }

    async fn is_over(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.inbox.closed() => {}
        }
    }

    fn lost(&self, wire: &Wire, cause: lapin::Error) -> SourceError {
        SourceError::Lost {
            queue: self.topology.queue.to_string(),
            place: wire.place(),
            cause: Box::new(cause),
        }
    }

    /// What the broker's tools show as the consumer's tag.
    fn tag(&self) -> ShortString {
        let tag = format!("nearcopy.{}", self.options.service);
        ShortString::try_new(tag).unwrap_or_else(|_| "nearcopy".into())
    }
}

/// How long to wait before the next attempt, and how loudly to speak of the last one.
struct Patience {
    transient: ExponentialBackoff,
    misconfigured: ExponentialBackoff,
    said: Option<String>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            transient: backoff(Duration::from_millis(50), Duration::from_secs(5)),
            misconfigured: backoff(Duration::from_secs(1), Duration::from_secs(15)),
            said: None,
        }
    }
}

impl Patience {
    /// The wait after an error. It is said aloud once; the same again only whispered.
    fn after(&mut self, error: &SourceError) -> Duration {
        let (class, reason) = (error.class(), error.report());
        let pauses = match class {
            Class::Transient => &mut self.transient,
            Class::Misconfigured | Class::Poison | Class::Bug => &mut self.misconfigured,
        };
        let pause = pauses.next().unwrap_or(Duration::from_secs(30));
        let again = self.said.as_ref() == Some(&reason);
        match class {
            _ if again => debug!(%class, retry_in_ms = pause.as_millis(), "{reason}"),
            Class::Transient => warn!(%class, retry_in_ms = pause.as_millis(), "{reason}"),
            Class::Misconfigured | Class::Poison | Class::Bug => {
                error!(%class, retry_in_ms = pause.as_millis(), "{reason}");
            }
        }
        self.said = Some(reason);
        pause
    }
}

/// Doubling waits without end. Each is between one and two times its step, so that neither many sidecars come
/// at the same moment nor one of them comes at once.
fn backoff(first: Duration, longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(error: &SourceError) -> Vec<Duration> {
        let mut patience = Patience::default();
        (0..12).map(|_| patience.after(error)).collect()
    }

    #[test]
    fn the_first_retry_is_quick_and_later_ones_stay_within_ten_seconds() {
        let pauses = pauses(&SourceError::Ended { queue: "q".into(), place: "here".into() });
        assert!(pauses[0] <= Duration::from_millis(100), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(10)), "{pauses:?}");
        assert!(pauses[11] >= Duration::from_secs(5), "{pauses:?}");
    }

    #[test]
    fn what_is_misconfigured_is_asked_for_rarely() {
        let pauses = pauses(&SourceError::NoExchange { exchange: "e".into(), place: "here".into() });
        assert!(pauses.iter().all(|pause| *pause >= Duration::from_secs(1)), "{pauses:?}");
        assert!(pauses[11] >= Duration::from_secs(15) && pauses[11] <= Duration::from_secs(30), "{pauses:?}");
    }
}
