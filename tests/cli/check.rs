//! `check` without its surroundings.

use crate::agreed;
use crate::program::{Ended, nearcopy, scratch};

fn check(paths: &[&str]) -> Ended {
    nearcopy(&[&["check"], paths].concat()).end()
}

#[test]
fn a_right_manifest_is_summed_up() {
    agreed("check_good", &check(&["good.yaml"]));
}

#[test]
fn everything_wrong_is_said_at_once() {
    agreed("check_bad", &check(&["bad.yaml"]));
}

#[test]
fn what_cannot_be_read_is_named() {
    let latin = scratch("latin.yaml", b"service: caf\xe9\n");
    agreed("check_missing", &check(&["nowhere.yaml"]));
    agreed("check_not_a_folder", &check(&["good.yaml/users.yaml"]));
    agreed("check_not_text", &check(&[latin.to_str().unwrap()]));
    agreed("check_several_unreadable", &check(&["nowhere.yaml", "good.yaml", "elsewhere.yaml"]));
    agreed("check_the_default_is_missing", &check(&[]));
}

#[test]
fn a_folder_is_read_as_one_manifest() {
    let text = include_str!("good.yaml");
    let (first, second) = text.split_once("embeds:").unwrap();
    scratch("folder/1.yaml", first.as_bytes());
    let folder = scratch("folder/2.yml", format!("embeds:{second}").as_bytes());
    scratch("folder/notes.txt", b"no manifest");
    let folder = folder.parent().unwrap();
    agreed("check_good", &check(&[folder.to_str().unwrap()]));
    let empty = scratch("empty/notes.txt", b"no manifest");
    agreed("check_empty_folder", &check(&[empty.parent().unwrap().to_str().unwrap()]));
}

#[test]
fn the_settings_name_the_manifest_where_no_argument_does() {
    let ended = nearcopy(&["check"]).env("NEARCOPY__MANIFEST__PATHS", "good.yaml").end();
    agreed("check_good", &ended);
}

#[test]
fn a_program_gets_json() {
    agreed("check_good_json", &check(&["good.yaml", "--output", "json"]));
    agreed("check_bad_json", &check(&["bad.yaml", "--output", "json"]));
    agreed("check_missing_json", &check(&["nowhere.yaml", "--output", "json"]));
}

/// A queue that is split by routing keys of which there are few is split, but not by its entities.
#[test]
fn a_split_that_tells_no_entities_is_said_to_be_one() {
    let text = include_str!("good.yaml");
    let split = |bindings: &str, more: &str| {
        let with = format!("bindings: [{bindings}]\n      partitions: 4{more}");
        let text = text.replace("bindings: [\"user.*\"]", &with);
        assert!(text.contains("partitions"), "{text}");
        text
    };
    let few = "user.created, user.updated";
    let path = scratch("split.yaml", split(few, "").as_bytes());
    agreed("check_split", &check(&[path.to_str().unwrap()]));
    for (name, text) in [
        ("split_by_header.yaml", split(few, "\n      by: { header: user-id }")),
        ("split_open.yaml", split("\"user.*\"", "")),
    ] {
        let path = scratch(name, text.as_bytes());
        let ended = check(&[path.to_str().unwrap()]);
        assert_eq!(ended.code, 0, "{ended}");
        assert!(!ended.to_string().contains("is split by"), "{ended}");
    }
}

/// V3: what an owner without versions can promise is said, and not taken for granted.
#[test]
fn what_is_promised_without_versions_is_said() {
    let text = include_str!("good.yaml");
    let unversioned = text.replace("    version: data.version\n", "");
    let unversioned = scratch("unversioned.yaml", unversioned.as_bytes());
    agreed("check_unversioned", &check(&[unversioned.to_str().unwrap()]));
    let patched = text.replace("upsert", "patch").replace("referenced", "{ where: \"data.name != ''\" }");
    let patched = patched.replace("/users/{id}\"", "/users/{id}\"\n      from: { version: version }");
    let patched = scratch("patched.yaml", patched.split("embeds:").next().unwrap().as_bytes());
    agreed("check_patched_subset", &check(&[patched.to_str().unwrap()]));
    let by_arrival =
        scratch("arrival.yaml", text.replace("version: data.version", "version: arrival").as_bytes());
    agreed("check_arrival", &check(&[by_arrival.to_str().unwrap()]));
}

/// S15: a key that is not set is said with what needs it and what to do; with it, what is dropped is said.
#[test]
fn what_is_protected_needs_its_keys() {
    let fields = "name: { from: data.name, protect: hash }
      mail: { from: data.mail, protect: encrypt }
      tax: { from: data.tax, protect: drop }";
    let models = "read_models:
  changes: { source: users, key: data.id, on: { user.changed: { count: { changes: event.id } } } }\n";
    let text = include_str!("good.yaml").replace("name: data.name", fields) + models;
    let manifest = scratch("keyed.yaml", text.as_bytes());
    let manifest = manifest.to_str().unwrap();
    agreed("check_without_keys", &check(&[manifest]));
    let keyed = nearcopy(&["check", manifest])
        .env("NEARCOPY__PROTECT__HASH_KEY", "SGVyZSBhcmUgdGhpcnR5LXR3byByYW5kb20gYnl0ZXM=")
        .env("NEARCOPY__PROTECT__ENCRYPT_KEYS", "k1 SGVyZSBhcmUgdGhpcnR5LXR3byByYW5kb20gYnl0ZXM=");
    agreed("check_with_keys", &keyed.end());
}
