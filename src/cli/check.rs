//! `nearcopy check`: is the manifest right, and are its surroundings as it needs them?

use std::path::PathBuf;

use super::{Exit, Failure, Outcome, print, wiring};
use crate::event::{EntityId, IdKind};
use crate::fetch::{Fetch, HttpFetch};
use crate::replication::{Answer, Declaration, Finding, Level, Subscription};
use crate::settings::Settings;
use crate::source::rabbitmq;

/// Checks the manifest, and with `online` the broker, the database and the owners too.
pub(super) fn check(
    settings: impl Fn() -> Result<Settings, Failure>,
    paths: &[PathBuf],
    online: bool,
) -> Outcome {
    let settings = settings()?;
    let declaration = wiring::declaration(&settings, paths)?;
    print(&format!(
        "the manifest of `{}` is right: {} source(s), {} replica(s), {} embed(s)",
        declaration.service,
        declaration.sources.len(),
        declaration.replicas.len(),
        declaration.embeds.len()
    ))?;
    if !online {
        return Ok(Exit::Done);
    }
    let findings = wiring::runtime()?.block_on(surroundings(&settings, &declaration));
    for (place, finding) in &findings {
        let mark = match finding.level {
            Level::Fine => "ok    ",
            Level::Advice => "look  ",
            Level::Wrong => "WRONG ",
        };
        print(&format!("{mark} {place:<9} {}", finding.text))?;
    }
    let wrong = findings.iter().filter(|(_, finding)| finding.level == Level::Wrong).count();
    if wrong == 0 {
        return Ok(Exit::Done);
    }
    Err(Failure {
        exit: Exit::Unreachable,
        text: format!("error: {wrong} of {} findings stand in the way", findings.len()),
    })
}

async fn surroundings(settings: &Settings, declaration: &Declaration) -> Vec<(&'static str, Finding)> {
    let mut findings = Vec::new();
    let mut note = |place, found: Result<Vec<Finding>, String>| {
        let found = found.unwrap_or_else(|error| vec![Finding::wrong(error)]);
        findings.extend(found.into_iter().map(|finding| (place, finding)));
    };
    for source in &declaration.sources {
        note(
            "rabbitmq",
            match wiring::rabbitmq(settings, &declaration.service) {
                Ok(options) => rabbitmq::inspect(source, &options).await.map_err(|error| error.to_string()),
                Err(failure) => Err(failure.text),
            },
        );
    }
    note(
        "mongodb",
        match wiring::mongodb(settings).await {
            Ok(store) => store.inspect(declaration).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        },
    );
    for replica in declaration.replicas.iter().filter(|replica| replica.fetch.is_some()) {
        note(
            "owner",
            match HttpFetch::new([replica]) {
                Ok(owner) => Ok(vec![ask_owner(&owner, replica).await]),
                Err(error) => Err(error.to_string()),
            },
        );
    }
    findings
}

/// Asks the owner for an entity that nobody has: a plain "I do not know it" is what a healthy owner says.
async fn ask_owner(owner: &HttpFetch, of: &Subscription) -> Finding {
    let nobody = match of.selection.id_kind() {
        IdKind::String => EntityId::String("nearcopy-check".into()),
        IdKind::Int => EntityId::Int(0),
        IdKind::ObjectId => EntityId::ObjectId([0; 12]),
        IdKind::Uuid => EntityId::Uuid(uuid::Uuid::nil()),
    };
    let name = format!("`{}`, asked for an entity of `{}` that nobody has,", of.owner, of.name);
    match owner.ask(of, &[nobody]).await.pop() {
        Some(Ok(Answer::NotFound)) => Finding::fine(format!("{name} says that it does not know it")),
        Some(Ok(Answer::Found { .. })) => Finding::advice(format!("{name} knows it after all")),
        Some(Err(error)) => Finding::wrong(format!("{name}: {error}")),
        None => Finding::wrong(format!("{name} gave no answer")),
    }
}
