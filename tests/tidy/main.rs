//! The laws of the house. A broken one fails with its reason and with each file and line that breaks it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a law that cannot be checked is broken")]

mod docs;
mod failure_modes;
mod scan;

use scan::{File, all, files, functions, imports, leads, module, none, place_of, sources, words};

/// What each module may import of the others. A longer path allows only what lies under it.
const ARROWS: [(&str, &[&str]); 14] = [
    ("event", &[]),
    ("replication", &["event"]),
    ("clock", &[]),
    ("source", &["event", "replication", "clock", "telemetry::metric", "telemetry::trace"]),
    ("fetch", &["event", "replication", "clock", "telemetry::metric", "telemetry::trace"]),
    ("store", &["event", "replication", "clock", "telemetry::metric", "telemetry::trace"]),
    (
        "pipeline",
        &[
            "event",
            "replication",
            "clock",
            "telemetry::metric",
            "telemetry::trace",
            "source",
            "fetch",
            "store",
        ],
    ),
    ("manifest", &["event", "replication"]),
    ("settings", &["telemetry"]),
    ("telemetry", &["event", "replication", "clock"]),
    ("lifecycle", &[]),
    ("api", &["event", "replication", "clock", "telemetry", "source", "fetch", "store", "pipeline"]),
    ("main", &[]),
    ("lib", &[]),
];
/// The adapters behind the contracts: only `cli` knows them.
const ADAPTERS: [&str; 8] = [
    "source::rabbitmq",
    "source::memory",
    "store::mongo",
    "store::memory",
    "fetch::http",
    "fetch::HttpFetch",
    "fetch::HttpFeed",
    "fetch::memory",
];
/// The one place where each of these crates may be named.
const PLACES: [(&str, &str); 8] = [
    ("lapin", "src/source/rabbitmq/"),
    ("mongodb", "src/store/mongo/"),
    ("reqwest", "src/fetch/"),
    ("axum", "src/api/"),
    ("hyper", "src/api/"),
    ("hyper_util", "src/api/"),
    ("clap", "src/cli/"),
    ("clap_complete", "src/cli/"),
];
/// What the pure core has no use for.
const IMPURE: [&str; 14] = [
    "async",
    "await",
    "tokio",
    "clock",
    "tracing",
    "Instant",
    "SystemTime",
    "now",
    "rand",
    "new_v4",
    "println",
    "std::fs",
    "std::env",
    "std::net",
];
const PANICS: [&str; 7] =
    [".unwrap()", ".expect(", "panic!", "todo!", "unimplemented!", "unreachable!", "dbg!"];
const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 60;

#[test]
fn imports_go_down_only() {
    let mut broken = Vec::new();
    for file in sources().iter().filter(|file| module(file) != "cli") {
        let allowed = ARROWS.iter().find(|(name, _)| *name == module(file)).map_or(&[][..], |(_, list)| list);
        for (place, path) in imports(file) {
            let is_below = allowed.iter().any(|prefix| leads(&path, prefix));
            let is_adapter = ADAPTERS.iter().any(|adapter| leads(&path, adapter));
            if !leads(&path, module(file)) && (!is_below || is_adapter) {
                broken.push(format!("{place}: imports `{path}`"));
            }
        }
    }
    none(&broken, "a module imports what lies below it; edges import no edge, and only `cli` knows adapters");
}

#[test]
fn a_driver_is_named_in_one_place_only() {
    let mut broken = Vec::new();
    for file in sources() {
        for (name, home) in PLACES.iter().filter(|(_, home)| !file.path.starts_with(home)) {
            for at in words(&file.own, name) {
                let is_path = file.own[at + name.len()..].starts_with("::");
                if is_path && !file.own[..at].ends_with(['.', ':']) {
                    broken.push(format!("{}: `{name}` belongs into {home}", place_of(&file, at)));
                }
            }
        }
    }
    none(&broken, "what a driver's types touch can neither be exchanged nor tested without it");
}

#[test]
fn the_core_is_pure() {
    let mut broken = Vec::new();
    for file in sources().iter().filter(|file| ["event", "replication"].contains(&module(file))) {
        for word in IMPURE {
            broken.extend(words(&file.own, word).map(|at| format!("{}: `{word}`", place_of(file, at))));
        }
    }
    none(&broken, "event and replication decide without I/O, clock, runtime, logs or chance");
}

#[test]
fn files_and_functions_are_short() {
    let mut broken = Vec::new();
    for file in all() {
        let lines = file.text.lines().count();
        if lines > LONGEST_FILE {
            broken.push(format!("{}:{lines}: a file of {lines} lines, at most {LONGEST_FILE}", file.path));
        }
        for (at, lines) in functions(&file.code).filter(|(_, lines)| *lines > LONGEST_FUNCTION) {
            let place = place_of(&file, at);
            broken.push(format!("{place}: a function of {lines} lines, at most {LONGEST_FUNCTION}"));
        }
    }
    none(&broken, "what does not fit on a screen is not read");
}

#[test]
fn every_module_says_what_it_is_for() {
    let says = |file: &File| file.text.starts_with("//! ") || file.text.starts_with("#![doc = include_str!(");
    let files = all();
    let broken = files.iter().filter(|file| !says(file));
    let broken: Vec<String> = broken.map(|file| format!("{}:1: begins without `//!`", file.path)).collect();
    none(&broken, "a file's first line says why it exists");
}

#[test]
fn nothing_panics_on_purpose() {
    let mut broken = Vec::new();
    for file in sources().iter().chain(&files("examples")) {
        for call in PANICS {
            let found = file.own.match_indices(call);
            broken.extend(found.map(|(at, _)| format!("{}: `{call}`", place_of(file, at))));
        }
    }
    none(&broken, "an error is a value; a panic takes everybody down with it");
}

#[test]
fn no_test_is_skipped() {
    let mut broken = Vec::new();
    for file in all() {
        broken.extend(file.code.match_indices("#[ignore").map(|(at, _)| place_of(&file, at)));
    }
    none(&broken, "a test that does not run protects nobody");
}
