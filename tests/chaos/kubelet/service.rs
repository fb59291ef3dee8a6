//! What can be said of all pods together: how many are in service, and what their sidecars answered to probes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many times each probe had each answer; nothing stands for none in time.
pub(crate) type Answers = BTreeMap<(&'static str, Option<u16>), u32>;

/// The pods in service.
#[derive(Default)]
pub(crate) struct Service(Mutex<Pods>);

#[derive(Default)]
struct Pods {
    ready: usize,
    least: usize,
    answers: Answers,
}

impl Service {
    /// A pod has come into service, or has gone out of it.
    pub(crate) fn changes(&self, comes: bool) {
        let mut pods = self.pods();
        pods.ready = if comes { pods.ready + 1 } else { pods.ready - 1 };
        pods.least = pods.least.min(pods.ready);
    }

    /// A probe was answered so.
    pub(crate) fn was_answered(&self, path: &'static str, answer: Option<u16>) {
        *self.pods().answers.entry((path, answer)).or_default() += 1;
    }

    /// The fewest pods in service since this was last asked, and all answers since then.
    pub(crate) fn since(&self) -> (usize, Answers) {
        let mut pods = self.pods();
        let ready = pods.ready;
        (std::mem::replace(&mut pods.least, ready), std::mem::take(&mut pods.answers))
    }

    fn pods(&self) -> MutexGuard<'_, Pods> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
