//! What orders the states of an entity.

use std::time::Duration;

use super::super::place::Place;
use super::super::raw::{Short, VersionPath};
use super::super::{Code, Diagnostic};
use super::Noted;
use super::duration::{self, Range};
use crate::event::{FieldPath, VersionRule};

const SKEW: Range = Range { least: Duration::ZERO, most: Duration::from_hours(24), words: "from 0s to 24h" };

/// How far a time may be ahead of ours, where nothing is declared.
const USUAL_SKEW: Duration = Duration::from_mins(5);

/// Reads a version's rule; `path` reads the path itself.
pub(super) fn read(
    raw: &VersionPath,
    at: Place<'_>,
    path: impl FnOnce(&str, Place<'_>) -> Result<FieldPath, Diagnostic>,
    findings: &mut Vec<Diagnostic>,
) -> Option<VersionRule> {
    let raw = match raw {
        Short::Path(text) => return path(text, at).noted(findings).map(VersionRule::Sequence),
        Short::Full(raw) => raw,
    };
    let skew = match &raw.skew {
        None => Some(USUAL_SKEW),
        Some(text) => duration::read(text, at.at("skew"), &SKEW).noted(findings),
    };
    match (&raw.sequence, &raw.time) {
        (Some(text), None) => {
            if raw.skew.is_some() {
                findings.push(
                    Diagnostic::new(Code::NoEffect, at.at("skew").key, "`skew` has no effect here")
                        .why("a sequence has nothing to do with clocks")
                        .help("remove it; it is for `time`"),
                );
            }
            path(text, at.at("sequence")).noted(findings).map(VersionRule::Sequence)
        }
        (None, Some(text)) => {
            let path = path(text, at.at("time")).noted(findings)?;
            Some(VersionRule::Time { path, skew: skew? })
        }
        (sequence, _) => {
            // A mistyped key has its own diagnostic, which names the right one.
            let strange = at.entries().any(|(key, _)| !["sequence", "time", "skew"].contains(&key));
            if !strange {
                findings.push(one_of(at, sequence.is_some()));
            }
            None
        }
    }
}

fn one_of(at: Place<'_>, both: bool) -> Diagnostic {
    Diagnostic::new(Code::OneOf, at.key, "`version` wants exactly one of `sequence` or `time`")
        .why(if both { "there is more than one" } else { "none of them is here" })
        .help("keep one of `sequence` or `time`")
}
