//! `test`: manifests are played without broker and database, and what is not as promised is shown.

use serde_json::Value;

use crate::agreed;
use crate::program::{Ended, nearcopy, scratch};

const EXAMPLES: &str = "../../config/examples";

fn test(arguments: &[&str]) -> Ended {
    nearcopy(&[&["test"], arguments].concat()).end()
}

/// D1, D2: every example does what its tests promise; however often and in whatever order events come, and wherever a fold is
/// cut off, it ends the same.
#[test]
fn the_examples_keep_what_their_tests_promise_in_any_order() {
    agreed("test_examples", &test(&[EXAMPLES]));
    for seed in ["1", "2", "3", "4", "5"] {
        let ended = test(&[EXAMPLES, "--shuffle", "--repeat", "3", "--seed", seed]);
        assert_eq!(ended.code, 0, "{ended}");
    }
    agreed("test_examples_shuffled", &test(&[EXAMPLES, "--shuffle", "--repeat", "3", "--seed", "6"]));
}

/// Each example has tests, so that whoever copies one copies both.
#[test]
fn every_example_has_tests() {
    let examples = crate::program::folder().join(EXAMPLES);
    let names = std::fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    for name in names.iter().filter_map(|name| name.strip_suffix(".yaml")).filter(|name| !name.contains('.'))
    {
        assert!(names.contains(&format!("{name}.test.yaml")), "{name} has no tests");
    }
}

#[test]
fn what_is_not_as_promised_is_shown_with_its_place() {
    agreed("test_failing", &test(&["failing.test.yaml"]));
    agreed("test_failing_json", &test(&["failing.test.yaml", "--output", "json"]));
}

/// What the rules of a read model tell is compared in its order; so is what they should not have told.
#[test]
fn messages_that_are_missing_or_too_many_are_shown() {
    let manifest =
        std::fs::canonicalize(crate::program::folder().join(EXAMPLES).join("library.yaml")).unwrap();
    let lent = |member: &str| {
        format!(
            "{{ body: {{ id: {member}, type: BookBorrowed, at: \"2026-01-01T00:00:00Z\", data: {{ memberId: {member}, copyId: a }} }} }}"
        )
    };
    let alert = |to: &str, before: &str| {
        format!(
            "{{ exchange: library-alerts, key: alert.lent-twice, type: CopyLentTwice, data: {{ copyId: a, to: {to}, before: {before} }} }}"
        )
    };
    let text = format!(
        "manifest: {}\ntests:\n  - name: told too little\n    events: [{}, {}, {}]\n    then: {{ emitted: [{}] }}\n  \
         - name: told too much, and something else\n    events: [{}, {}]\n    then: {{ emitted: [{}, {}] }}\n",
        manifest.display(),
        lent("ann"),
        lent("bob"),
        lent("cid"),
        alert("bob", "ann"),
        lent("ann"),
        lent("bob"),
        alert("cid", "ann"),
        alert("dora", "ann"),
    );
    let file = scratch("emitted.test.yaml", text.as_bytes());
    agreed("test_emitted", &test(&[file.to_str().unwrap()]));
}

/// What the README shows is what happens: with its own manifest, and with the mistake that it speaks of.
#[test]
fn the_test_in_the_readme_does_what_is_said_there() {
    let readme = include_str!("../../README.md");
    let between = |from: &str, to: &str| {
        let (_, rest) = readme.split_once(from).unwrap();
        rest.split_once(to).unwrap().0.to_owned()
    };
    let manifest = between("nearcopy.yaml <<'YAML'\n", "YAML\n");
    let tests = between("```yaml\ntests:", "```");
    scratch("readme/shop.yaml", manifest.as_bytes());
    let file = scratch("readme/shop.test.yaml", format!("tests:{tests}").as_bytes());
    let ended = test(&[file.to_str().unwrap(), "--shuffle", "--repeat", "3"]);
    assert_eq!(ended.code, 0, "{ended}");
    scratch("readme/shop.yaml", manifest.replace("user.updated: upsert, ", "").as_bytes());
    let ended = test(&[file.to_str().unwrap()]);
    let said = between("$ nearcopy test shop.test.yaml\n", "```");
    assert_eq!(ended.stdout.replace(file.to_str().unwrap(), "shop.test.yaml"), said, "{ended}");
}

/// D2: a test that asserts what is promised in one order only does not hold in any.
#[test]
fn what_depends_on_the_order_is_found_by_shuffling() {
    let manifest =
        std::fs::canonicalize(crate::program::folder().join(EXAMPLES).join("products.yaml")).unwrap();
    let text = format!(
        "manifest: {}\ntests:\n  - name: what a product shows of somebody who is gone\n    given:\n      documents: {{ products: \
         [{{ _id: p1, userId: u1 }}] }}\n    events:\n      - {{ body: {{ type: user.created, data: {{ id: u1, version: 1, \
         username: ada }} }} }}\n      - {{ body: {{ type: user.deleted, data: {{ id: u1, version: 2 }} }} }}\n    then: {{ \
         documents: {{ products: {{ p1: {{ userId: u1, user: {{ username: ada }} }} }} }} }}\n",
        manifest.display()
    );
    let file = scratch("order.test.yaml", text.as_bytes());
    let file = file.to_str().unwrap();
    assert_eq!(test(&[file]).code, 0);
    let shuffled = |seed: u32| test(&[file, "--shuffle", "--seed", &seed.to_string()]).code;
    let codes: Vec<i32> = (0..16).map(shuffled).collect();
    assert!(codes.contains(&0) && codes.contains(&1), "{codes:?}");
}

/// What is never done is no reason to wait for ever, and is named.
#[test]
fn a_test_that_does_not_come_to_rest_says_what_is_open() {
    let notified = include_str!("good.yaml").replace("user.changed: upsert", "user.changed: refresh");
    let notified = notified.replace("/users/{id}\"", "/users/{id}\"\n      from: { version: version }");
    scratch("restless.yaml", notified.as_bytes());
    let text = "tests:\n  - name: an owner that is behind its own events\n    given:\n      documents: { orders: [{ _id: o1, userId: \
                u1 }] }\n      owners: { users: { u1: { id: u1, version: 4, name: Ann } } }\n    events: [{ body: { type: \
                user.changed, data: { id: u1, version: 5 } } }]\n    then: { documents: { users: { u1: { name: Ann } } } }\n";
    let file = scratch("restless.test.yaml", text.as_bytes());
    agreed("test_restless", &test(&[file.to_str().unwrap()]));
}

/// A seed is worth nothing that does not show the same again.
#[test]
fn a_seed_repeats_what_was_left_to_chance() {
    let play = |seed: &str| {
        let ended =
            test(&["failing.test.yaml", "--shuffle", "--repeat", "2", "--output", "json", "--seed", seed]);
        assert_eq!(ended.code, 1, "{ended}");
        ended.stdout
    };
    assert_eq!(play("7"), play("7"));
    let told = test(&["failing.test.yaml", "--shuffle", "--output", "json"]).stdout;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(told["seed"].is_u64(), "the seed is told where it was chosen by chance: {told}");
}

#[test]
fn files_that_are_wrong_are_refused_before_anything_is_played() {
    let unknown = scratch("tests/unknown.test.yaml", b"tests: [{ name: a, thn: {} }]\n");
    let folder = unknown.parent().unwrap();
    scratch("tests/unknown.yaml", include_bytes!("good.yaml"));
    let missing = scratch("tests/missing.test.yaml", b"tests: [{ name: a, then: {} }]\n");
    agreed("test_wrong", &test(&[unknown.to_str().unwrap(), missing.to_str().unwrap()]));
    agreed("test_wrong_json", &test(&[folder.to_str().unwrap(), "--output", "json"]));
    agreed("test_nowhere", &test(&["nowhere.test.yaml"]));
    let empty = scratch("untested/nearcopy.yaml", include_bytes!("good.yaml"));
    agreed("test_empty_folder", &test(&[empty.parent().unwrap().to_str().unwrap()]));
    agreed("usage_test_nothing", &test(&[]));
    agreed("usage_test_repeat", &test(&[EXAMPLES, "--repeat", "0"]));
}

/// Protected fields are what the keys of tests make of them, so that what must be there can be written down.
#[test]
fn protected_fields_are_tested_with_keys_that_everybody_knows() {
    let fields = "name: { from: data.name, protect: hash }
      mail: { from: data.mail, protect: encrypt }
      street: { from: data.street, protect: mask }
      tax: { from: data.tax, protect: drop }";
    let text = include_str!("good.yaml").replace("name: data.name", fields);
    scratch("protected.yaml", text.replace("fields: [name]", "fields: [name, street]").as_bytes());
    let tests = |name: &str| {
        format!(
            "tests:
  - name: what is kept of a user
    given: {{ documents: {{ orders: [{{ _id: o1, userId: u1 }}] }} }}
    events:
      - {{ body: {{ type: user.changed, data: {{ id: u1, version: 5, name: Ann, mail: a, street: Long, tax: 7 }} }} }}
    then: {{ documents: {{ orders: {{ o1: {{ userId: u1, user: {{ name: {name}, street: L••• }} }} }} }} }}\n"
        )
    };
    let file = scratch("protected.test.yaml", tests("Ann").as_bytes());
    agreed("test_protected", &test(&[file.to_str().unwrap()]));
    let hash = test(&[file.to_str().unwrap()]).stdout;
    let hash = hash.lines().find_map(|line| line.trim().strip_prefix("found    ")).unwrap().to_owned();
    scratch("protected.test.yaml", tests(&hash).as_bytes());
    let ended = test(&[file.to_str().unwrap(), "--shuffle", "--repeat", "3"]);
    assert_eq!(ended.code, 0, "{ended}");
}
