//! Two ways to read from the queue.

use anyhow::{Context, Result, bail};
use futures::{FutureExt, StreamExt};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, Consumer};

use crate::amqp::Amqp;
use crate::batch::Batch;

/// The one that was asked for.
pub(super) enum Reader {
    Own(Amqp),
    Lapin(Box<Lapin>),
}

pub(super) struct Lapin {
    /// Closed when it is dropped.
    _connection: Connection,
    channel: Channel,
    consumer: Consumer,
}

impl Reader {
    pub(super) async fn open(kind: &str, url: &str, queue: &str, prefetch: u16) -> Result<Self> {
        if kind != "lapin" {
            return Ok(Self::Own(Amqp::open(url, queue, prefetch).await?));
        }
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(queue.into(), "raw".into(), options, none).await?;
        Ok(Self::Lapin(Box::new(Lapin { _connection: connection, channel, consumer })))
    }

    /// Waits for events, and takes those that are there, as far as they fit. Nothing is lost if nobody waits to the end.
    pub(super) async fn fill(&mut self, batch: &mut Batch) -> Result<()> {
        let consumer = match self {
            Self::Own(amqp) => return amqp.fill(batch).await,
            Self::Lapin(lapin) => &mut lapin.consumer,
        };
        let mut next = consumer.next().await;
        loop {
            match next {
                Some(Ok(delivery)) => batch.push(delivery.delivery_tag, &delivery.data)?,
                Some(Err(error)) => return Err(error).context("the delivery"),
                None => bail!("the consumer was cancelled"),
            }
            match consumer.next().now_or_never() {
                Some(more) if !batch.is_full() => next = more,
                Some(Some(Ok(delivery))) => return batch.push(delivery.delivery_tag, &delivery.data),
                _ => return Ok(()),
            }
        }
    }

    /// Acknowledges all up to this one.
    pub(super) async fn acknowledge(&mut self, tag: u64) -> Result<()> {
        match self {
            Self::Own(amqp) => amqp.acknowledge(tag).await,
            Self::Lapin(lapin) => {
                lapin.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await?;
                Ok(())
            }
        }
    }
}
