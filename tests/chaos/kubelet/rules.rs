//! The rules by which a pod lives: what the chart says of probes and of the end.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::machine::process::read;

/// The example chart as it is rendered: a sidecar beside the application of a team.
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chart/golden/product-service.least.yaml");

/// What the kubelet is told about a pod.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) startup: Probe,
    pub(crate) readiness: Probe,
    pub(crate) liveness: Probe,
    /// How long a pod may take to end.
    pub(crate) grace: Duration,
    /// How long a sidecar may take that liveness has given up.
    pub(crate) last_grace: Duration,
}

/// A question that the kubelet asks of the sidecar.
#[derive(Clone)]
pub(crate) struct Probe {
    pub(crate) path: &'static str,
    pub(crate) every: Duration,
    pub(crate) timeout: Duration,
    /// After so many failures in a row it counts.
    pub(crate) failures: u64,
}

impl Rules {
    /// As the chart has them.
    pub(crate) fn of_the_chart() -> Result<Self> {
        let chart = read(Path::new(CHART));
        let grace = seconds(&chart, "terminationGracePeriodSeconds")?;
        let liveness = block(&chart, "livenessProbe:")?;
        Ok(Self {
            startup: probe(&block(&chart, "startupProbe:")?, "/startupz")?,
            readiness: probe(&block(&chart, "readinessProbe:")?, "/readyz")?,
            liveness: probe(&liveness, "/livez")?,
            grace,
            // Unless the probe has a time of its own, it is the pod's.
            last_grace: seconds(&liveness, "terminationGracePeriodSeconds").unwrap_or(grace),
        })
    }
}

fn probe(block: &str, path: &'static str) -> Result<Probe> {
    anyhow::ensure!(block.contains(&format!("path: {path},")), "{path} is not asked for by `{block}`");
    Ok(Probe {
        path,
        every: seconds(block, "periodSeconds")?,
        timeout: seconds(block, "timeoutSeconds")?,
        failures: number(block, "failureThreshold")?,
    })
}

/// What stands below the first line that is this key, further in than it.
fn block(text: &str, key: &str) -> Result<String> {
    let mut lines = text.lines().skip_while(|line| line.trim() != key);
    let first = lines.next().with_context(|| format!("{CHART} has no `{key}`"))?;
    let below = lines.take_while(|line| depth(line) > depth(first));
    Ok(below.collect::<Vec<_>>().join("\n"))
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn seconds(text: &str, key: &str) -> Result<Duration> {
    number(text, key).map(Duration::from_secs)
}

/// The first number that stands behind this key; there may be a comment behind it.
fn number(text: &str, key: &str) -> Result<u64> {
    let found = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
    let found = found.with_context(|| format!("{CHART} has no `{key}`"))?;
    let digits = found.split(' ').next().unwrap_or(found);
    digits.parse().with_context(|| format!("`{key}` of {CHART} is no number"))
}
