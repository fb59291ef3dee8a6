//! What the program says about itself, and about arguments that it does not understand.

use crate::agreed;
use crate::program::{CANARY, folder, nearcopy};

const COMMANDS: [&str; 18] = [
    "run",
    "check",
    "init",
    "test",
    "schema",
    "openapi",
    "status",
    "explain",
    "parked",
    "read-model",
    "plan",
    "diff",
    "reconcile",
    "backfill",
    "rebase",
    "erase",
    "settings",
    "completions",
];

#[test]
fn every_command_explains_itself() {
    agreed("help", &nearcopy(&["--help"]).end());
    for command in COMMANDS {
        agreed(&format!("help_{command}"), &nearcopy(&[command, "--help"]).end());
    }
    for command in ["list", "show", "retry", "drop"] {
        agreed(&format!("help_parked_{command}"), &nearcopy(&["parked", command, "--help"]).end());
    }
    for command in ["rebuild", "undo"] {
        agreed(&format!("help_read_model_{command}"), &nearcopy(&["read-model", command, "--help"]).end());
    }
}

#[test]
fn every_command_is_in_the_help_and_has_been_looked_at_here() {
    let help = nearcopy(&["--help"]).end().stdout;
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names[..names.len() - 1], COMMANDS);
    assert_eq!(names.last(), Some(&"help"));
}

#[test]
fn arguments_that_are_not_understood_end_it_with_2_and_say_what_may_be_meant() {
    agreed("usage_nothing", &nearcopy(&[]).end());
    agreed("usage_unknown_command", &nearcopy(&["chekc"]).end());
    agreed("usage_unknown_flag", &nearcopy(&["check", "--on-line"]).end());
    for wrong in ["pipeline.batch".to_owned(), format!("amqp://shop:{CANARY}@broker?heartbeat=5")] {
        agreed("usage_set_without_value", &nearcopy(&["settings", "--set", &wrong]).end());
    }
    agreed("usage_no_id", &nearcopy(&["parked", "show", "first"]).end());
    agreed("usage_unknown_output", &nearcopy(&["parked", "list", "--output", "xml"]).end());
    agreed("usage_rebase_without_time", &nearcopy(&["rebase", "users"]).end());
    agreed("usage_rebase_at_no_time", &nearcopy(&["rebase", "users", "--at", "yesterday"]).end());
    agreed("usage_rebase_no_duration", &nearcopy(&["rebase", "users", "--wait", "soon"]).end());
    agreed("usage_nothing_to_drop", &nearcopy(&["parked", "drop"]).end());
}

#[test]
fn the_version_is_told() {
    agreed("version", &nearcopy(&["--version"]).end());
}

#[test]
fn the_schema_is_the_published_one() {
    let ended = nearcopy(&["schema"]).end();
    let published = std::fs::read_to_string(folder().join("../../config/manifest.schema.json")).unwrap();
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let printed: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(printed, serde_json::from_str::<serde_json::Value>(&published).unwrap());
    assert_eq!(ended.stdout, published, "so that a file made from it does not differ");
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = nearcopy(&["completions", shell]).end();
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{shell}");
        for command in COMMANDS.into_iter().chain(["retry", "dry-run", "output"]) {
            assert!(ended.stdout.contains(command), "{shell} does not know {command}");
        }
    }
}
