//! What read models will take for granted of RabbitMQ's streams, asked of RabbitMQ.

use std::time::Duration;

use futures::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::time::timeout;

use crate::rabbitmq::Broker;

const STREAM: &str = "foo-events";

/// A reader that resumes at its checkpoint is given that very event first, so a gap cannot pass unseen.
#[tokio::test]
async fn a_stream_read_from_an_offset_begins_with_the_event_at_that_offset() {
    let broker = Broker::new().await;
    let connection = Connection::connect(&broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(STREAM.into(), durable, arguments).await.unwrap();
    for number in 0..50 {
        let body = number.to_string();
        let sent = channel.basic_publish(
            "".into(),
            STREAM.into(),
            BasicPublishOptions::default(),
            body.as_bytes(),
            BasicProperties::default(),
        );
        sent.await.unwrap().await.unwrap();
    }
    let all = read_from(&connection, AMQPValue::LongString("first".into()), 50).await;
    for at in [0, 1, 17, 49] {
        let (offset, body) = &all[at];
        let first = read_from(&connection, AMQPValue::LongLongInt(*offset), 1).await;
        assert_eq!(first, [(*offset, body.clone())]);
    }
    connection.close(0, "done".into()).await.unwrap();
    broker.remove().await;
}

/// The offsets and bodies of so many events, from an offset on.
async fn read_from(connection: &Connection, offset: AMQPValue, count: usize) -> Vec<(i64, String)> {
    let channel: Channel = connection.create_channel().await.unwrap();
    channel.basic_qos(10, BasicQosOptions::default()).await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), offset);
    let options = BasicConsumeOptions::default();
    let mut consumer = channel.basic_consume(STREAM.into(), "".into(), options, arguments).await.unwrap();
    let mut read = Vec::new();
    while read.len() < count {
        let next = timeout(Duration::from_secs(10), consumer.next()).await.expect("an event within 10 s");
        let delivery = next.unwrap().unwrap();
        delivery.ack(BasicAckOptions::default()).await.unwrap();
        let headers = delivery.properties.headers().as_ref().unwrap();
        let Some(AMQPValue::LongLongInt(offset)) = headers.inner().get("x-stream-offset") else {
            panic!("no offset among {headers:?}");
        };
        read.push((*offset, String::from_utf8(delivery.data.clone()).unwrap()));
    }
    channel.close(0, "read".into()).await.unwrap();
    read
}
