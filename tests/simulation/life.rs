//! Whether a pod runs, is paused, or is dead. All that a pod does to the world passes here first, so that a pod that
//! is dead does nothing any more, wherever it was; what it did between two effects, nobody can see.

use std::fmt;
use std::future::pending;
use std::sync::Arc;

use tokio::sync::watch;

/// What a pod can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Runs,
    /// As SIGSTOP does it: everything it had under way goes on later.
    Paused,
    /// As SIGKILL does it.
    Dead,
}

/// One life of a pod.
#[derive(Clone)]
pub(crate) struct Life {
    name: Arc<str>,
    mode: Arc<watch::Sender<Mode>>,
}

impl Life {
    pub(crate) fn begin(name: &str) -> Self {
        Self { name: name.into(), mode: Arc::new(watch::Sender::new(Mode::Runs)) }
    }

    pub(crate) fn is(&self, mode: Mode) -> bool {
        *self.mode.borrow() == mode
    }

    /// A dead pod stays dead.
    pub(crate) fn set(&self, next: Mode) {
        self.mode.send_if_modified(|mode| {
            let changes = *mode != Mode::Dead && *mode != next;
            if changes {
                *mode = next;
            }
            changes
        });
    }

    /// Comes back once the pod runs; never, if it does not any more.
    pub(crate) async fn pass(&self) {
        if self.is(Mode::Runs) {
            return;
        }
        let mut mode = self.mode.subscribe();
        if mode.wait_for(|mode| *mode != Mode::Paused).await.is_err() || self.is(Mode::Dead) {
            pending::<()>().await;
        }
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
