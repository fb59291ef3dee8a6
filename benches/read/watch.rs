//! Many who watch while many users change: what it costs, and whether everybody is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{ADDRESS, PATIENCE, USERS, ask, start};
use crate::contender::Arena;
use crate::event::Event;
use crate::report::note;
use crate::usage::Group;

/// How many watch.
const WATCHERS: usize = 1_000;
/// How many users change in a second, and for how long.
const RATE: u32 = 2_000;
const LONG: Duration = Duration::from_secs(10);

/// What all watchers have received.
#[derive(Default)]
struct Received {
    bytes: AtomicU64,
    /// How many have been told of the last change.
    complete: AtomicUsize,
    /// How many were cut off before that.
    cut: AtomicUsize,
}

/// Watches one user each, and then everybody all users.
pub(super) async fn measure(arena: &Arena) -> Result<String> {
    let mut table = String::from(
        "\n| 1,000 watch while 2,000 users change in a second, for 10 s | told of the last change | that late, s | received, MB/s | memory before, MB | more at its peak, MB |\n| --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (name, one_each) in [("one user each", true), ("all users", false)] {
        table += &play(arena, name, one_each).await?;
    }
    Ok(table)
}

async fn play(arena: &Arena, name: &str, one_each: bool) -> Result<String> {
    let link = arena.broker.renew().await?;
    let process = start(arena, 8 << 20)?;
    ask::is_served(ADDRESS, PATIENCE).await?;
    sleep(Duration::from_secs(2)).await;
    let (group, received) = (Group::only(process.id()), Arc::new(Received::default()));
    let before = group.resident_mb();
    let version = if one_each { 2 } else { 1_000_000 };
    let last = Event { user: USERS, version: version + 1 };
    let mut watching = Vec::new();
    for number in 0..WATCHERS {
        let target =
            if one_each { format!("?id={},{}", user(number).id(), last.id()) } else { String::new() };
        let stream = open(&target).await?;
        watching.push(tokio::spawn(watch(stream, last.username(), received.clone())));
    }
    note(&format!("{WATCHERS} watch {name}: {:.1} MB more", group.resident_mb() - before));
    let began = Instant::now();
    let count = u64::from(RATE) * LONG.as_secs();
    let mut confirms = Vec::new();
    let mut body = String::new();
    for at in 0..count {
        let due = Duration::from_secs_f64(at as f64 / f64::from(RATE));
        if due > began.elapsed() + Duration::from_millis(2) {
            sleep(due.saturating_sub(began.elapsed())).await;
        }
        let round = u32::try_from(at / u64::from(USERS))? + version;
        let event = Event { user: u32::try_from(at % u64::from(USERS))?, version: round };
        body.clear();
        event.write(&mut body);
        confirms.push(link.send(body.as_bytes()).await?);
    }
    for confirm in confirms {
        ensure!(confirm.await?.is_ack(), "the broker has not taken a message");
    }
    link.publish(&[last]).await?;
    let published = Instant::now();
    for watcher in watching {
        // Whoever is not told in time is counted as not told.
        drop(timeout(PATIENCE.saturating_sub(published.elapsed()), watcher).await);
    }
    let late = published.elapsed().as_secs_f64();
    let megabytes = received.bytes.load(Ordering::Relaxed) as f64 / 1e6 / began.elapsed().as_secs_f64();
    let more = group.peak_mb() - before;
    process.stop().await?;
    link.close().await?;
    Ok(format!(
        "| {name} | {} of {WATCHERS}, {} cut off | {late:.1} | {megabytes:.0} | {before:.0} | {more:.0} |\n",
        received.complete.load(Ordering::Relaxed),
        received.cut.load(Ordering::Relaxed),
    ))
}

fn user(number: usize) -> Event {
    Event { user: u32::try_from(number).unwrap_or_default(), version: 1 }
}

/// Begins to watch.
async fn open(target: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(ADDRESS).await?;
    stream
        .write_all(format!("GET /v1/users:watch{target} HTTP/1.1\r\nhost: nearcopy\r\n\r\n").as_bytes())
        .await?;
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"open") {
        ensure!(stream.read_buf(&mut head).await? > 0, "{}", String::from_utf8_lossy(&head));
    }
    Ok(stream)
}

/// Reads until it is told of the last change.
async fn watch(mut stream: TcpStream, last: String, received: Arc<Received>) -> Result<()> {
    let (mut chunk, mut rest) = (vec![0; 64 * 1024], Vec::new());
    loop {
        let length = stream.read(&mut chunk).await?;
        if length == 0 {
            received.cut.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        received.bytes.fetch_add(u64::try_from(length)?, Ordering::Relaxed);
        rest.extend_from_slice(&chunk[..length]);
        if memchr::memmem::find(&rest, last.as_bytes()).is_some() {
            received.complete.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let kept = rest.len().saturating_sub(last.len());
        rest.drain(..kept);
    }
}
