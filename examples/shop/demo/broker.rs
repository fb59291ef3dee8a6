//! The broker: a virtual host of our own where the management API allows it, and events published past UserService.

use anyhow::{Context, Result, ensure};
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use reqwest::{Client, Method};

const EXCHANGE: &str = "users";
const QUEUE: &str = "product-service.users";

pub(crate) struct Broker {
    /// Where all three processes connect to.
    pub(crate) url: String,
    /// Management API and name, if the virtual host is ours.
    own_host: Option<(String, String)>,
    http: Client,
}

impl Broker {
    /// Takes a virtual host of its own if `RABBITMQ_MANAGEMENT_URL` is given; else the one of `RABBITMQ_URL`.
    pub(crate) async fn set_up(http: Client, name: &str) -> Result<Self> {
        let url = std::env::var("RABBITMQ_URL").context("RABBITMQ_URL is not set: run `make demo`")?;
        let Ok(management) = std::env::var("RABBITMQ_MANAGEMENT_URL") else {
            return Ok(Self { url, own_host: None, http });
        };
        let (server, _) = url.rsplit_once('/').context("RABBITMQ_URL has no virtual host")?;
        let user = server.split("//").nth(1).and_then(|rest| rest.split(':').next()).unwrap_or("guest");
        let broker =
            Self { url: format!("{server}/{name}"), own_host: Some((management, name.to_owned())), http };
        broker.manage(Method::PUT, &format!("vhosts/{name}"), "{}").await?;
        let all = r#"{"configure":".*","write":".*","read":".*"}"#;
        broker.manage(Method::PUT, &format!("permissions/{name}/{user}"), all).await?;
        Ok(broker)
    }

    /// Publishes raw bytes to the owner's exchange, in order, each confirmed.
    pub(crate) async fn publish(&self, events: &[(&str, Vec<u8>)]) -> Result<()> {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        for (routing_key, body) in events {
            let persistent = BasicProperties::default().with_delivery_mode(2);
            let options = BasicPublishOptions::default();
            channel
                .basic_publish(EXCHANGE.into(), (*routing_key).into(), options, body, persistent)
                .await?
                .await?;
        }
        Ok(connection.close(200, "done".into()).await?)
    }

    /// Succeeds once somebody consumes from nearcopy's queue.
    pub(crate) async fn expect_consumer(&self) -> Result<()> {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let look = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(QUEUE.into(), look, FieldTable::default()).await?;
        connection.close(200, "looked".into()).await?;
        ensure!(queue.consumer_count() > 0, "nobody consumes from {QUEUE}");
        Ok(())
    }

    /// Removes what the story left on the broker.
    pub(crate) async fn clean_up(&self) -> Result<()> {
        if let Some((_, name)) = &self.own_host {
            return self.manage(Method::DELETE, &format!("vhosts/{name}"), "").await;
        }
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await?;
        channel.exchange_delete(EXCHANGE.into(), ExchangeDeleteOptions::default()).await?;
        Ok(connection.close(200, "done".into()).await?)
    }

    async fn manage(&self, method: Method, path: &str, body: &'static str) -> Result<()> {
        let Some((management, _)) = &self.own_host else {
            return Ok(());
        };
        let url = format!("{management}/api/{path}");
        let answer = self
            .http
            .request(method, url)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await?;
        ensure!(answer.status().is_success(), "the management API refuses {path}: {}", answer.status());
        Ok(())
    }
}
