//! The console: a page beside probes and metrics that shows how everything stands, and takes up what was put aside.
//!
//! It is off unless a setting turns it on. The page itself is the same for everybody; what it shows it asks for, under the rules
//! of `door.rs` and with a token where one is declared. It never gets values of fields.

mod answer;
mod desk;
mod door;
mod look;
mod page;
mod topology;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::middleware;

use self::answer::Sources;
use self::look::Looks;
use super::health::Health;
use super::read::{Grant, guarded};
use crate::telemetry::Metrics;

pub use desk::{Desk, Refusal};

/// The console, and whom it asks once there is somebody. Clones are the same.
#[derive(Clone)]
pub struct Console(Arc<Inside>);

struct Inside {
    acts: bool,
    grants: Vec<Grant>,
    desk: OnceLock<Arc<dyn Desk>>,
    looks: Arc<Looks>,
}

impl Console {
    /// One that may do things or only shows them, for those who have one of these tokens; for all, where there is none.
    pub fn new(acts: bool, grants: Vec<Grant>) -> Self {
        let (desk, looks) = (OnceLock::new(), Arc::default());
        Self(Arc::new(Inside { acts, grants, desk, looks }))
    }

    /// From here on there is somebody to ask.
    pub fn opens(&self, desk: Arc<dyn Desk>) {
        self.0.desk.get_or_init(|| desk);
    }

    fn acts(&self) -> bool {
        self.0.acts
    }

    fn desk(&self) -> Option<Arc<dyn Desk>> {
        self.0.desk.get().cloned()
    }

    fn looks(&self) -> &Arc<Looks> {
        &self.0.looks
    }

    /// All that is served; `alone` where only this machine can come.
    pub(super) fn router(&self, health: Health, metrics: Metrics, alone: bool) -> Router {
        let answers = answer::router(Sources { console: self.clone(), health, metrics });
        let grants = &self.0.grants;
        let answers = if grants.is_empty() { answers } else { guarded(answers, grants, "admin.token") };
        let answers =
            answers.layer(middleware::from_fn(door::from_own_page)).layer(middleware::from_fn(door::in_time));
        let all = page::router().merge(answers);
        let all = if alone { all.layer(middleware::from_fn(door::by_own_name)) } else { all };
        all.layer(middleware::map_response(door::sealed))
    }
}
