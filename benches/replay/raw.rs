//! The least program that folds a stream exactly once: what came, and how far that is, in one transaction.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use futures::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use mongodb::options::{ReadConcern, WriteConcern};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{MODEL, STREAM};
use crate::contender::Arena;

const TOGETHER: usize = 1_000;

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "occurredAt")]
    at: String,
    data: User,
}

#[derive(Deserialize)]
struct User {
    id: String,
    username: String,
    email: String,
    address: Address,
}

#[derive(Deserialize)]
struct Address {
    city: String,
}

/// Folds so many events; how long that took, and where the last one stands.
pub(super) async fn replay(arena: &Arena, events: usize) -> Result<(Duration, i64)> {
    let began = Instant::now();
    let client = mongodb::Client::with_uri_str(&arena.database.url).await?;
    let database = client.database(crate::database::DATABASE);
    database.create_collection(MODEL).await?;
    database.create_collection("checkpoints").await?;
    database.collection("checkpoints").insert_one(doc! { "_id": MODEL, "offset": -1_i64 }).await?;
    let mut deliveries = read(&arena.broker.url()).await?;
    let (mut done, mut at) = (0, -1);
    while done < events {
        let mut batch = Vec::new();
        ensure!(deliveries.recv_many(&mut batch, TOGETHER).await > 0, "the stream has ended");
        done += batch.len();
        let next = offset(batch.last().context("nothing came")?)?;
        let statements = batch.iter().map(statement).collect::<Result<Vec<Document>>>()?;
        let mut session = client.start_session().await?;
        session
            .start_transaction()
            .read_concern(ReadConcern::snapshot())
            .write_concern(WriteConcern::majority())
            .await?;
        let checkpoints = database.collection::<Document>("checkpoints");
        let moved = checkpoints
            .update_one(doc! { "_id": MODEL, "offset": at }, doc! { "$set": { "offset": next } })
            .session(&mut session)
            .await?;
        ensure!(moved.matched_count == 1, "somebody else has moved the checkpoint");
        let command = doc! { "update": MODEL, "updates": statements, "ordered": false };
        database.run_command(command).session(&mut session).await?;
        session.commit_transaction().await?;
        at = next;
    }
    Ok((began.elapsed(), at))
}

fn statement(delivery: &Delivery) -> Result<Document> {
    let event: Event = serde_json::from_slice(&delivery.data)?;
    let at = bson::DateTime::parse_rfc3339_str(&event.at)?;
    let User { id, username, email, address } = event.data;
    let set = doc! { "username": username, "email": email, "city": address.city, "changed": at };
    Ok(doc! { "q": { "_id": id }, "u": { "$set": set, "$inc": { "changes": 1_i64 } }, "upsert": true })
}

fn offset(delivery: &Delivery) -> Result<i64> {
    let headers = delivery.properties.headers().as_ref().context("no headers")?;
    match headers.inner().get("x-stream-offset") {
        Some(AMQPValue::LongLongInt(offset)) => Ok(*offset),
        other => anyhow::bail!("no offset but {other:?}"),
    }
}

/// Reads the stream ahead of whoever takes its events.
async fn read(url: &str) -> Result<mpsc::Receiver<Delivery>> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(4_000, BasicQosOptions::default()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), AMQPValue::LongString("first".into()));
    let options = BasicConsumeOptions::default();
    let mut consumer = channel.basic_consume(STREAM.into(), "raw".into(), options, arguments).await?;
    let (sender, receiver) = mpsc::channel(4_000);
    tokio::spawn(async move {
        let _open = connection;
        let mut next = consumer.next().await;
        while let Some(Ok(delivery)) = next {
            let tag = delivery.delivery_tag;
            if sender.send(delivery).await.is_err() {
                break;
            }
            if tag.is_multiple_of(1_000)
                && channel.basic_ack(tag, BasicAckOptions { multiple: true }).await.is_err()
            {
                break;
            }
            next = match consumer.next().now_or_never() {
                Some(next) => next,
                None => consumer.next().await,
            };
        }
    });
    Ok(receiver)
}
