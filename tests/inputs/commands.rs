//! Command lines that ask for what cannot be: one exit code for each kind, and a word of why.

use std::process::{Command, Stdio};

use super::Case;

/// The arguments, a word of what is said, and the exit code.
pub(crate) const CASES: &[Case] = &[
    ("", "Usage", "2"),
    ("runn", "run", "2"),
    ("Run", "unrecognized", "2"),
    ("run --manifest x.yaml", "unexpected", "2"),
    ("run nowhere.yaml", "nowhere.yaml", "4"),
    ("run /dev/null", "rabbitmq.url", "4"),
    ("check nowhere.yaml", "nowhere.yaml", "4"),
    ("check /dev/null", "N109", "4"),
    ("check tests/cli/agreed", "no manifest", "4"),
    ("check Cargo.lock", "N", "4"),
    ("check --output xml", "xml", "2"),
    ("check --output", "--output", "2"),
    ("check --online --online", "--online", "2"),
    ("schema now", "unexpected", "2"),
    ("parked", "Usage", "2"),
    ("parked list", "mongodb.url", "4"),
    ("parked list --limit -1", "-1", "2"),
    ("parked list --limit many", "many", "2"),
    ("parked list --replica", "--replica", "2"),
    ("parked show", "ID", "2"),
    ("parked show 7", "7", "2"),
    ("parked show 00000000-0000-0000-0000-000000000000", "mongodb.url", "4"),
    ("parked drop", "ID", "2"),
    ("parked drop all", "all", "2"),
    ("parked retry --dry", "--dry", "2"),
    ("parked forget", "forget", "2"),
    ("settings --set", "--set", "2"),
    ("settings --set a", "KEY=VALUE", "2"),
    ("settings --set =1", "setting", "4"),
    ("settings --set a=b", "is not a setting", "4"),
    ("settings --set pipeline.batch=", "pipeline.batch", "4"),
    ("settings --set pipeline.batch=1 --set pipeline.batch=0", "pipeline.batch", "4"),
    ("settings --settings nowhere.toml", "nowhere.toml", "4"),
    ("settings --settings src", "src", "4"),
    ("settings --settings Makefile", "no TOML", "4"),
    ("completions tcsh", "tcsh", "2"),
    ("completions", "SHELL", "2"),
    ("--version=2", "--version", "2"),
];

/// The exit code, if the word is there and nothing is where it must not be.
pub(crate) fn became(arguments: &str, word: &str) -> String {
    let ended = Command::new(env!("CARGO_BIN_EXE_nearcopy"))
        .args(arguments.split_whitespace())
        .env_clear()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, told) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    let code = ended.status.code().map_or_else(|| "a signal".to_owned(), |code| code.to_string());
    match (said.is_empty(), told.contains(word), told.contains("panicked")) {
        (true, true, false) => code,
        _ => format!("{code}, saying {said}{told}"),
    }
}
