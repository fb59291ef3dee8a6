//! The owner's order: what decides whether a state may enter a record.

use std::fmt;

use bson::{Document, doc};
use xxhash_rust::xxh3::xxh3_64;

use crate::event::Version;

/// Compares as one document, field by field in this order: the higher key wins.
///
/// `gone` beats `live` at an equal version, because some owners delete without counting up. The shape comes
/// after the version, so that an older declaration's newer state is not lost. The hash comes last and makes
/// ties deterministic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The owner's timeline; it rises when the owner is restored from a backup.
    pub epoch: i64,
    /// The owner's version.
    pub version: Version,
    /// Whether this is a deletion.
    pub gone: bool,
    /// The generation of the declaration that selected the fields.
    pub shape: i32,
    /// Of the content: 16 hexadecimal digits, [`Key::SETTLED`], or empty for a deletion and for guards.
    pub hash: String,
}

impl Key {
    /// Stands in place of the hash where the owner, asked again, has decided between equal versions.
    pub const SETTLED: &'static str = "~";

    /// The key of a live state.
    pub fn live(version: Version, shape: i32, fields: &Document) -> Self {
        Self { epoch: 0, version, gone: false, shape, hash: content_hash(fields) }
    }

    /// The key of a deletion, or of an exit from the subset.
    pub fn gone(version: Version, shape: i32) -> Self {
        Self { epoch: 0, version, gone: true, shape, hash: String::new() }
    }

    /// The lowest key of this version and shape: what guards a write where the owner can decide ties.
    #[must_use]
    pub fn without_hash(&self) -> Self {
        Self { hash: String::new(), ..self.clone() }
    }

    /// The key as it is stored. MongoDB compares subdocuments in the order of their fields.
    pub fn to_document(&self) -> Document {
        doc! {
            "e": self.epoch,
            "v": self.version.get(),
            "g": i32::from(self.gone),
            "s": self.shape,
            "h": &self.hash,
        }
    }

    /// Reads a stored key; `None` if it is not one of ours.
    pub fn from_document(document: &Document) -> Option<Self> {
        Some(Self {
            epoch: document.get_i64("e").ok()?,
            version: Version::new(document.get_i64("v").ok()?),
            gone: document.get_i32("g").ok()? != 0,
            shape: document.get_i32("s").ok()?,
            hash: document.get_str("h").ok()?.to_owned(),
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}{}", self.epoch, self.version, if self.gone { "†" } else { "" })
    }
}

/// A hash of the declared fields' BSON that stays the same over releases.
fn content_hash(fields: &Document) -> String {
    let bytes = fields.to_vec().unwrap_or_default();
    format!("{:016x}", xxh3_64(&bytes))
}
