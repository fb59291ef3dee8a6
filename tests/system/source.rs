//! Events come from RabbitMQ at least once, whatever happens to the connection or the broker.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use nearcopy::replication::Class;
use nearcopy::source::Delivery;
use nearcopy::source::rabbitmq::{Options, Status, inspect};
use secrecy::SecretString;
use tokio::time::{Instant, sleep, timeout};

use crate::proxy::Proxy;
use crate::rabbitmq::eventually;
use crate::reader::{EXCHANGE, QUEUE, Reader, bodies, broker_with_exchange, number, numbers, options, spec};

/// What is settled is gone from the queue; the text of body and headers arrives as it was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_delivery_leaves_the_queue() {
    let broker = broker_with_exchange().await;
    let mut reader = Reader::open(options(&broker)).await;
    let mut headers = FieldTable::default();
    headers.insert("traceparent".into(), AMQPValue::LongString("00-ab-cd-01".into()));
    headers.insert("attempt".into(), AMQPValue::LongInt(3));
    let properties =
        BasicProperties::default().with_content_type("application/json".into()).with_headers(headers);
    broker.publish_with(EXCHANGE, "user.created", ["{}".to_owned()], properties).await;

    let delivery = reader.take(1).await.pop().unwrap();
    assert_eq!(&delivery.body[..], b"{}");
    assert_eq!(delivery.content_type.as_deref(), Some("application/json"));
    assert_eq!(delivery.headers["traceparent"], "00-ab-cd-01");
    assert_eq!(delivery.headers["attempt"], "3");
    assert!(!delivery.redelivered);
    delivery.settle();
    eventually("it is acknowledged", async || reader.source.counters.acked.get() == 1).await;
    reader.stop_leaving(0, broker).await;
}

/// D3: what is not settled comes again on the next connection, and a settlement of the connection before
/// neither reaches it nor disturbs anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_settlement_settles_nothing_of_the_new_connection() {
    let broker = broker_with_exchange().await;
    let mut reader = Reader::open(options(&broker)).await;
    broker.publish(EXCHANGE, "user.created", bodies(0..10)).await;
    let old = reader.take(10).await;

    broker.close_connection().await;
    let new = reader.take(10).await;
    assert!(new.iter().all(|delivery| delivery.redelivered));
    assert_eq!(numbers(&new), numbers(&old));
    assert_eq!(reader.generation(), 2);

    old.into_iter().for_each(Delivery::settle);
    assert_eq!(reader.source.counters.acks_lost.get(), 10);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(reader.generation(), 2, "an old settlement broke the connection");
    assert_eq!(reader.source.counters.acked.get(), 0, "an old settlement took effect");

    new.into_iter().take(3).for_each(Delivery::settle);
    reader.stop_leaving(7, broker).await;
}

/// D3, D4: the connection is lost again and again while messages flow; every one is taken at least once, none
/// is dead-lettered, and in the end the queue is empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_lost_connections_lose_nothing() {
    let broker = broker_with_exchange().await;
    let proxy = Proxy::before(broker.authority()).await;
    let options = Options {
        url: SecretString::from(broker.url().replace(&broker.authority(), &proxy.authority())),
        prefetch: NonZeroU16::new(100).unwrap(),
        ..options(&broker)
    };
    let mut reader = Reader::open(options).await;
    let mut watched = reader.source.status.clone();
    let chaos = async {
        for generation in 1..=20 {
            let there = |status: &Status| matches!(status, Status::Connected { generation: g, .. } if *g == generation);
            drop(watched.wait_for(there).await.unwrap());
            sleep(Duration::from_millis(100)).await;
            proxy.cut();
        }
    };
    let publishing = async {
        for start in (0..2000).step_by(10) {
            broker.publish(EXCHANGE, "user.changed", bodies(start..start + 10)).await;
            sleep(Duration::from_millis(20)).await;
        }
    };
    let mut seen = BTreeSet::new();
    let mut waiting = Vec::new();
    let taking = async {
        while seen.len() < 2000 || !waiting.is_empty() {
            // The batch before is settled after the next one is taken, so that some are always under way.
            let batch = timeout(Duration::from_millis(500), reader.source.inbox.take(30)).await;
            waiting.drain(..).for_each(Delivery::settle);
            for delivery in batch.unwrap_or_default() {
                seen.insert(number(&delivery));
                waiting.push(delivery);
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), async { tokio::join!(chaos, publishing, taking) }).await.unwrap();

    assert_eq!(seen, (0..2000).collect());
    let leftovers = async {
        loop {
            reader.source.inbox.take(30).await.into_iter().for_each(Delivery::settle);
        }
    };
    drop(timeout(Duration::from_secs(2), leftovers).await);
    assert_eq!(broker.waiting(&format!("{QUEUE}.dead")).await, Some(0));
    let counters = &reader.source.counters;
    assert!(counters.connections.get() >= 20, "only {} connections", counters.connections.get());
    assert!(counters.redelivered.get() > 20, "hardly anything was under way when connections ended");
    reader.stop_leaving(0, broker).await;
}

/// D3: the broker itself closes the connection, as an administrator would have it do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_closed_by_the_broker_is_made_anew() {
    let broker = broker_with_exchange().await;
    let mut reader = Reader::open(options(&broker)).await;
    let mut watched = reader.source.status.clone();
    for generation in 2..=3 {
        broker.close_connection().await;
        let lost = watched.wait_for(|status| matches!(status, Status::Lost { .. })).await.unwrap().clone();
        assert!(
            matches!(&lost, Status::Lost { class: Class::Transient, reason, .. } if reason.contains("CONNECTION_FORCED")),
            "{lost:?}"
        );
        reader
            .status_is(|status| matches!(status, Status::Connected { generation: g, .. } if *g == generation))
            .await;
    }
    broker.publish(EXCHANGE, "user.changed", bodies(0..3)).await;
    reader.take(3).await.into_iter().for_each(Delivery::settle);
    reader.stop_leaving(0, broker).await;
}

/// D11: a peer that keeps the connection and says nothing is noticed after two heartbeats, and reading goes
/// on when it speaks again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_is_noticed_by_its_missing_heartbeats() {
    let broker = broker_with_exchange().await;
    let proxy = Proxy::before(broker.authority()).await;
    let options = Options {
        url: SecretString::from(broker.url().replace(&broker.authority(), &proxy.authority())),
        heartbeat: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        ..options(&broker)
    };
    let mut reader = Reader::open(options).await;
    proxy.freeze(true);
    let began = Instant::now();
    reader.status_is(|status| matches!(status, Status::Lost { class: Class::Transient, .. })).await;
    let noticed = began.elapsed();
    assert!(noticed < Duration::from_millis(3500), "noticed after {noticed:?}");
    sleep(Duration::from_secs(2)).await;
    proxy.freeze(false);
    reader.status_is(|status| matches!(status, Status::Connected { generation: 2, .. })).await;
    broker.publish(EXCHANGE, "user.changed", bodies(0..1)).await;
    reader.take(1).await.into_iter().for_each(Delivery::settle);
    reader.stop_leaving(0, broker).await;
}

/// D11: attempts upon a peer that accepts connections and never answers leave neither threads nor
/// descriptors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_in_vain_leave_nothing_behind() {
    // Connections wait in the backlog of this listener, which nobody looks at.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://guest:guest@{}/%2f", mute.local_addr().unwrap());
    let options = Options {
        connect_timeout: Duration::from_millis(50),
        ..Options::new(SecretString::from(url), "shop")
    };
    let before = (io_threads(), descriptors());
    for _ in 0..CYCLES {
        let error = inspect(&Arc::new(spec(true)), &options).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error:?}");
    }
    // Other tests of this process have connections of their own.
    let few = CYCLES / 2;
    eventually("their threads end", async || io_threads() < before.0 + few).await;
    eventually("their descriptors are closed", async || descriptors() < before.1 + few).await;
}

const CYCLES: usize = 120;

/// How many threads of the client library there are.
fn io_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
    };
    tasks.filter_map(name).filter(|name| name.starts_with("lapin")).count()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Two batches may be under way: whichever is settled first, all are acknowledged, and one delivery that
/// takes for ever does not stop the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settling_in_any_order_acknowledges_all() {
    let broker = broker_with_exchange().await;
    let options = Options { prefetch: NonZeroU16::new(20).unwrap(), ..options(&broker) };
    let mut reader = Reader::open(options).await;
    broker.publish(EXCHANGE, "user.changed", bodies(0..100)).await;

    let mut first = reader.take(1).await;
    let slow = first.pop().unwrap();
    let mut rest = 99;
    while rest > 0 {
        let mut batch = reader.take(1).await;
        batch.reverse();
        rest -= batch.len();
        batch.into_iter().for_each(Delivery::settle);
        if rest < 10 {
            break;
        }
    }
    slow.settle();
    while rest > 0 {
        let batch = reader.take(1).await;
        rest -= batch.len();
        batch.into_iter().for_each(Delivery::settle);
    }
    assert_eq!(reader.source.counters.redelivered.get(), 0);
    assert_eq!(reader.generation(), 1);
    reader.stop_leaving(0, broker).await;
}

/// D7: no more deliveries are out than the prefetch says, so the memory they take is bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_are_out_than_the_prefetch() {
    let broker = broker_with_exchange().await;
    let options = Options { prefetch: NonZeroU16::new(7).unwrap(), ..options(&broker) };
    let mut reader = Reader::open(options).await;
    broker.publish(EXCHANGE, "user.changed", bodies(0..50)).await;
    let held = reader.take(7).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(broker.waiting(QUEUE).await, Some(43));
    assert_eq!(reader.source.counters.received.get(), 7);
    held.into_iter().for_each(Delivery::settle);
    let next = reader.take(7).await;
    assert_eq!(numbers(&next), (7..14).collect());
    drop(next);
    reader.stop_leaving(43, broker).await;
}

/// The contract of a delivery: dropped without being settled, it comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_delivery_comes_again() {
    let broker = broker_with_exchange().await;
    let mut reader = Reader::open(options(&broker)).await;
    broker.publish(EXCHANGE, "user.changed", bodies(0..1)).await;
    drop(reader.take(1).await);
    let again = reader.take(1).await;
    assert!(again[0].redelivered);
    again.into_iter().for_each(Delivery::settle);
    reader.stop_leaving(0, broker).await;
}

/// A restart finds the queue, and what was published meanwhile is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_finds_what_came_meanwhile() {
    let broker = broker_with_exchange().await;
    let reader = Reader::open(options(&broker)).await;
    assert!(matches!(*reader.source.status.borrow(), Status::Connected { new_queue: true, .. }));
    reader.stop().await;
    broker.publish(EXCHANGE, "user.changed", bodies(0..3)).await;
    let mut reader = Reader::open(options(&broker)).await;
    assert!(matches!(*reader.source.status.borrow(), Status::Connected { new_queue: false, .. }));
    let taken = reader.take(3).await;
    assert!(taken.iter().all(|delivery| !delivery.redelivered));
    drop(taken);
    reader.stop_leaving(3, broker).await;
}

/// C6: a stop waits for what is under way, acknowledges it, and gives the rest back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_acknowledges_what_is_settled_in_its_grace() {
    let broker = broker_with_exchange().await;
    let mut reader = Reader::open(options(&broker)).await;
    broker.publish(EXCHANGE, "user.changed", bodies(0..10)).await;
    let mut taken = reader.take(10).await;
    let rest = taken.split_off(4);
    reader.stop.cancel();
    sleep(Duration::from_millis(200)).await;
    assert!(!reader.source.task.is_finished(), "it did not wait");
    taken.into_iter().for_each(Delivery::settle);
    drop(rest);
    let began = Instant::now();
    (&mut reader.source.task).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "it waited although nothing was under way");
    assert_eq!(*reader.source.status.borrow(), Status::Stopped);
    assert!(reader.source.inbox.take(1).await.is_empty());
    broker.holds(QUEUE, 6).await;
    broker.remove().await;
}
