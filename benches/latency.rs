//! How long it takes from publishing an event until a reader sees it, at a rate that nobody slows down.
//!
//! An event is published when it is due, whether or not those before it have arrived, and its time counts from when
//! it was due. The reader is a change stream, which tells only of what the majority holds; what it takes to tell is
//! a part of what is measured, for all alike.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::Document;
use futures::StreamExt;
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ChangeStreamEvent;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::broker::Link;
use crate::contender::{Arena, Contender};
use crate::database::version_in;
use crate::event::{Event, Workload};
use crate::manifest::manifest;
use crate::result::Latency;
use crate::throughput::last_visible;

const USERS: u32 = 2_000;
/// What is measured, after a while that is not.
const LONG: Duration = Duration::from_secs(15);
const WARM: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures a contender at so many events a second.
pub(crate) async fn measure(arena: &Arena, contender: Contender, rate: u32) -> Result<Latency> {
    arena.database.renew().await?;
    let link = Arc::new(arena.broker.renew().await?);
    let mut process = arena.start(contender, &manifest(""))?;
    // The queue is bound already, so nothing is lost if it is not at work yet.
    let first = Workload::each_once(USERS, 1);
    link.publish(&first.events).await?;
    last_visible(arena, &mut process, first.last, PATIENCE).await?;
    arena.database.has(&first.newest(), PATIENCE).await?;
    let events = events(rate);
    let mut changes = arena.database.users().watch().await?;
    let times = tokio::time::timeout(LONG + WARM + PATIENCE, observe(&link, &mut changes, &events, rate));
    let times = times.await.context("not all events become visible")??;
    process.stop().await?;
    summary(contender, rate, times)
}

fn events(rate: u32) -> Vec<Event> {
    let mut rng = fastrand::Rng::with_seed(u64::from(rate));
    let mut versions = vec![1; USERS as usize];
    let count = u64::from(rate) * (LONG + WARM).as_secs();
    let next = |_| {
        let user = rng.u32(..USERS);
        versions[user as usize] += 1;
        Event { user, version: versions[user as usize] }
    };
    (0..count).map(next).collect()
}

/// Publishes all events when they are due, and notes when each is visible.
async fn observe(
    link: &Arc<Link>,
    changes: &mut ChangeStream<ChangeStreamEvent<Document>>,
    events: &[Event],
    rate: u32,
) -> Result<Vec<Duration>> {
    let (due_now, began) = (pace(events.len(), rate), Instant::now());
    let publishing = tokio::spawn(publish(link.clone(), events.to_vec(), due_now));
    let mut waiting: HashMap<u32, VecDeque<(u32, usize)>> = HashMap::new();
    for (at, event) in events.iter().enumerate() {
        waiting.entry(event.user).or_default().push_back((event.version, at));
    }
    let mut times = vec![Duration::ZERO; events.len()];
    let mut left = events.len();
    while left > 0 {
        let change = changes.next().await.context("the change stream has ended")??;
        let now = began.elapsed();
        let Some((user, version)) = shown(&change) else { continue };
        let Some(waiting) = waiting.get_mut(&user) else { continue };
        while let Some((_, at)) = waiting.front().copied().filter(|(of, _)| *of <= version) {
            times[at] = now.saturating_sub(due(at, rate));
            waiting.pop_front();
            left -= 1;
        }
    }
    timeout(PATIENCE, publishing).await???;
    let warm = usize::try_from(u64::from(rate) * WARM.as_secs())?;
    Ok(times.split_off(warm))
}

fn due(at: usize, rate: u32) -> Duration {
    Duration::from_secs_f64(at as f64 / f64::from(rate))
}

/// Says when each event is due, from a thread that does nothing else.
fn pace(count: usize, rate: u32) -> mpsc::UnboundedReceiver<usize> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let began = Instant::now();
        for at in 0..count {
            std::thread::sleep(due(at, rate).saturating_sub(began.elapsed()));
            if sender.send(at).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn publish(
    link: Arc<Link>,
    events: Vec<Event>,
    mut due_now: mpsc::UnboundedReceiver<usize>,
) -> Result<()> {
    let (mut body, mut confirms) = (String::new(), Vec::new());
    while let Some(at) = due_now.recv().await {
        body.clear();
        events[at].write(&mut body);
        confirms.push(link.send(body.as_bytes()).await?);
    }
    for confirm in confirms {
        ensure!(confirm.await?.is_ack(), "the broker has not taken a message");
    }
    Ok(())
}

/// The user and the version that a change makes visible, whatever way the document was written.
fn shown(change: &ChangeStreamEvent<Document>) -> Option<(u32, u32)> {
    let updated = change.update_description.as_ref().map(|update| &update.updated_fields);
    let name = updated.or(change.full_document.as_ref())?.get_str("username").ok()?;
    Some((name.split('-').nth(1)?.parse().ok()?, version_in(name)))
}

fn summary(contender: Contender, rate: u32, mut times: Vec<Duration>) -> Result<Latency> {
    times.sort_unstable();
    let last = times.len().checked_sub(1).context("nothing was measured")?;
    let at = |permille: usize| times[last * permille / 1000].as_secs_f64() * 1000.0;
    Ok(Latency {
        contender: contender.name().to_owned(),
        rate,
        events: times.len(),
        p50_ms: at(500),
        p99_ms: at(990),
        p999_ms: at(999),
        most_ms: at(1000),
    })
}
