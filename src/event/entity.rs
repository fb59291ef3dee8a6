//! Which entity an event, a record or a reference speaks of.

use std::fmt;
use std::sync::Arc;

use bson::{Bson, oid::ObjectId};
use serde_json::value::RawValue;

use super::extract::text;
use super::{DecodeError, Reason};

/// The longest identifier accepted, in bytes of UTF-8; longer ones are refused, not cut.
const LONGEST_ID: usize = 1024;

/// The name of a replica, which is also the name of its collection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityType(Arc<str>);

impl EntityType {
    /// Names an entity type; the manifest has already checked that the name can name a collection.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The one type that all identifiers of a replica have, in records and in references.
///
/// MongoDB does not find `42` when it looks for `"42"`, so a replica declares its type once and
/// every identifier is brought to it at the door, or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// Text, taken as it is.
    String,
    /// A whole number that fits 64 bits.
    Int,
    /// A MongoDB ObjectId, written as 24 hexadecimal digits on the wire.
    ObjectId,
    /// A UUID, stored as BSON binary of subtype 4.
    Uuid,
}

impl fmt::Display for IdKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::Int => "int",
            Self::ObjectId => "objectId",
            Self::Uuid => "uuid",
        })
    }
}

/// The identifier of one entity, of the type its replica declares.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntityId {
    /// See [`IdKind::String`].
    String(Arc<str>),
    /// See [`IdKind::Int`].
    Int(i64),
    /// See [`IdKind::ObjectId`].
    ObjectId([u8; 12]),
    /// See [`IdKind::Uuid`].
    Uuid(uuid::Uuid),
}

impl EntityId {
    /// Reads an identifier from JSON text; a value of another JSON type is refused, never coerced,
    /// because `1`, `1.0` and `"1"` are three different entities to somebody.
    pub fn from_json(raw: &RawValue, kind: IdKind) -> Result<Self, DecodeError> {
        let refused = |found: &str| {
            DecodeError::new(Reason::BadId, format!("the id is {found}, the replica declares {kind}"))
        };
        if kind != IdKind::Int
            && let Some(text) = text(raw.get())
        {
            return Self::parse(&text, kind);
        }
        match serde_json::from_str(raw.get()) {
            Ok(serde_json::Value::Number(number)) if kind == IdKind::Int => {
                number.as_i64().map(Self::Int).ok_or_else(|| refused("a number that is no 64-bit integer"))
            }
            Ok(serde_json::Value::Null) => Err(refused("null")),
            Ok(serde_json::Value::Bool(_)) => Err(refused("a boolean")),
            Ok(serde_json::Value::Number(_)) => Err(refused("a number")),
            Ok(serde_json::Value::String(_)) => Err(refused("a string")),
            Ok(serde_json::Value::Array(_)) => Err(refused("an array")),
            Ok(serde_json::Value::Object(_)) => Err(refused("an object")),
            Err(error) => Err(DecodeError::new(Reason::BadId, format!("the id is not readable: {error}"))),
        }
    }

    /// Reads an identifier from text, as it stands in a string, a URL or a command line.
    pub fn parse(text: &str, kind: IdKind) -> Result<Self, DecodeError> {
        let refused = |why: String| DecodeError::new(Reason::BadId, why);
        if text.is_empty() {
            return Err(refused("the id is empty".into()));
        }
        if text.len() > LONGEST_ID {
            return Err(refused(format!(
                "the id has {} bytes, at most {LONGEST_ID} are accepted",
                text.len()
            )));
        }
        let bad = || refused(format!("the id is no {kind}"));
        match kind {
            IdKind::String if text.contains('\0') => Err(refused("the id contains a NUL character".into())),
            IdKind::String => Ok(Self::String(Arc::from(text))),
            IdKind::Int => text.parse().map(Self::Int).map_err(|_| bad()),
            IdKind::ObjectId => {
                ObjectId::parse_str(text).map(|oid| Self::ObjectId(oid.bytes())).map_err(|_| bad())
            }
            IdKind::Uuid => uuid::Uuid::parse_str(text).map(Self::Uuid).map_err(|_| bad()),
        }
    }

    /// Reads a stored `_id` or a reference; `None` when it is of another type than declared.
    ///
    /// MongoDB holds numbers of three types equal, so a whole `Int32` or `Double` counts as an `Int`.
    pub fn from_bson(value: &Bson, kind: IdKind) -> Option<Self> {
        match (kind, value) {
            (IdKind::String, Bson::String(text)) => Self::parse(text, kind).ok(),
            (IdKind::Int, Bson::Int64(number)) => Some(Self::Int(*number)),
            (IdKind::Int, Bson::Int32(number)) => Some(Self::Int(i64::from(*number))),
            (IdKind::Int, Bson::Double(number)) => whole(*number).map(Self::Int),
            (IdKind::ObjectId, Bson::ObjectId(oid)) => Some(Self::ObjectId(oid.bytes())),
            (IdKind::Uuid, Bson::Binary(binary)) if binary.subtype == bson::spec::BinarySubtype::Uuid => {
                uuid::Uuid::from_slice(&binary.bytes).ok().map(Self::Uuid)
            }
            _ => None,
        }
    }

    /// The value as it is stored and compared in MongoDB.
    pub fn to_bson(&self) -> Bson {
        match self {
            Self::String(text) => Bson::String(text.to_string()),
            Self::Int(number) => Bson::Int64(*number),
            Self::ObjectId(bytes) => Bson::ObjectId(ObjectId::from_bytes(*bytes)),
            Self::Uuid(uuid) => Bson::Binary(bson::Binary {
                subtype: bson::spec::BinarySubtype::Uuid,
                bytes: uuid.as_bytes().to_vec(),
            }),
        }
    }
}

/// The integer a double stands for, if it is one that both types hold exactly.
pub(super) fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "the guard admits only whole numbers below 2^53")]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => f.write_str(text),
            Self::Int(number) => number.fmt(f),
            Self::ObjectId(bytes) => ObjectId::from_bytes(*bytes).fmt(f),
            Self::Uuid(uuid) => uuid.fmt(f),
        }
    }
}
