//! The stream: who publishes to it, what it says in the end by another way than nearcopy's, and what was told of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bson::Document;
use fastrand::Rng;
use futures::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, Consumer, ExchangeKind};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::machine::broker::channel;

pub(super) const STREAM: &str = "counted";
/// From so many times on a counter is told of.
pub(super) const ALERTED_AT: i64 = 200;
const COUNTERS: u64 = 200;
const GROUPS: u64 = 10;
/// How many events are published together, and how often: about 2,000 in a second.
const TOGETHER: usize = 40;
const EVERY: Duration = Duration::from_millis(20);
/// How long nothing must have come for the end of the stream to be reached.
const QUIET: Duration = Duration::from_secs(3);
/// How long a broker that answers may take until its streams can be read.
const READABLE_WITHIN: Duration = Duration::from_secs(60);

/// What a counter must be like.
#[derive(Default, PartialEq, Debug)]
pub(super) struct Counter {
    sum: i64,
    times: i64,
    members: BTreeSet<i64>,
    group: Option<String>,
    marks: i64,
}

/// What the stream says.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) events: u64,
    pub(super) last: i64,
    pub(super) counters: BTreeMap<String, Counter>,
}

/// Declares stream, exchange and the queue of whoever is told.
pub(super) async fn declare(url: &str) -> Result<()> {
    let (connection, channel) = channel(url).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
    let (durable, none) = (QueueDeclareOptions::durable(), FieldTable::default());
    channel.queue_declare(STREAM.into(), durable, arguments).await?;
    let lasting = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare("alerts".into(), ExchangeKind::Topic, lasting, none.clone()).await?;
    channel.queue_declare("told".into(), durable, none.clone()).await?;
    let options = QueueBindOptions::default();
    channel.queue_bind("told".into(), "alerts".into(), "#".into(), options, none).await?;
    Ok(connection.close(200, "done".into()).await?)
}

/// Publishes until told to stop, however often the broker dies; says how many the broker has confirmed. What was not
/// confirmed may be in the stream all the same: only the stream knows.
pub(super) async fn publish(url: String, seed: u64, stop: Arc<AtomicBool>) -> Result<u64> {
    let (mut rng, mut number, mut confirmed) = (Rng::with_seed(seed ^ 1), 0_u64, 0_u64);
    while !stop.load(Ordering::Relaxed) {
        let Ok((_connection, channel)) = channel(&url).await else {
            sleep(Duration::from_millis(200)).await;
            continue;
        };
        if channel.confirm_select(ConfirmSelectOptions::default()).await.is_err() {
            continue;
        }
        while !stop.load(Ordering::Relaxed) {
            let events: VecDeque<String> = (0..TOGETHER)
                .map(|_| {
                    number += 1;
                    event(number, &mut rng).to_string()
                })
                .collect();
            match timeout(Duration::from_secs(5), some(&channel, events)).await {
                Ok(Ok(())) => confirmed += TOGETHER as u64,
                _ => break,
            }
            sleep(EVERY).await;
        }
    }
    Ok(confirmed)
}

async fn some(channel: &Channel, events: VecDeque<String>) -> Result<()> {
    let mut confirms = Vec::new();
    for event in events {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        confirms.push(
            channel.basic_publish("".into(), STREAM.into(), options, event.as_bytes(), properties).await?,
        );
    }
    for confirm in confirms {
        ensure!(confirm.await?.is_ack(), "the broker has not taken an event");
    }
    Ok(())
}

fn event(number: u64, rng: &mut Rng) -> Value {
    let counter = format!("c{}", rng.u64(..COUNTERS));
    let group = format!("g{}", rng.u64(..GROUPS));
    let (kind, data) = match rng.u8(..100) {
        0 => ("Marked", json!({ "counter": counter, "group": group })),
        1..4 => ("Grouped", json!({ "counter": counter, "group": group })),
        _ => ("Counted", json!({ "counter": counter, "by": rng.u8(..10), "member": rng.u8(..50) })),
    };
    json!({ "id": format!("e{number}"), "type": kind, "at": "2026-01-01T00:00:00Z", "data": data })
}

/// Reads the whole stream, and counts.
pub(super) async fn replay(url: &str) -> Result<Counted> {
    let (connection, mut consumer) = from_the_first(url).await?;
    let mut counted = Counted::default();
    while let Ok(next) = timeout(QUIET, consumer.next()).await {
        let delivery = next.context("the stream has ended")??;
        let headers = delivery.properties.headers().as_ref().context("no headers")?;
        let Some(AMQPValue::LongLongInt(offset)) = headers.inner().get("x-stream-offset") else {
            bail!("an event without an offset");
        };
        counted.last = *offset;
        counted.count(&serde_json::from_slice(&delivery.data)?);
        delivery.ack(BasicAckOptions::default()).await?;
    }
    connection.close(200, "done".into()).await?;
    Ok(counted)
}

/// Reads from the first event on. A broker that was just killed answers before its streams do.
async fn from_the_first(url: &str) -> Result<(Connection, Consumer)> {
    let attempt = || async {
        let (connection, channel) = channel(url).await?;
        channel.basic_qos(1_000, BasicQosOptions::default()).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-stream-offset".into(), AMQPValue::LongString("first".into()));
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(STREAM.into(), "oracle".into(), options, arguments).await?;
        Ok((connection, consumer))
    };
    let begun = Instant::now();
    loop {
        match attempt().await {
            Err(_) if begun.elapsed() < READABLE_WITHIN => sleep(Duration::from_millis(200)).await,
            outcome => return outcome,
        }
    }
}

/// What waits in the queue of whoever is told: which counter, and under which id.
pub(super) async fn alerts(url: &str) -> Result<Vec<(String, String)>> {
    let (connection, channel): (Connection, Channel) = channel(url).await?;
    let mut told = Vec::new();
    while let Some(message) = channel.basic_get("told".into(), BasicGetOptions { no_ack: true }).await? {
        let body: Value = serde_json::from_slice(&message.delivery.data)?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
        told.push((text(&body["data"]["counter"])?, text(&body["id"])?));
    }
    connection.close(200, "done".into()).await?;
    Ok(told)
}

impl Counted {
    fn count(&mut self, event: &Value) {
        self.events += 1;
        let data = &event["data"];
        let number = |value: &Value| value.as_i64().unwrap_or_default();
        let counter = data["counter"].as_str().unwrap_or_default().to_owned();
        match event["type"].as_str() {
            Some("Counted") => {
                let counter = self.counters.entry(counter).or_default();
                counter.sum += number(&data["by"]);
                counter.times += 1;
                counter.members.insert(number(&data["member"]));
            }
            Some("Grouped") => {
                self.counters.entry(counter).or_default().group = data["group"].as_str().map(str::to_owned);
            }
            _ => {
                let group = data["group"].as_str();
                for counter in self.counters.values_mut().filter(|counter| counter.group.as_deref() == group)
                {
                    counter.marks += 1;
                }
            }
        }
    }

    /// Whether a document is as the stream says.
    pub(super) fn is(&self, stored: &Document) -> bool {
        let Some(expected) = stored.get_str("_id").ok().and_then(|id| self.counters.get(id)) else {
            return false;
        };
        let number = |name: &str| stored.get_i64(name).unwrap_or_default();
        number("sum") == expected.sum
            && number("times") == expected.times
            && number("marks") == expected.marks
            && usize::try_from(number("members")).is_ok_and(|members| members == expected.members.len())
            && stored.get_str("group").ok() == expected.group.as_deref()
    }

    /// The counters that must have been told of.
    pub(super) fn alerted(&self) -> Vec<&str> {
        let due = self.counters.iter().filter(|(_, counter)| counter.times >= ALERTED_AT);
        due.map(|(name, _)| name.as_str()).collect()
    }
}
