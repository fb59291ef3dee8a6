//! Probes and metrics, where the kubelet and Prometheus can reach them, and beside them the console, where it is turned on.
//! Nothing here shows values.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use super::console::Console;
use super::health::{Health, Report, Status};
use super::listener::{Limits, Listener};
use crate::telemetry::Metrics;

/// Probes come one by one, and few scrape; more than this is not meant well. Each connection serves one request.
const LIMITS: Limits = Limits {
    connections: 64,
    headers_within: Duration::from_secs(5),
    keep_alive: false,
    http2: false,
    lasts: Duration::from_secs(10),
    ends_within: Duration::ZERO,
};
/// How often histograms are folded when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);
/// The listener for probes and metrics.
pub struct Admin {
    listener: Listener,
    router: Router,
    health: Health,
    metrics: Metrics,
}

/// The listener cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("probes and metrics cannot be served on {address}; set `admin.listen` to a free address")]
pub struct AdminError {
    /// Where it was tried.
    pub address: SocketAddr,
    source: io::Error,
}

impl Admin {
    /// Opens the listener; probes are answered once it serves.
    pub async fn bind(address: SocketAddr, health: Health, metrics: Metrics) -> Result<Self, AdminError> {
        let listener =
            Listener::bind(address, LIMITS, None).await.map_err(|source| AdminError { address, source })?;
        let scraped = metrics.clone();
        let router = Router::new()
            .route("/livez", get(|State(health): State<Health>| async move { told(health.live()) }))
            .route("/readyz", get(|State(health): State<Health>| async move { told(health.ready()) }))
            .route("/startupz", get(|State(health): State<Health>| async move { told(health.started()) }))
            .route("/metrics", get(|| async move { exposed(&scraped) }))
            .with_state(health.clone());
        Ok(Self { listener, router, health, metrics })
    }

    /// With the console, too. Where only this machine can come, it answers to no other name.
    #[must_use]
    pub fn with_console(self, console: &Console) -> Self {
        let alone = self.listener.address().is_ok_and(|address| address.ip().is_loopback());
        let served = console.router(self.health.clone(), self.metrics.clone(), alone);
        Self { router: self.router.merge(served), ..self }
    }

    /// Serves these, too.
    #[must_use]
    pub fn with(self, routes: Router) -> Self {
        Self { router: self.router.merge(routes), ..self }
    }

    /// Where it listens, which matters if the port was left to the system.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.address()
    }

    /// Serves until stopped. Probes should be answered while work under way ends, so this stops last.
    pub async fn serve(self, stop: CancellationToken) {
        let upkeep = async {
            loop {
                tokio::time::sleep(UPKEEP).await;
                self.metrics.upkeep();
            }
        };
        let Self { listener, router, .. } = &self;
        let serving = async { tokio::join!(listener.serve(router.clone(), &stop), upkeep) };
        stop.run_until_cancelled(serving).await;
    }
}

fn told(report: Report) -> Response {
    let code = match report.status {
        Status::Ok | Status::Degraded => StatusCode::OK,
        Status::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, [(header::CACHE_CONTROL, "no-store")], Json(report)).into_response()
}

fn exposed(metrics: &Metrics) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics.render()).into_response()
}
