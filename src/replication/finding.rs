//! What an inspection of the surroundings finds.

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Fine,
    /// It works, and deserves a look.
    Advice,
    /// It cannot work like this.
    Wrong,
}

/// One thing that was looked at, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What was found, for a person; free of secrets.
    pub text: String,
}

impl Finding {
    /// Something that is as it should be.
    pub fn fine(text: impl Into<String>) -> Self {
        Self { level: Level::Fine, text: text.into() }
    }

    /// Something that works and deserves a look.
    pub fn advice(text: impl Into<String>) -> Self {
        Self { level: Level::Advice, text: text.into() }
    }

    /// Something that stands in the way.
    pub fn wrong(text: impl Into<String>) -> Self {
        Self { level: Level::Wrong, text: text.into() }
    }
}
