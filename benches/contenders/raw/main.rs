//! The least program that does what nearcopy does with an event: takes it, writes it under a guard, durably, and
//! acknowledges it. No retries, no settings, no metrics, nothing but this; it shows what broker and database give.
//!
//! A batch is one `update` command of up to a thousand statements, confirmed by the majority and journaled; each
//! replaces a document if its version is lower, or inserts it. Nobody waits for a batch to fill. Of several events of
//! one user in a batch the newest is written.

mod amqp;
mod batch;
mod reader;

use std::collections::VecDeque;
use std::env;

use anyhow::{Context, Result, bail};
use bson::{RawArrayBuf, rawdoc};
use futures::stream::{FuturesUnordered, StreamExt};
use mongodb::{Client, Database};

use batch::Batch;
use reader::Reader;

/// How often a command goes round again if two batches insert one user at once.
const AGAIN: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let database = Client::with_uri_str(given("MONGODB_URL")?).await?.database(&given("DATABASE")?);
    let (most, in_flight) = (given("BATCH")?.parse()?, given("IN_FLIGHT")?.parse::<usize>()?);
    let mut reader = Reader::open(
        &given("READER")?,
        &given("RABBITMQ_URL")?,
        &given("QUEUE")?,
        given("PREFETCH")?.parse()?,
    )
    .await?;
    let collection = given("COLLECTION")?;
    let (mut batch, mut writes, mut owed) = (Batch::new(most), FuturesUnordered::new(), Owed::default());
    loop {
        if !batch.is_empty() && writes.len() < in_flight {
            let (tag, statements) = batch.take();
            owed.0.push_back((tag, false));
            let write = write(database.clone(), collection.clone(), statements);
            writes.push(async move { (tag, tokio::spawn(write).await) });
        }
        tokio::select! {
            Some((tag, written)) = writes.next() => {
                written??;
                if let Some(tag) = owed.done(tag) {
                    reader.acknowledge(tag).await?;
                }
            }
            read = reader.fill(&mut batch), if !batch.is_full() => read?,
        }
    }
}

/// The last tags of the batches under way, and which of them are written.
#[derive(Default)]
struct Owed(VecDeque<(u64, bool)>);

impl Owed {
    /// Up to which tag all is written, if that is news.
    fn done(&mut self, tag: u64) -> Option<u64> {
        if let Some(entry) = self.0.iter_mut().find(|(of, _)| *of == tag) {
            entry.1 = true;
        }
        let mut last = None;
        while self.0.front().is_some_and(|(_, is_written)| *is_written) {
            last = self.0.pop_front().map(|(tag, _)| tag);
        }
        last
    }
}

async fn write(database: Database, collection: String, statements: RawArrayBuf) -> Result<()> {
    let command = rawdoc! {
        "update": collection,
        "updates": statements,
        "ordered": false,
        "writeConcern": { "w": "majority", "j": true },
    };
    for _ in 0..AGAIN {
        let reply = database.run_raw_command(command.clone()).await?;
        if reply.contains_key("writeConcernError") {
            bail!("not confirmed: {reply}");
        }
        if !reply.contains_key("writeErrors") {
            return Ok(());
        }
    }
    bail!("written {AGAIN} times in vain")
}

fn given(name: &str) -> Result<String> {
    env::var(name).with_context(|| format!("{name} is not set"))
}
