//! Queues that are split at work: their partitions, and what is left of queues from before.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Exit, Failure, wiring};
use crate::api::Health;
use crate::lifecycle::Lifecycle;
use crate::pipeline::{Intake, Leftovers, Troubles};
use crate::replication::{Declaration, SourceSpec};
use crate::settings::Settings;
use crate::source::rabbitmq::{FormerQueues, TurnQueue};
use crate::telemetry::metric;

/// The partitions of the queues that feed replicas; what is in their way is passed on to probes and metrics.
pub(super) fn intakes(
    settings: &Settings,
    declaration: &Declaration,
    lifecycle: &Lifecycle,
    health: &Health,
) -> Result<Vec<Intake>, Failure> {
    let mut intakes = Vec::new();
    for source in declaration.queues().filter(|source| source.queue.split.is_some()) {
        let parts = source.parts();
        let trouble = watch_partitions(source, &parts, lifecycle, health);
        let mut options = wiring::rabbitmq(settings, &declaration.service)?;
        // One pod may have all of them, and is to have no more of the source in its memory than without partitions.
        let each = usize::from(options.prefetch.get()) / parts.len().max(1);
        options.prefetch = u16::try_from(each).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN);
        for part in parts {
            let queue = TurnQueue::new(&part, options.clone(), lifecycle.stop_token());
            let queue = queue.map_err(|error| Failure::new(Exit::Invalid, &error))?;
            intakes.extend(Intake::new(part, Arc::new(queue), trouble.clone()));
        }
    }
    Ok(intakes)
}

/// What the queues that feed replicas were before they were split as they are now.
pub(super) fn leftovers(
    settings: &Settings,
    declaration: &Declaration,
    lifecycle: &Lifecycle,
) -> Result<Vec<Leftovers>, Failure> {
    let left = |source: &Arc<SourceSpec>| {
        let options = wiring::rabbitmq(settings, &declaration.service)?;
        let queues = FormerQueues::new(source, options, lifecycle.stop_token());
        let queues = queues.map_err(|error| Failure::new(Exit::Invalid, &error))?;
        Ok(Leftovers { of: source.clone(), queues: Arc::new(queues) })
    };
    declaration.queues().map(left).collect()
}

/// A source is well here if none of its partitions is in trouble: each is read, by this pod or by another.
fn watch_partitions(
    source: &SourceSpec,
    parts: &[Arc<SourceSpec>],
    lifecycle: &Lifecycle,
    health: &Health,
) -> watch::Sender<Troubles> {
    let numbers = parts.iter().filter_map(|part| part.queue.part.map(|part| part.number));
    let unheard: Troubles = numbers.map(|number| (number, "connecting".to_owned())).collect();
    let (trouble, mut watched) = watch::channel(unheard);
    let (name, health, stop) = (source.name.clone(), health.clone(), lifecycle.stop_token());
    health.source(&name, Err("connecting".into()));
    lifecycle.spawn_beside(format!("health of {name}"), async move {
        loop {
            let reasons: BTreeSet<String> = watched.borrow_and_update().values().cloned().collect();
            metric::broker_connected(&name, reasons.is_empty());
            let said = reasons.into_iter().collect::<Vec<_>>().join("; ");
            health.source(&name, if said.is_empty() { Ok(()) } else { Err(said) });
            if !matches!(stop.run_until_cancelled(watched.changed()).await, Some(Ok(()))) {
                break;
            }
        }
        stop.cancelled().await;
    });
    trouble
}
