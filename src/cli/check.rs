//! `nearcopy check`: is the manifest right, and are its surroundings as it needs them?

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::join_all;
use serde_json::{Value, json};

use super::failure::report;
use super::promise::promises;
use super::{Exit, Failure, Outcome, Output, print, wiring};
use crate::event::{EntityId, IdKind};
use crate::fetch::{Feed, Fetch, HttpFetch};
use crate::manifest::{Diagnostic, Diagnostics};
use crate::replication::{
    Answer, Declaration, Finding, Inflow, Level, ListSpec, ReadModel, SourceSpec, StreamSpec, Subscription,
    Teller,
};
use crate::settings::Settings;
use crate::source::rabbitmq;

/// What was looked at, and what was found there.
type Found = (&'static str, Finding);

/// Checks the manifest, and with `online` the broker, the database and the owners too.
pub(super) fn check(settings: &Settings, paths: &[PathBuf], online: bool, output: Output) -> Outcome {
    let declaration = match wiring::unguarded(settings, paths) {
        Ok(declaration) => wiring::guarded(settings, &declaration)?,
        Err(diagnostics) => return reject(diagnostics, output),
    };
    let mut found = vec![("manifest", Finding::fine(summary(&declaration)))];
    found.extend(promises(&declaration).into_iter().map(|finding| ("manifest", finding)));
    if declaration.contract.is_some() && settings.read.listen.is_none() {
        let text = "`grpc` is declared, and nobody can call it: `read.listen` is not set";
        found.push(("manifest", Finding::advice(text)));
    }
    if online {
        settings.check_addresses(declaration.needs_broker())?;
        found.extend(wiring::block_on(|_| surroundings(settings, &declaration))?);
    }
    print(&output.say(|| table(&found), || json(&[], &found)))?;
    let wrong = found.iter().filter(|(_, finding)| finding.level == Level::Wrong).count();
    match (wrong, output) {
        (0, _) => Ok(Exit::Done),
        (_, Output::Json | Output::Yaml) => Ok(Exit::Unreachable),
        (_, Output::Table) => {
            let text = format!("{wrong} of {} findings stand in the way", found.len());
            Err(Failure::saying(Exit::Unreachable, text))
        }
    }
}

fn reject(diagnostics: Diagnostics, output: Output) -> Outcome {
    if output == Output::Table {
        return Err(diagnostics.into());
    }
    print(&output.say(String::new, || json(&errors(&diagnostics), &[])))?;
    Ok(Exit::Invalid)
}

/// What is wrong with files, for a program.
pub(super) fn errors(diagnostics: &Diagnostics) -> Vec<Value> {
    let error = |found: &Diagnostic| {
        let place = diagnostics.location(found);
        json!({
            "code": found.code().as_str(),
            "message": found.message(),
            "reason": found.reason(),
            "advice": found.advice(),
            "file": place.as_ref().map(|place| &place.file),
            "line": place.as_ref().map(|place| place.line),
            "column": place.as_ref().map(|place| place.column),
        })
    };
    diagnostics.iter().map(error).collect()
}

fn summary(of: &Declaration) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let sources = count(of.sources.len() + of.streams.len() + of.feeds.len(), "source");
    let (replicas, embeds) = (count(of.replicas.len(), "replica"), count(of.embeds.len(), "embed"));
    let methods = of.contract.as_ref().map(|contract| count(contract.methods.len(), "method"));
    let methods = methods.map(|methods| format!(", {methods} of gRPC")).unwrap_or_default();
    let models = Some(of.read_models.len()).filter(|models| *models > 0);
    let models = models.map(|models| format!(", {}", count(models, "read model"))).unwrap_or_default();
    format!("`{}` is right: {sources}, {replicas}, {embeds}{models}{methods}", of.service)
}

fn table(found: &[Found]) -> String {
    let line = |(place, finding): &Found| {
        let mark = match finding.level {
            Level::Fine => "ok",
            Level::Advice => "look",
            Level::Wrong => "WRONG",
        };
        format!("{mark:<6} {place:<9} {}", finding.text)
    };
    found.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One object: what is wrong with the manifest, and what was found.
fn json(errors: &[Value], found: &[Found]) -> Value {
    let findings = found.iter().map(|(place, finding)| {
        let level = match finding.level {
            Level::Fine => "ok",
            Level::Advice => "look",
            Level::Wrong => "wrong",
        };
        json!({ "place": place, "level": level, "text": finding.text })
    });
    json!({ "errors": errors, "findings": findings.collect::<Vec<_>>() })
}

/// Looks at everything at once, so that what does not answer costs its patience only once.
async fn surroundings(settings: &Settings, declaration: &Declaration) -> Vec<Found> {
    let queues = queues(declaration);
    let sources = queues.iter().map(|source| look_at_source(settings, declaration, source));
    let parts: Vec<_> = declaration.streams.iter().flat_map(StreamSpec::parts).collect();
    let streams = parts.iter().map(|stream| look_at_stream(settings, declaration, stream));
    let feeds = declaration.feeds.iter().filter_map(|feed| match &feed.teller {
        Teller::Owner(list) => Some((&feed.name, list)),
        // One of the database's.
        Teller::Collection(_) => None,
    });
    let (sources, streams, database, owners, feeds) = tokio::join!(
        join_all(sources),
        join_all(streams),
        look_at_database(settings, declaration),
        ask_owners(settings, declaration),
        join_all(feeds.map(|(name, list)| look_at_feed(settings, name, list)))
    );
    let place = |place, findings: Vec<Finding>| findings.into_iter().map(move |finding| (place, finding));
    place("rabbitmq", [sources.concat(), streams.concat()].concat())
        .chain(place("mongodb", database))
        .chain(place("owner", [owners, feeds].concat()))
        .collect()
}

/// The queues that are read: one for all replicas of a source, and one for each read model.
pub(super) fn queues(declaration: &Declaration) -> Vec<Arc<SourceSpec>> {
    let of_model = |of: &Arc<ReadModel>| match declaration.inflow(of) {
        Ok(Inflow::Queue(source)) => Some(source),
        Ok(Inflow::Stream(_) | Inflow::Feed(_)) | Err(_) => None,
    };
    declaration.queues().cloned().chain(declaration.read_models.iter().filter_map(of_model)).collect()
}

async fn look_at_source(
    settings: &Settings,
    declaration: &Declaration,
    source: &Arc<SourceSpec>,
) -> Vec<Finding> {
    let looked = match wiring::rabbitmq(settings, &declaration.service) {
        Ok(options) => rabbitmq::inspect(source, &options).await.map_err(|error| error.report()),
        Err(error) => Err(report(&error)),
    };
    named(&source.name, looked)
}

async fn look_at_stream(
    settings: &Settings,
    declaration: &Declaration,
    stream: &Arc<StreamSpec>,
) -> Vec<Finding> {
    let looked = match wiring::rabbitmq(settings, &declaration.service) {
        Ok(options) => match rabbitmq::Stream::new(stream, options) {
            Ok(reader) => reader.inspect().await.map_err(|error| error.report()),
            Err(error) => Err(error.report()),
        },
        Err(error) => Err(report(&error)),
    };
    named(&stream.name, looked)
}

/// Asks for the first page, and does nothing with it.
async fn look_at_feed(settings: &Settings, name: &str, list: &ListSpec) -> Finding {
    let told = match wiring::owner_feed(settings, name, list) {
        Ok(feed) => feed.page(&list.from).await.map_err(|error| report(&error)),
        Err(_) => Err("the HTTP client cannot be set up".into()),
    };
    match told {
        Ok(page) => Finding::fine(format!("feed `{name}`: {} events on its first page", page.items.len())),
        Err(error) => Finding::wrong(format!("feed `{name}`: {error}")),
    }
}

/// Findings about a source, or why there are none.
fn named(source: &str, looked: Result<Vec<Finding>, String>) -> Vec<Finding> {
    let findings = looked.unwrap_or_else(|error| vec![Finding::wrong(error)]);
    let named = |finding: Finding| Finding { text: format!("`{source}`: {}", finding.text), ..finding };
    findings.into_iter().map(named).collect()
}

async fn look_at_database(settings: &Settings, declaration: &Declaration) -> Vec<Finding> {
    let looked = match wiring::mongodb(settings).await {
        Ok(store) => store.inspect(declaration).await,
        Err(error) => Err(error),
    };
    looked.unwrap_or_else(|error| vec![Finding::wrong(report(&error))])
}

async fn ask_owners(settings: &Settings, declaration: &Declaration) -> Vec<Finding> {
    match wiring::owners(settings, declaration) {
        Ok(owners) => {
            let fetched = declaration.replicas.iter().filter(|replica| replica.fetch.is_some());
            let listed = declaration
                .replicas
                .iter()
                .filter(|replica| replica.fetch.as_ref().is_some_and(|fetch| fetch.list.is_some()));
            let (asked, listed) = tokio::join!(
                join_all(fetched.map(|replica| ask_owner(&owners, replica))),
                join_all(listed.map(|replica| look_at_list(&owners, replica)))
            );
            [asked, listed].concat()
        }
        Err(failure) => vec![Finding::wrong(failure.text)],
    }
}

/// Asks the owner for an entity that nobody has: a plain "I do not know it" is what a healthy owner says.
async fn ask_owner(owners: &HttpFetch, of: &Subscription) -> Finding {
    let nobody = match of.selection.id_kind() {
        IdKind::String => EntityId::String("nearcopy-check".into()),
        IdKind::Int => EntityId::Int(0),
        IdKind::ObjectId => EntityId::ObjectId([0; 12]),
        IdKind::Uuid => EntityId::Uuid(uuid::Uuid::nil()),
    };
    let asked = format!("`{}`, asked for an entity of `{}` that nobody has", of.owner, of.name);
    match owners.ask(of, &[nobody]).await.pop().map(|reply| reply.outcome) {
        Some(Ok(Answer::NotFound)) => Finding::fine(format!("{asked}, says that it does not know it")),
        Some(Ok(Answer::Found { .. })) => Finding::advice(format!("{asked}, knows it after all")),
        Some(Err(error)) => Finding::wrong(format!("{asked}: {}", report(&error))),
        None => Finding::wrong(format!("{asked}: no answer")),
    }
}

/// Asks for the first page of the owner's list, and does nothing with it.
async fn look_at_list(owners: &HttpFetch, of: &Subscription) -> Finding {
    let list = format!("`{}`, asked for its list of `{}`", of.owner, of.name);
    match owners.list(of, None).await {
        Ok(page) if page.unreadable.is_empty() => {
            let more = if page.next.is_some() { ", and there are more" } else { ", and there are no more" };
            Finding::fine(format!("{list}, gives {} on the first page{more}", page.entities.len()))
        }
        Ok(page) => {
            let why = page.unreadable.first().map(|(_, error)| error.to_string()).unwrap_or_default();
            Finding::wrong(format!(
                "{list}: {} on the first page cannot be read: {why}",
                page.unreadable.len()
            ))
        }
        Err(error) => Finding::wrong(format!("{list}: {}", report(&error))),
    }
}
