//! nearcopy itself, as several pods of one service.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::process::{Place, Process, free_port, read};
use crate::tally::Books;

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
}

struct Pod {
    process: Process,
    admin: String,
    books: Books,
    /// Ends that nobody brought about.
    fallen: Vec<String>,
}

impl Sidecars {
    /// Starts so many, and waits until they are well.
    pub(crate) async fn start(place: &Place, plan: &Plan, count: usize) -> Result<Self> {
        let program = program()?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build()?;
        let mut pods = Vec::new();
        Self::declare(place, &plan.manifest, count)?;
        for number in 0..count {
            let manifest = place.folder.join(format!("manifest-{number}.yaml"));
            let admin = format!("127.0.0.1:{}", free_port()?);
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
            pods.push(Mutex::new(Pod { process, admin, books: Books::default(), fallen: Vec::new() }));
        }
        let sidecars = Self { pods, http };
        for pod in 0..count {
            sidecars.launch(pod).await?;
        }
        sidecars.all_well().await?;
        Ok(sidecars)
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
            pod.process.signal("-TERM")?;
            let deadline = Instant::now() + Duration::from_secs(20);
            while pod.process.is_started() {
                if let Some(status) = pod.process.ended()? {
                    ensure!(status.success(), "{} ended with {status} when told to stop", pod.process.name);
                }
                ensure!(Instant::now() < deadline, "{} does not stop", pod.process.name);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// A signal for one, such as `-STOP`.
    pub(crate) async fn signal(&self, pod: usize, name: &str) -> Result<bool> {
        self.pods[pod].lock().await.process.signal(name)
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

    /// Reads the numbers of all that answer, and starts those that have ended by themselves.
    pub(crate) async fn look_after(&self) -> Result<()> {
        for number in 0..self.pods.len() {
            let mut pod = self.pods[number].lock().await;
            if let Some(status) = pod.process.ended()? {
                let told =
                    format!("{} ended by itself ({status}):\n{}", pod.process.name, pod.process.last_words());
                pod.fallen.push(told);
                pod.books.new_life();
                pod.process.start()?;
            }
            let asking = self.http.get(format!("http://{}/metrics", pod.admin)).send();
            drop(pod);
            let Ok(Ok(answer)) = timeout(Duration::from_millis(500), asking).await else { continue };
            if let Ok(text) = answer.text().await {
                self.pods[number].lock().await.books.note(&text)?;
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
