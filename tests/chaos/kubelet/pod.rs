//! The life of one pod: the sidecar is started first, then the application; both are probed, started again, and ended in the
//! other order.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::rules::{Probe, Rules};
use super::service::Service;
use crate::machine::process::Process;
use crate::report::trace;
use crate::stage::Stage;

/// How long a kubelet waits before it starts again what has ended, the first time, the second and so on. The first time it
/// only has to notice: it lists containers once a second.
const BACK_OFF: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(20), Duration::from_secs(40)];

/// A pod, as it is seen from outside. Dropping it leaves its processes to their ends.
pub(crate) struct Pod {
    pub(crate) slot: usize,
    state: watch::Receiver<State>,
    end: CancellationToken,
    life: JoinHandle<Result<Farewell>>,
}

/// What is known of a pod.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// How long after its beginning its application was started.
    pub(crate) started: Option<Duration>,
    /// How long after its beginning it came into service.
    pub(crate) served: Option<Duration>,
    /// Whether it is in service.
    pub(crate) ready: bool,
    /// Why its sidecar was started again, each time.
    pub(crate) restarts: Vec<String>,
}

/// How a pod ended.
pub(crate) struct Farewell {
    pub(crate) application: Ended,
    pub(crate) sidecar: Ended,
}

/// How a process ended that was told to.
pub(crate) struct Ended {
    /// Nothing if it had to be killed, or did not run.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) took: Duration,
}

/// What leads a pod's life.
pub(crate) struct Life {
    pub(crate) stage: Arc<Stage>,
    pub(crate) service: Arc<Service>,
    pub(crate) rules: Rules,
    pub(crate) slot: usize,
    pub(crate) application: Mutex<Process>,
}

impl Pod {
    /// Begins its life.
    pub(crate) fn begin(life: Life) -> Self {
        let (state, end) = (watch::Sender::new(State::default()), CancellationToken::new());
        let (slot, watched, told) = (life.slot, state.subscribe(), end.clone());
        let life = tokio::spawn(async move { life.live(&state, &told).await });
        Self { slot, state: watched, end, life }
    }

    /// How it is.
    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Waits until it is so.
    pub(crate) async fn is(&mut self, what: &str, wanted: impl FnMut(&State) -> bool) -> Result<State> {
        let waiting = tokio::time::timeout(Duration::from_secs(120), self.state.wait_for(wanted));
        let state = waiting.await.with_context(|| format!("pod {} is never {what}", self.slot))?;
        let state = state.with_context(|| format!("pod {} ended before it was {what}", self.slot))?;
        Ok(state.clone())
    }

    /// Tells it to end; it is out of service from now on.
    pub(crate) fn tell(&self) {
        self.end.cancel();
    }

    /// How it ended, once it was told to.
    pub(crate) async fn farewell(self) -> Result<Farewell> {
        self.life.await?
    }
}

impl Life {
    /// From the first start to the end that it is told to come to.
    async fn live(self, state: &watch::Sender<State>, told: &CancellationToken) -> Result<Farewell> {
        let mut crashes = 0;
        loop {
            self.stage.sidecars.launch(self.slot).await?;
            let why = tokio::select! {
                () = told.cancelled() => break,
                why = self.ends() => why?,
                why = self.fails(state) => {
                    let by = Instant::now() + self.rules.last_grace;
                    let ended = self.stage.sidecars.end(self.slot, by).await?;
                    format!("{}, {}", why?, ended.map_or("killed".into(), |status| status.to_string()))
                }
            };
            trace(&format!("pod {}: {why}", self.slot));
            self.is_ready(state, false);
            state.send_modify(|state| state.restarts.push(why));
            let pause = BACK_OFF[crashes.min(BACK_OFF.len() - 1)];
            crashes += 1;
            tokio::select! {
                () = told.cancelled() => break,
                () = sleep(pause) => {}
            }
        }
        self.is_ready(state, false);
        self.take_leave().await
    }

    /// Waits until a process ends by itself: a sidecar's end is what is returned, an application's is a failure.
    async fn ends(&self) -> Result<String> {
        loop {
            if let Some(status) = self.stage.sidecars.ended(self.slot).await? {
                return Ok(status.to_string());
            }
            if let Some(status) = self.application.lock().await.ended()? {
                bail!("the application of pod {} ended by itself ({status})", self.slot);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Probes until the sidecar is given up. The application is started as soon as the sidecar is; it stays when that is
    /// started again.
    async fn fails(&self, state: &watch::Sender<State>) -> Result<String> {
        let born = Instant::now();
        if !self.verdict(&self.rules.startup, |_| true).await {
            return Ok(format!("{} failed", self.rules.startup.path));
        }
        let mut application = self.application.lock().await;
        if !application.is_started() {
            application.start()?;
            state.send_modify(|state| state.started = Some(born.elapsed()));
        }
        drop(application);
        let ready = self.verdict(&self.rules.readiness, |well| {
            // First this, for whoever waits until it is ready wants to know.
            state.send_modify(|state| state.served = state.served.or(well.then(|| born.elapsed())));
            self.is_ready(state, well);
            false
        });
        let alive = self.verdict(&self.rules.liveness, |well| !well);
        tokio::select! { _ = ready => {}, _ = alive => {} }
        Ok(format!("{} failed", self.rules.liveness.path))
    }

    /// Asks again and again; what counts is a success, or so many failures in a row. The first verdict that is enough.
    async fn verdict(&self, probe: &Probe, is_enough: impl Fn(bool) -> bool) -> bool {
        let (mut ticks, mut failures) = (interval(probe.every), 0);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let answer = self.stage.sidecars.probe(self.slot, probe.path, probe.timeout).await;
            self.service.was_answered(probe.path, answer);
            let is_well = answer.is_some_and(|code| (200..400).contains(&code));
            failures = if is_well { 0 } else { failures + 1 };
            if (is_well || failures >= probe.failures) && is_enough(is_well) {
                return is_well;
            }
        }
    }

    fn is_ready(&self, state: &watch::Sender<State>, ready: bool) {
        let changes = state.send_if_modified(|state| std::mem::replace(&mut state.ready, ready) != ready);
        if changes {
            self.service.changes(ready);
        }
    }

    /// The application ends first, then the sidecar; what still runs when the time is over is killed.
    async fn take_leave(&self) -> Result<Farewell> {
        let told = Instant::now();
        let by = told + self.rules.grace;
        let status = self.application.lock().await.end(by).await?;
        let application = Ended { status, took: told.elapsed() };
        let told = Instant::now();
        let status = self.stage.sidecars.end(self.slot, by).await?;
        Ok(Farewell { application, sidecar: Ended { status, took: told.elapsed() } })
    }
}
