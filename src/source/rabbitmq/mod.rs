//! RabbitMQ.
//!
//! The connection is supervised here and not by the client library: connection, channel and consumer are one
//! unit, built anew together whenever any of them ends. A delivery remembers the connection it came on by its
//! ledger, so settling it late does nothing at all, and never settles another one.

mod acknowledge;
mod address;
mod connection;
mod error;
mod former;
mod hash;
mod headers;
mod inspect;
mod outlet;
mod queue;
mod status;
mod stream;
mod topology;
mod wire;

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, info_span};

use self::address::Address;
use self::connection::Supervisor;
pub use self::error::SourceError;
pub use self::former::FormerQueues;
pub use self::inspect::{Waiting, inspect, waiting};
pub use self::outlet::Publisher;
pub use self::queue::TurnQueue;
pub use self::status::{Counter, SourceCounters, Status};
pub use self::stream::Stream;
pub use self::topology::Depth;
use self::topology::Topology;
use self::wire::check_certificates;
use super::{Delivery, Inbox};
use crate::replication::SourceSpec;

/// Where the broker is, and how it is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// `amqp[s]://user:password@host[:port]/vhost`.
    pub url: SecretString,
    /// Who reads: the consuming service, as the broker's tools will show it.
    pub service: String,
    /// How many deliveries may be out at once. For a moment after a lost connection there may be as many
    /// again, those of the connection before.
    pub prefetch: NonZeroU16,
    /// A dead connection is noticed after two of these; whole seconds.
    pub heartbeat: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How often queue and bindings are looked after while all is well.
    pub topology_check: Duration,
    /// Certificates in PEM form, trusted besides those of the system.
    pub ca: Option<String>,
}

impl Options {
    /// The usual ones: a prefetch of 500, a heartbeat of 10 s, 10 s to connect, and a look at the topology
    /// each minute.
    pub fn new(url: SecretString, service: impl Into<String>) -> Self {
        Self {
            url,
            service: service.into(),
            prefetch: NonZeroU16::new(500).unwrap_or(NonZeroU16::MIN),
            heartbeat: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            topology_check: Duration::from_mins(1),
            ca: None,
        }
    }

    fn checked(&self) -> Result<Address, SourceError> {
        self.ca.as_deref().map_or(Ok(()), check_certificates)?;
        Address::parse(&self.url, self.heartbeat)
    }
}

/// A source that has been opened.
pub struct Source {
    /// The deliveries. They end when the source has stopped.
    pub inbox: Inbox,
    /// How it is doing.
    pub status: watch::Receiver<Status>,
    /// What it has done so far.
    pub counters: Arc<SourceCounters>,
    /// Ends after a stop, once what was under way is settled or has had its grace of 5 s; also once the inbox
    /// is dropped.
    pub task: JoinHandle<()>,
}

/// Opens a source, which connects, and reconnects, by itself. Only what no broker could ever accept is an
/// error here: an unreadable address or certificate, a name that is too long.
///
/// It must be called within a Tokio runtime, and rustls must have its provider installed if the address is
/// `amqps`.
pub fn open(spec: &SourceSpec, options: Options, stop: CancellationToken) -> Result<Source, SourceError> {
    let (supervisor, source) = prepare(spec, options, stop)?;
    let task = tokio::spawn(supervisor.run().instrument(span_of(spec)));
    Ok(source(task))
}

/// The same for one connection only: lost or never made, it is not made again.
fn open_once(spec: &SourceSpec, options: Options, stop: CancellationToken) -> Result<Source, SourceError> {
    let (supervisor, source) = prepare(spec, options, stop)?;
    let task = tokio::spawn(supervisor.run_once().instrument(span_of(spec)));
    Ok(source(task))
}

fn span_of(spec: &SourceSpec) -> Span {
    info_span!("source", source = spec.name, queue = spec.queue.name())
}

/// Who keeps a source open, and what becomes of it once he is at work.
fn prepare(
    spec: &SourceSpec,
    options: Options,
    stop: CancellationToken,
) -> Result<(Supervisor, impl FnOnce(JoinHandle<()>) -> Source), SourceError> {
    let address = options.checked()?;
    let topology = Topology::new(&spec.queue)?;
    let (sender, deliveries) = mpsc::channel::<Delivery>(usize::from(options.prefetch.get()));
    let inbox = Inbox::new(deliveries);
    let (status, watched) = watch::channel(Status::Connecting);
    let counters = Arc::new(SourceCounters::default());
    let supervisor = Supervisor {
        address,
        topology,
        options,
        inbox: sender,
        asks: inbox.asks(),
        status,
        counters: Arc::clone(&counters),
        stop,
    };
    Ok((supervisor, move |task| Source { inbox, status: watched, counters, task }))
}
