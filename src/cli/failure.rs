//! Why a command ended early, laid out the same everywhere: `error: …`, and below it `hint: …`.

use std::error::Error;

use super::Exit;
use crate::manifest::Diagnostics;
use crate::settings::SettingsError;
use crate::store::StoreError;

/// Why a command ended early: the text is for a person, the code for a script.
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) text: String,
}

impl Failure {
    /// Something went wrong; all its causes are told.
    pub(super) fn new(exit: Exit, error: &dyn Error) -> Self {
        Self::saying(exit, report(error))
    }

    /// The same in one's own words.
    pub(super) fn saying(exit: Exit, text: impl std::fmt::Display) -> Self {
        Self { exit, text: format!("error: {text}") }
    }

    /// Says what to do about it.
    pub(super) fn hint(self, hint: impl std::fmt::Display) -> Self {
        Self { text: format!("{}\nhint: {hint}", self.text), ..self }
    }

    /// This, and another one told with it.
    pub(super) fn and(self, other: &Self) -> Self {
        Self { text: format!("{}\n\n{}", self.text.trim_end(), other.text), ..self }
    }
}

/// Each setting that is wrong is an error of its own, with its own hint.
impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        let SettingsError::Wrong(problems) = &error else { return Self::new(Exit::Invalid, &error) };
        let failures = problems.iter().map(|problem| {
            let failure = Self::saying(Exit::Invalid, problem.statement());
            problem.advice.iter().fold(failure, Self::hint)
        });
        failures.reduce(|one, other| one.and(&other)).unwrap_or_else(|| Self::new(Exit::Invalid, &error))
    }
}

/// In colours where somebody sees them.
impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        Self { exit: Exit::Invalid, text: diagnostics.render(super::colours()) }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(Exit::Unreachable, &error).hint("`nearcopy check --online` looks at all that is needed")
    }
}

/// An error with its causes, as one line; a cause that an error has told itself is not repeated.
pub(super) fn report(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| Error::source(*cause));
    causes.map(ToString::to_string).fold(error.to_string(), |told, cause| {
        if told.ends_with(&cause) { told } else { format!("{told}: {cause}") }
    })
}
