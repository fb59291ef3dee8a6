//! What a file of tests says: tests become domain types, and whatever does not fit their manifest is found.

mod event;
mod given;
mod then;

use std::collections::BTreeSet;

use super::super::place::{Place, Value};
use super::super::suite::{Case, Owners};
use super::super::{Code, Diagnostic, suggest};
use super::{Noted, empty, entry};
use crate::replication::{Declaration, Subscription};

/// Reads all tests; they count only if nothing was found.
pub(in crate::manifest) fn read_suite(
    root: Place<'_>,
    of: &Declaration,
    findings: &mut Vec<Diagnostic>,
) -> Vec<Case> {
    let Some(tests) = root.get("tests") else { return Vec::new() };
    if matches!(&tests.node.value, Value::List(tests) if tests.is_empty()) {
        findings.push(empty(tests, "there is no test in the file", "begin one with `- name: …`"));
    }
    tests.items().filter(|test| !test.is_broken()).map(|test| case(test, of, findings)).collect()
}

fn case(at: Place<'_>, of: &Declaration, findings: &mut Vec<Diagnostic>) -> Case {
    let name = at.get("name").and_then(Place::text).unwrap_or_default();
    if at.has("name") && name.trim().is_empty() && !at.at("name").is_broken() {
        findings.push(empty(at.at("name"), "the test has no name", "say what is promised, in words"));
    }
    let (documents, owners) = match at.get("given") {
        Some(given) => (given::documents(given, of, findings), given::owners(given, of, findings)),
        None => (Vec::new(), Owners::new()),
    };
    let events = at.get("events").into_iter().flat_map(Place::items).filter(|event| !event.is_broken());
    let events = events.filter_map(|event| event::read(event, of, findings)).collect();
    let expected = at.get("then").map(|then| then::read(then, of, findings)).unwrap_or_default();
    Case { name: name.to_owned(), documents, owners, events, expected }
}

/// What a part of a test says does not fit the manifest.
fn unfit(at: Place<'_>, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::Unfit, at.mark(), message)
}

/// The replica of that name, or that there is none.
fn replica<'d>(name: &str, at: Place<'_>, of: &'d Declaration) -> Result<&'d Subscription, Diagnostic> {
    of.replica(name).map(|replica| &**replica).map_err(|_| {
        let names = of.replicas.iter().map(|replica| replica.name.as_str());
        Diagnostic::new(Code::UnknownName, at.key, format!("there is no replica `{name}`"))
            .why("not declared under `replicas` of the manifest")
            .help(suggest::advice(name, names))
    })
}

/// The consumer's collections that embeds show something in.
fn collections(of: &Declaration) -> BTreeSet<&str> {
    of.embeds.iter().map(|embed| embed.collection.as_str()).collect()
}
