//! One unsettled message, and the queue of those that wait to be taken.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use crate::event::{Headers, Message};

/// Takes note of settled deliveries and passes that on to the broker when it can.
pub trait Ledger: Send + Sync {
    /// The delivery of this tag, on the connection this ledger belongs to, is done with.
    fn settle(&self, tag: u64);

    /// The delivery of this tag was dropped without being settled; the source has to make it come again.
    fn let_go(&self, _tag: u64) {}
}

/// One unsettled message. It cannot be copied, and settling it consumes it; dropped without that, it comes
/// again.
pub struct Delivery {
    /// The bytes of the body.
    pub body: Bytes,
    /// The declared type of the body, if the publisher gave one.
    pub content_type: Option<String>,
    /// Application headers.
    pub headers: Headers,
    /// Whether the broker has delivered it before.
    pub redelivered: bool,
    routing_key: Option<String>,
    place: Option<u64>,
    receipt: Receipt,
}

impl Delivery {
    /// Wraps a message as the broker delivered it; the ledger belongs to the connection it came on.
    pub fn new(
        body: Bytes,
        content_type: Option<String>,
        headers: Headers,
        redelivered: bool,
        tag: u64,
        ledger: Arc<dyn Ledger>,
    ) -> Self {
        let receipt = Receipt { tag, ledger: Some(ledger) };
        Self { body, content_type, headers, redelivered, routing_key: None, place: None, receipt }
    }

    /// The same, published under a routing key.
    #[must_use]
    pub fn under(self, routing_key: Option<String>) -> Self {
        Self { routing_key, ..self }
    }

    /// Under which routing key it was published, where there are such keys.
    pub fn routing_key(&self) -> Option<&str> {
        self.routing_key.as_deref()
    }

    /// The same, standing at a place of a log.
    #[must_use]
    pub fn at(self, place: Option<u64>) -> Self {
        Self { place, ..self }
    }

    /// Where in its log it stands; nowhere, if it comes from a queue.
    pub fn place(&self) -> Option<u64> {
        self.place
    }

    /// How often the broker has got it back unsettled, as far as it counts that.
    pub fn returned(&self) -> u32 {
        let counted = self.headers.get("x-delivery-count").filter(|_| self.redelivered);
        counted.and_then(|count| count.parse().ok()).unwrap_or_default()
    }

    /// The message as decoding sees it.
    pub fn message(&self) -> Message<'_> {
        Message { body: &self.body, content_type: self.content_type.as_deref(), headers: &self.headers }
    }

    /// Says that its effect, and the work that follows from it, is durable.
    pub fn settle(mut self) {
        if let Some(ledger) = self.receipt.ledger.take() {
            ledger.settle(self.receipt.tag);
        }
    }
}

/// What is owed to the broker for a delivery: one word, whatever becomes of it.
struct Receipt {
    tag: u64,
    ledger: Option<Arc<dyn Ledger>>,
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(ledger) = self.ledger.take() {
            ledger.let_go(self.tag);
        }
    }
}

/// The deliveries that wait to be taken.
pub struct Inbox {
    waiting: mpsc::Receiver<Delivery>,
    asks: Arc<Notify>,
}

impl Inbox {
    /// Wraps the receiving end; the sending end stays with the source.
    pub fn new(waiting: mpsc::Receiver<Delivery>) -> Self {
        Self { waiting, asks: Arc::default() }
    }

    /// Is told each time that deliveries are asked for, so that a source need not hand over any before.
    pub fn asks(&self) -> Arc<Notify> {
        self.asks.clone()
    }

    /// Waits for at least one delivery and takes all that are there, up to `most`; empty when the source has
    /// ended. Cancel-safe: what was not returned was not taken.
    pub async fn take(&mut self, most: usize) -> Vec<Delivery> {
        self.asks.notify_one();
        let mut taken = Vec::new();
        self.waiting.recv_many(&mut taken, most).await;
        taken
    }
}
