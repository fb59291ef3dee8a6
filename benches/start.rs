//! How soon nearcopy is at work after its start, and what it holds when there is nothing to do.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::{Instant, sleep};

use crate::contender::{Arena, Contender};
use crate::event::Event;
use crate::manifest::manifest;
use crate::process::Process;
use crate::result::Start;
use crate::usage::Group;

const TIMES: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it is left alone before its memory is looked at.
const REST: Duration = Duration::from_secs(4);

/// Starts it some times upon an empty database, and each time once more upon what is there then.
pub(crate) async fn measure(arena: &Arena) -> Result<Start> {
    let mut start = Start { first_ms: Vec::new(), again_ms: Vec::new(), idle_mb: 0.0 };
    for _ in 0..TIMES {
        arena.database.renew().await?;
        let link = arena.broker.renew().await?;
        for (version, times) in [(1, &mut start.first_ms), (2, &mut start.again_ms)] {
            let event = Event { user: 1, version };
            link.publish(&[event]).await?;
            sleep(Duration::from_millis(500)).await;
            let began = Instant::now();
            let mut process = arena.start(Contender::Nearcopy, &manifest(""))?;
            until_visible(arena, &mut process, event).await?;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
            sleep(Duration::from_millis(300)).await;
            process.stop().await?;
        }
        link.close().await?;
    }
    let process = arena.start(Contender::Nearcopy, &manifest(""))?;
    sleep(REST).await;
    start.idle_mb = Group::only(process.id()).resident_mb();
    process.stop().await?;
    Ok(start)
}

async fn until_visible(arena: &Arena, process: &mut Process, event: Event) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !arena.database.shows(event).await? {
        process.is_sound()?;
        ensure!(Instant::now() < deadline, "the first event is not applied:\n{}", process.last_words());
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
