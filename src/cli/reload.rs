//! A manifest that changes under a running sidecar: one that is right takes the place of the old one, one that is wrong is
//! refused, and the old one stays at work.
//!
//! What was begun is ended first, as at any stop. Then the program begins anew in its own process: so there is one way to
//! start, and nothing of the old declaration is left in memory.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, wiring};
use crate::api::Health;
use crate::manifest;
use crate::settings::Settings;
use crate::telemetry::metric;

/// How often it is looked. A change counts when two looks have found the same: files are not always written at once.
const EVERY: Duration = Duration::from_secs(2);

/// The manifest that is at work, and whether another one is to take its place.
#[derive(Clone)]
pub(super) struct Reload {
    paths: Vec<PathBuf>,
    loaded: u64,
    service: String,
    is_wanted: Arc<AtomicBool>,
}

impl Reload {
    /// Watches for what differs from what was read before this hash was taken.
    pub(super) fn of(settings: &Settings, paths: &[PathBuf], loaded: u64, service: &str) -> Self {
        let paths = if paths.is_empty() { settings.manifest.clone() } else { paths.to_vec() };
        Self { paths, loaded, service: service.to_owned(), is_wanted: Arc::default() }
    }

    /// Whether the program is to begin anew.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Acquire)
    }

    /// The program is to end, whatever the manifest is.
    pub(super) fn give_up(&self) {
        self.is_wanted.store(false, Ordering::Release);
    }

    /// Looks until the program stops, or is to begin anew, which this stops it for.
    pub(super) async fn watch(self, settings: Settings, health: Health, stop: CancellationToken) {
        metric::manifest_refused(false);
        let (mut last, mut refused) = (self.loaded, None);
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            let now = manifest::fingerprint(&self.paths);
            let is_still = std::mem::replace(&mut last, now) == now;
            if now == self.loaded && refused.take().is_some() {
                tracing::info!(event = "manifest.restored", "the manifest is again the one that is at work");
                metric::manifest_refused(false);
                health.manifest(Ok(()));
            }
            if now == self.loaded || !is_still || refused == Some(now) {
                continue;
            }
            match self.judge(&settings) {
                Ok(()) => {
                    tracing::info!(
                        event = "manifest.changed",
                        "the manifest has changed, and takes the old one's place"
                    );
                    if !stop.is_cancelled() {
                        self.is_wanted.store(true, Ordering::Release);
                        stop.cancel();
                    }
                    return;
                }
                Err(why) => {
                    tracing::error!(
                        event = "manifest.refused",
                        "the manifest has changed, and is wrong; the one before stays at work: {why}"
                    );
                    metric::manifest_refused(true);
                    health.manifest(Err("the changed one is wrong; `nearcopy check` says how".into()));
                    refused = Some(now);
                }
            }
        }
    }

    /// Whether the manifest could be started with.
    fn judge(&self, settings: &Settings) -> Result<(), String> {
        let declaration = wiring::unguarded(settings, &self.paths).map_err(|wrong| wrong.render(false))?;
        let declaration = wiring::guarded(settings, &declaration).map_err(|error| error.to_string())?;
        if declaration.service != self.service {
            return Err(format!(
                "it is that of `{}`, and the database is that of `{}`",
                declaration.service, self.service
            ));
        }
        settings.check_addresses(declaration.needs_broker()).map_err(|error| error.to_string())
    }
}

/// Begins anew, with the same arguments; returns only where that is not possible.
pub(super) fn begin_anew() -> Failure {
    let error = match std::env::current_exe() {
        Ok(program) => Command::new(program).args(std::env::args_os().skip(1)).exec(),
        Err(error) => error,
    };
    Failure::saying(Exit::Failed, format!("the program cannot begin anew with the changed manifest: {error}"))
}
