//! `nearcopy backfill`: entities that no event has told of.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::table::visible;
use super::{Exit, Failure, Outcome, Output, print, wiring};
use crate::clock::Stopwatch;
use crate::event::EntityId;
use crate::fetch::FetchError;
use crate::pipeline::{Backfill, Backfilled, Halted, Pipeline, Walk, WalkError, Walked};
use crate::replication::{Declaration, Keep, Subscription};
use crate::settings::Settings;

/// How many ids are taken together.
const TOGETHER: usize = 500;
/// How long an owner is waited for that lists nothing.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long it is left in peace meanwhile.
const AGAIN: Duration = Duration::from_secs(2);

/// Whom to fetch.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The replica.
    replica: String,
    #[command(flatten)]
    whom: Whom,
    /// With --all: how many entities the owner is asked for in a second, at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    per_second: u32,
    /// Only says how many would be fetched.
    #[arg(long)]
    dry_run: bool,
    /// A file or a folder; where none is given, the setting manifest.paths names them.
    #[arg(long, value_name = "MANIFEST")]
    manifest: Vec<PathBuf>,
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(clap::Args)]
#[group(required = true, multiple = true)]
struct Whom {
    /// Those whose ids stand in a file, one in each line; `-` is the standard input.
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// All to whom documents refer.
    #[arg(long)]
    references: bool,
    /// All that the owner lists (fetch.list), as far as they are kept.
    #[arg(long, conflicts_with_all = ["ids", "references"])]
    all: bool,
}

/// Runs the command.
pub(super) fn backfill(settings: &Settings, arguments: &Arguments) -> Outcome {
    settings.mongodb.url()?;
    wiring::block_on(|_| carry_out(settings, arguments))?
}

async fn carry_out(settings: &Settings, arguments: &Arguments) -> Outcome {
    let (of, declaration, store) = wiring::replica(settings, &arguments.manifest, &arguments.replica).await?;
    if of.fetch.is_none() {
        let text = format!("`{}` declares no `fetch`, so its owner cannot be asked for anybody", of.name);
        return Err(Failure::saying(Exit::Failed, text)
            .hint("have the owner publish all that it has, or declare how it is asked"));
    }
    let pipeline = wiring::pipeline(settings, declaration.clone(), store.into(), CancellationToken::new())?;
    if arguments.whom.all {
        return walk(&pipeline, &of, arguments).await;
    }
    let progress = Progress::new();
    let tell = |so_far: Backfilled, open: u64| {
        let waiting = if open > 0 { format!("; {open} wait for the owner's answer") } else { String::new() };
        progress.say(&format!("{} looked at, {} wanted{waiting}", so_far.entities, so_far.wanted));
    };
    let hold = matches!(of.keep, Keep::Referenced).then_some(of.reads.wanted);
    let backfill = Backfill { of: &of, hold, only_look: arguments.dry_run, tell: &tell };
    let done = run(&pipeline, &declaration, &backfill, &arguments.whom).await;
    progress.end();
    print(&summary(&of, done?, arguments))
}

/// Walks through the owner's list. One that does not answer for a moment is asked again.
async fn walk(pipeline: &Pipeline, of: &Subscription, arguments: &Arguments) -> Outcome {
    if of.fetch.as_ref().is_none_or(|fetch| fetch.list.is_none()) {
        let text = format!(
            "`{}` declares no `fetch.list`, so its owner cannot be asked for all that it has",
            of.name
        );
        return Err(
            Failure::saying(Exit::Failed, text).hint("declare it, or name some by --ids or --references")
        );
    }
    let (progress, last) = (Progress::new(), Mutex::new(Stopwatch::start()));
    let tell = |walked: &Walked| {
        *last.lock().unwrap_or_else(PoisonError::into_inner) = Stopwatch::start();
        progress.say(&so_far(walked, &progress));
    };
    let walk = Walk { of, per_second: arguments.per_second, only_look: arguments.dry_run, tell: &tell };
    let walked = loop {
        match pipeline.walk_list(&walk).await {
            Err(WalkError::Owner(error)) if may_pass(&error) => {
                let silent = last.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
                if silent > PATIENCE || arguments.dry_run {
                    break Err(WalkError::Owner(error));
                }
                tokio::time::sleep(AGAIN).await;
            }
            walked => break walked,
        }
    };
    progress.end();
    print(&found(of, &walked.map_err(|error| cut_off(&error))?, arguments))
}

/// Whether it may answer a moment later: one that does not know the list never does.
fn may_pass(error: &FetchError) -> bool {
    match error {
        FetchError::Unreachable(_) | FetchError::Resting => true,
        FetchError::Failed(status) => *status >= 500 || [408, 425, 429].contains(status),
        FetchError::Refused(_) | FetchError::NotDeclared | FetchError::Unreadable(_) => false,
    }
}

fn cut_off(error: &WalkError) -> Failure {
    match error {
        WalkError::Owner(error) => Failure::new(Exit::Unreachable, error)
            .hint("how far it came is noted: the same command goes on from there; `nearcopy check --online` asks the owner, too"),
        WalkError::Taken => Failure::new(Exit::Failed, error)
            .hint("with `keep: all` a sidecar does so by itself; `nearcopy status` says how far it has come"),
        WalkError::Forgotten(_) | WalkError::Circle | WalkError::Halted(_) => Failure::new(Exit::Failed, error),
    }
}

fn so_far(walked: &Walked, progress: &Progress) -> String {
    let Walked { entities, before, brought, total, .. } = walked;
    let rest = total.map(|total| {
        let rest = progress.rest(entities - before, total.saturating_sub(*before));
        format!(" of {total}, {rest}")
    });
    format!("{entities}{} listed; {brought} brought something new", rest.unwrap_or_default())
}

fn found(of: &Subscription, walked: &Walked, arguments: &Arguments) -> String {
    let Walked { entities, before, brought, wanted, unreadable, trouble, .. } = walked;
    let dry = arguments.dry_run;
    let table = || {
        let mut lines = vec![format!(
            "{entities} listed; {brought} {}",
            if dry { "would bring something new" } else { "brought something new" }
        )];
        if *before > 0 {
            lines.push(format!("{before} of them were listed before it was taken up again"));
        }
        if *wanted > 0 {
            let became = if dry { "would be asked for" } else { "are asked for by the sidecars" };
            lines.push(format!("{wanted} have no version in the list, and {became}"));
        }
        if let Some((id, error)) = trouble {
            let id = id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
            lines.push(visible(&format!("{unreadable} cannot be read, such as{id}: {error}")));
        }
        lines.join("\n")
    };
    arguments.output.say(table, || {
        json!({
            "replica": of.name.as_str(),
            "entities": entities,
            "before": before,
            "brought": brought,
            "wanted": wanted,
            "unreadable": unreadable,
            "trouble": trouble.as_ref().map(|(id, error)| {
                json!({ "entity": id.as_ref().map(ToString::to_string), "why": error.to_string() })
            }),
            "dryRun": dry,
        })
    })
}

async fn run(
    pipeline: &Pipeline,
    declaration: &Declaration,
    backfill: &Backfill<'_>,
    whom: &Whom,
) -> Result<Backfilled, Failure> {
    let failed = |halted: Halted| Failure::new(Exit::Failed, &halted);
    let mut so_far = Backfilled::default();
    if let Some(path) = &whom.ids {
        let mut some = BTreeSet::new();
        for (number, line) in (1..).zip(lines(path)?) {
            let line = line.map_err(|error| unreadable(path, &error))?;
            let text = line.trim();
            if text.is_empty() {
                continue;
            }
            let id = EntityId::parse(text, backfill.of.selection.id_kind()).map_err(|error| {
                Failure::saying(Exit::Failed, format!("{}:{number}: {error}", path.display()))
                    .hint("those before it are wanted already; mended, the file can be given again")
            })?;
            some.insert(id);
            if some.len() >= TOGETHER {
                let ids: Vec<EntityId> = std::mem::take(&mut some).into_iter().collect();
                pipeline.backfill(backfill, &ids, &mut so_far).await.map_err(failed)?;
            }
        }
        let ids: Vec<EntityId> = some.into_iter().collect();
        pipeline.backfill(backfill, &ids, &mut so_far).await.map_err(failed)?;
    }
    if whom.references {
        for embed in declaration.embeds_of(&backfill.of.name) {
            pipeline.backfill_references(backfill, embed, &mut so_far).await.map_err(failed)?;
        }
    }
    Ok(so_far)
}

fn lines(path: &Path) -> Result<Box<dyn Iterator<Item = io::Result<String>>>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lines()));
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok(Box::new(BufReader::new(file).lines()))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::saying(Exit::Failed, format!("{} cannot be read: {error}", path.display()))
}

fn summary(of: &Subscription, done: Backfilled, arguments: &Arguments) -> String {
    let Backfilled { entities, wanted } = done;
    let became = if arguments.dry_run {
        "are not known and would be fetched"
    } else {
        "were not known and are wanted now: the sidecars ask their owner for them"
    };
    let table = || format!("{entities} looked at; {wanted} {became}");
    arguments.output.say(table, || {
        json!({ "replica": of.name.as_str(), "entities": entities, "wanted": wanted, "dryRun": arguments.dry_run })
    })
}
