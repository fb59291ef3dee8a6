//! The program as a person or a script meets it: what it says where, and how it ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at that very line")]

mod certificates;
mod check;
mod help;
#[path = "../support/impostor/mod.rs"]
mod impostor;
mod init;
mod online;
mod pipe;
mod program;
mod run;
mod settings;
mod test;
mod walk;

/// Compares what the program said, and how it ended, with what was agreed on.
#[track_caller]
fn agreed(name: &str, ended: &program::Ended) {
    insta::with_settings!({
        prepend_module_to_snapshot => false,
        snapshot_path => "agreed",
        omit_expression => true,
    }, { insta::assert_snapshot!(name, ended.to_string()) });
}
