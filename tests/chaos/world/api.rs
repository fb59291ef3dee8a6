//! The owner's API: behind its own log by a bounded time, and at times worse.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::owner::{Owner, answer};
use crate::machine::secret;

/// By how much its reads may be behind. The manifest declares more.
pub(crate) const STALE: Duration = Duration::from_millis(1_500);

/// How it is.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Health {
    /// It answers, if stale; of a hundred requests so many go wrong.
    Answers(u8),
    /// Nobody listens.
    Dead,
}

/// The service, for as long as the program runs.
pub(crate) struct Api {
    address: SocketAddr,
    health: watch::Sender<Health>,
    asked: Arc<Mutex<u64>>,
}

impl Api {
    /// Serves what the owner has.
    pub(crate) fn start(owner: Arc<Owner>) -> Result<Self> {
        let port = crate::machine::process::free_port()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let (health, asked) = (watch::Sender::new(Health::Answers(0)), Arc::new(Mutex::new(0)));
        let (watching, counting) = (health.subscribe(), asked.clone());
        tokio::spawn(async move {
            let mut watching = watching;
            loop {
                if watching.wait_for(|health| *health != Health::Dead).await.is_err() {
                    return;
                }
                let Ok(listener) = TcpListener::bind(address).await else {
                    sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let router = router(owner.clone(), watching.clone(), counting.clone());
                let mut dying = watching.clone();
                tokio::select! {
                    () = accept(listener, router) => {}
                    _ = dying.wait_for(|health| *health == Health::Dead) => {}
                }
            }
        });
        Ok(Self { address, health, asked })
    }

    /// The part of the manifest that says where it is; the query bears a secret.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/users", self.address)
    }

    /// From now on it is so.
    pub(crate) fn is(&self, health: Health) {
        self.health.send_replace(health);
    }

    /// How many requests have come.
    pub(crate) fn asked(&self) -> u64 {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn router(owner: Arc<Owner>, health: watch::Receiver<Health>, asked: Arc<Mutex<u64>>) -> Router {
    Router::new().fallback(move |request: Request| {
        let (owner, health, asked) = (owner.clone(), health.clone(), asked.clone());
        async move {
            *asked.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            let wrong = match *health.borrow() {
                Health::Answers(wrong) => fastrand::u8(..100) < wrong,
                Health::Dead => true,
            };
            let honest = reply(&owner, &request);
            if wrong { spoil(honest).await } else { honest }
        }
    })
}

/// Serves until it is dropped; its connections end with it.
async fn accept(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let service = TowerToHyperService::new(router.clone());
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The truth of a while ago: `/users/{id}` or `/users?ids={ids}`, and a token beside.
fn reply(owner: &Owner, request: &Request) -> Response<Body> {
    let ago = STALE.mul_f64(fastrand::f64());
    let mut ids = request.uri().query().into_iter().flat_map(|query| query.split('&'));
    let ids = ids.find_map(|pair| pair.strip_prefix("ids="));
    let find = |id: &str| owner.as_of(id, ago).map(|(version, user)| answer(id, version, &user));
    if let Some(ids) = ids {
        let ids = ids.replace("%2C", ",").replace("%2c", ",");
        // Now and then it leaves out one that it has.
        let found = ids.split(',').filter(|_| fastrand::u8(..50) > 0).filter_map(find);
        return json(&found.collect::<Value>());
    }
    let id = request.uri().path().rsplit('/').next().unwrap_or_default();
    match find(id) {
        Some(user) => json(&user),
        None => (StatusCode::NOT_FOUND, secret("answer")).into_response(),
    }
}

/// All the ways in which a service can fail to answer.
async fn spoil(honest: Response<Body>) -> Response<Body> {
    let body = secret("answer");
    match fastrand::u8(..9) {
        0 => (StatusCode::INTERNAL_SERVER_ERROR, body).into_response(),
        1 => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")], body).into_response(),
        2 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], body).into_response(),
        3 => (StatusCode::BAD_GATEWAY, body).into_response(),
        4 => {
            sleep(Duration::from_millis(1_500)).await;
            honest
        }
        5 => ([("content-type", "text/html")], format!("<html>{body}</html>")).into_response(),
        6 => json(&serde_json::json!({ "id": "somebody-else", "version": 1_000_000, "username": body })),
        7 => (StatusCode::FOUND, [("location", "/users/somebody-else")]).into_response(),
        _ => {
            let parts = [Ok(Bytes::from("{\"id\":")), Err(std::io::Error::other("broken off"))];
            Body::from_stream(futures::stream::iter(parts)).into_response()
        }
    }
}

fn json(body: &Value) -> Response<Body> {
    ([("content-type", "application/json")], body.to_string()).into_response()
}
