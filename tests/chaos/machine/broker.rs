//! A RabbitMQ of our own, which may be killed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::time::timeout;

use super::process::{Place, Process, free_port, services};
use super::{eventually, secret};

/// The owner's exchange.
pub(crate) const EXCHANGE: &str = "users";
/// The queue that the sidecars read.
pub(crate) const QUEUE: &str = "product-service.users";
/// How long one question to the broker may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One node with ports, data and names of its own.
pub(crate) struct Broker {
    process: Process,
    port: u16,
    environment: Vec<(&'static str, String)>,
    tools: String,
}

impl Broker {
    /// Starts it, and declares what is the owner's.
    pub(crate) async fn start(place: &Place) -> Result<Self> {
        let tools = services("broker")?;
        let (port, folder) = (free_port()?, place.folder.join("rabbitmq"));
        std::fs::create_dir_all(folder.join("home"))?;
        std::fs::write(folder.join("enabled_plugins"), "[].")?;
        std::fs::write(folder.join("env.conf"), "")?;
        let password = secret("broker");
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\ndefault_user = nearcopy\ndefault_pass = {password}\n"
        );
        std::fs::write(folder.join("rabbitmq.conf"), settings)?;
        let environment = environment(&folder, free_port()?, free_port()?);
        let mut process = place.process("rabbitmq", format!("{tools}/rabbitmq-server"));
        for (name, value) in &environment {
            process = process.environment(name, value);
        }
        // Schedulers that spin while idle would take the processor from what is tested beside the broker.
        let quiet = "+sbwt none +sbwtdcpu none +sbwtdio none";
        process = process.environment("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", quiet);
        let mut broker = Self { process, port, environment, tools };
        broker.restart().await?;
        Ok(broker)
    }

    /// Starts it again after a kill, and waits until the owner could publish.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.process.start()?;
        let url = self.url();
        eventually("the broker answers", Duration::from_secs(90), async || declare(&url).await).await
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Whether it was started and not killed.
    pub(crate) fn is_started(&self) -> bool {
        self.process.is_started()
    }

    /// The number of its first process, if it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Host and port, for a proxy.
    pub(crate) fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where the owner, and we, connect to.
    pub(crate) fn url(&self) -> String {
        url_at(&self.authority())
    }

    /// Which RabbitMQ it is.
    pub(crate) async fn version(&self) -> Result<String> {
        self.control(&["version"]).await
    }

    /// Runs the broker's own tool; what it prints.
    pub(crate) async fn control(&self, arguments: &'static [&'static str]) -> Result<String> {
        let mut command = Command::new(format!("{}/rabbitmqctl", self.tools));
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).args(arguments);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        ensure!(output.status.success(), "rabbitmqctl {} failed", arguments[0]);
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// The address with which a client of ours connects to that host and port.
pub(crate) fn url_at(authority: &str) -> String {
    format!("amqp://nearcopy:{}@{authority}/%2f", secret("broker"))
}

/// A connection with one channel.
pub(crate) async fn channel(url: &str) -> Result<(Connection, Channel)> {
    let connecting = Connection::connect(url, ConnectionProperties::default());
    let connection = timeout(PATIENCE, connecting).await.context("the broker does not answer")??;
    let channel = timeout(PATIENCE, connection.create_channel()).await.context("no channel")??;
    Ok((connection, channel))
}

/// How many messages of a queue are not out; none if there is no such queue.
pub(crate) async fn depth(url: &str, queue: &str) -> Result<Option<u32>> {
    let (connection, channel) = channel(url).await?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let asking = channel.queue_declare(queue.into(), passive, FieldTable::default());
    let depth = match timeout(PATIENCE, asking).await? {
        Ok(queue) => Some(queue.message_count()),
        Err(error) if error.to_string().contains("NOT") && error.to_string().contains("FOUND") => None,
        Err(error) => return Err(error.into()),
    };
    timeout(PATIENCE, connection.close(200, "done".into())).await??;
    Ok(depth)
}

/// Drops all messages of the queue that are not out.
pub(crate) async fn purge(url: &str) -> Result<u32> {
    let (connection, channel) = channel(url).await?;
    let purging = channel.queue_purge(QUEUE.into(), QueuePurgeOptions::default());
    let dropped = timeout(PATIENCE, purging).await??;
    timeout(PATIENCE, connection.close(200, "done".into())).await??;
    Ok(dropped)
}

/// Deletes the queue with all that is in it.
pub(crate) async fn delete(url: &str) -> Result<()> {
    let (connection, channel) = channel(url).await?;
    let deleting = channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default());
    timeout(PATIENCE, deleting).await??;
    Ok(timeout(PATIENCE, connection.close(200, "done".into())).await??)
}

async fn declare(url: &str) -> Result<()> {
    let (connection, channel) = channel(url).await?;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let declaring =
        channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, FieldTable::default());
    timeout(PATIENCE, declaring).await??;
    Ok(timeout(PATIENCE, connection.close(200, "done".into())).await??)
}

fn environment(folder: &Path, distribution: u16, mapper: u16) -> Vec<(&'static str, String)> {
    let inside = |name: &str| folder.join(name).display().to_string();
    vec![
        ("HOME", inside("home")),
        ("LANG", "C.UTF-8".into()),
        ("ERL_EPMD_PORT", mapper.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        ("RABBITMQ_NODENAME", format!("nearcopy-chaos-{}@localhost", std::process::id())),
        ("RABBITMQ_DIST_PORT", distribution.to_string()),
        ("RABBITMQ_CONF_ENV_FILE", inside("env.conf")),
        ("RABBITMQ_CONFIG_FILE", inside("rabbitmq.conf")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", inside("enabled_plugins")),
        ("RABBITMQ_MNESIA_BASE", inside("data")),
        ("RABBITMQ_LOG_BASE", folder.parent().unwrap_or(folder).display().to_string()),
    ]
}
