//! Probes and metrics as the kubelet and Prometheus see them.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use nearcopy::api::Health;
use nearcopy::api::admin::Admin;
use nearcopy::clock;
use nearcopy::replication::Outcome;
use nearcopy::telemetry::metric;
use nearcopy::telemetry::{self, LogFormat, Metrics};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Metrics are set up once in a program, so the tests share them.
fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| telemetry::init(LogFormat::Json, "error").unwrap()).clone()
}

struct Served {
    address: SocketAddr,
    health: Health,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

async fn serve() -> Served {
    let (health, stop) = (Health::new(), CancellationToken::new());
    let admin = Admin::bind("127.0.0.1:0".parse().unwrap(), health.clone(), metrics()).await.unwrap();
    let address = admin.address().unwrap();
    let server = tokio::spawn(admin.serve(stop.clone()));
    Served { address, health, stop, server }
}

impl Served {
    /// The status, and the whole answer.
    async fn send(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        (answer[9..12].parse().unwrap(), answer)
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let (status, answer) = self.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    async fn probe(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.get(path).await;
        (status, serde_json::from_str(&body).unwrap())
    }
}

#[tokio::test]
async fn probes_follow_start_up_trouble_and_stop() {
    let served = serve().await;
    let health = &served.health;
    let ok = || (200, json!({"status": "ok", "reasons": []}));
    let unable = |reasons: &[&str]| (503, json!({"status": "unavailable", "reasons": reasons}));

    assert_eq!(served.probe("/livez").await, ok());
    health.starting("indexes");
    assert_eq!(served.probe("/startupz").await, unable(&["starting: indexes"]));
    assert_eq!(served.probe("/readyz").await, unable(&["starting: indexes", "database: not reached yet"]));

    health.database(Ok(()));
    health.running();
    assert_eq!(served.probe("/startupz").await, ok());
    assert_eq!(served.probe("/readyz").await, ok());

    health.source("users", Err("not connected".into()));
    let degraded = json!({"status": "degraded", "reasons": ["source `users`: not connected"]});
    assert_eq!(served.probe("/readyz").await, (200, degraded), "a broker's outage makes no pod unready");

    health.database(Err("no primary".into()));
    assert_eq!(
        served.probe("/readyz").await,
        unable(&["database: no primary", "source `users`: not connected"])
    );
    assert_eq!(served.probe("/livez").await, ok(), "a restart heals no dependency");
    health.database(Ok(()));
    health.source("users", Ok(()));
    assert_eq!(served.probe("/readyz").await, ok());

    health.stopping();
    assert_eq!(served.probe("/readyz").await, unable(&["stopping"]));
    health.starting("indexes");
    health.running();
    assert_eq!(served.probe("/startupz").await, ok(), "start-up is complete for good");
    assert_eq!(served.probe("/readyz").await, unable(&["stopping"]), "and so is a stop");
}

#[tokio::test]
async fn what_is_measured_can_be_scraped() {
    let served = serve().await;
    metric::events("admin-test", "users", Outcome::Stale, 4);
    let (status, answer) = served.send("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(status, 200);
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    for line in [
        r#"nearcopy_events_total{source="admin-test",replica="users",outcome="stale"} 4"#.to_owned(),
        format!(r#"nearcopy_build_info{{version="{}"}} 1"#, env!("CARGO_PKG_VERSION")),
    ] {
        assert!(answer.contains(&line), "{line} is not in\n{answer}");
    }
}

#[tokio::test]
async fn nothing_else_is_served_and_nothing_can_be_sent() {
    let served = serve().await;
    assert_eq!(served.get("/").await.0, 404);
    let post = "POST /readyz HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(served.send(post).await.0, 405);
    assert_eq!(served.send("nonsense\r\n\r\n").await.0, 400);
}

/// Sixty-four clients that say nothing hold the places for their few seconds, not for ever.
#[tokio::test]
async fn silent_clients_do_not_keep_probes_out_for_long() {
    let served = serve().await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(served.address).await.unwrap());
    }
    let started = clock::now();
    let answered = tokio::time::timeout(Duration::from_secs(9), served.probe("/livez")).await;
    assert_eq!(answered.unwrap().0, 200);
    assert!(started.elapsed() > Duration::from_secs(3), "the number of connections is bounded");
}

#[tokio::test]
async fn it_serves_until_it_is_stopped() {
    let served = serve().await;
    served.stop.cancel();
    served.server.await.unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let served = serve().await;
    let error = Admin::bind(served.address, Health::new(), metrics()).await.err().unwrap();
    assert!(error.to_string().contains(&served.address.to_string()), "{error}");
}
