//! A queue as the contract of a source describes it: at least once, bounded, in no order worth the name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nearcopy::event::Headers;
use nearcopy::source::{Delivery, Ledger};
use tokio::sync::{Notify, mpsc};

use crate::chance::Chance;
use crate::faults::{Fate, Faults};
use crate::journal::Journal;
use crate::life::{Life, Mode};

/// What a publisher sends.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// What it says, for the journal.
    pub(crate) says: String,
    pub(crate) body: Bytes,
    pub(crate) content_type: Option<String>,
    pub(crate) headers: Headers,
}

/// The queue.
#[derive(Clone)]
pub(crate) struct Broker {
    queue: Arc<Mutex<Queue>>,
    /// Those who wait are woken in the order in which they came, so that a run can be repeated.
    stirred: Arc<Notify>,
    chance: Chance,
    journal: Journal,
}

#[derive(Default)]
struct Queue {
    /// Confirmed messages that nobody has settled.
    held: BTreeMap<u64, Held>,
    connections: BTreeMap<u64, Connection>,
    published: u64,
    connected: u64,
}

struct Held {
    message: Message,
    ready_at: Duration,
    is_out: bool,
    redelivered: bool,
}

struct Connection {
    life: Life,
    faults: Faults,
    prefetch: usize,
    next_tag: u64,
    out: BTreeMap<u64, u64>,
    settled: BTreeSet<u64>,
    deliveries: mpsc::Sender<Delivery>,
}

/// What a connection gives a waiting consumer.
enum Next {
    Delivery(Box<Delivery>, mpsc::Sender<Delivery>),
    NotBefore(Duration),
    Nothing,
    Over,
}

impl Broker {
    pub(crate) fn new(chance: Chance, journal: Journal) -> Self {
        Self { queue: Arc::default(), stirred: Arc::default(), chance, journal }
    }

    /// Confirms a message that will be ready for delivery after so long.
    pub(crate) fn publish(&self, message: Message, after: Duration) -> u64 {
        let ready_at = self.journal.now() + after;
        let mut queue = self.queue();
        queue.published += 1;
        let number = queue.published;
        self.journal.count("published");
        self.journal.note(|| format!("broker: message {number}: {}", message.says));
        queue.held.insert(number, Held { message, ready_at, is_out: false, redelivered: false });
        drop(queue);
        self.stirred.notify_waiters();
        number
    }

    /// How many messages nobody has settled.
    pub(crate) fn unsettled(&self) -> usize {
        self.queue().held.len()
    }

    /// Connects a pod: from now on it gets deliveries.
    pub(crate) fn connect(
        &self,
        life: &Life,
        faults: &Faults,
        prefetch: usize,
        deliveries: mpsc::Sender<Delivery>,
    ) {
        let mut queue = self.queue();
        queue.connected += 1;
        let number = queue.connected;
        let (out, settled) = (BTreeMap::new(), BTreeSet::new());
        let connection = Connection {
            life: life.clone(),
            faults: faults.clone(),
            prefetch,
            next_tag: 0,
            out,
            settled,
            deliveries,
        };
        queue.connections.insert(number, connection);
        drop(queue);
        self.journal.note(|| format!("broker: connection {number} of {life}"));
        let ledger =
            Book { broker: self.clone(), connection: number, life: life.clone(), faults: faults.clone() };
        tokio::spawn(self.clone().serve(number, Arc::new(ledger)));
    }

    /// Cuts a pod off, and lets it connect again at once.
    pub(crate) fn reconnect(&self, life: &Life) {
        if let Some(ended) = self.cut(life).filter(|_| !life.is(Mode::Dead)) {
            self.connect(life, &ended.faults, ended.prefetch, ended.deliveries);
        }
    }

    /// A pod is gone, or goes.
    pub(crate) fn disconnect(&self, life: &Life) {
        drop(self.cut(life));
    }

    /// Ends the connection of a pod. What it had out is ready again, while its copies may still be worked on.
    fn cut(&self, life: &Life) -> Option<Connection> {
        let mut queue = self.queue();
        let name = life.to_string();
        let theirs = queue.connections.iter().find(|(_, connection)| connection.life.to_string() == name);
        let number = theirs.map(|(number, _)| *number)?;
        let ended = queue.connections.remove(&number)?;
        self.journal.count_many("redelivered", ended.out.len() as u64);
        self.journal.note(|| format!("broker: connection {number} ends, {} were out", ended.out.len()));
        for message in ended.out.values() {
            queue.give_back(*message);
        }
        drop(queue);
        self.stirred.notify_waiters();
        Some(ended)
    }

    /// Hands out deliveries for as long as the connection lasts.
    async fn serve(self, connection: u64, ledger: Arc<dyn Ledger>) {
        loop {
            let stirred = self.stirred.notified();
            match self.next(connection, &ledger) {
                Next::Over => return,
                Next::Delivery(delivery, inbox) => {
                    if inbox.send(*delivery).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(self.chance.between(0, 3)).await;
                }
                Next::NotBefore(time) => {
                    let wait = time.saturating_sub(self.journal.now());
                    tokio::select! {
                        biased;
                        () = stirred => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
                Next::Nothing => stirred.await,
            }
        }
    }

    fn next(&self, number: u64, ledger: &Arc<dyn Ledger>) -> Next {
        let now = self.journal.now();
        let mut queue = self.queue();
        let queue = &mut *queue;
        let Some(connection) = queue.connections.get_mut(&number) else { return Next::Over };
        if connection.out.len() >= connection.prefetch || connection.life.is(Mode::Dead) {
            return Next::Nothing;
        }
        let waiting = || queue.held.iter().filter(|(_, held)| !held.is_out);
        let ready: Vec<u64> =
            waiting().filter(|(_, held)| held.ready_at <= now).map(|(message, _)| *message).take(8).collect();
        if ready.is_empty() {
            let soonest = waiting().map(|(_, held)| held.ready_at).min();
            return soonest.map_or(Next::Nothing, Next::NotBefore);
        }
        // Mostly in order, as queues are; out of it, as consumers and redeliveries make them.
        let message = if self.chance.happens(700) { ready[0] } else { self.chance.pick(&ready) };
        let Some(held) = queue.held.get_mut(&message) else { return Next::Nothing };
        held.is_out = true;
        connection.next_tag += 1;
        let tag = connection.next_tag;
        connection.out.insert(tag, message);
        self.journal.note(|| format!("broker: message {message} to {} as {number}/{tag}", connection.life));
        let Message { body, content_type, headers, .. } = held.message.clone();
        let delivery = Delivery::new(body, content_type, headers, held.redelivered, tag, ledger.clone());
        held.redelivered = true;
        Next::Delivery(Box::new(delivery), connection.deliveries.clone())
    }

    fn settle(&self, number: u64, tag: u64) {
        let mut queue = self.queue();
        let Some(connection) = queue.connections.get_mut(&number) else {
            self.journal.count("settled too late");
            return;
        };
        if !connection.settled.insert(tag) {
            drop(queue);
            return self
                .journal
                .broken("a delivery is settled once", format!("{number}/{tag} is settled twice"));
        }
        let Some(message) = connection.out.remove(&tag) else {
            drop(queue);
            return self
                .journal
                .broken("a delivery is settled or let go", format!("{number}/{tag} was not out"));
        };
        queue.held.remove(&message);
        self.journal.count("settled");
        self.journal.note(|| format!("broker: message {message} is settled as {number}/{tag}"));
        drop(queue);
        self.stirred.notify_waiters();
    }

    fn let_go(&self, number: u64, tag: u64) {
        let mut queue = self.queue();
        let message = queue.connections.get_mut(&number).and_then(|connection| connection.out.remove(&tag));
        if let Some(message) = message {
            self.journal.count("let go");
            queue.give_back(message);
        }
        drop(queue);
        self.stirred.notify_waiters();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn give_back(&mut self, message: u64) {
        if let Some(held) = self.held.get_mut(&message) {
            held.is_out = false;
        }
    }
}

/// The ledger of one connection. What a dead pod says, nobody hears.
struct Book {
    broker: Broker,
    connection: u64,
    life: Life,
    faults: Faults,
}

impl Ledger for Book {
    fn settle(&self, tag: u64) {
        let fate = self.faults.at_once(&self.life, "settle", || format!("{}/{tag}", self.connection));
        match fate {
            None => return,
            Some(Fate::CrashBefore) => return self.faults.crash(&self.life),
            Some(Fate::FailBefore) => self.broker.reconnect(&self.life),
            Some(_) => {}
        }
        self.broker.settle(self.connection, tag);
        match fate {
            Some(Fate::CrashAfter) => self.faults.crash(&self.life),
            Some(Fate::FailAfter) => self.broker.reconnect(&self.life),
            _ => {}
        }
    }

    fn let_go(&self, tag: u64) {
        if !self.life.is(Mode::Dead) {
            self.broker.let_go(self.connection, tag);
        }
    }
}
