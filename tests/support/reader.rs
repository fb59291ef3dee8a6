//! A source that reads a queue of users on a test's own virtual host.

use std::collections::BTreeSet;
use std::time::Duration;

use nearcopy::event::{Envelope, Limits, WireFormat};
use nearcopy::replication::{Class, QueueSpec, SourceSpec};
use nearcopy::source::Delivery;
use nearcopy::source::rabbitmq::{Options, Source, Status, open};
use secrecy::SecretString;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::rabbitmq::Broker;

/// The owner's exchange.
pub(crate) const EXCHANGE: &str = "users";
/// The queue that is read.
pub(crate) const QUEUE: &str = "shop.users";

/// A source that is connected.
pub(crate) struct Reader {
    pub(crate) source: Source,
    pub(crate) stop: CancellationToken,
}

impl Reader {
    /// Opens one and waits until deliveries can come.
    pub(crate) async fn open(options: Options) -> Self {
        let stop = CancellationToken::new();
        let mut reader = Self { source: open(&spec(true), options, stop.clone()).unwrap(), stop };
        reader.status_is(|status| matches!(status, Status::Connected { .. })).await;
        reader
    }

    /// Waits for a status.
    pub(crate) async fn status_is(&mut self, wanted: impl FnMut(&Status) -> bool) {
        let waited = timeout(Duration::from_secs(60), self.source.status.wait_for(wanted)).await;
        waited.expect("the status in time").unwrap();
    }

    /// Takes exactly so many deliveries.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Delivery> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let more = timeout(Duration::from_secs(60), self.source.inbox.take(count - taken.len())).await;
            taken.extend(more.unwrap_or_else(|_| panic!("{} of {count} deliveries came", taken.len())));
        }
        taken
    }

    /// Which connection it is on.
    pub(crate) fn generation(&self) -> u64 {
        match *self.source.status.borrow() {
            Status::Connected { generation, .. } => generation,
            ref other => panic!("not connected: {other:?}"),
        }
    }

    /// Stops it, gives back what is not settled, and looks at what the queue then holds.
    pub(crate) async fn stop_leaving(self, count: u32, broker: Broker) {
        self.stop().await;
        broker.holds(QUEUE, count).await;
        broker.remove().await;
    }

    /// Stops it.
    pub(crate) async fn stop(self) {
        let Source { inbox, task, .. } = self.source;
        drop(inbox);
        self.stop.cancel();
        timeout(Duration::from_secs(8), task).await.expect("it stops").unwrap();
    }
}

/// A virtual host in which the owner has declared its exchange.
pub(crate) async fn broker_with_exchange() -> Broker {
    let broker = Broker::new().await;
    broker.declare_exchange(EXCHANGE).await;
    broker
}

/// Waits for the loss of a source that cannot work as configured, and says its reason.
pub(crate) async fn misconfigured(source: &mut Source) -> String {
    let lost = source.status.wait_for(|status| matches!(status, Status::Lost { .. }));
    match timeout(Duration::from_secs(60), lost).await.unwrap().unwrap().clone() {
        Status::Lost { class: Class::Misconfigured, reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// The usual options, towards a virtual host.
pub(crate) fn options(broker: &Broker) -> Options {
    Options::new(SecretString::from(broker.url()), "shop")
}

/// A source of the events of users.
pub(crate) fn spec(declare: bool) -> SourceSpec {
    SourceSpec {
        name: "users".into(),
        queue: QueueSpec {
            exchange: EXCHANGE.into(),
            queue: QUEUE.into(),
            bindings: vec!["user.#".into()],
            declare,
            split: None,
            part: None,
        },
        envelope: Envelope::new(WireFormat::CloudEvents, Limits::default()),
    }
}

/// Numbers as bodies.
pub(crate) fn bodies(numbers: impl Iterator<Item = u64>) -> impl Iterator<Item = String> {
    numbers.map(|number| number.to_string())
}

/// The number in a body.
pub(crate) fn number(delivery: &Delivery) -> u64 {
    std::str::from_utf8(&delivery.body).unwrap().parse().unwrap()
}

/// The numbers in bodies.
pub(crate) fn numbers(deliveries: &[Delivery]) -> BTreeSet<u64> {
    deliveries.iter().map(number).collect()
}
