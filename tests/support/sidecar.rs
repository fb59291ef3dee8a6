//! The real program as a child process: started, asked, stopped, killed, and never left behind.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::port::free_address;

/// How long it may take to start, to stop, or to come to what a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What it is to run with; from one plan several may be started.
#[derive(Clone)]
pub(crate) struct Plan {
    manifest: String,
    /// What lies beside the manifest, by name.
    files: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
}

/// A running sidecar. Dropping it kills it.
pub(crate) struct Sidecar {
    child: Child,
    admin: String,
    folder: PathBuf,
    http: reqwest::Client,
}

impl Plan {
    /// This manifest upon this broker and this database, in a hurry.
    pub(crate) fn new(manifest: String, broker: &str, mongodb: &str) -> Self {
        let plan = Self { manifest, files: BTreeMap::new(), environment: BTreeMap::new() };
        plan.set("rabbitmq.url", broker)
            .set("mongodb.url", mongodb)
            .set("log.format", "json")
            .set("sweep.every", "100ms")
            .set("sweep.drift_every", "1s")
    }

    /// With this setting, too; the key as in the settings file.
    pub(crate) fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.environment.insert(variable(key), value.into());
        self
    }

    /// Without this setting.
    pub(crate) fn without(mut self, key: &str) -> Self {
        self.environment.remove(&variable(key));
        self
    }

    /// With this file beside the manifest.
    pub(crate) fn beside(mut self, name: &str, text: impl Into<String>) -> Self {
        self.files.insert(name.to_owned(), text.into());
        self
    }

    /// With this variable of the environment, which is no setting.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts one and waits until all is well: before that there is no queue, and what is published goes nowhere.
    pub(crate) async fn start(&self) -> Sidecar {
        let mut sidecar = self.spawn();
        sidecar.is("well", |status, report| status == 200 && report["status"] == "ok").await;
        sidecar
    }

    /// Starts one.
    pub(crate) fn spawn(&self) -> Sidecar {
        let folder = folder();
        let (admin, manifest) = (free_address(), self.written(&folder));
        let log = File::create(folder.join("log")).unwrap();
        let child = self
            .command()
            .arg("run")
            .arg(manifest)
            .env("NEARCOPY__ADMIN__LISTEN", &admin)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Sidecar { child, admin, folder, http: reqwest::Client::new() }
    }

    /// Runs another command of the program to its end; `{manifest}` stands for the manifest's path, `{folder}` for that of the
    /// folder around it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let folder = folder();
        let manifest = self.written(&folder);
        let path = manifest.to_str().unwrap();
        let around = folder.to_str().unwrap();
        let named = |argument: &&str| argument.replace("{manifest}", path).replace("{folder}", around);
        let arguments = arguments.iter().map(named);
        let output = self.command().args(arguments).stdin(Stdio::null()).output().unwrap();
        fs::remove_dir_all(folder).unwrap();
        output
    }

    /// Writes the manifest, and what lies beside it.
    fn written(&self, folder: &Path) -> PathBuf {
        for (name, text) in &self.files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let manifest = folder.join("nearcopy.yaml");
        fs::write(&manifest, &self.manifest).unwrap();
        manifest
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nearcopy"));
        command.env_clear().envs(&self.environment);
        command
    }
}

impl Sidecar {
    /// Where probes, metrics and the console are: `http://127.0.0.1:PORT`.
    pub(crate) fn admin(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// The manifest changes under it.
    pub(crate) fn is_given(&self, manifest: &str) {
        fs::write(self.folder.join("nearcopy.yaml"), manifest).unwrap();
    }

    /// Waits until readiness is as wanted, by its status and its answer.
    pub(crate) async fn is(&mut self, what: &str, wanted: impl Fn(u16, &Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended ({status}) before it was {what}:\n{}", self.last_words());
            }
            let answer = self.ready().await;
            if let Some((status, report)) = &answer
                && wanted(*status, report)
            {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "not {what} within {PATIENCE:?}: {answer:?}\n{}",
                self.last_words()
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What readiness says; nothing before the probes are served.
    pub(crate) async fn ready(&self) -> Option<(u16, Value)> {
        let answer = self.http.get(format!("http://{}/readyz", self.admin)).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, serde_json::from_str(&answer.text().await.ok()?).unwrap()))
    }

    /// With which status another path of the probes answers; nothing before they are served.
    pub(crate) async fn asked(&self, path: &str) -> Option<u16> {
        let answer = self.http.get(format!("http://{}{path}", self.admin)).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Everything measured, as Prometheus sees it.
    pub(crate) async fn metrics(&self) -> Metrics {
        let answer = self.http.get(format!("http://{}/metrics", self.admin)).send().await.unwrap();
        Metrics(answer.text().await.unwrap())
    }

    /// Waits until so many deliveries are taken, no more, and what became of each is told.
    pub(crate) async fn books_close_at(&self, received: u64) -> Metrics {
        let metrics = self.books_close_from(received).await;
        assert_eq!(metrics.books().0, received, "more was taken than sent:\n{}", self.last_words());
        metrics
    }

    /// Waits until so many deliveries are taken, or more, and what became of each is told.
    pub(crate) async fn books_close_from(&self, received: u64) -> Metrics {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metrics = self.metrics().await;
            let (taken, told) = metrics.books();
            if taken >= received && taken == told {
                return metrics;
            }
            assert!(
                Instant::now() < deadline,
                "not within {PATIENCE:?}: {taken} of {received} taken, {told} told:\n{}",
                self.last_words()
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Everything it has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// The end of what it has said, for a failing test.
    pub(crate) fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// What it has logged under this event name.
    pub(crate) fn logged(&self, event: &str) -> Vec<Value> {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["event"] == event).collect()
    }

    /// SIGKILL: it gets no chance to finish anything.
    pub(crate) fn kill(mut self) {
        self.assert_sound();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM: it finishes what is under way, in time and with success. All that it has said.
    pub(crate) async fn stop(mut self) -> String {
        let log = self.terminate().await;
        self.assert_sound();
        log
    }

    /// The same, in whatever format it logs.
    pub(crate) async fn terminate(&mut self) -> String {
        self.tell();
        let status = self.ended().await;
        assert!(status.success(), "it ended with {status}:\n{}", self.log());
        self.log()
    }

    /// SIGTERM alone.
    pub(crate) fn tell(&self) {
        let told = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it still runs after {PATIENCE:?}:\n{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// No task has panicked or fallen, and no line of the log is anything but JSON.
    pub(crate) fn assert_sound(&self) {
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
        assert!(self.logged("task.fell").is_empty(), "{log}");
        for line in log.lines() {
            assert!(serde_json::from_str::<Value>(line).is_ok(), "no JSON in the log: {line}");
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It has ended already, or it ends here.
        drop(self.child.kill());
        drop(self.child.wait());
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(&self.folder));
        }
    }
}

/// One scrape.
pub(crate) struct Metrics(String);

impl Metrics {
    /// The sum of all series of this name that have these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let wanted: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let of_name = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && wanted.iter().all(|label| line.contains(label))
        };
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        self.0.lines().filter(of_name).map(value).sum()
    }

    /// How many deliveries were taken, and of how many it is told what became of them.
    pub(crate) fn books(&self) -> (u64, u64) {
        (self.sum("nearcopy_events_received_total", &[]), self.sum("nearcopy_events_total", &[]))
    }

    /// How many events had this outcome.
    pub(crate) fn outcome(&self, outcome: &str) -> u64 {
        self.sum("nearcopy_events_total", &[("outcome", outcome)])
    }

    /// The text as it was scraped.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// The variable that says a setting.
fn variable(key: &str) -> String {
    format!("NEARCOPY__{}", key.to_uppercase().replace('.', "__"))
}

fn folder() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(uuid::Uuid::new_v4().to_string());
    fs::create_dir_all(&folder).unwrap();
    folder
}
