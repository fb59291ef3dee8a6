//! Queue, bindings and second net are made and looked after; what is wrong with the broker is said, and
//! waited for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nearcopy::replication::Class;
use nearcopy::replication::Level;
use nearcopy::source::rabbitmq::{Options, SourceError, Status, inspect, open};
use secrecy::SecretString;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::rabbitmq::Broker;
use crate::reader::{
    EXCHANGE, QUEUE, Reader, bodies, broker_with_exchange, misconfigured, numbers, options, spec,
};

/// The second net: what the broker gives up is kept in the dead-letter queue, under the owner's routing key,
/// and an inspection tells of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_gives_up_is_kept() {
    let broker = broker_with_exchange().await;
    Reader::open(options(&broker)).await.stop().await;
    broker.publish(EXCHANGE, "user.changed", bodies(0..1)).await;
    broker.reject_one(QUEUE).await;
    broker.holds(QUEUE, 0).await;
    broker.holds(&format!("{QUEUE}.dead"), 1).await;
    let findings = inspect(&Arc::new(spec(true)), &options(&broker)).await.unwrap();
    assert!(
        findings.iter().any(|f| f.level == Level::Advice && f.text.contains("1 messages were dead-lettered"))
    );
    broker.remove().await;
}

/// D8: a queue that somebody deleted is declared and bound again, and the status says that events are
/// missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_is_made_again() {
    let broker = broker_with_exchange().await;
    let mut reader = Reader::open(options(&broker)).await;
    broker.delete_queue(QUEUE).await;
    reader.status_is(|status| matches!(status, Status::Connected { generation: 2, new_queue: true })).await;
    broker.publish(EXCHANGE, "user.changed", bodies(5..6)).await;
    let taken = reader.take(1).await;
    assert_eq!(numbers(&taken), BTreeSet::from([5]));
    drop(taken);
    reader.stop_leaving(1, broker).await;
}

/// D8: a binding that somebody removed is made again, although nothing tells that it is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_binding_is_made_again() {
    let broker = broker_with_exchange().await;
    let options = Options { topology_check: Duration::from_millis(700), ..options(&broker) };
    let mut reader = Reader::open(options).await;
    broker.unbind(QUEUE, EXCHANGE, "user.#").await;
    broker.publish(EXCHANGE, "user.changed", bodies(0..1)).await;
    sleep(Duration::from_millis(1500)).await;
    broker.publish(EXCHANGE, "user.changed", bodies(1..2)).await;
    let taken = reader.take(1).await;
    assert_eq!(numbers(&taken), BTreeSet::from([1]), "the binding had not been removed");
    assert_eq!(reader.generation(), 1);
    drop(taken);
    reader.stop_leaving(1, broker).await;
}

/// D10: a queue of another form is said to be so, with the broker's words, and not asked for in a hot loop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_another_form_is_misconfigured() {
    let broker = broker_with_exchange().await;
    broker.declare_classic_queue(QUEUE).await;
    let mut source = open(&spec(true), options(&broker), CancellationToken::new()).unwrap();
    let reason = misconfigured(&mut source).await;
    assert!(reason.contains("in another form") && reason.contains("inequivalent arg"), "{reason}");
    sleep(Duration::from_secs(3)).await;
    let attempts = source.counters.attempts.get();
    assert!((2..=4).contains(&attempts), "{attempts} attempts in 3 s");

    let findings = inspect(&Arc::new(spec(true)), &options(&broker)).await.unwrap();
    assert!(
        findings.iter().any(|f| f.level == Level::Wrong && f.text.contains("inequivalent arg")),
        "{findings:?}"
    );
    broker.remove().await;
}

/// D10: a missing exchange is waited for, and reading begins when its owner has declared it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_exchange_heals_when_it_appears() {
    let broker = Broker::new().await;
    let mut source = open(&spec(true), options(&broker), CancellationToken::new()).unwrap();
    let reason = misconfigured(&mut source).await;
    assert!(reason.contains("exchange `users` does not exist"), "{reason}");
    assert_eq!(broker.waiting(QUEUE).await, None);
    broker.declare_exchange(EXCHANGE).await;
    let connected = source.status.wait_for(|status| matches!(status, Status::Connected { .. }));
    timeout(Duration::from_secs(60), connected).await.unwrap().unwrap();
    broker.publish(EXCHANGE, "user.changed", bodies(0..1)).await;
    assert_eq!(source.inbox.take(1).await.len(), 1);
    broker.remove().await;
}

/// D10: with `declare: false` nothing is made, and the report says how to make it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_declare_nothing_is_made() {
    let broker = broker_with_exchange().await;
    let mut source = open(&spec(false), options(&broker), CancellationToken::new()).unwrap();
    let reason = misconfigured(&mut source).await;
    assert!(reason.contains("rabbitmqadmin declare queue name=shop.users"), "{reason}");
    assert_eq!(broker.waiting(QUEUE).await, None);
    assert_eq!(broker.waiting(&format!("{QUEUE}.dead")).await, None);
    broker.declare_classic_queue(QUEUE).await;
    let connected = source.status.wait_for(|status| matches!(status, Status::Connected { .. }));
    timeout(Duration::from_secs(60), connected).await.unwrap().unwrap();
    broker.remove().await;
}

/// S10: wrong credentials and a wrong virtual host are misconfigured, and no text holds the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_credentials_are_told_without_the_password() {
    let broker = Broker::new().await;
    let wrong_password = format!("amqp://guest:c4nary-pass@{}/%2f", broker.authority());
    let wrong_vhost = broker.url().replace("/test-", "/nowhere-");
    for url in [wrong_password, wrong_vhost] {
        let options = Options::new(SecretString::from(url), "shop");
        assert!(!format!("{options:?}").contains("c4nary"));
        let mut source = open(&spec(true), options.clone(), CancellationToken::new()).unwrap();
        let reason = misconfigured(&mut source).await;
        assert!(reason.contains(&broker.authority()) && !reason.contains("c4nary"), "{reason}");
        let error = inspect(&Arc::new(spec(true)), &options).await.unwrap_err();
        assert_eq!(error.class(), Class::Misconfigured);
        assert!(!format!("{error:?} {}", error.report()).contains("c4nary"));
    }
    broker.remove().await;
}

/// What `check --online` reports of a queue in good order, and of one that is not there yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inspection_changes_nothing_and_counts_messages() {
    let broker = broker_with_exchange().await;
    let findings = inspect(&Arc::new(spec(true)), &options(&broker)).await.unwrap();
    assert!(findings.iter().any(|f| f.level == Level::Advice && f.text.contains("does not exist yet")));
    assert_eq!(broker.waiting(QUEUE).await, None, "the inspection made a queue");

    Reader::open(options(&broker)).await.stop().await;
    broker.publish(EXCHANGE, "user.changed", bodies(0..3)).await;
    let findings = inspect(&Arc::new(spec(true)), &options(&broker)).await.unwrap();
    assert!(findings.iter().all(|f| f.level == Level::Fine), "{findings:?}");
    assert!(findings.iter().any(|f| f.text.contains("3 messages")), "{findings:?}");
    broker.remove().await;
}

/// What no broker could ever accept is refused at once.
#[tokio::test]
async fn unreadable_options_are_refused_at_once() {
    let options = Options::new(SecretString::from("broker:5672"), "shop");
    let refused = open(&spec(true), options, CancellationToken::new()).err().unwrap();
    assert!(matches!(refused, SourceError::Address));

    let certificates = Some("not a certificate".to_owned());
    let options =
        Options { ca: certificates, ..Options::new(SecretString::from("amqps://broker/%2f"), "shop") };
    let refused = open(&spec(true), options, CancellationToken::new()).err().unwrap();
    assert!(matches!(refused, SourceError::Certificates));

    let mut spec = spec(true);
    spec.queue.queue = "q".repeat(252);
    let options = Options::new(SecretString::from("amqp://broker/%2f"), "shop");
    let refused = open(&spec, options, CancellationToken::new()).err().unwrap();
    assert!(matches!(refused, SourceError::NameTooLong { what: "dead-letter exchange", .. }), "{refused}");
}
