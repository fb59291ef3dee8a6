//! One act of the main run: faults for a time, then none, then the oracle.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, interval, sleep};

use crate::faults::{Counts, Fault, kill_until, trouble_until};
use crate::machine::broker::{QUEUE, depth};
use crate::oracle::leaks::leaks;
use crate::oracle::{Findings, judge};
use crate::report::{note, row, shown};
use crate::stage::Stage;
use crate::world::api::Health;
use crate::world::reader::Noticed;

/// Within this time all must be well once the faults have stopped.
const LAG_LIMIT: Duration = Duration::from_secs(60);

/// How many documents of each kind the shop inserts to begin with.
const FURNITURE: usize = 150;

/// What an act is made of.
pub(crate) struct Act {
    pub(crate) name: &'static str,
    pub(crate) faults: &'static [(Fault, u32)],
    pub(crate) kills: u32,
    pub(crate) long: Duration,
    pub(crate) rate: u32,
    pub(crate) seed: u64,
}

/// What was found at the end of an act.
pub(crate) struct Verdict {
    findings: Findings,
    leaks: Vec<String>,
    denied: Vec<String>,
    troubles: Vec<String>,
    lag: Option<Duration>,
    noticed: Noticed,
}

impl Act {
    /// Plays it, and has it judged.
    pub(crate) async fn play(&self, stage: &Arc<Stage>, counts: &Counts) -> Result<Verdict> {
        note(&format!("{}: {} kills in {}", self.name, self.kills, shown(self.long)));
        stage.api.is(Health::Answers(2));
        stage.rate.store(self.rate, Ordering::Relaxed);
        stage.shop.lock().await.furnish(FURNITURE).await;
        let deadline = Instant::now() + self.long;
        let seed = self.seed;
        // The owner's last events may still be on their way when its clock stops.
        let works = async { tokio::join!(stage.owner_works(seed), look_after(stage)) };
        let faults = async {
            tokio::join!(
                kill_until(stage, counts, self.kills, deadline, seed),
                trouble_until(stage, counts, self.faults, deadline, seed),
            );
            note("no more faults, no more changes");
            stage.rate.store(0, Ordering::Relaxed);
            // The shop ends what it is at, and then knows what became of it.
            let resting = stage.shop.lock().await;
            heal(stage).await.map(|()| resting)
        };
        tokio::select! {
            _ = works => {}
            () = stage.shop_works() => {}
            healed = faults => drop(healed?),
        }
        judge_at_rest(stage).await
    }
}

/// Takes back all that may still be wrong, and waits until the last event is confirmed.
async fn heal(stage: &Stage) -> Result<()> {
    stage.to_broker.clear_up();
    stage.to_database.iter().for_each(crate::proxy::Proxy::clear_up);
    stage.api.is(Health::Answers(0));
    {
        let mut broker = stage.broker.lock().await;
        if !broker.is_started() {
            broker.restart().await?;
        }
        broker.control(&["set_vm_memory_high_watermark", "0.4"]).await?;
    }
    stage.set.lock().await.heal().await.context("the database does not heal")?;
    stage.sidecars.heal().await?;
    stage.published().await
}

/// Reads the sidecars' numbers, and starts those again that ended by themselves, as an orchestrator would.
pub(crate) async fn look_after(stage: &Stage) {
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        // One that does not answer is looked at again.
        let _unanswered = stage.sidecars.look_after().await;
    }
}

/// Waits until the oracle finds nothing more, and no longer than the limit; then looks at all the rest.
pub(crate) async fn judge_at_rest(stage: &Stage) -> Result<Verdict> {
    let stopped = Instant::now();
    let (mut findings, mut lag) = (Findings::default(), None);
    while lag.is_none() && stopped.elapsed() < LAG_LIMIT + Duration::from_secs(10) {
        sleep(Duration::from_millis(500)).await;
        stage.sidecars.look_after().await?;
        findings = judge(&stage.database, &stage.owner, stage.declared()).await?;
        let (books, _) = stage.sidecars.books().await;
        let open = books.current("events_received").abs_diff(books.current_of("events "));
        let left = depth(&stage.broker_url, QUEUE).await?;
        if open > 0 || left != Some(0) {
            findings.add("unsettled", format!("{open} events without an outcome, {left:?} in the queue"));
        }
        lag = findings.is_empty().then(|| stopped.elapsed());
    }
    let dead = depth(&stage.broker_url, &format!("{QUEUE}.dead")).await?.unwrap_or_default();
    if dead > 0 {
        findings.add("lost", format!("{dead} events were given up by the broker"));
    }
    let (books, mut troubles) = stage.sidecars.books().await;
    if books.leaks > 0 {
        troubles.push(format!("{} scrapes held canaries", books.leaks));
    }
    if lag.is_some_and(|lag| lag > LAG_LIMIT) {
        troubles.push(format!("it took longer than {}", shown(LAG_LIMIT)));
    }
    Ok(Verdict {
        findings,
        leaks: leaks(&stage.database, &stage.sidecars.logs().await).await?,
        denied: stage.shop.lock().await.denied().await?,
        troubles,
        lag,
        noticed: stage.noticed.lock().unwrap_or_else(PoisonError::into_inner).clone(),
    })
}

impl Verdict {
    /// Prints it; fails if anything is not as it must be.
    pub(crate) fn pronounce(&self, name: &str) -> Result<()> {
        let found = |kind: &str| self.findings.count(kind);
        row("time to lag 0 (at most 60 s)", &self.lag.map_or("never".into(), shown), self.lag.is_some());
        for kind in ["lost", "diverged", "resurrected", "unfinished", "unsettled", "parked", "kept"] {
            row(kind, &found(kind).to_string(), found(kind) == 0);
        }
        for (what, all) in self.lists() {
            row(what, &all.len().to_string(), all.is_empty());
        }
        row("reader's looks", &self.noticed.looks.to_string(), self.noticed.looks > 0);
        let wrong = self.wrong();
        ensure!(wrong.is_empty(), "{name} broke a promise:\n{}", wrong.join("\n"));
        Ok(())
    }

    /// Some of each kind of what is not as it must be.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let some = |(what, all): (&'static str, &[String])| {
            all.iter().take(3).map(|one| format!("{what}: {one}")).collect::<Vec<_>>()
        };
        self.findings.examples().into_iter().chain(self.lists().into_iter().flat_map(some)).collect()
    }

    /// How long it took until nothing was wrong.
    pub(crate) fn lag(&self) -> Option<Duration> {
        self.lag
    }

    fn lists(&self) -> [(&'static str, &[String]); 6] {
        [
            ("regressed before a reader's eyes", &self.noticed.regressed),
            ("resurrected before a reader's eyes", &self.noticed.resurrected),
            ("shown and never true", &self.noticed.torn),
            ("leaked canaries", &self.leaks),
            ("the shop's fields changed", &self.denied),
            ("sidecars in trouble", &self.troubles),
        ]
    }
}
