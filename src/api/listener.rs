//! Accepts connections, no more than are meant well, and serves each within its time.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How long to wait after a connection could not be accepted, as when there are no descriptors left.
const BREATH: Duration = Duration::from_millis(100);

/// How many requests there may be at once upon one connection of HTTP/2.
const STREAMS: u32 = 128;

/// How long answers may take yet once a stop has begun.
const DRAINED_WITHIN: Duration = Duration::from_secs(5);
/// How a client of HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How soon is looked again whether it has said more.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a client may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// How many connections there may be.
    pub connections: usize,
    /// How long a client may take to say what it wants.
    pub headers_within: Duration,
    /// Whether a connection serves more than one request.
    pub keep_alive: bool,
    /// Whether HTTP/2 is spoken, too, to those who begin with it.
    pub http2: bool,
    /// How long a connection may last; then it ends with the answer under way.
    pub lasts: Duration,
    /// How long that answer may take yet.
    pub ends_within: Duration,
}

/// An open listener.
pub(super) struct Listener {
    socket: TcpListener,
    limits: Limits,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    pub(super) async fn bind(
        address: SocketAddr,
        limits: Limits,
        tls: Option<TlsAcceptor>,
    ) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, limits, tls })
    }

    /// Where it listens, which matters if the port was left to the system.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until stopped.
    pub(super) async fn serve(&self, router: Router, stop: &CancellationToken) {
        let places = Arc::new(Semaphore::new(self.limits.connections));
        let accepting = async {
            while let Ok(place) = Arc::clone(&places).acquire_owned().await {
                match self.socket.accept().await {
                    Ok((stream, _)) => {
                        // An answer goes out in several parts, none of which is to wait until the one before has
                        // been confirmed. Where that cannot be had, it is only slower.
                        let _at_once = stream.set_nodelay(true);
                        let (tls, stop) = (self.tls.clone(), stop.clone());
                        let answering = answer(stream, tls, router.clone(), self.limits, stop);
                        drop(tokio::spawn(async move {
                            answering.await;
                            drop(place);
                        }));
                    }
                    Err(error) => {
                        tracing::warn!(event = "connection.refused", %error, "a connection could not be accepted");
                        tokio::time::sleep(BREATH).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(accepting).await;
        // Whoever is being answered gets that answer, if it does not take long.
        let all = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        tokio::time::timeout(DRAINED_WITHIN.min(self.limits.ends_within), places.acquire_many(all))
            .await
            .ok();
    }
}

/// A client that breaks off, or is too slow, is no trouble of ours.
async fn answer(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    if let Some(tls) = tls {
        let greeting = tokio::time::timeout(limits.headers_within, tls.accept(stream));
        let Ok(Ok(stream)) = greeting.await else { return };
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        return converse(stream, is_http2, router, limits, stop).await;
    }
    let beginning = tokio::time::timeout(limits.headers_within, begins_http2(&stream));
    let Ok(Ok(is_http2)) = beginning.await else { return };
    converse(stream, is_http2, router, limits, stop).await;
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    is_http2: bool,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = if is_http2 && limits.http2 { builder.http2_only() } else { builder.http1_only() };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers_within)
        .keep_alive(limits.keep_alive);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(limits.headers_within)
        .keep_alive_timeout(limits.headers_within);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = tokio::time::sleep(limits.lasts) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::time::timeout(limits.ends_within, connection).await.ok();
}

/// Whether a client begins as one of HTTP/2 does; known once it has said so much, or something else.
async fn begins_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut begun = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut begun).await?;
        let said = &begun[..length];
        if length == 0 || !PREFACE.starts_with(said) || said == PREFACE {
            return Ok(said == PREFACE);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
