//! A virtual host of the bench's own: a topic exchange, and the quorum queue from which every contender reads.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::event::Event;
use crate::manifest::{EXCHANGE, QUEUE};

const VHOST: &str = "nearcopy-bench";
const KEY: &str = "user.updated";
/// How many messages the broker may owe us its word on.
const UNCONFIRMED: usize = 2_000;

/// The virtual host, seen by the owner who publishes.
pub(crate) struct Broker {
    base: String,
    management: String,
    http: reqwest::Client,
}

/// A connection to it.
pub(crate) struct Link {
    connection: Connection,
    channel: Channel,
}

impl Broker {
    /// The one that the environment names.
    pub(crate) fn given() -> Result<Self> {
        let (url, management) = (given("RABBITMQ_URL")?, given("RABBITMQ_MANAGEMENT_URL")?);
        let base = url.rsplit_once('/').context("RABBITMQ_URL names no virtual host")?.0.to_owned();
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { base, management, http })
    }

    /// The address for contenders.
    pub(crate) fn url(&self) -> String {
        format!("{}/{VHOST}", self.base)
    }

    /// Its version.
    pub(crate) async fn version(&self) -> Result<String> {
        let told: Value = serde_json::from_str(
            &self.http.get(format!("{}/api/overview", self.management)).send().await?.text().await?,
        )?;
        Ok(told["rabbitmq_version"].as_str().unwrap_or("unknown").to_owned())
    }

    /// Removes the virtual host with all that is in it, and makes it anew with an empty queue.
    pub(crate) async fn renew(&self) -> Result<Link> {
        let base = self.base.split("://").nth(1).unwrap_or_default();
        let user = base.split(':').next().unwrap_or("guest");
        let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        self.remove().await?;
        self.ask(Method::PUT, &format!("vhosts/{VHOST}"), Some(json!({}))).await?;
        self.ask(Method::PUT, &format!("permissions/{VHOST}/{user}"), Some(all)).await?;
        let link = self.connect().await?;
        link.declare().await?;
        Ok(link)
    }

    /// Removes the virtual host.
    pub(crate) async fn remove(&self) -> Result<()> {
        self.ask(Method::DELETE, &format!("vhosts/{VHOST}"), None).await
    }

    async fn connect(&self) -> Result<Link> {
        let connection = Connection::connect(&self.url(), ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Link { connection, channel })
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<()> {
        let url = format!("{}/api/{path}", self.management);
        let mut request = self.http.request(method, &url).header("content-type", "application/json");
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let status = request.send().await?.status();
        ensure!(status.is_success() || status == StatusCode::NOT_FOUND, "{url}: {status}");
        Ok(())
    }
}

impl Link {
    /// Declares exchange and queue. The queue has the arguments that nearcopy gives it, so that nobody reads from
    /// another kind of queue; its dead letters go to an exchange that nearcopy adds, and here there are none.
    async fn declare(&self) -> Result<()> {
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let (exchange, queue) = (ShortString::from(EXCHANGE), ShortString::from(QUEUE));
        let none = FieldTable::default;
        self.channel.exchange_declare(exchange.clone(), ExchangeKind::Topic, durable, none()).await?;
        let text = |text: &str| AMQPValue::LongString(LongString::from(text));
        let mut arguments = none();
        arguments.insert("x-queue-type".into(), text("quorum"));
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(100));
        arguments.insert("x-dead-letter-exchange".into(), text(&format!("{QUEUE}.dlx")));
        arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        arguments.insert("x-overflow".into(), text("reject-publish"));
        self.channel.queue_declare(queue.clone(), QueueDeclareOptions::durable(), arguments).await?;
        let bind = QueueBindOptions::default();
        self.channel.queue_bind(queue, exchange, "user.#".into(), bind, none()).await?;
        Ok(())
    }

    /// Declares a stream, in which all that is published stays.
    pub(crate) async fn declare_stream(&self, stream: &str) -> Result<()> {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from("stream")));
        self.channel.queue_declare(stream.into(), QueueDeclareOptions::durable(), arguments).await?;
        Ok(())
    }

    /// Publishes events, persistent, and waits until the broker has confirmed all of them.
    pub(crate) async fn publish(&self, events: &[Event]) -> Result<()> {
        self.publish_to(EXCHANGE, KEY, events).await
    }

    /// The same by another exchange, with another key.
    pub(crate) async fn publish_to(&self, exchange: &str, key: &str, events: &[Event]) -> Result<()> {
        let mut body = String::new();
        let mut owed = std::collections::VecDeque::with_capacity(UNCONFIRMED);
        for event in events {
            body.clear();
            event.write(&mut body);
            if owed.len() == UNCONFIRMED
                && let Some(oldest) = owed.pop_front()
            {
                confirmed(oldest).await?;
            }
            owed.push_back(self.send_to(exchange, key, body.as_bytes()).await?);
        }
        for confirm in owed {
            confirmed(confirm).await?;
        }
        Ok(())
    }

    /// Sends one message; whoever cares may wait for the broker's word.
    pub(crate) async fn send(
        &self,
        body: &[u8],
    ) -> Result<impl Future<Output = lapin::Result<Confirmation>> + use<>> {
        self.send_to(EXCHANGE, KEY, body).await
    }

    async fn send_to(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
    ) -> Result<impl Future<Output = lapin::Result<Confirmation>> + use<>> {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        Ok(self.channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?)
    }

    /// How many messages are not out to a consumer.
    pub(crate) async fn waiting(&self) -> Result<usize> {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let found = self.channel.queue_declare(QUEUE.into(), passive, FieldTable::default()).await?;
        Ok(found.message_count() as usize)
    }

    /// Waits until as many wait as are said to; what was out comes back some moments after its consumer is gone.
    pub(crate) async fn holds(&self, count: usize) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let waiting = self.waiting().await?;
            if waiting == count {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{waiting} messages are in the queue, not {count}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn close(self) -> Result<()> {
        Ok(self.connection.close(200, "done".into()).await?)
    }
}

async fn confirmed(confirm: impl Future<Output = lapin::Result<Confirmation>>) -> Result<()> {
    ensure!(confirm.await?.is_ack(), "the broker has not taken a message");
    Ok(())
}

/// A variable of the environment, as `tests/services env` sets it.
pub(crate) fn given(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: run `make bench`"))
}
