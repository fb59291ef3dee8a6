//! The consumer's database: emptied, watched for what becomes visible, and checked.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use futures::TryStreamExt;
use mongodb::options::ReadConcern;
use mongodb::{Client, Collection};
use tokio::time::{Instant, sleep};

use crate::broker::given;
use crate::event::Event;
use crate::manifest::USERS;

pub(crate) const DATABASE: &str = "nearcopy-bench";

/// The database, as the consuming service sees it.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) raw: mongodb::Database,
}

impl Database {
    /// The one that the environment names.
    pub(crate) async fn given() -> Result<Self> {
        let url = given("MONGODB_URL")?;
        let raw = Client::with_uri_str(&url).await?.database(DATABASE);
        Ok(Self { url, raw })
    }

    /// Its version.
    pub(crate) async fn version(&self) -> Result<String> {
        let told = self.raw.run_command(doc! { "buildInfo": 1 }).await?;
        Ok(told.get_str("version")?.to_owned())
    }

    /// Removes all that is in it, and has the server write down what it still has in memory.
    pub(crate) async fn renew(&self) -> Result<()> {
        self.raw.drop().await?;
        self.settle().await
    }

    /// Has the server write down what it still has in memory, so that nobody pays for what came before.
    pub(crate) async fn settle(&self) -> Result<()> {
        self.raw.client().database("admin").run_command(doc! { "fsync": 1 }).await?;
        Ok(())
    }

    /// Users, read as the majority holds them: what is seen is durable.
    pub(crate) fn users(&self) -> Collection<Document> {
        self.durable(USERS)
    }

    /// Any collection, read as the majority holds it.
    pub(crate) fn durable(&self, name: &str) -> Collection<Document> {
        let options =
            mongodb::options::CollectionOptions::builder().read_concern(ReadConcern::majority()).build();
        self.raw.collection_with_options(name, options)
    }

    /// Whether the document of an event is there, or a newer one.
    pub(crate) async fn shows(&self, event: Event) -> Result<bool> {
        let names = doc! { "username": 1 };
        let found = self.users().find_one(doc! { "_id": event.id() }).projection(names).await?;
        let shown = found.as_ref().and_then(|found| found.get_str("username").ok());
        Ok(shown.is_some_and(|name| version_in(name) >= event.version))
    }

    /// Waits until users have these versions. The time at which it was asked with the answer that all do.
    pub(crate) async fn has(&self, newest: &HashMap<u32, u32>, within: Duration) -> Result<Instant> {
        let ids: Vec<String> = newest.keys().map(|user| Event { user: *user, version: 0 }.id()).collect();
        let began = Instant::now();
        loop {
            let asked = Instant::now();
            let names = doc! { "username": 1 };
            let found = self.users().find(doc! { "_id": { "$in": &ids } }).projection(names).await?;
            let found: Vec<Document> = found.try_collect().await?;
            let right = found.iter().filter(|found| is_newest(found, newest)).count();
            if right == newest.len() {
                return Ok(asked);
            }
            ensure!(began.elapsed() < within, "only {right} of {} users are up to date", newest.len());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Fails unless there are exactly these users, each with just the fields of its newest version.
    pub(crate) async fn check(&self, newest: &HashMap<u32, u32>) -> Result<()> {
        let fields = doc! { "username": 1, "email": 1, "city": 1, "address": 1, "phone": 1 };
        let mut found = self.users().find(doc! {}).projection(fields).await?;
        let mut count = 0;
        while let Some(document) = found.try_next().await? {
            count += 1;
            let name = document.get_str("username").context("a user without a name")?;
            let user = name.split('-').nth(1).and_then(|user| user.parse().ok());
            let user = user.with_context(|| format!("a user named {name}"))?;
            let version = *newest.get(&user).with_context(|| format!("nobody spoke of user {user}"))?;
            let event = Event { user, version };
            let wanted = doc! { "_id": event.id(), "username": event.username(), "email": event.email(), "city": event.city() };
            let same = document.len() == wanted.len()
                && wanted.iter().all(|(name, value)| document.get(name) == Some(value));
            ensure!(same, "{document} is not {wanted}");
        }
        ensure!(count == newest.len(), "{count} users, not {}", newest.len());
        Ok(())
    }
}

/// The version that a username names.
pub(crate) fn version_in(username: &str) -> u32 {
    username.rsplit('-').next().and_then(|version| version.parse().ok()).unwrap_or_default()
}

fn is_newest(found: &Document, newest: &HashMap<u32, u32>) -> bool {
    let Ok(name) = found.get_str("username") else { return false };
    let user = name.split('-').nth(1).and_then(|user| user.parse().ok());
    user.and_then(|user: u32| newest.get(&user)).is_some_and(|version| version_in(name) == *version)
}
