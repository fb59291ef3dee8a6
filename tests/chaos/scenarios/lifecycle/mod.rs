//! Pods of a sidecar and an application live as on Kubernetes: started, scaled, killed, stuck, replaced by a newer manifest and
//! by the older one, while events come all the time. At the end of each phase everything is compared.

mod backlog;
mod ledger;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Error, Result, bail, ensure};
use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::probe::{Probes, Times};
use crate::act::{judge_at_rest, look_after};
use crate::kubelet::{Deployment, Farewell, State, Template};
use crate::machine::process::Place;
use crate::manifest::Fields;
use crate::report::{note, shown, title};
use crate::stage::{Size, Stage};

use ledger::{Backlog, Entry};

/// Places for sidecars: three pods, three that are being replaced.
const PLACES: usize = 6;
/// Events of the owner in a second; and of these, those that are measured.
const RATE: u32 = 300;
const MEASURED: u32 = 20;
/// How many documents of each kind the shop has to begin with.
const FURNITURE: usize = 150;
/// How long work goes on when pods have come or gone.
const WHILE: Duration = Duration::from_secs(3);
/// How long a sidecar may take to end: `shutdown.grace`.
const GRACE: Duration = Duration::from_secs(10);
/// Why the numbers of a manifest are what they are: the first is generation 1, the one with a field more is 2.
const NEWER: u32 = 2;

/// All phases in turn.
pub(crate) async fn play(place: &Place, size: &Size) -> Result<()> {
    title("Pods live as on Kubernetes");
    let size = Size { sidecars: PLACES, ..size.clone() };
    let stage = Stage::set_up(place, &size).await?;
    let template = Template { fields: Fields::Three, downgrade_from: 0 };
    let deployment = Deployment::new(&stage, place, template)?;
    note("broker and database are up");
    let rng = Rng::with_seed(size.seed);
    let mut play = Play { stage, deployment, rng, entries: Vec::new(), backlogs: Vec::new() };
    let played = play.all(size.members).await;
    ledger::print(&play.entries, &play.backlogs);
    played?;
    let wrong = |entry: &Entry| entry.wrong.iter().map(|one| format!("{}: {one}", entry.phase)).collect();
    let wrong: Vec<String> = play.entries.iter().flat_map(|entry| -> Vec<String> { wrong(entry) }).collect();
    ensure!(wrong.is_empty(), "promises were broken:\n{}", wrong.join("\n"));
    note("every promise held");
    Ok(())
}

struct Play<'p> {
    stage: Arc<Stage>,
    deployment: Deployment<'p>,
    rng: Rng,
    entries: Vec<Entry>,
    backlogs: Vec<Backlog>,
}

/// What must hold of a phase besides what always must.
#[derive(Clone, Copy, PartialEq)]
enum Course {
    /// Nothing fails: applications are always answered, and no pod that is wanted is out of service.
    Calm,
    /// Something does.
    Rough,
}

impl Play<'_> {
    async fn all(&mut self, members: usize) -> Result<()> {
        self.stage.shop.lock().await.furnish(FURNITURE).await;
        let began = self.deployment.scale(1).await?;
        let mut probes = Probes::new(&self.stage).await?;
        self.begins(&began)?;
        self.backlog("a backlog, 1 pod", &mut probes).await?;
        self.phase("scaled out", Course::Calm, &mut probes, async |deployment, _| {
            let served = deployment.scale(3).await?;
            sleep(WHILE).await;
            Ok(served[1..].iter().filter_map(|state| state.served).collect())
        })
        .await?;
        self.backlog("a backlog, 3 pods", &mut probes).await?;
        self.phase("sidecars killed", Course::Rough, &mut probes, killed).await?;
        self.phase("a sidecar is stuck", Course::Rough, &mut probes, stuck).await?;
        self.phase("the database is away", Course::Rough, &mut probes, async |deployment, stage| {
            database_away(deployment, stage, members).await
        })
        .await?;
        let newer = Template { fields: Fields::Four, downgrade_from: 0 };
        self.replaced("a field is added", newer, &mut probes).await?;
        let older = Template { fields: Fields::Three, downgrade_from: NEWER };
        self.replaced("the way back", older, &mut probes).await?;
        self.phase("scaled in", Course::Calm, &mut probes, async |deployment, _| {
            deployment.scale(1).await?;
            sleep(WHILE).await;
            Ok(Vec::new())
        })
        .await?;
        self.ends().await
    }

    /// The first pod: its application began behind its sidecar.
    fn begins(&mut self, began: &[State]) -> Result<()> {
        let ready: Vec<Duration> = began.iter().filter_map(|state| state.served).collect();
        let entry = self.entry("the first pod", Course::Calm, (0, 1), 0)?;
        self.entries.push(Entry { ready, ..entry });
        Ok(())
    }

    /// The last pod is told to end.
    async fn ends(&mut self) -> Result<()> {
        self.deployment.service.since();
        let unanswered = self.deployment.unanswered()?;
        self.deployment.scale(0).await?;
        let farewells = self.deployment.farewells().await?;
        let entry = self.entry("the last pod", Course::Calm, (1, 0), unanswered)?;
        self.entries.push(with(entry, &farewells));
        Ok(())
    }

    async fn backlog(&mut self, name: &'static str, probes: &mut Probes) -> Result<()> {
        let (mut rng, mut measured) = (self.rng.fork(), None);
        self.phase(name, Course::Rough, probes, async |deployment, stage| {
            measured = Some(backlog::work_off(stage, deployment, &mut rng).await?);
            Ok(Vec::new())
        })
        .await?;
        self.backlogs.extend(measured);
        // How long a change takes to show is here how long the sidecars were made to stand still.
        self.entries.iter_mut().filter(|entry| entry.phase == name).for_each(|entry| entry.times = None);
        Ok(())
    }

    async fn replaced(&mut self, name: &'static str, by: Template, probes: &mut Probes) -> Result<()> {
        self.phase(name, Course::Calm, probes, async |deployment, stage| {
            let served = deployment.roll(by).await?;
            stage.declare(by.fields);
            sleep(WHILE).await;
            Ok(served.iter().filter_map(|state| state.served).collect())
        })
        .await
    }

    /// Something happens to the pods while the owner's users and the shop's products change and some changes are timed;
    /// then all rest, and all is compared.
    async fn phase(
        &mut self,
        name: &'static str,
        course: Course,
        probes: &mut Probes,
        act: impl AsyncFnOnce(&mut Deployment<'_>, &Arc<Stage>) -> Result<Vec<Duration>>,
    ) -> Result<()> {
        note(name);
        let (stage, seed) = (self.stage.clone(), self.rng.u64(..));
        let (unanswered, before) = (self.deployment.unanswered()?, self.deployment.pods.len());
        self.deployment.service.since();
        stage.rate.store(RATE, Ordering::Relaxed);
        let played = async {
            let deployment = &mut self.deployment;
            let acting = async {
                let ready = act(&mut *deployment, &stage).await?;
                Ok::<_, Error>((ready, deployment.farewells().await?))
            };
            let (happened, times) = probes.until(MEASURED, acting).await?;
            stage.rest().await.map(|_resting| (happened, times))
        };
        let works = async { tokio::join!(stage.owner_works(seed), stage.shop_works(), look_after(&stage)) };
        let ((ready, farewells), times): ((_, Vec<Farewell>), Times) = tokio::select! {
            _ = works => bail!("the owner has stopped working"),
            played = played => played?,
        };
        let verdict = judge_at_rest(&stage).await?;
        let pods = (before, self.deployment.pods.len());
        let mut entry = self.entry(name, course, pods, unanswered)?;
        entry.wrong.extend(verdict.wrong());
        let lag = verdict.lag();
        note(&format!(
            "  slowest change {}, lag {}",
            shown(times.at(1.0)),
            lag.map_or("never 0".into(), shown)
        ));
        self.entries.push(with(Entry { ready, times: Some(times), lag, ..entry }, &farewells));
        Ok(())
    }

    /// What can be said of any phase.
    fn entry(
        &self,
        phase: &'static str,
        course: Course,
        pods: (usize, usize),
        unanswered_before: usize,
    ) -> Result<Entry> {
        let (least, answers) = self.deployment.service.since();
        let mut wrong = Vec::new();
        let unanswered = self.deployment.unanswered()? - unanswered_before;
        if course == Course::Calm && unanswered > 0 {
            wrong.push(format!("{unanswered} questions of applications were not answered"));
        }
        if course == Course::Calm && least < pods.0.min(pods.1) {
            wrong.push(format!("only {least} pods were in service"));
        }
        Ok(Entry {
            phase,
            pods,
            least,
            ready: Vec::new(),
            times: None,
            lag: None,
            ends: None,
            answers,
            wrong,
        })
    }
}

/// The same, with how pods ended.
fn with(mut entry: Entry, farewells: &[Farewell]) -> Entry {
    let bad = farewells.iter().filter(|farewell| !farewell.is_well(GRACE));
    entry.wrong.extend(bad.map(|farewell| format!("a pod ended badly: {}", farewell.told())));
    let slowest = farewells.iter().map(|farewell| farewell.sidecar.took).max();
    entry.ends = slowest.map(|slowest| (farewells.len(), slowest));
    entry
}

/// All sidecars are killed at once, and one of them a second time, which is started again after a while only.
async fn killed(deployment: &mut Deployment<'_>, _: &Arc<Stage>) -> Result<Vec<Duration>> {
    let mut ready = start_again_after("-KILL", deployment, 0..deployment.pods.len()).await?;
    ready.extend(start_again_after("-KILL", deployment, 0..1).await?);
    Ok(ready)
}

/// A sidecar stands still: its pod goes out of service, liveness gives it up, and it is started again.
async fn stuck(deployment: &mut Deployment<'_>, _: &Arc<Stage>) -> Result<Vec<Duration>> {
    start_again_after("-STOP", deployment, 1..2).await
}

/// How long after the signal each of these pods was in service again.
async fn start_again_after(
    signal: &str,
    deployment: &mut Deployment<'_>,
    pods: Range<usize>,
) -> Result<Vec<Duration>> {
    let (told, mut ready) = (Instant::now(), Vec::new());
    let before: Vec<usize> = deployment.pods.iter().map(|pod| pod.state().restarts.len()).collect();
    for pod in pods.clone() {
        deployment.signal(pod, signal).await?;
    }
    for pod in pods {
        let back = |state: &State| state.restarts.len() > before[pod] && state.ready;
        deployment.pods[pod].is("started again", back).await?;
        ready.push(told.elapsed());
    }
    Ok(ready)
}

/// Pods go out of service, none is started again, and the application of a new one does not begin before the database
/// is back.
async fn database_away(
    deployment: &mut Deployment<'_>,
    stage: &Arc<Stage>,
    members: usize,
) -> Result<Vec<Duration>> {
    let restarts: usize = deployment.pods.iter().map(|pod| pod.state().restarts.len()).sum();
    let mut set = stage.set.lock().await;
    (0..members).try_for_each(|member| set.kill(member))?;
    deployment.add().await?;
    for pod in &mut deployment.pods {
        pod.is("out of service", |state| !state.ready).await?;
    }
    let early = deployment.pods.iter().filter(|pod| pod.state().started.is_none()).count();
    ensure!(early == 1, "the application of a new pod began without a database");
    (0..members).try_for_each(|member| set.launch(member))?;
    let back = Instant::now();
    set.elected(&[]).await?;
    drop(set);
    let states = deployment.serve().await?;
    let took = back.elapsed();
    let again: usize = states.iter().map(|state| state.restarts.len()).sum();
    ensure!(again == restarts, "a sidecar was started again because the database was away");
    deployment.scale(deployment.pods.len() - 1).await?;
    Ok(vec![took])
}
