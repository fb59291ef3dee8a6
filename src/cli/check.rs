//! `nearcopy check`: is the manifest right, and are its surroundings as it needs them?

use std::path::PathBuf;

use super::{Exit, Failure, Outcome, print, wiring};
use crate::replication::{Declaration, Finding, Level};
use crate::settings::Settings;
use crate::source::rabbitmq;

/// Checks the manifest, and with `online` the broker, the database and the owners too.
pub fn check(settings: impl Fn() -> Result<Settings, Failure>, paths: &[PathBuf], online: bool) -> Outcome {
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
            Err(failure) => Err(failure.text),
        },
    );
    findings
}
