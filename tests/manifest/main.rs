//! What a team writes is understood, or answered with everything that is wrong with it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails at that very line")]

mod contract;
mod suites;
mod understood;
mod unreadable;

use std::path::{Path, PathBuf};

use nearcopy::manifest::{self, Code, Diagnostics};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The manifests of a folder, in order, without tests.
fn manifests(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.retain(|path| !path.to_string_lossy().ends_with(".test.yaml"));
    paths.sort();
    paths
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn codes(diagnostics: &Diagnostics) -> Vec<&'static str> {
    diagnostics.iter().map(|diagnostic| diagnostic.code().as_str()).collect()
}

#[test]
fn every_mistake_is_answered_with_what_where_why_and_what_to_do() {
    let lookup = |name: &str| (name == "NUMBER").then(|| "42".to_owned());
    let paths = manifests("tests/manifest/bad");
    assert!(paths.len() >= 65, "only {} bad manifests were found", paths.len());
    for path in paths {
        let name = name_of(&path);
        let text = std::fs::read_to_string(&path).unwrap();
        let Err(diagnostics) = manifest::parse(&format!("{name}.yaml"), &text, &lookup) else {
            panic!("{name} is accepted");
        };
        for diagnostic in diagnostics.iter() {
            assert!(!diagnostic.message().is_empty(), "{name}: no message: {diagnostics}");
            assert!(!diagnostic.reason().is_empty(), "{name}: no reason: {diagnostics}");
            assert!(!diagnostic.advice().is_empty(), "{name}: no advice: {diagnostics}");
            assert!(diagnostics.location(diagnostic).is_some(), "{name}: no place: {diagnostics}");
        }
        let settings = insta::Settings::clone_current();
        settings.bind(|| {
            insta::with_settings!({
                snapshot_path => "bad",
                prepend_module_to_snapshot => false,
                omit_expression => true,
            }, { insta::assert_snapshot!(name, diagnostics.to_string()) });
        });
    }
}

#[test]
fn all_mistakes_of_all_parts_are_reported_in_one_run() {
    let text = std::fs::read_to_string(root().join("tests/manifest/bad/many_at_once.yaml")).unwrap();
    let diagnostics = manifest::parse("many_at_once.yaml", &text, &|_| None).unwrap_err();
    let lines: Vec<usize> =
        diagnostics.iter().map(|found| diagnostics.location(found).unwrap().line).collect();
    assert!(lines.is_sorted(), "they stand in the order of the file");
    assert!(diagnostics.len() >= 18, "{diagnostics}");
    let kinds = codes(&diagnostics);
    for expected in ["N201", "N202", "N203", "N204", "N301", "N304", "N306", "N307", "N308", "N402", "N309"] {
        assert!(kinds.contains(&expected), "{expected} is missing in {kinds:?}");
    }
}

#[test]
fn a_place_is_given_by_file_line_and_column() {
    let text = "service: shop\nreplicas:\n  users: {ownr: ü}\n";
    let diagnostics = manifest::parse("shop.yaml", text, &|_| None).unwrap_err();
    let unknown = diagnostics.iter().find(|found| found.code() == Code::UnknownKey).unwrap();
    let place = diagnostics.location(unknown).unwrap();
    assert_eq!((place.file.as_str(), place.line, place.column), ("shop.yaml", 3, 11));
}

#[test]
fn colours_only_where_they_are_asked_for() {
    let diagnostics = manifest::parse("shop.yaml", "service: 1\n", &|_| None).unwrap_err();
    assert!(!diagnostics.to_string().contains('\u{1b}'));
    assert!(diagnostics.render(true).contains('\u{1b}'));
}

#[test]
fn the_schema_is_the_one_that_is_published() {
    let current = serde_json::to_string_pretty(&manifest::schema()).unwrap() + "\n";
    let path = root().join("config/manifest.schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(published == current, "config/manifest.schema.json is stale; run the tests with UPDATE_SCHEMA=1");
}

#[test]
fn every_key_of_the_schema_is_explained() {
    fn visit(place: &str, schema: &serde_json::Value) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let explained = property["description"].is_string() || schema["description"].is_string();
            assert!(explained, "{place}.{key} has no description");
        }
        match schema {
            serde_json::Value::Object(map) => map.iter().for_each(|(key, value)| visit(key, value)),
            serde_json::Value::Array(items) => items.iter().for_each(|item| visit(place, item)),
            _ => {}
        }
    }
    let schema = manifest::schema();
    assert!(schema["properties"]["replicas"]["description"].is_string());
    visit("", &schema);
}
