//! `nearcopy read-model`: documents that are folded from events.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Exit, Failure, Outcome, complain, print, wiring};
use crate::event::EntityId;
use crate::pipeline::{Rebuild, RebuildError, Rebuilt, RebuiltOne, Step};
use crate::replication::{Class, Declaration, DeclarationError, Inflow, ReadModel, StreamSpec};
use crate::settings::Settings;
use crate::source::Log;
use crate::source::rabbitmq::Stream;

/// What to do with read models.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Folds a read model anew from the beginning of its stream, while the old documents are served, and then puts the new
    /// ones in their place.
    Rebuild {
        /// Its name.
        name: String,
        /// Only the document with this key.
        #[arg(long, value_name = "KEY", conflicts_with = "anew")]
        key: Option<String>,
        /// Folds and compares, and replaces nothing.
        #[arg(long)]
        dry_run: bool,
        /// Folds all that the stream has now, though it does not have any more what is served. Nothing is folded meanwhile.
        #[arg(long, conflicts_with = "dry_run")]
        anew: bool,
        /// A file or a folder; where none is given, the setting manifest.paths names them.
        #[arg(long, value_name = "MANIFEST")]
        manifest: Vec<PathBuf>,
    },
    /// Puts back the documents that were served before the last rebuild, and folds on from where they stood.
    Undo {
        /// Its name.
        name: String,
        /// Compares, and puts nothing back.
        #[arg(long)]
        dry_run: bool,
        /// A file or a folder; where none is given, the setting manifest.paths names them.
        #[arg(long, value_name = "MANIFEST")]
        manifest: Vec<PathBuf>,
    },
}

/// Runs the command.
pub(super) fn read_model(settings: &Settings, command: &Command) -> Outcome {
    settings.mongodb.url()?;
    settings.rabbitmq.url()?;
    wiring::block_on(|_| carry_out(settings, command))?
}

async fn carry_out(settings: &Settings, command: &Command) -> Outcome {
    let (Command::Rebuild { name, manifest, .. } | Command::Undo { name, manifest, .. }) = command;
    let declaration = wiring::manifest(settings, manifest)?;
    let (of, stream) = found(&declaration, name)?;
    let store = wiring::mongodb(settings).await?;
    let options = wiring::rabbitmq(settings, &declaration.service)?;
    let mut parts: Vec<(Inflow, Arc<dyn Log>)> = Vec::new();
    for part in stream.parts() {
        let log = Stream::new(&part, options.clone()).map_err(|error| Failure::new(Exit::Invalid, &error))?;
        parts.push((Inflow::Stream(part), Arc::new(log)));
    }
    let rebuild = Rebuild { of, parts, store: &store, tell: &tell };
    match command {
        Command::Rebuild { anew: true, .. } => {
            let rebuilt = rebuild.run_anew().await.map_err(|error| failure(&error))?;
            print(&summary(&rebuilt, false))
        }
        Command::Rebuild { key: Some(key), dry_run, .. } => {
            let key = EntityId::parse(key, rebuild.of.key);
            let key = key.map_err(|error| Failure::saying(Exit::Failed, format!("`--key`: {error}")))?;
            let rebuilt = rebuild.run_one(&key, &store, *dry_run).await.map_err(|error| failure(&error))?;
            print(&summary_of_one(&key, rebuilt, *dry_run))
        }
        Command::Rebuild { dry_run, .. } => {
            let rebuilt = rebuild.run(*dry_run).await.map_err(|error| failure(&error))?;
            print(&summary(&rebuilt, *dry_run))
        }
        Command::Undo { dry_run: true, .. } => {
            let compared = rebuild.look_back().await.map_err(|error| failure(&error))?;
            print(&format!(
                "{} documents would be put back in the place of {}, {} of them different",
                compared.rebuilt, compared.served, compared.different
            ))
        }
        Command::Undo { .. } => {
            rebuild.undo().await.map_err(|error| failure(&error))?;
            print(&format!(
                "`{name}` is as it was before the last rebuild; what has happened since is folded again"
            ))
        }
    }
}

/// A read model that can be folded anew, and its stream.
fn found(declaration: &Declaration, name: &str) -> Result<(Arc<ReadModel>, Arc<StreamSpec>), Failure> {
    let failed = |error: DeclarationError| Failure::new(Exit::Failed, &error);
    let unknown = || failed(DeclarationError { what: "read model", name: name.to_owned() });
    let of = declaration.read_models.iter().find(|model| model.name.as_str() == name).ok_or_else(unknown)?;
    match declaration.inflow(of).map_err(failed)? {
        Inflow::Stream(stream) => Ok((of.clone(), stream)),
        Inflow::Feed(feed) if feed.collection().is_some() => Err(Failure::saying(
            Exit::Failed,
            format!("`{name}` is fed by a collection, of which nobody tells again what has happened there"),
        )
        .hint("declare a read model of it under another name: it begins with all that stands there")),
        Inflow::Feed(_) => Err(Failure::saying(
            Exit::Failed,
            format!("`{name}` is fed by a feed, which is read once, from where it stands"),
        )
        .hint("declare a read model of the same feed under another name: it begins with the feed's first position")),
        Inflow::Queue(source) => {
            let text = format!(
                "`{name}` is fed by queue `{}`, which cannot be read twice, so nothing can be folded from the beginning",
                source.queue.queue
            );
            Err(Failure::saying(Exit::Failed, text).hint(format!(
                "bind a stream to the exchange (`stream: {{ name: …, exchange: {}, bindings: […] }}`) and declare a read \
                 model of it under another name; or have the events published again",
                source.queue.exchange
            )))
        }
    }
}

/// Talks of how it goes.
fn tell(step: Step) {
    match step {
        Step::Folding { events, per_second, behind, rest } => {
            complain(&format!(
                "{events} events, {per_second} in a second; {behind} to go: {} s",
                rest.as_secs()
            ));
        }
        Step::Replacing(compared) => complain(&format!(
            "{} documents are served, {} were folded anew, {} are different",
            compared.served, compared.rebuilt, compared.different
        )),
    }
}

fn summary(rebuilt: &Rebuilt, dry_run: bool) -> String {
    let Rebuilt { events, compared } = rebuilt;
    let what = if dry_run { "would replace" } else { "replaced" };
    format!(
        "{events} events were folded; {} documents {what} {}, {} of them different",
        compared.rebuilt, compared.served, compared.different
    )
}

fn summary_of_one(key: &EntityId, rebuilt: RebuiltOne, dry_run: bool) -> String {
    let RebuiltOne { events, is_there, is_different } = rebuilt;
    let what = match (is_there, is_different) {
        (_, false) => "what is served is the same",
        (true, true) if dry_run => "what is served is different",
        (true, true) => "it was different, and is replaced",
        (false, true) if dry_run => "it should not be there",
        (false, true) => "it should not have been there, and is deleted",
    };
    format!("{events} events were read for `{key}`: {what}")
}

fn failure(error: &RebuildError) -> Failure {
    let exit = match error {
        RebuildError::Log(error) if error.class != Class::Misconfigured => Exit::Unreachable,
        RebuildError::Store(error) if error.class() == Class::Transient => Exit::Unreachable,
        _ => Exit::Failed,
    };
    Failure::new(exit, error)
}
