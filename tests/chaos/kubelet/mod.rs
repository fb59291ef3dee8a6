//! What a cluster does with a deployment: pods are started, scaled, and replaced by others one by one.

mod pod;
mod rules;
mod service;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::Mutex;

use crate::application::UNANSWERED;
use crate::machine::process::{Place, Process, read};
use crate::manifest::{Fields, manifest};
use crate::stage::Stage;

pub(crate) use pod::{Ended, Farewell, State};
use pod::{Life, Pod};
pub(crate) use rules::Rules;
pub(crate) use service::{Answers, Service};

/// What pods are made from.
#[derive(Clone, Copy)]
pub(crate) struct Template {
    pub(crate) fields: Fields,
    /// The generation that the manifest takes the place of, to go back; 0 for none.
    pub(crate) downgrade_from: u32,
}

/// A deployment: as many pods as are wanted, all from the newest template, none of them gone before another one is there
/// (`maxSurge: 1`, `maxUnavailable: 0`).
pub(crate) struct Deployment<'p> {
    stage: Arc<Stage>,
    place: &'p Place,
    pub(crate) service: Arc<Service>,
    pub(crate) rules: Rules,
    template: Template,
    /// The oldest first.
    pub(crate) pods: Vec<Pod>,
    /// Pods that were told to end and may not have.
    leaving: Vec<Pod>,
}

impl<'p> Deployment<'p> {
    /// No pods yet.
    pub(crate) fn new(stage: &Arc<Stage>, place: &'p Place, template: Template) -> Result<Self> {
        Ok(Self {
            stage: stage.clone(),
            place,
            service: Arc::default(),
            rules: Rules::of_the_chart()?,
            template,
            pods: Vec::new(),
            leaving: Vec::new(),
        })
    }

    /// Begins a pod more, and does not wait for it.
    pub(crate) async fn add(&mut self) -> Result<()> {
        let taken = |slot: &usize| self.pods.iter().chain(&self.leaving).any(|pod| pod.slot == *slot);
        let slot = (0..self.stage.sidecars.count()).find(|slot| !taken(slot)).context("no place is left")?;
        let Template { fields, downgrade_from } = self.template;
        let text = manifest(&self.stage.api.url(), None, fields);
        self.stage.sidecars.equip(slot, &text, downgrade_from).await?;
        let reads = self.stage.sidecars.reads(slot).await;
        let life = Life {
            stage: self.stage.clone(),
            service: self.service.clone(),
            rules: self.rules.clone(),
            slot,
            application: Mutex::new(self.application(slot)?.arguments(["--beside", &reads])),
        };
        self.pods.push(Pod::begin(life));
        Ok(())
    }

    /// Has so many pods, and waits until all are in service; the youngest go first.
    pub(crate) async fn scale(&mut self, count: usize) -> Result<Vec<State>> {
        while self.pods.len() < count {
            self.add().await?;
        }
        while self.pods.len() > count {
            self.leaving.extend(self.pods.pop());
        }
        self.leaving.iter().for_each(Pod::tell);
        self.serve().await
    }

    /// Replaces all pods by such ones, one by one: an old one is told to end when a new one is in service.
    pub(crate) async fn roll(&mut self, template: Template) -> Result<Vec<State>> {
        self.template = template;
        for _ in 0..self.pods.len() {
            self.add().await?;
            self.serve().await?;
            let oldest = self.pods.remove(0);
            oldest.tell();
            self.leaving.push(oldest);
        }
        self.serve().await
    }

    /// Waits until all that are wanted are in service; how they are.
    pub(crate) async fn serve(&mut self) -> Result<Vec<State>> {
        let mut states = Vec::new();
        for pod in &mut self.pods {
            states.push(pod.is("in service", |state| state.ready).await?);
        }
        Ok(states)
    }

    /// How those have ended that were told to.
    pub(crate) async fn farewells(&mut self) -> Result<Vec<Farewell>> {
        let mut farewells = Vec::new();
        for pod in self.leaving.drain(..) {
            farewells.push(pod.farewell().await?);
        }
        Ok(farewells)
    }

    /// A signal for the sidecar of a pod.
    pub(crate) async fn signal(&self, pod: usize, name: &str) -> Result<()> {
        self.stage.sidecars.signal(self.pods[pod].slot, name).await.map(drop)
    }

    /// How often applications had no answer from their sidecars, since the beginning.
    pub(crate) fn unanswered(&self) -> Result<usize> {
        let mut lines = 0;
        for slot in 0..self.stage.sidecars.count() {
            let log = read(&self.application(slot)?.log);
            lines += log.lines().filter(|line| line.starts_with(UNANSWERED)).count();
        }
        Ok(lines)
    }

    /// The application beside that sidecar: this program, in another part.
    fn application(&self, slot: usize) -> Result<Process> {
        Ok(self.place.process(&format!("application-{slot}"), std::env::current_exe()?))
    }
}

impl Farewell {
    /// For people: how long the sidecar took, and how it ended if not well.
    pub(crate) fn told(&self) -> String {
        let code = |ended: &Ended| {
            ended.status.map_or("killed".into(), |status| {
                status.code().map_or_else(|| status.to_string(), |code| code.to_string())
            })
        };
        let took = self.sidecar.took.as_secs_f64();
        format!("{} and {} after {took:.1} s", code(&self.application), code(&self.sidecar))
    }

    /// Whether both ended with success, each in its own time.
    pub(crate) fn is_well(&self, of_the_sidecar: Duration) -> bool {
        let well = |ended: &Ended| ended.status.is_some_and(|status| status.success());
        well(&self.application) && well(&self.sidecar) && self.sidecar.took <= of_the_sidecar
    }
}
