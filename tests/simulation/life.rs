//! Whether a pod runs, is paused, or is dead. All that a pod does to the world passes here first, so that a pod that
//! is dead does nothing any more, wherever it was; what it did between two effects, nobody can see.

use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

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
    mode: Arc<Mutex<Mode>>,
    changed: Arc<Notify>,
}

impl Life {
    pub(crate) fn begin(name: &str) -> Self {
        Self { name: name.into(), mode: Arc::new(Mutex::new(Mode::Runs)), changed: Arc::default() }
    }

    pub(crate) fn is(&self, mode: Mode) -> bool {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) == mode
    }

    /// A dead pod stays dead.
    pub(crate) fn set(&self, next: Mode) {
        let mut mode = self.mode.lock().unwrap_or_else(PoisonError::into_inner);
        if *mode != Mode::Dead {
            *mode = next;
        }
        drop(mode);
        self.changed.notify_waiters();
    }

    /// Comes back once the pod runs; never, if it does not any more.
    pub(crate) async fn pass(&self) {
        loop {
            let changed = self.changed.notified();
            match () {
                () if self.is(Mode::Runs) => return,
                () if self.is(Mode::Dead) => pending().await,
                () => changed.await,
            }
        }
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
