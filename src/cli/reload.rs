//! What changes under a running sidecar, a manifest, a secret or a certificate: what is right takes the place of the old one,
//! what is wrong is refused, and the old one stays at work.
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
use crate::api::read::Reads;
use crate::manifest;
use crate::settings::Settings;
use crate::telemetry::metric;

/// How often it is looked. A change counts when two looks have found the same: files are not always written at once.
const EVERY: Duration = Duration::from_secs(2);

/// What tells files as they were seen from any others.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Seen {
    manifest: u64,
    settings: u64,
}

/// What has changed.
#[derive(Clone, Copy)]
enum What {
    Manifest,
    Settings,
}

/// What is at work, and whether something else is to take its place.
#[derive(Clone)]
pub(super) struct Reload {
    paths: Vec<PathBuf>,
    settings: Settings,
    loaded: Seen,
    service: String,
    is_wanted: Arc<AtomicBool>,
}

impl Seen {
    /// The files of the manifest as they are now, and those that settings come from as they were when they were read.
    pub(super) fn first(settings: &Settings, paths: &[PathBuf]) -> Self {
        Self { settings: settings.fingerprint(), ..Self::now(settings, paths) }
    }

    /// All of them as they are now.
    fn now(settings: &Settings, paths: &[PathBuf]) -> Self {
        let paths = if paths.is_empty() { &settings.manifest } else { paths };
        Self { manifest: manifest::fingerprint(paths), settings: settings.fingerprint_now() }
    }

    fn differs(self, from: Self) -> What {
        if self.manifest == from.manifest { What::Settings } else { What::Manifest }
    }
}

impl Reload {
    /// Watches for what differs from what was seen before anything was read.
    pub(super) fn of(settings: &Settings, paths: &[PathBuf], loaded: Seen, service: &str) -> Self {
        let (paths, settings) = (paths.to_vec(), settings.clone());
        Self { paths, settings, loaded, service: service.to_owned(), is_wanted: Arc::default() }
    }

    /// Whether the program is to begin anew.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Acquire)
    }

    /// The program is to end, whatever has changed.
    pub(super) fn give_up(&self) {
        self.is_wanted.store(false, Ordering::Release);
    }

    /// Looks until the program stops, or is to begin anew, which this stops it for.
    pub(super) async fn watch(self, health: Health, stop: CancellationToken) {
        metric::manifest_refused(false);
        let (mut last, mut refused) = (self.loaded, None);
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            let now = Seen::now(&self.settings, &self.paths);
            let is_still = std::mem::replace(&mut last, now) == now;
            if now == self.loaded
                && let Some(refused) = refused.take()
            {
                self.loaded.differs(refused).is_restored(&health);
            }
            if now == self.loaded || !is_still || refused == Some(now) {
                continue;
            }
            let what = now.differs(self.loaded);
            match self.judge() {
                Ok(()) => {
                    what.has_changed();
                    if !stop.is_cancelled() {
                        self.is_wanted.store(true, Ordering::Release);
                        stop.cancel();
                    }
                    return;
                }
                Err(why) => {
                    what.is_refused(&why, &health);
                    refused = Some(now);
                }
            }
        }
    }

    /// Whether the program could be started with what there is now.
    fn judge(&self) -> Result<(), String> {
        let settings = &self.settings.again().map_err(|error| error.to_string())?;
        let declaration = wiring::unguarded(settings, &self.paths).map_err(|wrong| wrong.render(false))?;
        let declaration = wiring::guarded(settings, &declaration).map_err(|error| error.to_string())?;
        if declaration.service != self.service {
            return Err(format!(
                "it is that of `{}`, and the database is that of `{}`",
                declaration.service, self.service
            ));
        }
        if settings.read.listen.is_some() {
            let admitted = Reads::check(&wiring::access(settings), &declaration);
            admitted.map_err(|error| error.to_string())?;
        }
        settings.check_addresses(declaration.needs_broker()).map_err(|error| error.to_string())
    }
}

impl What {
    fn has_changed(self) {
        match self {
            Self::Manifest => tracing::info!(
                event = "manifest.changed",
                "the manifest has changed, and takes the old one's place"
            ),
            Self::Settings => tracing::info!(
                event = "settings.changed",
                "a secret, a certificate or the settings file has changed, and takes the old one's place"
            ),
        }
    }

    fn is_refused(self, why: &str, health: &Health) {
        match self {
            Self::Manifest => tracing::error!(
                event = "manifest.refused",
                "the manifest has changed, and is wrong; the one before stays at work: {why}"
            ),
            Self::Settings => tracing::error!(
                event = "settings.refused",
                "a secret, a certificate or the settings file has changed, and is wrong; what was before stays at work: {why}"
            ),
        }
        metric::manifest_refused(true);
        health.manifest(Err(match self {
            Self::Manifest => "the changed one is wrong; `nearcopy check` says how".into(),
            Self::Settings => {
                "a changed secret, certificate or settings file is wrong; the log says how".into()
            }
        }));
    }

    fn is_restored(self, health: &Health) {
        match self {
            Self::Manifest => {
                tracing::info!(event = "manifest.restored", "the manifest is again the one that is at work");
            }
            Self::Settings => tracing::info!(
                event = "settings.restored",
                "secrets, certificates and the settings file are again those that are at work"
            ),
        }
        metric::manifest_refused(false);
        health.manifest(Ok(()));
    }
}

/// Begins anew, with the same arguments; returns only where that is not possible.
pub(super) fn begin_anew() -> Failure {
    let error = match std::env::current_exe() {
        Ok(program) => Command::new(program).args(std::env::args_os().skip(1)).exec(),
        Err(error) => error,
    };
    Failure::saying(Exit::Failed, format!("the program cannot begin anew with what has changed: {error}"))
}
