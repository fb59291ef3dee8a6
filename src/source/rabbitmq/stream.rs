//! Streams: read in order from an offset on, by one connection at a time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::headers::{OFFSET, headers};
use super::topology::{depth, differs, has_exchange, refused, short};
use super::wire::Wire;
use super::{Address, Options, SourceError};
use crate::event::Headers;
use crate::replication::{Finding, StreamSpec};
use crate::source::{Delivery, Inbox, Ledger, Log, LogError, Start};

/// How long declaring and subscribing may take in all.
const PREPARING: Duration = Duration::from_secs(30);
/// How many deliveries may wait, at least: a fold takes many at once.
const LEAST: u16 = 4_000;

/// A stream on RabbitMQ.
pub struct Stream {
    address: Address,
    spec: Arc<StreamSpec>,
    names: Names,
    options: Options,
}

struct Names {
    stream: ShortString,
    bound: Option<(ShortString, Vec<ShortString>)>,
}

impl Stream {
    /// Prepares a stream; nothing is asked of the broker yet. Only what no broker could ever accept is an error.
    pub fn new(spec: &Arc<StreamSpec>, options: Options) -> Result<Self, SourceError> {
        let address = options.checked()?;
        let bound = spec.bound.as_ref().map(|(exchange, keys)| {
            let keys = keys.iter().map(|key| short("binding", key)).collect::<Result<_, _>>()?;
            Ok::<_, SourceError>((short("exchange", exchange)?, keys))
        });
        let names = Names { stream: short("stream", &spec.stream)?, bound: bound.transpose()? };
        Ok(Self { address, spec: spec.clone(), names, options })
    }

    /// Looks at exchange and stream, changing nothing. An error means that nothing could be looked at.
    pub async fn inspect(&self) -> Result<Vec<Finding>, SourceError> {
        let name = format!("nearcopy {} check", self.options.service);
        let Options { ca, connect_timeout, .. } = &self.options;
        let wire = Wire::dial(&self.address, &name, ca.clone(), *connect_timeout).await?;
        let found = self.look(&wire).await;
        wire.close().await;
        found
    }

    async fn look(&self, wire: &Wire) -> Result<Vec<Finding>, SourceError> {
        let Names { stream, bound } = &self.names;
        let mut findings = vec![Finding::fine(format!("connected to {}", wire.place()))];
        if let Some((exchange, _)) = bound {
            findings.push(if has_exchange(wire, exchange).await? {
                Finding::fine(format!("exchange `{exchange}` is there"))
            } else {
                Finding::wrong(format!("exchange `{exchange}` does not exist; its owner declares it"))
            });
        }
        findings.push(match (depth(wire, stream).await?, bound) {
            (Some(depth), _) => Finding::fine(format!("stream `{stream}`: {} events", depth.messages)),
            (None, Some(_)) => Finding::advice(format!(
                "stream `{stream}` does not exist yet; it is declared at the first start, and events from before are not in it"
            )),
            (None, None) => Finding::wrong(format!("stream `{stream}` does not exist; its owner declares it")),
        });
        Ok(findings)
    }

    async fn begin(&self, from: Start) -> Result<Inbox, SourceError> {
        let Options { service, ca, connect_timeout, .. } = &self.options;
        let name = format!("nearcopy {service}/{}", self.names.stream);
        let wire = Wire::dial(&self.address, &name, ca.clone(), *connect_timeout).await?;
        let prepared = timeout(PREPARING, self.prepare(&wire, from)).await;
        let late = |_| SourceError::Silent { place: wire.place(), after: PREPARING };
        match prepared.map_err(late).and_then(|prepared| prepared) {
            Ok((channel, consumer)) => {
                let most = self.most();
                let (sender, deliveries) = mpsc::channel(usize::from(most));
                let (stream, place) = (self.spec.name.clone(), wire.place());
                tracing::info!(event = "stream.reading", source = stream, from = ?from, "reading from RabbitMQ at {place}");
                tokio::spawn(relay(wire, channel, consumer, sender, most, stream));
                Ok(Inbox::new(deliveries))
            }
            Err(error) => {
                wire.close().await;
                Err(error)
            }
        }
    }

    async fn prepare(&self, wire: &Wire, from: Start) -> Result<(Channel, Consumer), SourceError> {
        self.establish(wire).await?;
        let stream = &self.names.stream;
        let channel = wire.channel().await?;
        let bounded = channel.basic_qos(self.most(), BasicQosOptions::default()).await;
        bounded.map_err(|cause| refused(wire, "bound the deliveries of", stream, cause))?;
        let mut arguments = FieldTable::default();
        let offset = match from {
            Start::First => AMQPValue::LongString("first".into()),
            Start::At(place) => AMQPValue::LongLongInt(i64::try_from(place).unwrap_or(i64::MAX)),
        };
        arguments.insert(OFFSET.into(), offset);
        let tag = short("tag", &format!("nearcopy.{}", self.options.service)).unwrap_or_default();
        let consumer =
            channel.basic_consume(stream.clone(), tag, BasicConsumeOptions::default(), arguments).await;
        let consumer = consumer.map_err(|cause| refused(wire, "read from stream", stream, cause))?;
        Ok((channel, consumer))
    }

    /// Makes sure that there is a stream to read from, declaring it where it is ours.
    async fn establish(&self, wire: &Wire) -> Result<(), SourceError> {
        let Names { stream, bound } = &self.names;
        let Some((exchange, keys)) = bound else {
            return match depth(wire, stream).await? {
                Some(_) => Ok(()),
                None => Err(SourceError::NoStream { stream: stream.to_string(), place: wire.place() }),
            };
        };
        if !has_exchange(wire, exchange).await? {
            return Err(SourceError::NoExchange { exchange: exchange.to_string(), place: wire.place() });
        }
        let channel = wire.channel().await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
        let declared = channel.queue_declare(stream.clone(), QueueDeclareOptions::durable(), arguments).await;
        declared.map_err(|error| differs(wire, "stream", "declare stream", stream, error))?;
        for key in keys {
            let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
            let bound =
                channel.queue_bind(stream.clone(), exchange.clone(), key.clone(), options, arguments).await;
            bound.map_err(|error| refused(wire, "bind stream", stream, error))?;
        }
        Ok(())
    }

    fn most(&self) -> u16 {
        self.options.prefetch.get().max(LEAST)
    }
}

#[async_trait]
impl Log for Stream {
    async fn open(&self, from: Start) -> Result<Inbox, LogError> {
        self.begin(from).await.map_err(|error| LogError { class: error.class(), reason: error.report() })
    }
}

/// Passes deliveries on until nobody takes them any more, or no more come. An acknowledgement only asks a stream for more,
/// so it is given when a delivery has been passed on.
async fn relay(
    wire: Wire,
    channel: Channel,
    mut consumer: Consumer,
    inbox: mpsc::Sender<Delivery>,
    most: u16,
    stream: String,
) {
    let ledger: Arc<dyn Ledger> = Arc::new(NoLedger);
    let mut passed = 0_u16;
    loop {
        let next = tokio::select! {
            biased;
            () = inbox.closed() => break,
            next = consumer.next() => next,
        };
        let delivery = match next {
            Some(Ok(delivery)) => delivery,
            Some(Err(error)) => {
                tracing::warn!(event = "stream.lost", source = stream, %error, "the connection was lost");
                break;
            }
            None => {
                tracing::warn!(event = "stream.ended", source = stream, "the broker delivers no more");
                break;
            }
        };
        let tag = delivery.delivery_tag;
        if inbox.send(wrap(delivery, &ledger)).await.is_err() {
            break;
        }
        passed += 1;
        if passed >= most / 2 {
            passed = 0;
            if channel.basic_ack(tag, BasicAckOptions { multiple: true }).await.is_err() {
                break;
            }
        }
    }
    wire.close().await;
}

fn wrap(delivery: lapin::message::Delivery, ledger: &Arc<dyn Ledger>) -> Delivery {
    let properties = &delivery.properties;
    let content_type = properties.content_type().as_ref().map(ToString::to_string);
    let table = properties.headers().as_ref();
    let place = match table.and_then(|table| table.inner().get(OFFSET)) {
        Some(AMQPValue::LongLongInt(offset)) => u64::try_from(*offset).ok(),
        _ => None,
    };
    let headers = table.map_or_else(Headers::new, headers);
    let tag = delivery.delivery_tag;
    Delivery::new(Bytes::from(delivery.data), content_type, headers, false, tag, Arc::clone(ledger))
        .under(Some(delivery.routing_key.into()))
        .at(place)
}

/// What is settled in a stream stays in it.
struct NoLedger;

impl Ledger for NoLedger {
    fn settle(&self, _tag: u64) {}
}
