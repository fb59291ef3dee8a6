//! A broker in memory: a queue, a stream, and the way back, each by its contract and without a server.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::{Delivery, Inbox, Ledger, Log, LogError, Opened, Outlet, Start};
use crate::event::Headers;
use crate::replication::Alert;

/// A message as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its body.
    pub body: Bytes,
    /// The type of its body.
    pub content_type: Option<String>,
    /// Its headers.
    pub headers: Headers,
    /// Its routing key, if that was said.
    pub routing_key: Option<String>,
}

/// How many messages wait at once, where nobody says otherwise.
const PREFETCH: usize = 1_000;

/// A queue. What is not settled is held, and comes again if it is let go.
#[derive(Clone, Default)]
pub struct Queue(Arc<Held>);

#[derive(Default)]
struct Held {
    messages: Mutex<Messages>,
    stirred: Notify,
}

#[derive(Default)]
struct Messages {
    /// Those that wait to be delivered, and whether they have been before.
    waiting: VecDeque<(Message, bool)>,
    /// Those that are out, by their tags.
    out: BTreeMap<u64, Message>,
    tags: u64,
}

impl Queue {
    /// Confirms a message. One that was delivered before is one that the broker delivers again.
    pub fn publish(&self, message: Message, redelivered: bool) {
        self.0.messages().waiting.push_back((message, redelivered));
        self.0.stirred.notify_waiters();
    }

    /// How many messages nobody has settled.
    pub fn unsettled(&self) -> usize {
        let messages = self.0.messages();
        messages.waiting.len() + messages.out.len()
    }

    /// Delivers to an inbox from now on, no more at once than this.
    pub fn open(&self, prefetch: usize) -> Inbox {
        let (deliveries, inbox) = mpsc::channel(prefetch.max(1));
        tokio::spawn(self.0.clone().serve(deliveries, prefetch.max(1)));
        Inbox::new(inbox)
    }
}

#[async_trait]
impl super::Queue for Queue {
    async fn open(&self) -> Result<Opened, LogError> {
        let inbox = Self::open(self, PREFETCH);
        Ok(Opened { inbox, is_new: false, closed: Box::pin(std::future::ready(())) })
    }
}

impl Held {
    fn messages(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers for as long as anybody takes.
    async fn serve(self: Arc<Self>, deliveries: mpsc::Sender<Delivery>, prefetch: usize) {
        loop {
            let stirred = self.stirred.notified();
            if let Some(delivery) = self.next(prefetch) {
                // One that nobody takes any more is let go by being dropped.
                if deliveries.send(delivery).await.is_err() {
                    return;
                }
                continue;
            }
            tokio::select! {
                biased;
                () = stirred => {}
                () = deliveries.closed() => return,
            }
        }
    }

    fn next(self: &Arc<Self>, prefetch: usize) -> Option<Delivery> {
        let mut messages = self.messages();
        if messages.out.len() >= prefetch {
            return None;
        }
        let (message, redelivered) = messages.waiting.pop_front()?;
        messages.tags += 1;
        let tag = messages.tags;
        messages.out.insert(tag, message.clone());
        let Message { body, content_type, headers, routing_key } = message;
        let delivery = Delivery::new(body, content_type, headers, redelivered, tag, self.clone());
        Some(delivery.under(routing_key))
    }
}

impl Ledger for Held {
    fn settle(&self, tag: u64) {
        self.messages().out.remove(&tag);
        self.stirred.notify_waiters();
    }

    fn let_go(&self, tag: u64) {
        let mut messages = self.messages();
        let returned = messages.out.remove(&tag);
        messages.waiting.extend(returned.map(|message| (message, true)));
        drop(messages);
        self.stirred.notify_waiters();
    }
}

/// A stream. Its messages stay, and their places are counted from 0.
#[derive(Clone, Default)]
pub struct Stream(Arc<Kept>);

#[derive(Default)]
struct Kept {
    messages: Mutex<Vec<Message>>,
    connections: Mutex<CancellationToken>,
    stirred: Notify,
}

impl Stream {
    /// Confirms a message, which has the next place.
    pub fn publish(&self, message: Message) {
        self.0.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        self.0.stirred.notify_waiters();
    }

    /// The place of the last message, if there is any.
    pub fn last(&self) -> Option<u64> {
        let messages = self.0.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.len().checked_sub(1).map(|last| last as u64)
    }

    /// Loses every connection. Whoever reads opens the stream again, from where he is.
    pub fn cut(&self) {
        let mut connections = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *connections).cancel();
    }
}

#[async_trait]
impl Log for Stream {
    async fn open(&self, from: Start) -> Result<Inbox, LogError> {
        let connection = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let first = match from {
            Start::First => 0,
            Start::At(place) => place,
        };
        let (deliveries, inbox) = mpsc::channel(PREFETCH);
        let kept = self.0.clone();
        tokio::spawn(async move { connection.run_until_cancelled(kept.serve(deliveries, first)).await });
        Ok(Inbox::new(inbox))
    }
}

impl Kept {
    /// Delivers from a place on, for as long as anybody takes.
    async fn serve(self: Arc<Self>, deliveries: mpsc::Sender<Delivery>, mut place: u64) {
        let nobody: Arc<dyn Ledger> = Arc::new(Nobody);
        loop {
            let stirred = self.stirred.notified();
            if let Some(Message { body, content_type, headers, routing_key }) = self.at(place) {
                let delivery = Delivery::new(body, content_type, headers, false, place, nobody.clone());
                if deliveries.send(delivery.under(routing_key).at(Some(place))).await.is_err() {
                    return;
                }
                place += 1;
                continue;
            }
            tokio::select! {
                biased;
                () = stirred => {}
                () = deliveries.closed() => return,
            }
        }
    }

    fn at(&self, place: u64) -> Option<Message> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.get(usize::try_from(place).ok()?).cloned()
    }
}

/// Settling means nothing to a stream.
struct Nobody;

impl Ledger for Nobody {
    fn settle(&self, _: u64) {}
}

/// Everybody who is told anything. A message that comes again, under the same id, is the same one.
#[derive(Clone, Default)]
pub struct Listener(Arc<Mutex<Vec<Alert>>>);

impl Listener {
    /// What was told, in its order.
    pub fn heard(&self) -> Vec<Alert> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Outlet for Listener {
    async fn publish(&self, alerts: &[Alert]) -> Result<(), LogError> {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for alert in alerts {
            if heard.iter().all(|known| known.id != alert.id) {
                heard.push(alert.clone());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &'static str) -> Message {
        let (body, headers) = (Bytes::from_static(text.as_bytes()), Headers::new());
        Message { body, content_type: None, headers, routing_key: None }
    }

    /// What was not settled comes again, and says so; what was does not.
    #[tokio::test]
    async fn a_delivery_that_is_let_go_comes_again() {
        let queue = Queue::default();
        let mut inbox = queue.open(2);
        for text in ["a", "b", "c"] {
            queue.publish(message(text), false);
        }
        let mut taken = Vec::new();
        while taken.len() < 2 {
            taken.extend(inbox.take(10).await);
        }
        assert_eq!((taken.len(), queue.unsettled()), (2, 3), "no more are out than two");
        drop(taken.remove(0));
        taken.remove(0).settle();
        let mut again = Vec::new();
        while again.len() < 2 {
            again.extend(inbox.take(10).await);
        }
        let told: Vec<_> = again.iter().map(|delivery| (&delivery.body[..], delivery.redelivered)).collect();
        assert_eq!(told, [(&b"c"[..], false), (&b"a"[..], true)]);
        again.into_iter().for_each(Delivery::settle);
        assert_eq!(queue.unsettled(), 0);
    }

    /// A lost connection ends the reading, and nothing of the stream.
    #[tokio::test]
    async fn a_stream_is_read_again_from_any_place() {
        let stream = Stream::default();
        for text in ["a", "b", "c"] {
            stream.publish(message(text));
        }
        assert_eq!(stream.last(), Some(2));
        let mut inbox = stream.open(Start::At(1)).await.unwrap();
        let mut places = Vec::new();
        while places.len() < 2 {
            places.extend(inbox.take(10).await.iter().map(Delivery::place));
        }
        assert_eq!(places, [Some(1), Some(2)]);
        stream.cut();
        assert!(inbox.take(10).await.is_empty());
        let mut inbox = stream.open(Start::First).await.unwrap();
        assert_eq!(inbox.take(1).await.first().and_then(Delivery::place), Some(0));
    }
}
