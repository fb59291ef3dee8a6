//! Why an event or an answer could not be understood.

use std::fmt;

/// What is wrong with a message, as a fixed word: it labels a metric and a parked event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The body has more bytes than the source accepts.
    TooLarge,
    /// A value is nested deeper than the source accepts.
    TooDeep,
    /// The body is not JSON, or not UTF-8.
    NotJson,
    /// The same key stands twice where one value is wanted.
    DuplicateKey,
    /// The event does not say its type.
    NoType,
    /// The event, or the answer, does not say which entity it speaks of.
    NoId,
    /// The identifier is not of the declared type, or cannot be one.
    BadId,
    /// The replica orders by a version and the event has none.
    NoVersion,
    /// The version is not a whole number in range, or not a time.
    BadVersion,
    /// The version is a time that has not come yet, by more than may be between two clocks.
    FutureVersion,
    /// A declared field is not of its declared type, or cannot be stored without loss.
    BadField,
    /// The expression that says what is kept could not be answered for this event.
    BadCondition,
    /// The owner answered for another entity than the one asked for.
    OtherEntity,
    /// The database refused the document.
    Refused,
    /// It waits behind an earlier event that a read model could not fold.
    Behind,
    /// The process has ended each time it was worked through.
    CrashSuspect,
}

impl Reason {
    /// The word as it stands in metrics and parked events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::NotJson => "not_json",
            Self::DuplicateKey => "duplicate_key",
            Self::NoType => "no_type",
            Self::NoId => "no_id",
            Self::BadId => "bad_id",
            Self::NoVersion => "no_version",
            Self::BadVersion => "bad_version",
            Self::FutureVersion => "future_version",
            Self::BadField => "bad_field",
            Self::BadCondition => "bad_condition",
            Self::OtherEntity => "other_entity",
            Self::Refused => "refused",
            Self::Behind => "behind",
            Self::CrashSuspect => "crash_suspect",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why bytes did not become a change event. The text names places and types, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct DecodeError {
    /// The class of what is wrong.
    pub reason: Reason,
    /// Where and why, for a person; free of payload.
    pub detail: String,
}

impl DecodeError {
    /// Says what is wrong and where.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}
