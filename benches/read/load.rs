//! Load: as much as is answered, and half of that at a rate that nobody slows down.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use tokio::sync::{Mutex, mpsc};

use super::ask::Ask;
use crate::event::Event;
use crate::machine;

/// How many ask at once.
const ABREAST: usize = 16;
/// How long.
const LONG: Duration = Duration::from_secs(3);

/// How long answers take, in milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Latencies {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.2} ms, p99 {:.2} ms", self.p50, self.p99)
    }
}

/// Everybody asks as soon as he is answered: how many are.
pub(super) async fn closed<A: Ask, F: Future<Output = Result<A>>>(
    connect: impl Fn() -> F,
    users: u32,
) -> Result<usize> {
    let askers = try_join_all((0..ABREAST).map(|_| connect())).await?;
    let began = Instant::now();
    let asking = askers.into_iter().enumerate().map(|(number, mut asker)| {
        tokio::spawn(async move {
            let (mut rng, mut answers) = (fastrand::Rng::with_seed(number as u64), 0_usize);
            while began.elapsed() < LONG {
                asker.ask(&someone(&mut rng, users)).await?;
                answers += 1;
            }
            anyhow::Ok(answers)
        })
    });
    try_join_all(asking).await?.into_iter().sum()
}

/// Everybody asks when it is due, whether or not those before have been answered; time counts from when it was due.
pub(super) async fn open<A: Ask, F: Future<Output = Result<A>>>(
    connect: impl Fn() -> F,
    users: u32,
    rate: f64,
) -> Result<Latencies> {
    let askers = try_join_all((0..ABREAST).map(|_| connect())).await?;
    let (sender, due) = mpsc::unbounded_channel::<Instant>();
    let (pacing, due) = (std::thread::spawn(move || pace(&sender, rate)), Arc::new(Mutex::new(due)));
    let asking = askers.into_iter().enumerate().map(|(number, mut asker)| {
        let due = due.clone();
        tokio::spawn(async move {
            let (mut rng, mut times) = (fastrand::Rng::with_seed(number as u64), Vec::new());
            // Whoever is free asks next: who waits for a slow answer holds up nobody else.
            let next = async || due.lock().await.recv().await;
            while let Some(due) = next().await {
                asker.ask(&someone(&mut rng, users)).await?;
                times.push(due.elapsed());
            }
            anyhow::Ok(times)
        })
    });
    let mut times = Vec::new();
    for one in try_join_all(asking).await? {
        times.extend(one?);
    }
    pacing.join().ok().context("the one who says when has died")?;
    times.sort_unstable();
    let last = times.len().checked_sub(1).context("nothing was asked")?;
    let at = |percent: usize| times[last * percent / 100].as_secs_f64() * 1000.0;
    Ok(Latencies { p50: at(50), p99: at(99) })
}

/// Says each time that somebody has to ask.
fn pace(sender: &mpsc::UnboundedSender<Instant>, rate: f64) {
    machine::goes_first();
    let began = Instant::now();
    for at in 0_u32.. {
        let due = Duration::from_secs_f64(f64::from(at) / rate);
        if due > LONG {
            return;
        }
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        if sender.send(began + due).is_err() {
            return;
        }
    }
}

fn someone(rng: &mut fastrand::Rng, users: u32) -> String {
    Event { user: rng.u32(..users), version: 1 }.id()
}
