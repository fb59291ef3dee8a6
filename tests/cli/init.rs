//! Drafts of manifests: what is guessed from which files, and that every draft is right as it stands.

use crate::agreed;
use crate::program::{Ended, nearcopy, scratch};

/// A draft that has been looked at, and that `check` takes as it is. Of what stood in events there are only names.
fn drafts(name: &str, arguments: &[&str]) -> Ended {
    let ended = nearcopy(&[&["init"], arguments].concat()).end();
    agreed(&format!("init_{name}"), &ended);
    assert!(!ended.stdout.contains("CANARY"), "{ended}");
    let path = scratch(&format!("init/{name}.yaml"), ended.stdout.as_bytes());
    let checked = nearcopy(&["check", path.to_str().unwrap()]).env("X", "replaced").end();
    assert_eq!(checked.code, 0, "{checked}\n{ended}");
    let again = nearcopy(&[&["init"], arguments].concat()).end();
    assert_eq!(again.stdout, ended.stdout, "the same files give the same draft");
    ended
}

#[test]
fn every_draft_passes_the_check() {
    drafts("plain", &["--from-events", "drafts/plain.jsonl"]);
    drafts("cloudevents", &["--from-events", "drafts/cloudevents.jsonl", "--service", "billing"]);
    drafts("bare", &["--from-events", "drafts/bare.jsonl", "--exchange", "league"]);
    drafts("strange", &["--from-events", "drafts/strange.jsonl"]);
    drafts("asyncapi", &["--from-asyncapi", "drafts/users.asyncapi.yaml"]);
    let openapi = ["--from-openapi", "drafts/users.openapi.json"];
    drafts("openapi", &[&["--from-events", "drafts/plain.jsonl"], &openapi[..]].concat());
    drafts("both", &[&["--from-asyncapi", "drafts/users.asyncapi.yaml"], &openapi[..]].concat());
}

/// Whoever has events of an example finds in the draft what the example declares.
#[test]
fn a_draft_knows_what_a_person_would_have_written() {
    let draft = drafts("plain", &["--from-events", "drafts/plain.jsonl"]).stdout;
    for line in [
        "bindings: [\"user.#\"]",
        "id: data.id",
        "version: data.version",
        "username: data.username",
        "# email: data.email",
        "# passwordHash: data.passwordHash",
        "user.created: upsert",
        "user.renamed: patch",
        "user.deleted: delete",
    ] {
        assert!(draft.contains(line), "{line}:\n{draft}");
    }
}

#[test]
fn files_that_are_of_no_use_are_said_to_be() {
    agreed("init_of_nothing", &nearcopy(&["init", "--from-openapi", "drafts/users.openapi.json"]).end());
    agreed("init_missing", &nearcopy(&["init", "--from-events", "drafts/nowhere.jsonl"]).end());
    let broken = scratch("init/broken.jsonl", b"{\"id\": 1}\n{\"CANARY\n");
    agreed("init_broken_line", &nearcopy(&["init", "--from-events", broken.to_str().unwrap()]).end());
    let empty = scratch("init/empty.jsonl", b"\n\n");
    agreed("init_empty", &nearcopy(&["init", "--from-events", empty.to_str().unwrap()]).end());
    agreed("init_not_asyncapi", &nearcopy(&["init", "--from-asyncapi", "drafts/users.openapi.json"]).end());
    let broken = scratch("init/broken.yaml", b"a: [");
    agreed("init_broken_yaml", &nearcopy(&["init", "--from-asyncapi", broken.to_str().unwrap()]).end());
}
