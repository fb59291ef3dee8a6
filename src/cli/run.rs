//! `nearcopy run`: everything at work until told to stop.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, Outcome, wiring};
use crate::replication::Declaration;
use crate::settings::Settings;
use crate::source::rabbitmq;
use crate::telemetry::{self, Metrics};

/// Runs the sidecar. What is wrong with manifest or settings is found before anything is opened.
pub fn run(settings: &Settings, paths: &[PathBuf]) -> Outcome {
    settings.check_addresses().map_err(Failure::invalid)?;
    let declaration = wiring::declaration(settings, paths)?;
    let metrics = telemetry::init(settings.log.format, &settings.log.filter).map_err(Failure::invalid)?;
    wiring::runtime()?.block_on(serve(settings, declaration, metrics))
}

async fn serve(settings: &Settings, declaration: Arc<Declaration>, metrics: Metrics) -> Outcome {
    let stop = CancellationToken::new();
    let store = Arc::new(wiring::mongodb(settings).await?);
    store.set_up(&declaration).await.map_err(Failure::unreachable)?;
    let pipeline = wiring::pipeline(settings, declaration.clone(), store, stop.clone())?;
    let mut inboxes = Vec::new();
    for source in &declaration.sources {
        let options = wiring::rabbitmq(settings, &declaration.service)?;
        let opened = rabbitmq::open(source, options, stop.clone()).map_err(Failure::invalid)?;
        inboxes.push((source.clone(), opened.inbox));
    }
    for (name, task) in pipeline.tasks(inboxes) {
        tokio::spawn(async move {
            let ended = task.await;
            tracing::info!(event = "task.ended", name, ?ended, "a task has ended");
        });
    }
    let metrics = Arc::new(metrics);
    let router = axum::Router::new()
        .route("/readyz", axum::routing::get(|| async { "ok" }))
        .route("/metrics", axum::routing::get(move || async move { metrics.render() }));
    let listener = tokio::net::TcpListener::bind(settings.admin).await.map_err(Failure::unreachable)?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|e| Failure::new(Exit::Failed, e))?;
    tokio::select! { _ = term.recv() => {}, _ = tokio::signal::ctrl_c() => {} }
    stop.cancel();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    Ok(Exit::Done)
}
