//! `nearcopy run`: everything at work until told to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::desk::Clerk;
use super::reload::{self, Reload, Seen};
use super::{Exit, Failure, Outcome, split, wiring};
use crate::api::Health;
use crate::api::admin::Admin;
use crate::api::console::Console;
use crate::api::read::Reads;
use crate::api::timeline;
use crate::lifecycle::{ExitReason, Lifecycle};
use crate::pipeline::{CollectionReader, Diary, Emission, Pipeline, Polling, Projection, Reader};
use crate::replication::{Class, Declaration, FeedSpec, SourceSpec, Standing};
use crate::settings::Settings;
use crate::source::Inbox;
use crate::source::rabbitmq::{self, Source, Status};
use crate::store::mongo::{Mongo, Placed, Topology};
use crate::store::{ReadStore, StoreError};
use crate::telemetry::{self, Metrics, metric};

/// How often the database is asked for a sign of life, so that readiness tells the truth.
const PING_EVERY: Duration = Duration::from_secs(2);

/// Runs the sidecar. What is wrong with manifest or settings is found before anything is opened.
pub(super) fn run(settings: &Settings, paths: &[PathBuf]) -> Outcome {
    // What changes after this look is seen by the next one, so the manifest is read after it.
    let before = Seen::first(settings, paths);
    let manifest = wiring::manifest(settings, paths);
    let broker = manifest.as_ref().map_or(true, |declaration| declaration.needs_broker());
    let addresses = settings.check_addresses(broker).map_err(Failure::from);
    let declaration = match (addresses, manifest) {
        (Ok(()), manifest) => manifest?,
        (Err(one), Err(other)) => return Err(one.and(&other)),
        (Err(failure), Ok(_)) => return Err(failure),
    };
    let metrics = telemetry::init(settings.log.format, &settings.log.filter)
        .map_err(|error| Failure::new(Exit::Invalid, &error))?;
    // A turn of a read model is folded while the one before is stored: its storing must not wait for the folding.
    let threads = if declaration.read_models.is_empty() { 1 } else { 2 };
    let reload = Reload::of(settings, paths, before, &declaration.service);
    let watch = reload.clone();
    let serving = |work| serve(settings, declaration, metrics, watch, work);
    let reason = wiring::block_on_threads(threads, serving)??;
    match reason {
        ExitReason::Stopped | ExitReason::OutOfTime if reload.is_wanted() => Err(reload::begin_anew()),
        reason => Ok(reason.into()),
    }
}

async fn serve(
    settings: &Settings,
    declaration: Arc<Declaration>,
    metrics: Metrics,
    reload: Reload,
    work: Handle,
) -> Result<ExitReason, Failure> {
    let lifecycle = Lifecycle::new(work.clone()).map_err(|error| Failure::new(Exit::Failed, &error))?;
    let (stop, health) = (lifecycle.stop_token(), Health::new());
    let admin = Admin::bind(settings.admin.listen, health.clone(), metrics).await.map_err(|error| {
        Failure::new(Exit::Failed, &error).hint("set admin.listen to an address that is free")
    })?;
    let console = wiring::console(settings);
    let admin = console.iter().fold(admin, Admin::with_console);
    let diary = Arc::new(Diary::new(settings.remember));
    let admin = admin.with(timeline::routes(diary.clone()));
    // Probes and metrics are served to the very end, so that "stopping" can be seen.
    let last = CancellationToken::new();
    let _until_the_end = last.clone().drop_guard();
    tokio::spawn(admin.serve(last));
    lifecycle.spawn_critical("watchdog", health.clone().watchdog(stop.clone()));
    lifecycle.spawn_critical("readiness", {
        let (stop, health) = (stop.clone(), health.clone());
        async move {
            stop.cancelled().await;
            health.stopping();
        }
    });
    if settings.reload {
        let watching = reload.clone().watch(health.clone(), stop.clone());
        lifecycle.spawn_beside("manifest", watching);
    }
    let starting =
        work.spawn(start(settings.clone(), declaration, lifecycle.clone(), health, (console, diary)));
    // Nothing where a stop came first.
    let started = stop.run_until_cancelled(AbortOnDropHandle::new(starting)).await.transpose();
    started.map_err(|error| Failure::new(Exit::Failed, &error))?.transpose()?;
    let told = lifecycle.told_token();
    let reason = lifecycle.run_until_stopped(settings.shutdown_grace).await;
    if told.is_cancelled() {
        reload.give_up();
    }
    Ok(reason)
}

/// Prepares the database, opens the sources, and sets the pipeline to work.
async fn start(
    settings: Settings,
    declaration: Arc<Declaration>,
    lifecycle: Lifecycle,
    health: Health,
    (console, diary): (Option<Console>, Arc<Diary>),
) -> Result<(), Failure> {
    let stop = lifecycle.stop_token();
    let (store, declaration) = database(&settings, &declaration, &health).await?;
    let (given, kept) = (declaration.clone(), store.clone());
    let pipeline = wiring::pipeline_keeping(diary, &settings, given, kept, stop.clone())?;
    let mut inboxes = Vec::new();
    for spec in declaration.queues().filter(|spec| spec.queue.split.is_none()) {
        let options = wiring::rabbitmq(&settings, &declaration.service)?;
        let source = rabbitmq::open(spec, options, stop.clone())
            .map_err(|error| Failure::new(Exit::Invalid, &error))?;
        inboxes.push((spec.clone(), watch_source(spec, source, &pipeline, &lifecycle, &health)));
    }
    let told = watch::Sender::new(());
    let projections = projections(&settings, &declaration, &store, &told, &lifecycle, &health)?;
    let emission = emission(&settings, &declaration, &store, &told)?;
    let emission = emission.map(|emission| pipeline.emission(emission));
    let pollings = pipeline.pollings(pollings(&settings, &declaration, &store, &lifecycle, &health)?);
    let intakes = pipeline.intakes(split::intakes(&settings, &declaration, &lifecycle, &health)?);
    let leftovers = pipeline.leftovers(split::leftovers(&settings, &declaration, &lifecycle)?);
    let tasks = pipeline.tasks(inboxes).into_iter().chain(intakes).chain(leftovers).chain(pollings);
    for (name, task) in tasks.chain(pipeline.projections(projections)).chain(emission) {
        // A task ends only because the program stops.
        lifecycle.spawn_critical(name, async move { task.await.unwrap_or(()) });
    }
    if let Some(address) = settings.read.listen {
        let apart = lifecycle.beside(|| store.apart());
        let read: Arc<dyn ReadStore> = Arc::new(apart.map_err(|error| Failure::new(Exit::Failed, &error))?);
        let readers = Reader::all(&pipeline, &read, settings.read.cache);
        let reads = Reads::bind(address, &wiring::access(&settings), &declaration, readers, &stop).await;
        let reads = reads.map_err(|error| Failure::new(Exit::Failed, &error))?;
        lifecycle.spawn_beside("reads", reads.serve(stop.clone()));
    }
    if let Some(console) = console {
        let (settings, work) = (Arc::new(settings), Handle::current());
        let (declaration, store) = (declaration.clone(), store.clone());
        console.opens(Arc::new(Clerk { settings, declaration, store, pipeline, work }));
    }
    lifecycle.spawn_critical("database", watch_database(store, health.clone(), stop));
    health.running();
    tracing::info!(
        event = "running",
        service = declaration.service,
        version = env!("CARGO_PKG_VERSION"),
        "at work"
    );
    Ok(())
}

/// The read models, each with its stream or queue, or with each partition; what is in their way is passed on to the probes.
fn projections(
    settings: &Settings,
    declaration: &Declaration,
    store: &Arc<Mongo>,
    told: &watch::Sender<()>,
    lifecycle: &Lifecycle,
    health: &Health,
) -> Result<Vec<Projection>, Failure> {
    let mut projections = Vec::new();
    for of in &declaration.read_models {
        let inflow = declaration.inflow(of).map_err(|error| Failure::new(Exit::Failed, &error))?;
        for inflow in inflow.parts() {
            let tap = wiring::tap(settings, declaration, store, &inflow)?;
            let part = inflow.part().map(|part| format!(", partition {}", part.number)).unwrap_or_default();
            let trouble = trouble(format!("{} of {}{part}", inflow.name(), of.name), lifecycle, health);
            let (of, store) = (of.clone(), store.clone());
            projections.push(Projection { of, inflow, tap, store, trouble, told: told.clone() });
        }
    }
    Ok(projections)
}

/// The feeds of replicas.
fn pollings(
    settings: &Settings,
    declaration: &Declaration,
    store: &Arc<Mongo>,
    lifecycle: &Lifecycle,
    health: &Health,
) -> Result<Vec<Polling>, Failure> {
    let fed = declaration.feeds.iter().filter(|feed| declaration.fed_by(&feed.name).next().is_some());
    let polling = |of: &Arc<FeedSpec>| {
        let trouble = trouble(of.name.clone(), lifecycle, health);
        let feed = wiring::feed(settings, declaration, store, of, CollectionReader::ByVersion)?;
        Ok(Polling { of: of.clone(), feed, trouble })
    };
    fed.map(polling).collect()
}

/// What is in the way of something is passed on to the probes.
fn trouble(name: String, lifecycle: &Lifecycle, health: &Health) -> watch::Sender<Option<String>> {
    let (trouble, mut watched) = watch::channel(None);
    let (health, stop) = (health.clone(), lifecycle.stop_token());
    // Until it is read, or another pod has its turn.
    health.source(&name, Err("connecting".into()));
    lifecycle.spawn_beside(format!("health of {name}"), async move {
        while let Some(Ok(())) = stop.run_until_cancelled(watched.changed()).await {
            let trouble: Option<String> = watched.borrow_and_update().clone();
            health.source(&name, trouble.map_or(Ok(()), Err));
        }
        stop.cancelled().await;
    });
    trouble
}

/// What tells others what rules have found, if there are any.
fn emission(
    settings: &Settings,
    declaration: &Declaration,
    store: &Arc<Mongo>,
    told: &watch::Sender<()>,
) -> Result<Option<Emission>, Failure> {
    if declaration.read_models.iter().all(|model| model.rules.is_empty()) {
        return Ok(None);
    }
    let options = wiring::rabbitmq(settings, &declaration.service)?;
    let outlet = rabbitmq::Publisher::new(options).map_err(|error| Failure::new(Exit::Invalid, &error))?;
    let told = told.subscribe();
    Ok(Some(Emission { outbox: store.clone(), outlet: Arc::new(outlet), told }))
}

/// Connects and prepares the database. One that cannot be reached yet is waited for; one that is not as it must
/// be ends the program.
async fn database(
    settings: &Settings,
    declaration: &Declaration,
    health: &Health,
) -> Result<(Arc<Mongo>, Arc<Declaration>), Failure> {
    health.starting("connecting to the database");
    loop {
        let prepared = match wiring::mongodb(settings).await {
            Ok(store) => {
                health.starting("preparing the database");
                let placed = store.set_up_instead_of(declaration, settings.downgrade_from).await;
                placed.map(|placed| (store, placed))
            }
            Err(error) => Err(error),
        };
        match prepared {
            Ok((store, placed)) => {
                health.database(Ok(()));
                if store.topology() == Topology::Standalone {
                    tracing::warn!(
                        event = "database.standalone",
                        "the database is a standalone server: no change streams, so new documents are found by \
                         sweeps; make it a replica set of one member"
                    );
                }
                tell(&placed);
                return Ok((Arc::new(store), Arc::new(placed.declaration)));
            }
            Err(error) if error.class() == Class::Transient => {
                tracing::warn!(event = "database.waiting", %error, "the database cannot be reached yet");
                health.database(Err(error.to_string()));
                tokio::time::sleep(PING_EVERY).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Says what is not as it was at the last start.
fn tell(placed: &Placed) {
    match placed.standing {
        Standing::Newest(_) | Standing::New(1) => {}
        Standing::New(generation) => tracing::info!(
            event = "generation.new",
            generation,
            "the declaration has changed; records and documents follow"
        ),
        Standing::Older(generation) => tracing::warn!(
            event = "generation.older",
            generation,
            newest = placed.newest,
            "this manifest is older than the newest that this database has seen; what is of a newer one is left alone. \
             To go back to it for good, set manifest.downgrade_from to the newest"
        ),
    }
}

/// Passes a source's state on to probes and metrics; its deliveries go to the pipeline.
fn watch_source(
    spec: &Arc<SourceSpec>,
    source: Source,
    pipeline: &Arc<Pipeline>,
    lifecycle: &Lifecycle,
    health: &Health,
) -> Inbox {
    let Source { inbox, mut status, task, .. } = source;
    let (name, health) = (spec.name.clone(), health.clone());
    let (spec, pipeline) = (spec.clone(), pipeline.clone());
    // Known from the first moment: a source that nobody has heard of yet is not well.
    health.source(&name, Err("connecting".into()));
    let task_name = format!("source {name}");
    lifecycle.spawn_critical(task_name, async move {
        loop {
            let now = status.borrow_and_update().clone();
            metric::broker_connected(&name, matches!(now, Status::Connected { .. }));
            match now {
                Status::Connected { generation, new_queue } => {
                    if generation > 1 {
                        metric::reconnected(&name);
                    }
                    health.source(&name, Ok(()));
                    if pipeline.note_read(&spec, new_queue).await.is_err() {
                        break;
                    }
                    pipeline.begins(&name);
                }
                Status::Connecting => health.source(&name, Err("connecting".into())),
                Status::Lost { reason, .. } => health.source(&name, Err(reason)),
                Status::Stopped => break,
            }
            if status.changed().await.is_err() {
                break;
            }
        }
        // What was under way is settled before the program ends. A panic in there has been reported.
        let _ended = task.await;
    });
    inbox
}

async fn watch_database(store: Arc<Mongo>, health: Health, stop: CancellationToken) {
    let watching = async {
        loop {
            let state = store.ping().await;
            health.database(state.map_err(|error: StoreError| error.to_string()));
            tokio::time::sleep(PING_EVERY).await;
        }
    };
    stop.run_until_cancelled(watching).await;
}
