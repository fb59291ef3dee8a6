//! Probes and metrics, where the kubelet and Prometheus can reach them. Nothing here shows data.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::health::{Health, Report, Status};
use crate::telemetry::Metrics;

/// Probes come one by one, and few scrape; more than this is not meant well.
const CONNECTIONS: usize = 64;
/// How long a client may take to say what it wants.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection may last, answer included; each serves one request.
const CONNECTION_WITHIN: Duration = Duration::from_secs(10);
/// How often histograms are folded when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);
/// How long to wait after a connection could not be accepted, as when there are no descriptors left.
const BREATH: Duration = Duration::from_millis(100);

/// The listener for probes and metrics.
pub struct Admin {
    listener: TcpListener,
    router: Router,
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
        let listener = TcpListener::bind(address).await.map_err(|source| AdminError { address, source })?;
        let scraped = metrics.clone();
        let router = Router::new()
            .route("/livez", get(|State(health): State<Health>| async move { told(health.live()) }))
            .route("/readyz", get(|State(health): State<Health>| async move { told(health.ready()) }))
            .route("/startupz", get(|State(health): State<Health>| async move { told(health.started()) }))
            .route("/metrics", get(|| async move { exposed(&scraped) }))
            .with_state(health);
        Ok(Self { listener, router, metrics })
    }

    /// Where it listens, which matters if the port was left to the system.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until stopped. Probes should be answered while work under way ends, so this stops last.
    pub async fn serve(self, stop: CancellationToken) {
        let upkeep = async {
            loop {
                tokio::time::sleep(UPKEEP).await;
                self.metrics.upkeep();
            }
        };
        let serving = async { tokio::join!(self.accept(), upkeep) };
        stop.run_until_cancelled(serving).await;
    }

    async fn accept(&self) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(answer(stream, self.router.clone(), place))),
                Err(error) => {
                    tracing::warn!(event = "probe.refused", %error, "a probe's connection could not be accepted");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }
}

async fn answer(stream: TcpStream, router: Router, place: OwnedSemaphorePermit) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A client that breaks off, or is too slow, is no trouble of ours.
    tokio::time::timeout(CONNECTION_WITHIN, connection).await.ok();
    drop(place);
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
