//! A way to a server that can be slow, narrow, cut, or dead without a word.

mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

pub(crate) use wire::Wire;

/// What happens to what passes; all of it may change at any time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Weather {
    /// Everything comes so much later, and up to twice that.
    pub(crate) latency: Duration,
    /// Nothing passes, in either direction, and nothing ends.
    pub(crate) black_hole: bool,
    /// Requests pass, replies vanish.
    pub(crate) mute: bool,
    /// So many bytes of replies in a second, at most.
    pub(crate) narrow: Option<u32>,
    /// Whoever connects is sent away.
    pub(crate) closed: bool,
}

/// Listens on a port of its own and passes on what comes, for as long as the program runs.
pub(crate) struct Proxy {
    address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    weather: watch::Sender<Weather>,
    cuts: watch::Sender<u32>,
    /// After so many bytes more, or so many acknowledgements, all connections are cut. Not above zero: never.
    bytes_left: AtomicI64,
    acknowledgements_left: AtomicI64,
}

/// One direction of one connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

impl Proxy {
    /// Stands before a host and port.
    pub(crate) async fn before(target: String, wire: Wire) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", super::machine::process::free_port()?)).await?;
        Ok(Self::at(listener, target, Arc::new(wire)))
    }

    /// One before each member of a replica set; whoever comes by them is told of no other addresses than theirs.
    pub(crate) async fn before_set(targets: &[String]) -> Result<Vec<Self>> {
        let mut listeners = Vec::new();
        for _ in targets {
            listeners.push(TcpListener::bind(("127.0.0.1", super::machine::process::free_port()?)).await?);
        }
        let ours = listeners.iter().map(|listener| Ok(listener.local_addr()?.to_string()));
        let names = targets.iter().cloned().zip(ours.collect::<Result<Vec<_>>>()?).collect();
        let wire = Arc::new(Wire::MongoDb(names));
        let before = |(listener, target): (_, &String)| Self::at(listener, target.clone(), wire.clone());
        listeners.into_iter().zip(targets).map(before).map(Ok).collect()
    }

    fn at(listener: TcpListener, target: String, wire: Arc<Wire>) -> Self {
        let inner = Arc::new(Inner {
            weather: watch::Sender::new(Weather::default()),
            cuts: watch::Sender::new(0),
            bytes_left: AtomicI64::new(0),
            acknowledgements_left: AtomicI64::new(0),
        });
        let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
        tokio::spawn(serve(listener, target, wire, inner.clone()));
        Self { address, inner }
    }

    /// The host and port to connect to.
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// From now on it is so.
    pub(crate) fn weather(&self, weather: Weather) {
        self.inner.weather.send_replace(weather);
    }

    /// Ends all connections of now.
    pub(crate) fn cut(&self) {
        self.inner.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Ends all connections after so many bytes more.
    pub(crate) fn cut_after_bytes(&self, count: i64) {
        self.inner.bytes_left.store(count, Ordering::Relaxed);
    }

    /// Ends all connections with the acknowledgement of that number, which does not arrive.
    pub(crate) fn cut_after_acknowledgements(&self, count: i64) {
        self.inner.acknowledgements_left.store(count, Ordering::Relaxed);
    }

    /// All is well again; what was muted ends, since a stream cannot go on with a hole in it.
    pub(crate) fn clear_up(&self) {
        let was = *self.inner.weather.borrow();
        self.cut_after_bytes(0);
        self.cut_after_acknowledgements(0);
        self.weather(Weather::default());
        if was.mute {
            self.cut();
        }
    }
}

impl Inner {
    /// Counts what passes; whether that was the last.
    fn counts_down(&self, bytes: usize, acknowledgements: usize) -> bool {
        let ends = |left: &AtomicI64, count: usize| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            count > 0 && left.load(Ordering::Relaxed) > 0 && left.fetch_sub(count, Ordering::Relaxed) <= count
        };
        ends(&self.bytes_left, bytes) | ends(&self.acknowledgements_left, acknowledgements)
    }
}

async fn serve(listener: TcpListener, target: String, wire: Arc<Wire>, inner: Arc<Inner>) {
    loop {
        let Ok((near, _)) = listener.accept().await else { continue };
        if inner.weather.borrow().closed {
            continue;
        }
        let (target, wire, inner) = (target.clone(), wire.clone(), inner.clone());
        tokio::spawn(async move {
            let mut cutting = inner.cuts.subscribe();
            let Ok(far) = TcpStream::connect(&target).await else { return };
            // A proxy that gathers small packets would be a fault nobody asked for.
            let (_near, _far) = (near.set_nodelay(true), far.set_nodelay(true));
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            tokio::select! {
                () = pump(near_read, far_write, Way::There, &wire, &inner) => {}
                () = pump(far_read, near_write, Way::Back, &wire, &inner) => {}
                _ = cutting.changed() => {}
            }
        });
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way, wire: &Wire, inner: &Inner) {
    let (mut held, mut buffer) = (Vec::new(), vec![0; 32 * 1024]);
    let mut weather = inner.weather.subscribe();
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => held.extend_from_slice(&buffer[..count]),
        }
        while let Some(mut unit) = wire.take(&mut held, way == Way::There) {
            let Ok(now) = weather.wait_for(|now| !now.black_hole).await.map(|now| *now) else { return };
            if now.latency > Duration::ZERO {
                sleep(now.latency.mul_f64(1.0 + fastrand::f64())).await;
            }
            if let (Some(narrow), Way::Back) = (now.narrow, way) {
                sleep(Duration::from_secs(1).mul_f64(bytes(unit.len()) / f64::from(narrow))).await;
            }
            if way == Way::Back {
                if now.mute {
                    continue;
                }
                wire.rename(&mut unit);
            }
            let acknowledgements = if way == Way::There { wire.acknowledgements(&unit) } else { 0 };
            if inner.counts_down(unit.len(), acknowledgements) {
                inner.cuts.send_modify(|cuts| *cuts += 1);
                return;
            }
            if to.write_all(&unit).await.is_err() {
                return;
            }
        }
    }
    // Inside a black hole even the end of a connection is not heard.
    let _opened = weather.wait_for(|now| !now.black_hole).await;
}

fn bytes(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
