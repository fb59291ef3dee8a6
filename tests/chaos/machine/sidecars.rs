//! nearcopy itself, as several pods of one service.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::process::{Place, Process, free_port, read};
use crate::tally::Books;

/// How long one that is told to stop may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a sidecar runs with; all pods share it.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) manifest: String,
    pub(crate) broker: String,
    pub(crate) database: String,
}

/// All pods.
pub(crate) struct Sidecars {
    pods: Vec<Mutex<Pod>>,
    http: reqwest::Client,
    /// Whether somebody else starts them, and starts those again that end by themselves.
    tended: bool,
}

struct Pod {
    process: Process,
    manifest: PathBuf,
    admin: String,
    reads: String,
    books: Books,
    /// Ends that nobody brought about.
    fallen: Vec<String>,
}

impl Sidecars {
    /// Starts so many, and waits until they are well.
    pub(crate) async fn start(place: &Place, plan: &Plan, count: usize) -> Result<Self> {
        let sidecars = Self::new(place, plan, count, false)?;
        Self::declare(place, &plan.manifest, count)?;
        for pod in 0..count {
            sidecars.launch(pod).await?;
        }
        sidecars.all_well().await?;
        Ok(sidecars)
    }

    /// Places for so many, which a kubelet starts and ends. Each is read at an address of its own, and lets go within
    /// seconds of what nobody refers to, so that each phase can be judged.
    pub(crate) async fn tended(place: &Place, plan: &Plan, count: usize) -> Result<Self> {
        let sidecars = Self::new(place, plan, count, true)?;
        for pod in &sidecars.pods {
            let mut pod = pod.lock().await;
            let reads = pod.reads.clone();
            let process = &mut pod.process;
            process.set("NEARCOPY__READ__LISTEN", reads);
            process.set("NEARCOPY__SWEEP__RETIRE_GRACE", "1s");
            process.set("NEARCOPY__SWEEP__RETIRE_EVERY", "1s");
        }
        Ok(sidecars)
    }

    fn new(place: &Place, plan: &Plan, count: usize, tended: bool) -> Result<Self> {
        let program = program()?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build()?;
        let mut pods = Vec::new();
        for number in 0..count {
            let manifest = place.folder.join(format!("manifest-{number}.yaml"));
            let [admin, reads] = [free_port()?, free_port()?].map(|port| format!("127.0.0.1:{port}"));
            let arguments = ["run".to_owned(), manifest.display().to_string()];
            let process = place
                .process(&format!("sidecar-{number}"), &program)
                .arguments(arguments)
                .environment("NEARCOPY__RABBITMQ__URL", &plan.broker)
                .environment("NEARCOPY__MONGODB__URL", &plan.database)
                .environment("NEARCOPY__ADMIN__LISTEN", &admin)
                .environment("NEARCOPY__LOG__FORMAT", "json")
                // Nothing may be masked: what no event and no change told of must not be found by a comparison.
                .environment("NEARCOPY__SWEEP__DRIFT_EVERY", "1h")
                .environment("NEARCOPY__SWEEP__RETIRE_GRACE", "5s")
                .environment("NEARCOPY__SWEEP__RETIRE_EVERY", "5s");
            let books = Books::default();
            pods.push(Mutex::new(Pod { process, manifest, admin, reads, books, fallen: Vec::new() }));
        }
        Ok(Self { pods, http, tended })
    }

    pub(crate) fn count(&self) -> usize {
        self.pods.len()
    }

    /// Starts one, unless it runs.
    pub(crate) async fn launch(&self, pod: usize) -> Result<()> {
        let mut pod = self.pods[pod].lock().await;
        if !pod.process.is_started() {
            pod.books.new_life();
            pod.process.start()?;
        }
        Ok(())
    }

    /// SIGKILL; whether it ran.
    pub(crate) async fn kill(&self, pod: usize) -> Result<bool> {
        let mut pod = self.pods[pod].lock().await;
        let ran = pod.process.is_started();
        pod.process.kill()?;
        Ok(ran)
    }

    /// From its next start on, each runs with this manifest.
    pub(crate) fn declare(place: &Place, manifest: &str, count: usize) -> Result<()> {
        for number in 0..count {
            std::fs::write(place.folder.join(format!("manifest-{number}.yaml")), manifest)?;
        }
        Ok(())
    }

    /// SIGTERM for all, which must end well and in time.
    pub(crate) async fn stop(&self) -> Result<()> {
        for pod in &self.pods {
            let mut pod = pod.lock().await;
            if !pod.process.is_started() {
                continue;
            }
            let ended = pod.process.end(Instant::now() + PATIENCE).await?;
            let status = ended.with_context(|| format!("{} does not stop", pod.process.name))?;
            ensure!(status.success(), "{} ended with {status} when told to stop", pod.process.name);
        }
        Ok(())
    }

    /// A signal for one, such as `-STOP`.
    pub(crate) async fn signal(&self, pod: usize, name: &str) -> Result<bool> {
        self.pods[pod].lock().await.process.signal(name)
    }

    /// The files and settings with which one is started next: a manifest, and the generation that it replaces, if any.
    pub(crate) async fn equip(&self, pod: usize, manifest: &str, downgrade_from: u32) -> Result<()> {
        let mut pod = self.pods[pod].lock().await;
        std::fs::write(&pod.manifest, manifest)?;
        pod.process.set("NEARCOPY__MANIFEST__DOWNGRADE_FROM", downgrade_from.to_string());
        Ok(())
    }

    /// How one ended by itself, or by a signal.
    pub(crate) async fn ended(&self, pod: usize) -> Result<Option<ExitStatus>> {
        self.pods[pod].lock().await.ended()
    }

    /// Tells one to end, and kills it where it still runs at that time.
    pub(crate) async fn end(&self, pod: usize, by: Instant) -> Result<Option<ExitStatus>> {
        let mut pod = self.pods[pod].lock().await;
        let ended = pod.process.end(by).await?;
        pod.books.new_life();
        Ok(ended)
    }

    /// The number of its process, if it runs.
    pub(crate) async fn id(&self, pod: usize) -> Option<u32> {
        self.pods[pod].lock().await.process.id()
    }

    /// What the address of one answers to a probe, within so long; nothing where it does not.
    pub(crate) async fn probe(&self, pod: usize, path: &str, within: Duration) -> Option<u16> {
        let url = format!("http://{}{path}", self.pods[pod].lock().await.admin);
        let answer = self.http.get(url).timeout(within).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Where one is read by REST, if a kubelet tends it.
    pub(crate) async fn reads(&self, pod: usize) -> String {
        self.pods[pod].lock().await.reads.clone()
    }

    /// Lets all go on, and starts again those that do not run.
    pub(crate) async fn heal(&self) -> Result<()> {
        for pod in 0..self.pods.len() {
            self.signal(pod, "-CONT").await?;
            self.launch(pod).await?;
        }
        Ok(())
    }

    /// Waits until each says that it is well, its source included.
    pub(crate) async fn all_well(&self) -> Result<()> {
        super::eventually("all sidecars are well", Duration::from_secs(60), async || {
            for pod in &self.pods {
                let pod = pod.lock().await;
                let answer = self.http.get(format!("http://{}/readyz", pod.admin)).send().await;
                let report = answer.context("no answer")?.text().await?;
                ensure!(
                    report.contains("\"ok\""),
                    "{} says {report}\n{}",
                    pod.process.name,
                    pod.process.last_words()
                );
            }
            Ok(())
        })
        .await
    }

    /// Reads the numbers of all that answer, and starts those that have ended by themselves, unless somebody else does.
    pub(crate) async fn look_after(&self) -> Result<()> {
        for number in 0..self.pods.len() {
            let mut pod = self.pods[number].lock().await;
            if !self.tended
                && let Some(status) = pod.ended()?
            {
                let told =
                    format!("{} ended by itself ({status}):\n{}", pod.process.name, pod.process.last_words());
                pod.fallen.push(told);
                pod.process.start()?;
            }
            let life = pod.process.id();
            if life.is_none() {
                continue;
            }
            let asking = self.http.get(format!("http://{}/metrics", pod.admin)).send();
            drop(pod);
            let Ok(Ok(answer)) = timeout(Duration::from_millis(500), asking).await else { continue };
            let Ok(text) = answer.text().await else { continue };
            let mut pod = self.pods[number].lock().await;
            // What an earlier life said comes too late.
            if pod.process.id() == life {
                pod.books.note(&text)?;
            }
        }
        Ok(())
    }

    /// What all lives of all pods counted, and what went wrong with them.
    pub(crate) async fn books(&self) -> (Books, Vec<String>) {
        let (mut all, mut fallen) = (Books::default(), Vec::new());
        for pod in &self.pods {
            let pod = pod.lock().await;
            all.add(&pod.books);
            fallen.extend(pod.fallen.iter().cloned());
            let log = read(&pod.process.log);
            let loud = log.lines().filter(|line| line.contains("panicked") || line.contains("task.fell"));
            fallen.extend(loud.map(|line| format!("{}: {line}", pod.process.name)));
        }
        (all, fallen)
    }

    /// Everything they have said.
    pub(crate) async fn logs(&self) -> Vec<(String, String)> {
        let mut logs = Vec::new();
        for pod in &self.pods {
            let pod = pod.lock().await;
            logs.push((pod.process.name.clone(), read(&pod.process.log)));
        }
        logs
    }
}

impl Pod {
    /// How it ended, whose numbers then belong to the past.
    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let ended = self.process.ended()?;
        if ended.is_some() {
            self.books.new_life();
        }
        Ok(ended)
    }
}

/// Where cargo put nearcopy: beside us.
pub(crate) fn program() -> Result<std::path::PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(std::path::Path::parent).context("this program lies in no folder")?;
    let program = folder.join("nearcopy");
    if !program.exists() {
        bail!("nearcopy is not built in {}: run `make chaos`", folder.display());
    }
    Ok(program)
}
