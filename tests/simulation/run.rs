//! One run: first everything happens at once, then nothing goes wrong any more, and all must come to rest.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Once};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::chance::Chance;
use crate::faults::Strike;
use crate::journal::Violation;
use crate::judge;
use crate::life::{Life, Mode};
use crate::plan::Plan;
use crate::stage::{Pod, Stage};

/// How long after the last fault everything may still be on its way.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often it is looked whether all is at rest.
const LOOK: Duration = Duration::from_secs(2);

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) violations: Vec<Violation>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) lines: Vec<String>,
    /// How many effects there were while things could go wrong.
    pub(crate) effects: u64,
    /// How long it took to come to rest, in the run's own time.
    pub(crate) rested_after: Duration,
}

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// Plays a run to its end. The same plan and strike, the same run.
pub(crate) fn run(plan: Plan, strike: Option<Strike>, keeps_lines: bool) -> Outcome {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            usual(panic);
        }));
    });
    PANICS.set(0);
    // The pauses between two attempts are drawn from the thread's own numbers.
    fastrand::seed(plan.seed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut outcome = runtime.block_on(play(Arc::new(plan), strike, keeps_lines));
    if PANICS.get() > 0 {
        outcome.violations.push(Violation { law: "nothing panics", detail: "see above".into() });
    }
    outcome
}

async fn play(plan: Arc<Plan>, strike: Option<Strike>, keeps_lines: bool) -> Outcome {
    let (crashed, mut crashes) = mpsc::unbounded_channel();
    let stage = Stage::set(&plan, strike, keeps_lines, crashed);
    let mut pods: Vec<Pod> = (1..=plan.pods).map(Pod::new).collect();
    for pod in &mut pods {
        stage.start(pod);
    }
    let hands = Hands { stage: &stage, chance: Chance::new(plan.seed, "hands") };
    while stage.journal.now() < plan.lasts {
        hands.step(&mut pods);
        let pause = tokio::time::sleep(hands.chance.between(1, 200));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                biased;
                Some(life) = crashes.recv() => hands.bury(&mut pods, &life),
                () = &mut pause => break,
            }
        }
    }
    stage.faults.end();
    while let Ok(life) = crashes.try_recv() {
        hands.bury(&mut pods, &life);
    }
    let effects = stage.faults.effects();
    hands.mend(&mut pods);
    let rested_after = rest(&stage, || {
        // What was under way when the faults ended may be a pod's last yet.
        while let Ok(life) = crashes.try_recv() {
            hands.bury(&mut pods, &life);
            hands.mend(&mut pods);
        }
    })
    .await;
    let journal = &stage.journal;
    Outcome {
        violations: journal.violations(),
        counts: journal.counts(),
        lines: journal.lines(),
        effects,
        rested_after,
    }
}

/// Waits until all is as it must be, and stays so; looks after the pods meanwhile.
async fn rest(stage: &Stage, mut look_after: impl FnMut()) -> Duration {
    let begun = stage.journal.now();
    stage.journal.note(|| "nothing goes wrong any more".into());
    // What was on its way when the faults ended arrives yet, and may set off work of its own.
    tokio::time::sleep(stage.faults.late_until().saturating_sub(begun)).await;
    let mut found = Vec::new();
    while stage.journal.now().saturating_sub(begun) < PATIENCE {
        tokio::time::sleep(LOOK).await;
        look_after();
        found = judge::judge(stage);
        if found.is_empty() {
            break;
        }
    }
    let rested_after = stage.journal.now().saturating_sub(begun);
    if found.is_empty() {
        stage.journal.note(|| "all is at rest".into());
        tokio::time::sleep(stage.plan.settle * 4 + stage.plan.reconcile.unwrap_or_default() + LOOK).await;
        found = judge::judge(stage);
    }
    for Violation { law, detail } in found {
        stage.journal.broken(law, detail);
    }
    rested_after
}

/// Those who make things happen.
struct Hands<'s> {
    stage: &'s Stage,
    chance: Chance,
}

impl Hands<'_> {
    fn step(&self, pods: &mut [Pod]) {
        match self.chance.below(4) {
            0 => self.stage.owner.act(),
            1 => self.stage.consumer.act(),
            _ => {}
        }
        let now = self.stage.journal.now();
        for pod in pods.iter_mut() {
            self.end_mishaps(pod, now);
        }
        let trouble = &self.stage.plan.trouble;
        let at = self.chance.index(pods.len());
        let pod = &mut pods[at];
        if !pod.life.is(Mode::Runs) {
            return;
        }
        if self.chance.happens(trouble.pause / 10) {
            self.stage.journal.count("pauses");
            self.stage.journal.note(|| format!("{}: is paused", pod.life));
            pod.life.set(Mode::Paused);
            pod.goes_on_at = Some(now + Duration::from_millis(self.chance.pick(&[200, 3_000, 12_000])));
        } else if self.chance.happens(trouble.cut / 10) {
            self.stage.journal.count("connections cut");
            self.stage.broker.reconnect(&pod.life);
        } else if self.chance.happens(trouble.deposed / 10) && pod.finds_primary_at.is_none() {
            self.stage.journal.count("deposed primaries");
            self.stage.journal.note(|| format!("{}: talks to a deposed primary", pod.life));
            self.stage.memory.deposed(&pod.life.to_string(), true);
            pod.finds_primary_at = Some(now + self.chance.between(100, 6_000));
        } else if self.chance.happens(trouble.crash / 2) {
            self.stage.journal.count("stops");
            self.stage.stop(pod);
            pod.starts_at = Some(now + self.chance.between(0, 2_000));
        }
    }

    /// What lasts for a while ends.
    fn end_mishaps(&self, pod: &mut Pod, now: Duration) {
        if pod.goes_on_at.is_some_and(|at| at <= now) {
            pod.goes_on_at = None;
            self.stage.journal.note(|| format!("{}: goes on", pod.life));
            pod.life.set(Mode::Runs);
        }
        if pod.finds_primary_at.is_some_and(|at| at <= now) {
            self.find_primary(pod);
        }
        if pod.starts_at.is_some_and(|at| at <= now) {
            self.stage.start(pod);
        }
    }

    fn find_primary(&self, pod: &mut Pod) {
        if pod.finds_primary_at.take().is_some() {
            self.stage.journal.note(|| format!("{}: finds the new primary", pod.life));
            self.stage.memory.deposed(&pod.life.to_string(), false);
        }
    }

    /// A pod has died: the broker notices, and somebody starts it again.
    fn bury(&self, pods: &mut [Pod], life: &Life) {
        self.stage.broker.disconnect(life);
        let dead = pods.iter_mut().find(|pod| pod.life.to_string() == life.to_string());
        if let Some(pod) = dead {
            self.find_primary(pod);
            pod.goes_on_at = None;
            pod.starts_at = Some(self.stage.journal.now() + self.chance.between(50, 6_000));
        }
    }

    /// Everything runs, and every connection is new.
    fn mend(&self, pods: &mut [Pod]) {
        for pod in pods {
            self.find_primary(pod);
            if pod.starts_at.is_some() {
                self.stage.start(pod);
            } else {
                pod.life.set(Mode::Runs);
                self.stage.broker.reconnect(&pod.life);
            }
        }
    }
}
