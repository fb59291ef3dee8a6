//! `nearcopy run`: everything at work until told to stop.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Exit, Failure, Outcome, wiring};
use crate::api::{Health, admin};
use crate::lifecycle::{ExitReason, Lifecycle};
use crate::pipeline::Pipeline;
use crate::replication::{Declaration, SourceSpec};
use crate::settings::Settings;
use crate::source::{Inbox, rabbitmq};
use crate::store::StoreError;
use crate::store::mongo::Mongo;
use crate::telemetry::{self, Metrics};

/// Runs the sidecar. What is wrong with manifest or settings is found before anything is opened.
pub fn run(settings: &Settings, paths: &[PathBuf]) -> Outcome {
    settings.check_addresses().map_err(Failure::invalid)?;
    let declaration = wiring::declaration(settings, paths)?;
    let metrics = telemetry::init(settings.log.format, &settings.log.filter).map_err(Failure::invalid)?;
    let reason = wiring::runtime()?.block_on(serve(settings, declaration, metrics))?;
    Ok(match reason {
        ExitReason::Stopped => Exit::Done,
        ExitReason::Failed => Exit::Failed,
    })
}
