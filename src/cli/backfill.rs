//! `nearcopy backfill`: entities that no event has told of.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::{Exit, Failure, Outcome, Output, print, wiring};
use crate::event::EntityId;
use crate::pipeline::{Backfill, Backfilled, Halted, Pipeline};
use crate::replication::{Declaration, Keep, Subscription};
use crate::settings::Settings;

/// How many ids are taken together.
const TOGETHER: usize = 500;

/// Whom to fetch.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The replica.
    replica: String,
    #[command(flatten)]
    whom: Whom,
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
