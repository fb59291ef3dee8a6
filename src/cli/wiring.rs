//! Makes the adapters from the settings.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure};
use crate::api::console::Console;
use crate::api::read::{Access, Grant, Tls};
use crate::event::{Keys, Protection};
use crate::fetch::{Feed, HttpFeed, HttpFetch};
use crate::lifecycle;
use crate::manifest::{self, Diagnostics};
use crate::pipeline::{CollectionFeed, CollectionReader, Diary, Pipeline, Rhythm, Tap};
use crate::replication::{Declaration, FeedSpec, Inflow, ListSpec, NoKey, Subscription, Teller};
use crate::settings::{self, Protect, Settings, SettingsError};
use crate::source::rabbitmq;
use crate::store::StoreError;
use crate::store::mongo::{self, Mongo};

/// Reads the manifest from the given places, or from those that the settings name, and has fields protected by the keys of
/// the settings.
pub(super) fn manifest(settings: &Settings, paths: &[PathBuf]) -> Result<Arc<Declaration>, Failure> {
    Ok(guarded(settings, &unguarded(settings, paths)?)?)
}

/// The same without the keys, for whoever reads no values by it, or wants to know what is wrong with either.
pub(super) fn unguarded(settings: &Settings, paths: &[PathBuf]) -> Result<Declaration, Diagnostics> {
    let paths = if paths.is_empty() { &settings.manifest } else { paths };
    manifest::load(paths)
}

/// The declaration with the keys of the settings; one that is needed and not there is an error.
pub(super) fn guarded(
    settings: &Settings,
    declaration: &Declaration,
) -> Result<Arc<Declaration>, SettingsError> {
    let Protect { hash_key, encrypt_keys } = &settings.protect;
    let keys = hash_key.iter().fold(Keys::default(), |keys, key| keys.hashing(key.expose_secret()));
    let mut named = encrypt_keys.iter();
    // The settings have found out before whether each has its length.
    let keys = named.try_fold(keys, |keys, (id, key)| keys.encrypting(id, key.expose_secret()));
    let keys = Arc::new(keys.unwrap_or_default());
    declaration.guarded(&keys).map(Arc::new).map_err(|missing| {
        let problem = |NoKey { how, fields }: NoKey| {
            let key = if how == Protection::Hash { "protect.hash_key" } else { "protect.encrypt_keys" };
            settings::needed(
                key,
                format!("is not set, and the manifest has `{how}` for {}", fields.join(", ")),
            )
        };
        SettingsError::Wrong(missing.into_iter().map(problem).collect())
    })
}

/// Runs a command to its end, see [`lifecycle::block_on`]; failing to get a runtime is the machine's fault.
pub(super) fn block_on<F: Future>(command: impl FnOnce(Handle) -> F) -> Result<F::Output, Failure> {
    block_on_threads(1, command)
}

/// The same with so many threads for the work.
pub(super) fn block_on_threads<F: Future>(
    threads: usize,
    command: impl FnOnce(Handle) -> F,
) -> Result<F::Output, Failure> {
    // One TLS provider for every client, chosen before the first is made. It can only be there already.
    let _already = rustls::crypto::ring::default_provider().install_default();
    lifecycle::block_on(threads, command).map_err(|error| Failure::new(Exit::Failed, &error))
}

/// How RabbitMQ is reached.
pub(super) fn rabbitmq(settings: &Settings, service: &str) -> Result<rabbitmq::Options, SettingsError> {
    let url = settings.rabbitmq.url()?.clone();
    let mut options = rabbitmq::Options::new(url, service);
    options.prefetch = NonZeroU16::new(settings.rabbitmq.prefetch).unwrap_or(options.prefetch);
    options.heartbeat = settings.rabbitmq.heartbeat;
    Ok(options)
}

/// How a read model's events are read.
pub(super) fn tap(
    settings: &Settings,
    declaration: &Declaration,
    store: &Arc<Mongo>,
    inflow: &Inflow,
) -> Result<Tap, Failure> {
    let options = || rabbitmq(settings, &declaration.service);
    let tap = match inflow {
        Inflow::Stream(stream) => {
            rabbitmq::Stream::new(stream, options()?).map(|stream| Tap::Log(Arc::new(stream)))
        }
        Inflow::Queue(source) => {
            // What is not settled at a stop comes again, and is known.
            let queue = rabbitmq::TurnQueue::new(source, options()?, CancellationToken::new());
            queue.map(|queue| Tap::Queue(Arc::new(queue)))
        }
        Inflow::Feed(spec) => {
            return feed(settings, declaration, store, spec, CollectionReader::Once).map(Tap::Feed);
        }
    };
    tap.map_err(|error| Failure::new(Exit::Invalid, &error))
}

/// How events are asked for.
pub(super) fn feed(
    settings: &Settings,
    declaration: &Declaration,
    store: &Arc<Mongo>,
    spec: &FeedSpec,
    reader: CollectionReader,
) -> Result<Arc<dyn Feed>, Failure> {
    match &spec.teller {
        Teller::Owner(list) => Ok(Arc::new(owner_feed(settings, &spec.name, list)?)),
        Teller::Collection(of) => {
            let with_before = declaration.reads_before(&spec.name);
            Ok(Arc::new(CollectionFeed::new(of, store.clone(), with_before, reader)))
        }
    }
}

/// How an owner is asked for events.
pub(super) fn owner_feed(settings: &Settings, name: &str, list: &ListSpec) -> Result<HttpFeed, Failure> {
    let token = owner_token(settings, name);
    HttpFeed::new(name, list, token).map_err(|error| Failure::new(Exit::Failed, &error))
}

/// What the owner of a replica, or of a feed, is sent: the token that names it, or else one that names nobody.
fn owner_token<'s>(settings: &'s Settings, name: &str) -> Option<&'s SecretString> {
    let named = settings.owner_tokens.iter().find(|grant| grant.replicas.contains(name));
    let general = || settings.owner_tokens.iter().find(|grant| grant.replicas.is_empty());
    named.or_else(general).map(|grant| &grant.token)
}

/// The console, if it is on.
pub(super) fn console(settings: &Settings) -> Option<Console> {
    let grants = || settings.admin.grants.iter().map(grant).collect();
    match settings.admin.console {
        settings::Console::Off => None,
        settings::Console::Read => Some(Console::new(false, grants())),
        settings::Console::Act => Some(Console::new(true, grants())),
    }
}

fn grant(grant: &settings::Grant) -> Grant {
    Grant::new(grant.token.clone(), &grant.replicas)
}

/// Who may read, and how readers are known.
pub(super) fn access(settings: &Settings) -> Access {
    let tls = |tls: &settings::Tls| Tls {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        client_ca: tls.client_ca.clone(),
    };
    Access {
        grants: settings.read.grants.iter().map(grant).collect(),
        tls: settings.read.tls.as_ref().map(tls),
    }
}

/// Connects to the consumer's database.
pub(super) async fn mongodb(settings: &Settings) -> Result<Mongo, StoreError> {
    let url = settings.mongodb.url().map_err(|error| StoreError::Unsuitable {
        action: "connecting to the database".into(),
        detail: error.to_string(),
    })?;
    let (database, parked_for) = (settings.mongodb.database.clone(), settings.parked_ttl);
    Mongo::connect(mongo::Options { url: url.clone(), database, parked_for }).await
}

/// A replica of the manifest as its generation, for a command that runs beside pods; with it, all that is declared, and where
/// it is kept.
pub(super) async fn replica(
    settings: &Settings,
    paths: &[PathBuf],
    name: &str,
) -> Result<(Arc<Subscription>, Arc<Declaration>, Mongo), Failure> {
    let declared = manifest(settings, paths)?;
    let store = mongodb(settings).await?;
    let declaration = Arc::new(store.placed(&declared).await?);
    let of = declaration.replica(name).map_err(|error| Failure::new(Exit::Failed, &error))?.clone();
    Ok((of, declaration, store))
}

/// The pipeline over its adapters, for a command.
pub(super) fn pipeline(
    settings: &Settings,
    declaration: Arc<Declaration>,
    store: Arc<Mongo>,
    stop: CancellationToken,
) -> Result<Arc<Pipeline>, Failure> {
    pipeline_keeping(Arc::new(Diary::new(0)), settings, declaration, store, stop)
}

/// The same, which notes in this diary what it does.
pub(super) fn pipeline_keeping(
    diary: Arc<Diary>,
    settings: &Settings,
    declaration: Arc<Declaration>,
    store: Arc<Mongo>,
    stop: CancellationToken,
) -> Result<Arc<Pipeline>, Failure> {
    let rhythm = Rhythm {
        batch: settings.pipeline.batch,
        in_flight: settings.pipeline.in_flight,
        sweep_every: settings.sweep.every,
        retire_grace: settings.sweep.retire_grace,
        retire_every: settings.sweep.retire_every,
        drift_every: settings.sweep.drift_every,
    };
    let owners = owners(settings, &declaration)?;
    Ok(Pipeline::keeping(diary, declaration, store, Arc::new(owners), rhythm, stop))
}

/// How owners are asked. A token for a name that is not declared is a slip that would leave another one without.
pub(super) fn owners(settings: &Settings, declaration: &Declaration) -> Result<HttpFetch, Failure> {
    let is_feed = |name: &String| {
        declaration.feeds.iter().any(|feed| feed.name == *name && feed.collection().is_none())
    };
    let mut names = settings.owner_tokens.iter().flat_map(|grant| &grant.replicas);
    if let Some(name) = names.find(|name| declaration.replica(name).is_err() && !is_feed(name)) {
        let what =
            format!("`fetch.token` names `{name}`, which is neither a replica nor a feed of the manifest");
        return Err(Failure::saying(Exit::Invalid, what));
    }
    let token =
        |of: &Arc<Subscription>| Some((of.name.clone(), owner_token(settings, of.name.as_str())?.clone()));
    let tokens: BTreeMap<_, _> = declaration.replicas.iter().filter_map(token).collect();
    HttpFetch::new(&declaration.replicas, &tokens).map_err(|error| Failure::new(Exit::Failed, &error))
}
