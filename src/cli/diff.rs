//! `nearcopy diff` and `nearcopy reconcile`: what is held, beside what owners say and documents show.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::table::visible;
use super::{Exit, Failure, Outcome, Output, print, wiring};
use crate::event::EntityId;
use crate::pipeline::{Survey, Surveyed};
use crate::replication::{Difference, Subscription};
use crate::settings::Settings;

/// What to compare.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The replica.
    replica: String,
    /// Only these entities; where none is given, all that are held.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// How many of a hundred are looked at, drawn by chance.
    #[arg(long, value_name = "PERCENT", default_value_t = 100.0, value_parser = percent)]
    sample: f64,
    /// How many entities the owner is asked about in a second, at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    per_second: u32,
    /// A file or a folder; where none is given, the setting manifest.paths names them.
    #[arg(long, value_name = "MANIFEST")]
    manifest: Vec<PathBuf>,
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What to put right.
#[derive(clap::Args)]
pub(super) struct Reconcile {
    #[command(flatten)]
    what: Arguments,
    /// Only says what differs, as `diff` does.
    #[arg(long)]
    dry_run: bool,
}

/// Runs `diff`, which ends with 3 where anything differs.
pub(super) fn diff(settings: &Settings, arguments: &Arguments) -> Outcome {
    settings.mongodb.url()?;
    wiring::block_on(|_| carry_out(settings, arguments, false))?
}

/// Runs `reconcile`.
pub(super) fn reconcile(settings: &Settings, arguments: &Reconcile) -> Outcome {
    settings.mongodb.url()?;
    wiring::block_on(|_| carry_out(settings, &arguments.what, !arguments.dry_run))?
}

async fn carry_out(settings: &Settings, arguments: &Arguments, repair: bool) -> Outcome {
    let (of, declaration, store) = wiring::replica(settings, &arguments.manifest, &arguments.replica).await?;
    let id = |text: &String| {
        EntityId::parse(text, of.selection.id_kind())
            .map_err(|error| Failure::saying(Exit::Failed, format!("`{text}`: {error}")))
    };
    let only: BTreeSet<EntityId> = arguments.ids.iter().map(id).collect::<Result<_, _>>()?;
    let all = match only.len() as u64 {
        0 => store.about_how_many(of.name.as_str()).await?,
        named => named,
    };
    let pipeline = wiring::pipeline(settings, declaration, store.into(), CancellationToken::new())?;
    let progress = Progress::new();
    let tell = |found: &Surveyed| {
        let rest = progress.rest(found.entities, all);
        progress.say(&format!(
            "{} of about {all} entities, {rest}; {} documents",
            found.entities, found.documents
        ));
    };
    let survey = Survey {
        of: &of,
        only,
        share: arguments.sample,
        seed: uuid::Uuid::new_v4().as_u64_pair().0,
        per_second: arguments.per_second,
        repair,
        tell: &tell,
    };
    let found = pipeline.survey(&survey).await;
    progress.end();
    let found = found.map_err(|halted| Failure::new(Exit::Failed, &halted))?;
    let said = arguments.output.say(|| table(&of, &found, repair), || object(&of, &found, repair));
    print(&said)?;
    Ok(if found.is_same() || repair { Exit::Done } else { Exit::Different })
}

fn object(of: &Subscription, found: &Surveyed, repair: bool) -> Value {
    let named = |(id, difference): &(EntityId, Difference)| {
        let fields = if let Difference::Fields(names) = difference { Some(names) } else { None };
        json!({ "entity": id.to_string(), "difference": difference.as_str(), "fields": fields })
    };
    json!({
        "replica": of.name.as_str(),
        "entities": found.entities,
        "unanswered": found.unanswered,
        "listed": found.listed,
        "unlisted": found.unlisted,
        "differing": found.differing,
        "named": found.named.iter().map(named).collect::<Value>(),
        "documents": found.documents,
        "outdated": found.outdated,
        "unknown": found.unknown,
        "repaired": repair,
    })
}

fn table(of: &Subscription, found: &Surveyed, repair: bool) -> String {
    let asked = if of.fetch.is_some() {
        format!("{} entities compared with their owner", found.entities)
    } else {
        "the owner cannot be asked: no `fetch` is declared".to_owned()
    };
    let mut lines = vec![asked];
    if found.unanswered > 0 {
        lines.push(format!("{} of them the owner gave no answer about", found.unanswered));
    }
    if let Some(listed) = found.listed {
        lines.push(format!("{listed} on its list looked for"));
    }
    if let Some(why) = &found.unlisted {
        lines.push(visible(&format!("its list could not be read to the end: {why}")));
    }
    for (word, count) in &found.differing {
        lines.push(format!("  {count} {word}: {}", meaning(word)));
    }
    for (id, difference) in &found.named {
        let fields = if let Difference::Fields(names) = difference {
            format!(": {}", names.join(", "))
        } else {
            String::new()
        };
        // Much of it was written by others, and must not reach a terminal as a command.
        let line = format!("    {id}  {}{fields}", difference.as_str());
        lines.push(visible(&line));
    }
    lines.push(format!("{} documents compared with their records", found.documents));
    for (embed, count) in found.outdated.iter().filter(|(_, count)| **count > 0) {
        lines.push(format!(
            "  {count} by {embed} show something else than they should, or their change is on its way"
        ));
    }
    for (embed, count) in found.unknown.iter().filter(|(_, count)| **count > 0) {
        lines.push(format!("  {count} by {embed} refer to somebody of whom nothing is known"));
    }
    lines.push(match (found.is_same(), repair) {
        (true, _) => "all is the same".to_owned(),
        (false, true) => {
            "documents are brought in line; the sidecars ask the owner about every entity that differs"
                .to_owned()
        }
        (false, false) => format!("`nearcopy reconcile {}` puts it right", of.name),
    });
    lines.join("\n")
}

fn meaning(word: &str) -> &'static str {
    match word {
        "pending" => "wanted, and the owner has not been heard yet",
        "behind" => "the owner has a newer version",
        "ahead" => {
            "what is held is newer than the owner's answer: it answers late, or was restored from a backup"
        }
        "missing" => "the owner has it, and it is held as gone",
        "unknown" => "the owner lists it, and nothing is known of it here",
        "surplus" => "held, and the owner does not know it, or it is outside the subset",
        _ => "the same version says something else",
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let read = text.trim_end_matches('%').parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 100.0);
    read.ok_or_else(|| "a share is above 0 and at most 100, such as 5 or 0.5".into())
}
