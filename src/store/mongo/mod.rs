//! MongoDB. The only place that knows the driver, and the only one that knows how things are stored.
//!
//! Commands are built here, not by the driver's helpers, because the write shape is what this program costs:
//! one `update` command of many statements, each a pipeline under its guard. The driver does not retry such
//! commands; the guards make our own repetition safe.

mod change;
mod checkpoint;
mod collection;
mod command;
mod cursor;
mod deadline;
mod embed;
mod epoch;
mod explain;
mod index;
mod inspect;
mod lease;
mod outbox;
mod overview;
mod parked;
mod read_model;
mod reading;
mod rebuild;
mod record;
mod record_statement;
mod remove;
mod retire;
mod revise_statement;
mod seen;
mod setup;
mod shape;
mod state;
mod state_statement;
mod stored;
mod time;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use bson::{Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use secrecy::{ExposeSecret, SecretString};

use super::StoreError;
use read_model::Sessions;
pub use shape::Placed;

/// How the database is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// The connection string.
    pub url: SecretString,
    /// The consumer's database; the one that the connection string names, where this is none.
    pub database: Option<String>,
    /// How long a parked event is kept.
    pub parked_for: Duration,
}

/// The consumer's database.
#[derive(Clone)]
pub struct Mongo {
    database: Database,
    reached: Arc<ClientOptions>,
    options: Options,
    topology: Topology,
    pod: String,
    folding: Sessions,
    time: time::Told,
}

/// What kind of server it is, which decides what it can promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Majority writes survive a failover; changes can be followed.
    ReplicaSet,
    /// Neither; sweeps take the place of change streams.
    Standalone,
}

impl Mongo {
    /// Connects, and asks the server what it is.
    pub async fn connect(options: Options) -> Result<Self, StoreError> {
        let mut parsed =
            ClientOptions::parse(options.url.expose_secret()).await.map_err(|error| unsuitable(&error))?;
        parsed.app_name = Some("nearcopy".into());
        parsed.server_selection_timeout.get_or_insert(Duration::from_secs(5));
        parsed.connect_timeout.get_or_insert(Duration::from_secs(5));
        let default = parsed.default_database.clone();
        let reached = Arc::new(parsed);
        let client = Client::with_options((*reached).clone()).map_err(|error| unsuitable(&error))?;
        let Some(name) = options.database.clone().or(default) else {
            let detail = "neither the connection string nor `mongodb.database` names a database".into();
            return Err(StoreError::Unsuitable { action: "reading `mongodb.url`".into(), detail });
        };
        let database = client.database(&name);
        let pod = uuid::Uuid::new_v4().to_string();
        let (folding, time) = (Sessions::default(), time::Told::default());
        let mut mongo =
            Self { database, reached, options, topology: Topology::ReplicaSet, pod, folding, time };
        let hello = mongo.run("connecting", doc! { "hello": 1 }).await?;
        if !hello.contains_key("setName") && hello.get_str("msg").ok() != Some("isdbgrid") {
            mongo.topology = Topology::Standalone;
        }
        Ok(mongo)
    }

    /// The same database by connections of its own, which live in the runtime that this is called in. Upon those of another
    /// runtime, whatever is asked goes from thread to thread and back.
    pub fn apart(&self) -> Result<Self, StoreError> {
        let client = Client::with_options((*self.reached).clone()).map_err(|error| unsuitable(&error))?;
        let database = client.database(self.database.name());
        Ok(Self { database, folding: Sessions::default(), ..self.clone() })
    }

    /// What kind of server it is.
    pub fn topology(&self) -> Topology {
        self.topology
    }

    /// Asks for a sign of life.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.run("pinging", doc! { "ping": 1 }).await.map(|_: Document| ())
    }
}

/// The connection string cannot be used.
fn unsuitable(error: &mongodb::error::Error) -> StoreError {
    StoreError::Unsuitable { action: "reading `mongodb.url`".into(), detail: command::describe(error) }
}
