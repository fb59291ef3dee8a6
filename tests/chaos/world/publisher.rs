//! The owner's publisher: an outbox, emptied in order, each event confirmed or published again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel};
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};

use super::owner::Event;
use crate::machine::broker::{self, EXCHANGE};

/// How many are published before their confirmations are waited for.
const AT_ONCE: usize = 500;
/// How long confirmations may take; an alarm holds them back for longer, and then all of them are repeated.
const PATIENCE: Duration = Duration::from_secs(10);

/// Events on their way to the broker.
pub(crate) struct Publisher {
    outbox: Mutex<VecDeque<Event>>,
    filled: Notify,
    /// Distinct messages that were to be published.
    pub(crate) attempted: AtomicU64,
    /// Of those, the ones the broker has taken.
    pub(crate) confirmed: AtomicU64,
    /// How often one was published again.
    pub(crate) repeated: AtomicU64,
}

impl Publisher {
    /// Publishes for as long as the program runs.
    pub(crate) fn start(url: String) -> Arc<Self> {
        let publisher = Arc::new(Self {
            outbox: Mutex::default(),
            filled: Notify::new(),
            attempted: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
        });
        let working = publisher.clone();
        tokio::spawn(async move {
            let mut batch = Vec::new();
            loop {
                if working.publish(&url, &mut batch).await.is_err() {
                    let again = u64::try_from(batch.len()).unwrap_or_default();
                    working.repeated.fetch_add(again, Ordering::Relaxed);
                    sleep(Duration::from_millis(200)).await;
                }
            }
        });
        publisher
    }

    /// Has these published, after all that wait.
    pub(crate) async fn send(&self, events: Vec<Event>) {
        self.attempted.fetch_add(u64::try_from(events.len()).unwrap_or_default(), Ordering::Relaxed);
        self.outbox.lock().await.extend(events);
        self.filled.notify_one();
    }

    /// Publishes this one again: it comes twice, and late.
    pub(crate) async fn send_again(&self, event: Event) {
        self.send(vec![event]).await;
        self.repeated.fetch_add(1, Ordering::Relaxed);
        // It is the same message, so it is not counted twice.
        self.attempted.fetch_sub(1, Ordering::Relaxed);
        self.confirmed.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many are not confirmed.
    pub(crate) fn waiting(&self) -> u64 {
        self.attempted.load(Ordering::Relaxed).wrapping_sub(self.confirmed.load(Ordering::Relaxed))
    }

    /// One connection's life. What is in the batch is not confirmed, and is published first.
    async fn publish(&self, url: &str, batch: &mut Vec<Event>) -> Result<()> {
        let (_connection, channel) = broker::channel(url).await?;
        timeout(PATIENCE, channel.confirm_select(ConfirmSelectOptions::default())).await??;
        loop {
            if batch.is_empty() {
                let mut outbox = self.outbox.lock().await;
                let count = outbox.len().min(AT_ONCE);
                batch.extend(outbox.drain(..count));
            }
            if batch.is_empty() {
                self.filled.notified().await;
                continue;
            }
            timeout(PATIENCE, confirmed(&channel, batch)).await.context("no confirmation")??;
            self.confirmed.fetch_add(u64::try_from(batch.len()).unwrap_or_default(), Ordering::Relaxed);
            batch.clear();
        }
    }
}

async fn confirmed(channel: &Channel, batch: &[Event]) -> Result<()> {
    let mut confirms = Vec::new();
    for event in batch {
        let persistent = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(
            EXCHANGE.into(),
            event.key.into(),
            options,
            event.body.as_bytes(),
            persistent,
        );
        confirms.push(sent.await?);
    }
    for confirm in confirms {
        ensure!(confirm.await?.is_ack(), "the broker refuses");
    }
    Ok(())
}
