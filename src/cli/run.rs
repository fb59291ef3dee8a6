//! `nearcopy run`: everything at work until told to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, Outcome, wiring};
use crate::api::Health;
use crate::api::admin::Admin;
use crate::lifecycle::{ExitReason, Lifecycle};
use crate::pipeline::Pipeline;
use crate::replication::{Class, Declaration, SourceSpec};
use crate::settings::Settings;
use crate::source::Inbox;
use crate::source::rabbitmq::{self, Source, Status};
use crate::store::StoreError;
use crate::store::mongo::{Mongo, Topology};
use crate::telemetry::{self, Metrics, metric};

/// How often the database is asked for a sign of life, so that readiness tells the truth.
const PING_EVERY: Duration = Duration::from_secs(2);

/// Runs the sidecar. What is wrong with manifest or settings is found before anything is opened.
pub fn run(settings: &Settings, paths: &[PathBuf]) -> Outcome {
    settings.check_addresses().map_err(Failure::invalid)?;
    let declaration = wiring::declaration(settings, paths)?;
    let metrics = telemetry::init(settings.log.format, &settings.log.filter).map_err(Failure::invalid)?;
    let reason = wiring::runtime()?.block_on(serve(settings, declaration, metrics))?;
    Ok(match reason {
        ExitReason::Stopped => Exit::Done,
        ExitReason::Interrupted => Exit::Interrupted,
        ExitReason::OutOfTime | ExitReason::Failed(_) => Exit::Failed,
    })
}

async fn serve(
    settings: &Settings,
    declaration: Arc<Declaration>,
    metrics: Metrics,
) -> Result<ExitReason, Failure> {
    let lifecycle = Lifecycle::new().map_err(|error| Failure::new(Exit::Failed, error))?;
    let (stop, health) = (lifecycle.stop_token(), Health::new());
    let admin = Admin::bind(settings.admin, health.clone(), metrics).await.map_err(Failure::unreachable)?;
    lifecycle.spawn_critical("probes and metrics", admin.serve(stop.clone()));
    lifecycle.spawn_critical("watchdog", health.clone().watchdog(stop.clone()));
    let started = start(settings, declaration, &lifecycle, &health);
    let Some(started) = stop.clone().run_until_cancelled(started).await else {
        return Ok(lifecycle.run_until_stopped(settings.shutdown_grace).await);
    };
    started?;
    let noting = {
        let health = health.clone();
        async move {
            stop.cancelled().await;
            health.stopping()
        }
    };
    lifecycle.spawn_critical("readiness", noting);
    Ok(lifecycle.run_until_stopped(settings.shutdown_grace).await)
}

/// Prepares the database, opens the sources, and sets the pipeline to work.
async fn start(
    settings: &Settings,
    declaration: Arc<Declaration>,
    lifecycle: &Lifecycle,
    health: &Health,
) -> Result<(), Failure> {
    let stop = lifecycle.stop_token();
    let store = Arc::new(database(settings, &declaration, health).await?);
    let pipeline = wiring::pipeline(settings, declaration.clone(), store.clone(), stop.clone())?;
    let mut inboxes = Vec::new();
    for spec in &declaration.sources {
        let options = wiring::rabbitmq(settings, &declaration.service)?;
        let source = rabbitmq::open(spec, options, stop.clone()).map_err(Failure::invalid)?;
        inboxes.push((spec.clone(), watch_source(spec, source, &pipeline, lifecycle, health)));
    }
    for (name, task) in pipeline.tasks(inboxes) {
        // A task ends only because the program stops.
        lifecycle.spawn_critical(name, async move { task.await.unwrap_or(()) });
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

/// Connects and prepares the database. One that cannot be reached yet is waited for; one that is not as it must
/// be ends the program.
async fn database(settings: &Settings, declaration: &Declaration, health: &Health) -> Result<Mongo, Failure> {
    health.starting("connecting to the database");
    loop {
        let prepared = match wiring::mongodb(settings).await {
            Ok(store) => {
                health.starting("preparing the database");
                store.set_up(declaration).await.map(|()| store)
            }
            Err(error) => Err(error),
        };
        match prepared {
            Ok(store) => {
                health.database(Ok(()));
                if store.topology() == Topology::Standalone {
                    tracing::warn!(
                        event = "database.standalone",
                        "the database is a standalone server: no change streams, so new documents are found by \
                         sweeps; make it a replica set of one member"
                    );
                }
                return Ok(store);
            }
            Err(error) if error.class() == Class::Transient => {
                tracing::warn!(event = "database.waiting", %error, "the database cannot be reached yet");
                health.database(Err(error.to_string()));
                tokio::time::sleep(PING_EVERY).await;
            }
            Err(error) => return Err(Failure::unreachable(error)),
        }
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
                    if new_queue && pipeline.resync(&spec).await.is_err() {
                        break;
                    }
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
