//! Addresses, credentials and sizes: what depends on where nearcopy runs, not on what it replicates.
//!
//! Defaults, then a file, then the environment, then flags, each above the one before. Every key is in
//! `config/default.toml`; one that is not there is an error, and all errors are told at once.

mod again;
mod error;
mod grant;
mod key;
mod layer;
mod read;
mod schema;
mod url;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use crate::telemetry::{self, LogFormat};
use again::{Given, Seen};
use read::{Reader, Shown};

pub use error::{Problem, SettingsError};
pub use grant::Grant;
pub use key::Protect;

/// All settings, checked. Shown or logged, it hides what is secret.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The files that declare what is replicated, and folders of them.
    pub manifest: Vec<PathBuf>,
    /// Whether a manifest, a secret or a certificate that changes takes the old one's place while the program runs.
    pub reload: bool,
    /// The generation of the declaration that an older one is to take the place of, if it is to.
    pub downgrade_from: Option<i32>,
    /// The broker.
    pub rabbitmq: RabbitMq,
    /// The consumer's database.
    pub mongodb: MongoDb,
    /// Where probes and metrics are served, and whether the console is.
    pub admin: Admin,
    /// Where replicas are read, and by whom.
    pub read: Read,
    /// What owners are sent, each for its replicas; for all others, where none is named.
    pub owner_tokens: Vec<Grant>,
    /// By which keys fields are protected.
    pub protect: Protect,
    /// How events are written.
    pub pipeline: Pipeline,
    /// What is looked for now and then.
    pub sweep: Sweep,
    /// How long a parked event is kept.
    pub parked_ttl: Duration,
    /// How many events a pod remembers, for whoever asks why a value is there.
    pub remember: usize,
    /// What is logged, and how.
    pub log: Log,
    /// How long work under way may take to end after a signal to stop.
    pub shutdown_grace: Duration,
    shown: Vec<Shown>,
    given: Given,
}

/// The broker.
#[derive(Clone, Debug)]
pub struct RabbitMq {
    /// How many deliveries may be out and not settled, for each source.
    pub prefetch: u16,
    /// How often the connection shows that it lives.
    pub heartbeat: Duration,
    url: Option<SecretString>,
}

/// The consumer's database.
#[derive(Clone, Debug)]
pub struct MongoDb {
    /// Its name; `None` is the one that the URL names.
    pub database: Option<String>,
    url: Option<SecretString>,
}

/// Where probes and metrics are served, and whether the console is.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where.
    pub listen: SocketAddr,
    /// What the console may do.
    pub console: Console,
    /// What whoever uses the console must know, if anything; each is for all of it.
    pub grants: Vec<Grant>,
}

/// What the console may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Console {
    /// There is none.
    #[default]
    Off,
    /// It shows how everything stands.
    Read,
    /// It does something about it, too.
    Act,
}

/// Where replicas are read, and by whom.
#[derive(Clone, Debug)]
pub struct Read {
    /// Where; `None` is nowhere.
    pub listen: Option<SocketAddr>,
    /// What readers must know, and what each may read then; where there is none, everybody reads everything.
    pub grants: Vec<Grant>,
    /// What connections are encrypted with.
    pub tls: Option<Tls>,
    /// How many bytes of each replica are kept in memory for them.
    pub cache: u64,
}

/// Files in PEM, by which readers know this pod, and this pod knows its readers.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The chain of this pod's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities of which readers must have a certificate, if they must.
    pub client_ca: Option<PathBuf>,
}

/// How events are written.
#[derive(Clone, Copy, Debug)]
pub struct Pipeline {
    /// How many events at once, at most.
    pub batch: usize,
    /// How many batches of one source at the same time.
    pub in_flight: usize,
}

/// What is looked for now and then.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// How often is looked for what is owed.
    pub every: Duration,
    /// How long a record stays after nobody refers to it any more.
    pub retire_grace: Duration,
    /// How often all records are looked through for those that nobody refers to.
    pub retire_every: Duration,
    /// How often embedded copies are compared with their records.
    pub drift_every: Duration,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// Which ones are written.
    pub filter: String,
}

/// How many events a pod can remember at most.
const MOST_REMEMBERED: u64 = 10_000_000;
/// How many bytes of a replica can be kept in memory for readers, at most.
const LARGEST_CACHE: u64 = 1 << 40;

impl Settings {
    /// Loads and checks all layers; flags are pairs of key and value, such as `pipeline.batch` and `500`.
    pub fn load(file: Option<&Path>, flags: &[(String, String)]) -> Result<Self, SettingsError> {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
        Self::from_layers(file, environment.collect(), flags)
    }

    /// Loads with this in place of the process's environment.
    pub fn from_layers(
        file: Option<&Path>,
        environment: Vec<(String, String)>,
        flags: &[(String, String)],
    ) -> Result<Self, SettingsError> {
        let mut problems = Vec::new();
        let itself = file.map(Seen::now);
        let entries = layer::merge(file, environment, flags, &mut problems)?;
        let mut reader = Reader::new(&entries, problems);
        let settings = Self::read(&mut reader);
        if reader.problems.is_empty() {
            let named = entries.values().filter_map(|entry| entry.named.clone());
            let files = itself.into_iter().chain(named).collect();
            Ok(Self { shown: reader.shown, ..settings }.given(file, flags, files))
        } else {
            Err(SettingsError::Wrong(reader.problems))
        }
    }

    /// What settings can be, as JSON Schema: an object of sections, closed, in which secrets are `writeOnly`.
    pub fn schema() -> Result<serde_json::Value, SettingsError> {
        let entries = layer::merge(None, Vec::new(), &[], &mut Vec::new())?;
        let mut reader = Reader::new(&entries, Vec::new());
        Self::read(&mut reader);
        Ok(schema::of(&reader.forms))
    }

    /// Checks that the database is named, and the broker, if it is needed, both at once; whoever needs only one asks for that
    /// one.
    pub fn check_addresses(&self, broker: bool) -> Result<(), SettingsError> {
        let missing = [self.rabbitmq.url().err().filter(|_| broker), self.mongodb.url().err()];
        let problems: Vec<Problem> = missing
            .into_iter()
            .flatten()
            .flat_map(|error| if let SettingsError::Wrong(problems) = error { problems } else { Vec::new() })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(SettingsError::Wrong(problems)) }
    }

    fn read(from: &mut Reader<'_>) -> Self {
        const MS: Duration = Duration::from_millis(1);
        const SECOND: Duration = Duration::from_secs(1);
        Self {
            manifest: from.paths("manifest.paths"),
            reload: from.one_of("manifest.reload", &[("yes", true), ("no", false)]),
            downgrade_from: Some(from.number("manifest.downgrade_from", 0..=1_000_000))
                .filter(|generation| *generation > 0),
            rabbitmq: RabbitMq {
                url: from.secret_url("rabbitmq.url", &["amqp://", "amqps://"]),
                prefetch: from.number("rabbitmq.prefetch", 1..=65_535),
                heartbeat: from.duration("rabbitmq.heartbeat", SECOND),
            },
            mongodb: MongoDb {
                url: from.secret_url("mongodb.url", &["mongodb://", "mongodb+srv://"]),
                database: Some(from.text("mongodb.database", "the name of a database", is_database_name))
                    .filter(|name| !name.is_empty()),
            },
            admin: Self::read_admin(from),
            read: Self::read_reads(from),
            owner_tokens: from.grants("fetch.token"),
            protect: from.protect("protect.hash_key", "protect.encrypt_keys"),
            pipeline: Pipeline {
                batch: from.number("pipeline.batch", 1..=10_000),
                in_flight: from.number("pipeline.in_flight", 1..=64),
            },
            sweep: Sweep {
                every: from.duration("sweep.every", 10 * MS),
                retire_grace: from.duration("sweep.retire_grace", MS),
                retire_every: from.duration("sweep.retire_every", 10 * MS),
                drift_every: from.duration("sweep.drift_every", SECOND),
            },
            parked_ttl: from.duration("parked.ttl", SECOND),
            remember: from.number("explain.remember", 0..=MOST_REMEMBERED),
            log: Log {
                format: from.one_of(
                    "log.format",
                    &[("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)],
                ),
                filter: from.text("log.filter", "a level, or levels by module", |text| {
                    telemetry::check_filter(text).is_ok()
                }),
            },
            shutdown_grace: from.duration("shutdown.grace", MS),
            shown: Vec::new(),
            given: Given::default(),
        }
    }
}

impl Settings {
    /// Beyond loopback anybody could look, who does not have to know a token.
    fn read_admin(from: &mut Reader<'_>) -> Admin {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let listen = from.address("admin.listen").unwrap_or(nowhere);
        let words = [("off", Console::Off), ("read", Console::Read), ("act", Console::Act)];
        let (console, grants) = (from.one_of("admin.console", &words), from.grants("admin.token"));
        if console != Console::Off && grants.is_empty() && !listen.ip().is_loopback() {
            let why = format!("the console is on at {listen}, where others than this pod can look");
            from.problems.push(needs_token("admin.token", &why));
        }
        if grants.iter().any(|grant| !grant.replicas.is_empty()) {
            let what = "must have one token a line, and nothing behind it: each is for the whole console";
            let key = "admin.token".into();
            from.problems.push(Problem { key, given: None, what: what.into(), advice: None });
        }
        Admin { listen, console, grants }
    }

    /// Beyond loopback anybody could read, who does not have to know a token.
    fn read_reads(from: &mut Reader<'_>) -> Read {
        let listen = from.address_or_none("read.listen");
        let (grants, tls) = (from.grants("read.token"), Self::read_tls(from));
        let is_known = !grants.is_empty() || tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        if let Some(address) = listen.filter(|address| !is_known && !address.ip().is_loopback()) {
            let why = format!("`read.listen` is {address}, where others than this pod can read");
            from.problems.push(needs_token("read.token", &why));
        }
        Read { listen, grants, tls, cache: from.number("read.cache", 0..=LARGEST_CACHE) }
    }

    /// A certificate needs its key, and who is to show one must be shown one.
    fn read_tls(from: &mut Reader<'_>) -> Option<Tls> {
        let [certificate, key, client_ca] =
            ["read.tls_certificate", "read.tls_key", "read.tls_client_ca"].map(|key| from.path_or_none(key));
        if certificate.is_some() != key.is_some() || (client_ca.is_some() && certificate.is_none()) {
            let (of, what) = match (&certificate, &key) {
                (None, _) => ("read.tls_certificate", "is not set, and a key or an authority is"),
                _ => ("read.tls_key", "is not set, and a certificate is"),
            };
            let advice = Some("set both `read.tls_certificate` and `read.tls_key`, or neither".into());
            from.problems.push(Problem { key: of.into(), given: None, what: what.into(), advice });
        }
        Some(Tls { certificate: certificate?, key: key?, client_ca })
    }
}

impl RabbitMq {
    /// The broker's URL, or what to do so that there is one.
    pub fn url(&self) -> Result<&SecretString, SettingsError> {
        self.url.as_ref().ok_or_else(|| missing("rabbitmq.url"))
    }
}

impl MongoDb {
    /// The database's URL, or what to do so that there is one.
    pub fn url(&self) -> Result<&SecretString, SettingsError> {
        self.url.as_ref().ok_or_else(|| missing("mongodb.url"))
    }
}

/// A token must be set, for this reason.
fn needs_token(key: &str, why: &str) -> Problem {
    let variable = layer::variable(key);
    let advice =
        format!("set {variable}, or let {variable}_FILE name a file that holds it; or listen on 127.0.0.1");
    Problem { key: key.into(), given: None, what: format!("is not set, and {why}"), advice: Some(advice) }
}

fn missing(key: &str) -> SettingsError {
    SettingsError::Wrong(vec![needed(key, "is not set".into())])
}

/// A secret that something needs, and what to do so that it is there.
pub fn needed(key: &str, what: String) -> Problem {
    let variable = layer::variable(key);
    let advice = Some(format!("set {variable}, or let {variable}_FILE name a file that holds it"));
    Problem { key: key.into(), given: None, what, advice }
}

fn is_database_name(text: &str) -> bool {
    text.len() < 64 && !text.contains(['/', '\\', '.', ' ', '"', '$', '\0'])
}

/// One line for each setting: its key, its value or whether a secret is set, and where it was given.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
