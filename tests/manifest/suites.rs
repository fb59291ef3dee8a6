//! Tests of a manifest are read, or answered with everything that is wrong with them.

use std::path::{Path, PathBuf};

use bson::{Bson, doc};
use nearcopy::event::EntityId;
use nearcopy::manifest::{self, Suite};

use super::codes;

/// From the package's folder, where tests run, so that what is said is the same everywhere.
const FOLDER: &str = "tests/manifest/suites";

fn load(name: &str, text: &str) -> Suite {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("suites").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(Path::new(FOLDER).join("shop.yaml"), folder.join("shop.yaml")).unwrap();
    let file = folder.join("shop.test.yaml");
    std::fs::write(&file, text).unwrap();
    manifest::load_suite(&file).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

#[test]
fn every_mistake_in_a_test_is_answered_with_what_where_why_and_what_to_do() {
    let files = manifest::suites(&[PathBuf::from(FOLDER)]).unwrap();
    assert!(files.len() >= 28, "only {} files of tests were found", files.len());
    for file in files {
        let Err(diagnostics) = manifest::load_suite(&file) else { panic!("{} is accepted", file.display()) };
        let name = Path::new(file.file_stem().unwrap()).file_stem().unwrap().to_string_lossy().into_owned();
        for diagnostic in diagnostics.iter() {
            assert!(!diagnostic.message().is_empty(), "{name}: no message: {diagnostics}");
            assert!(!diagnostic.reason().is_empty(), "{name}: no reason: {diagnostics}");
            assert!(!diagnostic.advice().is_empty(), "{name}: no advice: {diagnostics}");
            assert!(diagnostics.location(diagnostic).is_some(), "{name}: no place: {diagnostics}");
        }
        insta::with_settings!({
            snapshot_path => "suites",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!(name, diagnostics.to_string()) });
    }
}

#[test]
fn what_a_test_says_arrives_where_it_belongs() {
    let suite = load(
        "whole",
        r#"
tests:
  - name: all of it
    given:
      documents:
        products: [{ _id: { $oid: 65f0aa00aa00aa00aa00aa00 }, userId: 1, at: { $date: "2026-01-01T00:00:00Z" } }]
      owners: { users: { 1: { id: 1, version: 7, name: ann } } }
    events:
      - { source: users, key: user.updated, headers: { trace: a }, body: { type: user.updated } }
      - { source: visits, body: { type: Visited } }
    then:
      documents: { products: { 65f0aa00aa00aa00aa00aa00: null }, guests: { ann: { visits: 1 } } }
      parked: 2
  - name: next to nothing
    then: {}
"#,
    );
    let [whole, least] = suite.cases.as_slice() else { panic!("two tests") };
    let [(collection, document)] = whole.documents.as_slice() else { panic!("one document") };
    let at = bson::DateTime::from_millis(1_767_225_600_000);
    let id = bson::oid::ObjectId::parse_str("65f0aa00aa00aa00aa00aa00").unwrap();
    assert_eq!((collection.as_str(), document), ("products", &doc! { "_id": id, "userId": 1, "at": at }));
    let users = &whole.owners[&suite.declaration.replicas[0].name];
    assert_eq!(users[&EntityId::Int(1)], r#"{"id":1,"name":"ann","version":7}"#);
    let sources: Vec<&str> = whole.events.iter().map(|event| event.source.as_str()).collect();
    assert_eq!((sources.join(" "), whole.events[0].headers["trace"].as_str()), ("users visits".into(), "a"));
    assert_eq!(whole.events[0].body, r#"{"type":"user.updated"}"#);
    let expected: Vec<String> = whole
        .expected
        .documents
        .iter()
        .map(|expected| format!("{} {} {:?}", expected.of, expected.id, expected.fields.is_some()))
        .collect();
    assert_eq!(expected, ["products 65f0aa00aa00aa00aa00aa00 false", "guests ann true"]);
    assert_eq!((whole.expected.parked, whole.expected.emitted.is_some()), (2, false));
    assert!(least.events.is_empty() && least.expected == manifest::Expected::default());
    assert_ne!(document.get("_id"), Some(&Bson::Null));
}

#[test]
fn tests_and_manifests_of_one_folder_do_not_get_into_each_others_way() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("suites/beside");
    load("beside", "tests: [{ name: one, then: {} }]\n");
    assert_eq!(manifest::load(std::slice::from_ref(&folder)).unwrap().service, "shop");
    let found = manifest::suites(&[folder.clone(), folder.join("shop.test.yaml")]).unwrap();
    assert_eq!(found, [folder.join("shop.test.yaml")], "each once");
    let nothing = manifest::suites(&[PathBuf::from("tests/manifest/good")]).unwrap_err();
    assert_eq!(codes(&nothing), ["N002"]);
    assert_eq!(codes(&manifest::load_suite(&folder.join("nowhere.test.yaml")).unwrap_err()), ["N001"]);
}
