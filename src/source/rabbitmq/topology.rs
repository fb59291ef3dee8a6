//! The queue, its bindings, and the second net beneath it.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use super::SourceError;
use super::error::{is_no_plugin, is_not_found, is_otherwise};
use super::hash::{Hash, SHARE};
use super::wire::Wire;
use crate::replication::QueueSpec;

/// How often a message may come back before the broker dead-letters it.
///
/// nearcopy parks what it cannot understand by itself, so this is for messages that end the process before it
/// can. Every lost connection counts for every message then under way, innocent ones included, and the
/// broker's own default of 20 is used up by some minutes of a flapping network while the database is away.
///
/// It is part of every queue already declared, like all of [`Topology::queue_arguments`]: the broker refuses
/// another value for as long as the queue exists, so none of them may ever change.
const DELIVERY_LIMIT: i32 = 100;

/// The names on the broker, checked to fit into the protocol, and what is to be done about them.
pub(super) struct Topology {
    pub(super) exchange: ShortString,
    pub(super) queue: ShortString,
    pub(super) dead_queue: ShortString,
    pub(super) declare: bool,
    /// What splits the queue of which this is a partition.
    pub(super) hash: Option<Hash>,
    dead_exchange: ShortString,
    bindings: Vec<ShortString>,
}

/// What a queue or a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// The messages that wait in a queue, or lie in a stream.
    pub messages: u32,
    /// Who reads it now.
    pub consumers: u32,
}

impl Topology {
    /// Checks the names; nothing is asked of the broker yet.
    pub(super) fn new(spec: &QueueSpec) -> Result<Self, SourceError> {
        Ok(Self {
            exchange: short("exchange", &spec.exchange)?,
            queue: short("queue", &spec.name())?,
            hash: spec.split.as_ref().map(|split| Hash::new(&spec.queue, split)).transpose()?,
            dead_exchange: short("dead-letter exchange", &format!("{}.dlx", spec.queue))?,
            dead_queue: short("dead-letter queue", &format!("{}.dead", spec.queue))?,
            bindings: spec.bindings.iter().map(|key| short("binding", key)).collect::<Result<_, _>>()?,
            declare: spec.declare,
        })
    }

    /// Makes sure that there is a queue to read from, declaring what is ours to declare, and says whether it
    /// had to be made. It may be repeated at any time: bindings that somebody removed are made again.
    ///
    /// The owner's exchange is only looked for. To declare it here would be to guess its form, and a wrong
    /// guess would keep the owner from starting.
    pub(super) async fn establish(&self, wire: &Wire) -> Result<bool, SourceError> {
        if !has_exchange(wire, &self.exchange).await? {
            let exchange = self.exchange.to_string();
            return Err(SourceError::NoExchange { exchange, place: wire.place() });
        }
        let is_there = depth(wire, &self.queue).await?.is_some();
        if self.declare {
            self.declare_all(wire).await?;
        } else if !is_there {
            return Err(SourceError::NoQueue {
                queue: self.queue.to_string(),
                place: wire.place(),
                hint: self.command(),
            });
        }
        Ok(!is_there)
    }

    /// Declares the queue itself; done to one that exists, it compares.
    pub(super) async fn declare_queue(&self, wire: &Wire, channel: &Channel) -> Result<(), SourceError> {
        declare_queue(wire, channel, &self.queue, self.queue_arguments()).await
    }

    /// The command that declares the queue as nearcopy would; a partition has to be bound, too.
    pub(super) fn command(&self) -> String {
        let Self { queue, dead_exchange, hash, .. } = self;
        let single = if hash.is_some() { ",\"x-single-active-consumer\":true" } else { "" };
        let declare = format!(
            "rabbitmqadmin declare queue name={queue} durable=true arguments='{{\"x-queue-type\":\"quorum\",\
             \"x-delivery-limit\":{DELIVERY_LIMIT},\"x-dead-letter-exchange\":\"{dead_exchange}\",\
             \"x-dead-letter-strategy\":\"at-least-once\",\"x-overflow\":\"reject-publish\"{single}}}'"
        );
        let Some(Hash { exchange, .. }) = hash else { return declare };
        format!(
            "{declare}; rabbitmqadmin declare binding source={exchange} destination={queue} routing_key={SHARE}"
        )
    }

    /// The commands that declare what splits the queue.
    pub(super) fn commands_of(&self, hash: &Hash) -> String {
        hash.commands(&self.exchange, &self.bindings)
    }

    /// Takes the queue out of the flow of events: what was bound for it, by these bindings, is not any more.
    pub(super) async fn unbind(&self, wire: &Wire) -> Result<(), SourceError> {
        let channel = wire.channel().await?;
        for key in &self.bindings {
            let (queue, exchange, none) = (self.queue.clone(), self.exchange.clone(), FieldTable::default());
            let unbound = channel.queue_unbind(queue, exchange, key.clone(), none).await;
            unbound.map_err(|error| refused(wire, "unbind queue", &self.queue, error))?;
        }
        Ok(())
    }

    async fn declare_all(&self, wire: &Wire) -> Result<(), SourceError> {
        let channel = wire.channel().await?;
        self.declare_dead_letters(wire, &channel).await?;
        let Some(hash) = &self.hash else {
            self.declare_queue(wire, &channel).await?;
            for key in &self.bindings {
                bind(wire, &channel, &self.queue, &self.exchange, key).await?;
            }
            return Ok(());
        };
        hash.declare(wire, &channel).await?;
        self.declare_queue(wire, &channel).await?;
        bind(wire, &channel, &self.queue, &hash.exchange, &ShortString::from(SHARE)).await?;
        hash.feed(wire, &channel, &self.exchange, &self.bindings).await
    }

    /// The second net. What falls into it stays until a person looks.
    async fn declare_dead_letters(&self, wire: &Wire, channel: &Channel) -> Result<(), SourceError> {
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        channel
            .exchange_declare(
                self.dead_exchange.clone(),
                ExchangeKind::Fanout,
                durable,
                FieldTable::default(),
            )
            .await
            .map_err(|error| differs(wire, "exchange", "declare exchange", &self.dead_exchange, error))?;
        let quorum = table([("x-queue-type", text("quorum"))].into_iter());
        declare_queue(wire, channel, &self.dead_queue, quorum).await?;
        bind(wire, channel, &self.dead_queue, &self.dead_exchange, &ShortString::default()).await
    }

    /// Dead letters leave the queue only once they are safe in the other one (`at-least-once`), which the
    /// broker offers only together with `reject-publish`; without a length limit that never rejects anything. A partition
    /// is delivered to one consumer at a time.
    fn queue_arguments(&self) -> FieldTable {
        let single = self.hash.as_ref().map(|_| ("x-single-active-consumer", AMQPValue::Boolean(true)));
        let all = [
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT)),
            ("x-dead-letter-exchange", text(self.dead_exchange.as_str())),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ];
        table(all.into_iter().chain(single))
    }
}

/// Whether an owner's exchange is there.
pub(super) async fn has_exchange(wire: &Wire, exchange: &ShortString) -> Result<bool, SourceError> {
    let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
    let channel = wire.channel().await?;
    let looked =
        channel.exchange_declare(exchange.clone(), ExchangeKind::Topic, passive, FieldTable::default()).await;
    match looked {
        Ok(()) => Ok(true),
        Err(error) if is_not_found(&error) => Ok(false),
        Err(error) => Err(refused(wire, "look for exchange", exchange, error)),
    }
}

/// What a queue or a stream holds, or that it is not there.
pub(super) async fn depth(wire: &Wire, queue: &ShortString) -> Result<Option<Depth>, SourceError> {
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let channel = wire.channel().await?;
    match channel.queue_declare(queue.clone(), passive, FieldTable::default()).await {
        Ok(found) => Ok(Some(Depth { messages: found.message_count(), consumers: found.consumer_count() })),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(refused(wire, "look for queue", queue, error)),
    }
}

async fn declare_queue(
    wire: &Wire,
    channel: &Channel,
    queue: &ShortString,
    arguments: FieldTable,
) -> Result<(), SourceError> {
    let declared = channel.queue_declare(queue.clone(), QueueDeclareOptions::durable(), arguments).await;
    declared.map(drop).map_err(|error| differs(wire, "queue", "declare queue", queue, error))
}

async fn bind(
    wire: &Wire,
    channel: &Channel,
    queue: &ShortString,
    exchange: &ShortString,
    key: &ShortString,
) -> Result<(), SourceError> {
    let bound = channel
        .queue_bind(
            queue.clone(),
            exchange.clone(),
            key.clone(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await;
    bound.map_err(|error| refused(wire, "bind queue", queue, error))
}

pub(super) fn differs(
    wire: &Wire,
    what: &'static str,
    act: &'static str,
    name: &ShortString,
    cause: lapin::Error,
) -> SourceError {
    if is_no_plugin(&cause) {
        SourceError::NoPlugin { place: wire.place() }
    } else if is_otherwise(&cause) {
        SourceError::Differs { what, name: name.to_string(), place: wire.place(), cause: Box::new(cause) }
    } else {
        refused(wire, act, name, cause)
    }
}

pub(super) fn refused(
    wire: &Wire,
    act: &'static str,
    name: &ShortString,
    cause: lapin::Error,
) -> SourceError {
    SourceError::Refused { act, name: name.to_string(), place: wire.place(), cause: Box::new(cause) }
}

pub(super) fn short(what: &'static str, name: &str) -> Result<ShortString, SourceError> {
    ShortString::try_new(name).map_err(|_| SourceError::NameTooLong { what, name: name.to_owned() })
}

fn table<'n>(entries: impl Iterator<Item = (&'n str, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
