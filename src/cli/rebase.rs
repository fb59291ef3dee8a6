//! `nearcopy rebase`: an owner was restored from a backup, and its versions have gone back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, Outcome, Output, print, wiring};
use crate::pipeline::{Pace, RebaseError, Rebased};
use crate::replication::Subscription;
use crate::settings::Settings;
use crate::store::mongo::Mongo;
use crate::store::{EpochStore, Presence};

/// What was restored, and when.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The replica whose owner was restored.
    replica: String,
    /// When the restored owner went to work, by its own clock, such as 2026-03-01T12:00:00Z: what happened from then on
    /// is new.
    #[arg(long, value_name = "TIME")]
    at: Timestamp,
    /// Says that no event from before that time waits in the queue; needed where events do not say when they happened.
    #[arg(long)]
    purged: bool,
    /// Only says what would be done.
    #[arg(long)]
    dry_run: bool,
    /// How long to wait until every pod has heard of it.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    wait: Duration,
    /// Over how long the questions to the owner are spread.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    spread: Duration,
    /// A file or a folder; where none is given, the setting manifest.paths names them.
    #[arg(long, value_name = "MANIFEST")]
    manifest: Vec<PathBuf>,
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Runs the command.
pub(super) fn rebase(settings: &Settings, arguments: &Arguments) -> Outcome {
    settings.mongodb.url()?;
    wiring::block_on(|_| carry_out(settings, arguments))?
}

async fn carry_out(settings: &Settings, arguments: &Arguments) -> Outcome {
    let declared = wiring::manifest(settings, &arguments.manifest)?;
    let unknown = |error| Failure::new(Exit::Failed, &error);
    declared.replica(&arguments.replica).map_err(unknown)?;
    let store = wiring::mongodb(settings).await?;
    let declaration = Arc::new(store.placed(&declared).await?);
    let of = declaration.replica(&arguments.replica).map_err(unknown)?.clone();
    if !arguments.purged && store.is_undated(&of).await? {
        let text = format!("as far as records show, not every event of `{}` says when it happened", of.name);
        return Err(Failure::saying(Exit::Failed, text).hint(
            "an event without a time counts as new, so one that waits since before the restoration would win; empty \
             the queue, then say so with --purged",
        ));
    }
    if arguments.dry_run {
        return plan(&store, &of, arguments).await;
    }
    let pipeline = wiring::pipeline(settings, declaration, store.into(), CancellationToken::new())?;
    let pace = Pace { patience: arguments.wait, spread: arguments.spread };
    let rebased = pipeline.rebase(&of, arguments.at.as_microsecond(), pace).await;
    print(&receipt(&of, arguments, rebased.map_err(|error| failure(&error))?))
}

async fn plan(store: &Mongo, of: &Subscription, arguments: &Arguments) -> Outcome {
    let (timelines, pods) = (store.timelines(None).await?, store.present().await?);
    let epoch = timelines.get(&of.name).map_or(0, crate::replication::Timeline::current);
    let hosts: Vec<&String> = pods.iter().map(|Presence { host, .. }| host).collect();
    let table = || {
        format!(
            "`{}` is in epoch {epoch}; the next would begin at {}\npods that would have to hear of it: {}",
            of.name,
            arguments.at,
            pods.len()
        )
    };
    let value = || json!({ "replica": of.name.as_str(), "at": arguments.at.to_string(), "epoch": epoch, "pods": hosts });
    print(&arguments.output.say(table, value))
}

fn receipt(of: &Subscription, arguments: &Arguments, rebased: Rebased) -> String {
    let Rebased { epoch, pods, asked } = rebased;
    let (name, at) = (of.name.as_str(), arguments.at);
    let table = || {
        let heard = format!("`{name}` is in epoch {epoch} since {at}\npods that have heard of it: {pods}\n");
        heard
            + &match asked {
                Some(asked) => format!("records that the owner is asked about: {asked}"),
                None => "the owner cannot be asked: have it publish all that it has".to_owned(),
            }
    };
    let value =
        || json!({ "replica": name, "at": at.to_string(), "epoch": epoch, "pods": pods, "asked": asked });
    arguments.output.say(table, value)
}

fn failure(error: &RebaseError) -> Failure {
    match error {
        RebaseError::Early | RebaseError::Superseded | RebaseError::Halted(_) => Failure::new(Exit::Failed, error),
        RebaseError::Unheard(_) => Failure::new(Exit::Unreachable, error).hint(
            "the epoch has begun, but the owner is not asked yet; look at that pod, then run the same command again",
        ),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let read = text.parse::<SignedDuration>().ok().and_then(|exact| Duration::try_from(exact).ok());
    read.ok_or_else(|| "a duration is written 500ms, 2s, 5m or 1h".into())
}
