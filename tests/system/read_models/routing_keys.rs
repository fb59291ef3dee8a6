//! Events that say only by their routing key what they are about.

use lapin::BasicProperties;
use serde_json::{Value, json};

use super::event;
use crate::consumer::Consumer;
use crate::rabbitmq::{Broker, eventually};
use crate::sidecar::Plan;

const ORDERS: &str = "
service: counting
sources:
  orders:
    stream: { name: order-events, exchange: shop, bindings: [\"order.#\"] }
    event: { time: at }
  queued:
    rabbitmq: { exchange: shop, queue: counting.orders, bindings: [\"order.#\"] }
    event: { time: at }
read_models:
  orders:
    source: orders
    key: \"event.routing_key.split('.')[1]\"
    on: { Paid: { inc: { paid: data.paid }, set: { last: event.routing_key } } }
  regions:
    source: queued
    key: \"event.routing_key.split('.')[2].upperAscii()\"
    on: { Paid: { inc: { paid: int(data.paid) } } }
";

/// What waits keeps the key, too, as far as it is read.
#[tokio::test]
async fn a_document_is_found_by_a_word_of_the_routing_key() {
    let (broker, consumer) = tokio::join!(Broker::new(), Consumer::new());
    broker.declare_exchange("shop").await;
    let plan = plan_of(ORDERS, &broker, &consumer);
    let pod = plan.start().await;
    let paid = |number: u64, paid: Value| event(number, "Paid", &json!({ "paid": paid })).to_string();
    let publish = async |key: &str, event: String| {
        broker.publish_with("shop", key, [event], BasicProperties::default()).await;
    };
    publish("order.7.north", paid(1, json!(5))).await;
    publish("order.7.south", paid(2, json!("6"))).await;
    publish("order.8.north", paid(3, json!(7))).await;
    publish("order", paid(4, json!(1))).await;
    let has = |paid: i64| move |found: &bson::Document| found.get_i64("paid").ok() == Some(paid);
    consumer.until("orders", "8", "it is paid", has(7)).await;
    consumer.until("orders", "7", "it is paid in part", has(5)).await;
    consumer.until("regions", "NORTH", "two are paid", has(12)).await;
    consumer.until("regions", "SOUTH", "one is paid", has(6)).await;
    eventually("two documents cannot be told, one waits", async || consumer.parked().await.len() == 3).await;

    let lenient = plan_of(&ORDERS.replace("paid: data.paid", "paid: int(data.paid)"), &broker, &consumer);
    let retried = lenient.run(&["parked", "retry", "--manifest", "{manifest}"]);
    assert_eq!(retried.status.code(), Some(1), "what names no document stays: {retried:?}");
    consumer.until("orders", "7", "it is paid", has(11)).await;
    let seven = consumer.one("orders", "7").await.unwrap();
    assert_eq!(seven.get_str("last").unwrap(), "order.7.south");
    pod.stop().await;
    consumer.remove().await;
    broker.remove().await;
}

fn plan_of(manifest: &str, broker: &Broker, consumer: &Consumer) -> Plan {
    Plan::new(manifest.to_owned(), &broker.url(), consumer.url())
}
