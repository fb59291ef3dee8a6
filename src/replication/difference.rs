//! How what is held of an entity compares with what its owner says of it.

use super::{Answer, Content, Record, State, Why};
use crate::event::Version;

/// What a comparison has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Nothing is known of it here yet.
    Pending,
    /// The owner has a newer version.
    Behind,
    /// What is held is newer than what the owner says: its answers are late, or its versions have gone back.
    Ahead,
    /// Both have the same version, or none, and these fields are different.
    Fields(Vec<String>),
    /// The owner has it, and it is held as gone.
    Missing,
    /// The owner lists it, and nothing is known of it here, although it should be kept.
    Unknown,
    /// It is held, and the owner does not know it, or it is outside the subset that is kept.
    Surplus,
}

impl Difference {
    /// Compares; `None` where both say the same. `epoch` is the owner's as it is known.
    pub fn between(record: &Record, answer: &Answer, epoch: i64) -> Option<Self> {
        let held = match record.state {
            State::Pending => return Some(Self::Pending),
            State::Live => true,
            State::Gone(_) => false,
        };
        match (held, answer) {
            (true, Answer::NotFound | Answer::Found { content: Content::Gone(_), .. }) => Some(Self::Surplus),
            (false, Answer::NotFound | Answer::Found { content: Content::Gone(_), .. }) => None,
            (true, Answer::Found { version, content: Content::Live(fields) }) => {
                let fields = fields.to_document();
                let other = |name: &&String| record.fields.get(*name) != fields.get(*name);
                let names =
                    fields.keys().chain(record.fields.keys().filter(|name| !fields.contains_key(*name)));
                let other: Vec<String> = names.filter(other).cloned().collect();
                Self::by_version(record, *version, epoch)
                    .or_else(|| (!other.is_empty()).then_some(Self::Fields(other)))
            }
            (false, Answer::Found { version, .. }) => match Self::by_version(record, *version, epoch) {
                Some(Self::Ahead) => Some(Self::Ahead),
                // At an equal version a deletion wins.
                None if version.is_some() && record.key.is_some() && is_deleted(record) => None,
                _ => Some(Self::Missing),
            },
        }
    }

    fn by_version(record: &Record, said: Option<Version>, epoch: i64) -> Option<Self> {
        let (said, key) = (said?, record.key.as_ref()?);
        let held = record.patched.values().copied().chain([key.version]).max()?;
        match (key.epoch, held).cmp(&(epoch, said)) {
            std::cmp::Ordering::Less => Some(Self::Behind),
            std::cmp::Ordering::Greater => Some(Self::Ahead),
            std::cmp::Ordering::Equal => None,
        }
    }

    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Behind => "behind",
            Self::Ahead => "ahead",
            Self::Fields(_) => "other fields",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Surplus => "surplus",
        }
    }
}

fn is_deleted(record: &Record) -> bool {
    matches!(record.state, State::Gone(Why::Deleted | Why::Erased))
}
