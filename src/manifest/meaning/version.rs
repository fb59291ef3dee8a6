//! What orders the states of an entity.

use super::super::Diagnostic;
use super::super::place::Place;
use super::super::raw::{Short, Version, VersionPath};
use crate::event::{FieldPath, VersionRule};

/// Reads a version's rule; `path` reads the path itself.
pub(super) fn read(
    raw: &VersionPath,
    at: Place<'_>,
    path: impl FnOnce(&str, Place<'_>) -> Result<FieldPath, Diagnostic>,
) -> Result<VersionRule, Diagnostic> {
    match raw {
        Short::Path(text) => path(text, at).map(VersionRule::Sequence),
        Short::Full(Version::Sequence(text)) => path(text, at.at("sequence")).map(VersionRule::Sequence),
        Short::Full(Version::Time(text)) => path(text, at.at("time")).map(VersionRule::Time),
    }
}
