//! Outputs that are no terminal.

use std::fs::File;
use std::process::Stdio;

use crate::agreed;
use crate::program::{Ended, nearcopy};

/// Like `nearcopy … | head -1`, with a head that has gone at once.
#[test]
fn a_reader_that_has_gone_away_is_no_failure() {
    for arguments in [
        &["schema"] as &[&str],
        &["settings"],
        &["completions", "zsh"],
        &["check", "good.yaml"],
        &["--help"],
        &["--version"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended: Ended = nearcopy(arguments).command().stdout(writer).output().unwrap().into();
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{arguments:?}");
    }
}

#[test]
fn data_that_cannot_be_written_is_a_failure() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let ended = nearcopy(&["schema"]).command().stdout(full).stderr(Stdio::piped()).output().unwrap();
    agreed("pipe_full", &ended.into());
}

/// Colours are for terminals; nothing here is one, whatever the environment says about it. That there is no
/// escape code is looked at wherever the program is run.
#[test]
fn no_colours_where_nobody_sees_them() {
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "xterm-256color"), ("COLORTERM", "truecolor")] {
        agreed("check_bad", &nearcopy(&["check", "bad.yaml"]).env(name, value).end());
        agreed("usage_unknown_command", &nearcopy(&["chekc"]).env(name, value).end());
    }
}
