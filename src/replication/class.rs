//! The one question every error answers: what kind of trouble is this?

use std::fmt;

/// What kind of trouble an error is; it alone decides what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The same attempt may succeed later: wait with jitter and repeat; nothing is settled meanwhile.
    Transient,
    /// It fails for this event, now and always: park it and go on.
    Poison,
    /// The environment is not as declared: say it once, clearly, and back off.
    Misconfigured,
    /// A promise inside this program is broken.
    Bug,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transient => "transient",
            Self::Poison => "poison",
            Self::Misconfigured => "misconfigured",
            Self::Bug => "bug",
        })
    }
}
