//! Collections of the consumer's own as sources: what stands there, and each change of it, as events.

use std::collections::BTreeMap;
use std::fmt;

use bson::{Bson, Document, Timestamp, doc};
use serde::Serialize;

use crate::event::{DecodeError, Plain, PlainDocument, Reason, plain_time};

/// How many bits of a version count the changes of one document that one transaction makes.
const REPEAT_BITS: u32 = 7;
/// How many bits count what happens within a second.
const ORDINAL_BITS: u32 = 24;
/// The last of those changes; what was read as of a time has all of that time.
const LAST_REPEAT: u32 = (1 << REPEAT_BITS) - 1;

/// Which of the consumer's collections is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionSpec {
    /// Its name.
    pub name: String,
}

/// How far a collection has been told of.
#[derive(Clone, Debug, PartialEq)]
pub enum Position {
    /// Not at all.
    First,
    /// What stood there at that time, in the order of `_id`, up to this one.
    Scan(Timestamp, Bson),
    /// All that stood there at that time.
    Since(Timestamp),
    /// All up to the change that the database knows by this token.
    Token(Document),
}

/// A document, or a change of one, as an event.
#[derive(Serialize)]
struct Event<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'a str,
    time: Option<String>,
    key: Plain<'a>,
    version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<PlainDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<PlainDocument<'a>>,
}

impl CollectionSpec {
    /// A document as it was found at that time, as if it had been inserted then.
    pub fn found(&self, document: &Document, at: Timestamp) -> Option<String> {
        let (key, own) = (document.get("_id")?, without_ours(document));
        let event = Event {
            id: self.id(at, &serde_json::to_string(&Plain(key)).ok()?),
            kind: "insert",
            time: plain_time(i64::from(at.time) * 1_000),
            key: Plain(key),
            version: version(at, LAST_REPEAT),
            data: Some(PlainDocument(&own)),
            before: None,
        };
        serde_json::to_string(&event).ok()
    }

    /// Changes in their order as events. A transaction must be among them as a whole, see [`whole`]: its changes of one
    /// document have the same time, and are told apart by their order.
    ///
    /// An update whose document was gone before it could be looked up says nothing; its deletion follows.
    pub fn changed(&self, changes: &[Document]) -> Vec<String> {
        let mut repeats = Repeats::default();
        changes.iter().filter_map(|change| self.told(change, repeats.count(change))).collect()
    }

    fn told(&self, change: &Document, repeat: u32) -> Option<String> {
        let kind = change.get_str("operationType").ok()?;
        let key = change.get_document("documentKey").ok()?.get("_id")?;
        let part = |name: &str| change.get_document(name).ok().map(without_ours);
        let (data, before, at) = (part("fullDocument"), part("fullDocumentBeforeChange"), time_of(change)?);
        if data.is_none() && kind != "delete" {
            return None;
        }
        let wall =
            change.get_datetime("wallTime").map_or(i64::from(at.time) * 1_000, |at| at.timestamp_millis());
        let event = Event {
            id: self.id(at, &change.get_document("_id").ok()?.to_string()),
            kind,
            time: plain_time(wall),
            key: Plain(key),
            version: version(at, repeat),
            data: data.as_ref().map(PlainDocument),
            before: before.as_ref().map(PlainDocument),
        };
        serde_json::to_string(&event).ok()
    }

    /// The same whenever the same is told.
    fn id(&self, at: Timestamp, what: &str) -> String {
        let hash = xxhash_rust::xxh3::xxh3_128(what.as_bytes());
        format!("{}:{}.{}:{hash:032x}", self.name, at.time, at.increment)
    }
}

/// How often documents were changed before by the same transaction.
#[derive(Default)]
struct Repeats {
    at: Option<Timestamp>,
    times: BTreeMap<Vec<u8>, u32>,
}

impl Repeats {
    fn count(&mut self, change: &Document) -> u32 {
        let key = change.get_document("documentKey").ok().and_then(|key| key.to_vec().ok());
        let Some(key) = key.filter(|_| is_of_transaction(change)) else { return 0 };
        let at = time_of(change);
        if self.at != at {
            *self = Self { at, times: BTreeMap::new() };
        }
        let times = self.times.entry(key).or_default();
        let before = *times;
        *times = (before + 1).min(LAST_REPEAT - 1);
        before
    }
}

/// How many of these changes can be told: all but those of a transaction at the end of which there may be more.
pub fn whole(changes: &[Document]) -> usize {
    match changes.last() {
        Some(last) if is_of_transaction(last) => {
            let same = changes.iter().rev().take_while(|change| time_of(change) == time_of(last));
            changes.len() - same.count()
        }
        _ => changes.len(),
    }
}

fn is_of_transaction(change: &Document) -> bool {
    change.contains_key("txnNumber")
}

fn time_of(change: &Document) -> Option<Timestamp> {
    change.get_timestamp("clusterTime").ok()
}

/// What is nearcopy's own in a document is not part of it.
fn without_ours(document: &Document) -> Document {
    let mut own = document.clone();
    own.remove("_nearcopy");
    own
}

/// The database's time as one number that rises with each change of a document, until the year 2106. More changes of one
/// document in one transaction than it can count, or more of all in a second, have the last number.
fn version(at: Timestamp, repeat: u32) -> i64 {
    let ordinal = at.increment.min((1 << ORDINAL_BITS) - 1);
    (i64::from(at.time) << (ORDINAL_BITS + REPEAT_BITS)) | i64::from((ordinal << REPEAT_BITS) | repeat)
}

impl Position {
    /// Where to begin.
    pub const FIRST: &'static str = "";

    /// Reads a position that was remembered.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        let bad = || DecodeError::new(Reason::NotJson, "the stored position is none of a collection's");
        if text == Self::FIRST {
            return Ok(Self::First);
        }
        let (kind, rest) = text.split_once(':').ok_or_else(bad)?;
        let position = match kind {
            "scan" => {
                let (at, after) = rest.split_once(':').ok_or_else(bad)?;
                Some(Self::Scan(read_time(at).ok_or_else(bad)?, read_value(after).ok_or_else(bad)?))
            }
            "since" => read_time(rest).map(Self::Since),
            "token" => read_value(rest).and_then(|token| token.as_document().cloned()).map(Self::Token),
            _ => None,
        };
        position.ok_or_else(bad)
    }
}

/// Positions are kept as text.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str(Self::FIRST),
            Self::Scan(at, after) => write!(f, "scan:{}.{}:{}", at.time, at.increment, write_value(after)),
            Self::Since(at) => write!(f, "since:{}.{}", at.time, at.increment),
            Self::Token(token) => write!(f, "token:{}", write_value(&Bson::Document(token.clone()))),
        }
    }
}

fn read_time(text: &str) -> Option<Timestamp> {
    let (time, increment) = text.split_once('.')?;
    Some(Timestamp { time: time.parse().ok()?, increment: increment.parse().ok()? })
}

/// Values of whatever type come back as they were: encoded, since Extended JSON takes an object such as `{"$date": …}` for
/// something else than it is.
fn read_value(text: &str) -> Option<Bson> {
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    let document = Document::from_reader(&*digits.collect::<Option<Vec<u8>>>()?).ok()?;
    document.get("v").cloned()
}

fn write_value(value: &Bson) -> String {
    let encoded = doc! { "v": value }.to_vec().unwrap_or_default();
    encoded.iter().map(|byte| format!("{byte:02x}")).collect()
}
