//! The exchange that stands between the owner's and the partitions of a queue, and gives each entity to one of them.

use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use super::SourceError;
use super::error::is_no_plugin;
use super::topology::{differs, refused, short};
use super::wire::Wire;
use crate::replication::{HashedBy, Split};

/// What RabbitMQ calls exchanges that hash; a plugin of it knows them.
pub(super) const KIND: &str = "x-consistent-hash";
/// The key by which each partition is bound: the share that it gets, the same for all.
pub(super) const SHARE: &str = "1";

/// The exchange, and what it hashes.
pub(super) struct Hash {
    pub(super) exchange: ShortString,
    /// By which argument of the exchange it is said what is hashed; none, where that is the routing key.
    argument: Option<(&'static str, String)>,
}

impl Hash {
    /// Checks the names.
    pub(super) fn new(queue: &str, split: &Split) -> Result<Self, SourceError> {
        let argument = match &split.by {
            HashedBy::RoutingKey => None,
            HashedBy::Header(name) => Some(("hash-header", name.clone())),
            HashedBy::CorrelationId => Some(("hash-property", "correlation_id".to_owned())),
        };
        Ok(Self { exchange: short("exchange", &split.exchange(queue))?, argument })
    }

    /// Declares the exchange, to which nothing leads yet.
    pub(super) async fn declare(&self, wire: &Wire, channel: &Channel) -> Result<(), SourceError> {
        let (durable, mut arguments) =
            (ExchangeDeclareOptions { durable: true, ..Default::default() }, FieldTable::default());
        if let Some((name, value)) = &self.argument {
            arguments.insert((*name).into(), AMQPValue::LongString(value.as_str().into()));
        }
        let declared = channel.exchange_declare(self.exchange.clone(), kind(), durable, arguments).await;
        declared.map_err(|error| differs(wire, "exchange", "declare exchange", &self.exchange, error))
    }

    /// Has it get the messages of the owner's exchange. By then it must lead to a partition, or they would go nowhere.
    pub(super) async fn feed(
        &self,
        wire: &Wire,
        channel: &Channel,
        from: &ShortString,
        keys: &[ShortString],
    ) -> Result<(), SourceError> {
        for key in keys {
            let (options, none) = (ExchangeBindOptions::default(), FieldTable::default());
            let (destination, from) = (self.exchange.clone(), from.clone());
            let bound = channel.exchange_bind(destination, from, key.clone(), options, none).await;
            bound.map_err(|error| refused(wire, "bind exchange", &self.exchange, error))?;
        }
        Ok(())
    }

    /// The commands that declare the exchange as nearcopy would.
    pub(super) fn commands(&self, from: &ShortString, keys: &[ShortString]) -> String {
        let exchange = &self.exchange;
        let arguments = self.argument.as_ref().map(|(name, value)| {
            let arguments = serde_json::json!({ *name: value });
            format!(" arguments='{arguments}'")
        });
        let mut commands = vec![format!(
            "rabbitmqadmin declare exchange name={exchange} type={KIND} durable=true{}",
            arguments.unwrap_or_default()
        )];
        let bind = |key: &str| {
            format!(
                "rabbitmqadmin declare binding source={from} destination_type=exchange destination={exchange} \
                 routing_key='{key}'"
            )
        };
        commands.extend(keys.iter().map(|key| bind(key.as_str())));
        if keys.is_empty() {
            commands.push(bind("KEY"));
        }
        commands.join("; ")
    }
}

/// Whether the broker knows exchanges that hash. It is asked to declare its own nameless exchange as one, which it never does:
/// where it does not know the kind, it says so first. That may cost the connection, so this is the last that is asked on it.
pub(super) async fn is_known(wire: &Wire) -> Result<bool, SourceError> {
    let channel = wire.channel().await?;
    let (durable, none) =
        (ExchangeDeclareOptions { durable: true, ..Default::default() }, FieldTable::default());
    let asked = channel.exchange_declare(ShortString::default(), kind(), durable, none).await;
    Ok(!asked.is_err_and(|error| is_no_plugin(&error)))
}

fn kind() -> ExchangeKind {
    ExchangeKind::Custom(KIND.to_owned())
}
