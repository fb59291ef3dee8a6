//! The owner's order: what decides whether a state may enter a record.

use std::fmt;
use std::sync::Arc;

use bson::{Document, doc};
use xxhash_rust::xxh3::xxh3_64;

use super::Why;
use crate::event::{Fields, Version};

/// Compares as one document, field by field in this order: the higher key wins.
///
/// At an equal version the rank decides, because some owners delete without counting up. The shape comes
/// after the version, so that an older declaration's newer state is not lost. The hash comes last and makes
/// ties deterministic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The owner's epoch; it rises when the owner is restored from a backup.
    pub epoch: i64,
    /// The owner's version.
    pub version: Version,
    /// What this version says of the entity.
    pub rank: Rank,
    /// The generation of the declaration that selected the fields.
    pub shape: i32,
    /// Of the content: 16 hexadecimal digits, [`Key::SETTLED`], or empty for a deletion and for guards.
    pub hash: Arc<str>,
}

/// What a version says of an entity; of two that say different things, the later of these wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// It is there.
    Live,
    /// It is outside the subset that is kept.
    Out,
    /// It is deleted.
    Deleted,
}

impl Key {
    /// Stands in place of the hash where the owner, asked again, has decided between equal versions.
    pub const SETTLED: &'static str = "~";

    /// The key of a live state.
    pub fn live(version: Version, shape: i32, fields: &Fields) -> Self {
        Self { epoch: 0, version, rank: Rank::Live, shape, hash: hash(fields.as_raw().as_bytes()) }
    }

    /// The key of a deletion, or of an exit from the subset.
    pub fn gone(version: Version, why: Why, shape: i32) -> Self {
        let rank = if matches!(why, Why::Deleted | Why::Erased) { Rank::Deleted } else { Rank::Out };
        Self { epoch: 0, version, rank, shape, hash: Arc::default() }
    }

    /// The lowest key of a version: what a record must reach to meet a need.
    pub fn floor(epoch: i64, version: Version) -> Self {
        Self { epoch, version, rank: Rank::Live, shape: 0, hash: Arc::default() }
    }

    /// The same in another of the owner's epochs.
    #[must_use]
    pub fn in_epoch(self, epoch: i64) -> Self {
        Self { epoch, ..self }
    }

    /// The lowest key of this version and shape: what guards a write where the owner can decide ties.
    #[must_use]
    pub fn without_hash(&self) -> Self {
        Self { hash: Arc::default(), ..self.clone() }
    }

    /// Whether another key has the same place in the owner's order: all but the hash.
    pub fn is_level_with(&self, other: &Self) -> bool {
        let place = |key: &Self| (key.epoch, key.version, key.rank, key.shape);
        place(self) == place(other)
    }

    /// The key of what an older generation held, once it is what this one keeps; `fields` where it is live.
    #[must_use]
    pub fn reshaped(&self, shape: i32, fields: Option<&Document>) -> Self {
        let hash = match fields {
            Some(fields) if &*self.hash != Self::SETTLED => content_hash(fields),
            _ => self.hash.clone(),
        };
        Self { shape: shape.max(self.shape), hash, ..self.clone() }
    }

    /// The key as it is stored. MongoDB compares subdocuments in the order of their fields.
    pub fn to_document(&self) -> Document {
        doc! {
            "e": self.epoch,
            "v": self.version.get(),
            "g": self.rank as i32,
            "s": self.shape,
            "h": &*self.hash,
        }
    }

    /// Reads a stored key; `None` if it is not one of ours.
    pub fn from_document(document: &Document) -> Option<Self> {
        Some(Self {
            epoch: document.get_i64("e").ok()?,
            version: Version::new(document.get_i64("v").ok()?),
            rank: Rank::parse(document.get_i32("g").ok()?)?,
            shape: document.get_i32("s").ok()?,
            hash: document.get_str("h").ok()?.into(),
        })
    }
}

impl Rank {
    fn parse(stored: i32) -> Option<Self> {
        [Self::Live, Self::Out, Self::Deleted].into_iter().find(|rank| *rank as i32 == stored)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}{}", self.epoch, self.version, if self.rank == Rank::Live { "" } else { "†" })
    }
}

/// A hash of the declared fields' BSON that stays the same over releases.
pub(super) fn content_hash(fields: &Document) -> Arc<str> {
    hash(&fields.to_vec().unwrap_or_default())
}

fn hash(encoded: &[u8]) -> Arc<str> {
    let hash = xxh3_64(encoded).to_be_bytes();
    let nibble = |at: usize| if at.is_multiple_of(2) { hash[at / 2] >> 4 } else { hash[at / 2] & 15 };
    let digits: [u8; 16] = std::array::from_fn(|at| b"0123456789abcdef"[usize::from(nibble(at))]);
    str::from_utf8(&digits).unwrap_or_default().into()
}
