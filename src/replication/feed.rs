//! Feeds: events that are asked for from a position on, page by page.

use std::time::Duration;

use serde_json::value::RawValue;

use super::{CollectionSpec, Position, UrlTemplate};
use crate::event::{DecodeError, Envelope, FieldPath, Reason, find_at};

/// How long a position may be, in bytes.
const LONGEST: usize = 4 << 10;

/// Events that are asked for.
#[derive(Clone, Debug)]
pub struct FeedSpec {
    /// Its name in the manifest.
    pub name: String,
    /// Who tells them.
    pub teller: Teller,
    /// How often is asked whether there is more.
    pub every: Duration,
    /// How its events are written, and how much of them is accepted.
    pub envelope: Envelope,
}

/// Who tells the events of a feed.
#[derive(Clone, Debug)]
pub enum Teller {
    /// Their owner, as a list over HTTP.
    Owner(ListSpec),
    /// One of the consumer's own collections, of what stands there, and of every change.
    Collection(CollectionSpec),
}

/// How an owner is asked for a list of events.
#[derive(Clone, Debug)]
pub struct ListSpec {
    /// Where the events after a position are found.
    pub url: UrlTemplate,
    /// Where the list is in an answer.
    pub items: FieldPath,
    /// Where the position is that follows upon the list.
    pub position: FieldPath,
    /// The first position, before any was told.
    pub from: String,
    /// How long one request may take.
    pub timeout: Duration,
}

/// Some events, in their order, and how to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The events, each as it is written.
    pub items: Vec<String>,
    /// The position after them; the same as before, where there is nothing new.
    pub next: String,
}

impl FeedSpec {
    /// The first position, before any was told.
    pub fn first(&self) -> &str {
        match &self.teller {
            Teller::Owner(list) => &list.from,
            Teller::Collection(_) => Position::FIRST,
        }
    }

    /// The collection that it tells of, if that is what it does.
    pub fn collection(&self) -> Option<&CollectionSpec> {
        match &self.teller {
            Teller::Owner(_) => None,
            Teller::Collection(collection) => Some(collection),
        }
    }
}

impl ListSpec {
    /// Reads the answer to what comes after a position. One with events that does not lead on is none: the same events would
    /// come for ever.
    pub fn read(&self, body: &[u8], after: &str) -> Result<Page, DecodeError> {
        let bad = |why: &str| DecodeError::new(Reason::NotJson, why);
        let text = std::str::from_utf8(body).map_err(|_| bad("the page is no UTF-8"))?;
        let page: &RawValue = serde_json::from_str(text).map_err(|_| bad("the page is no JSON"))?;
        let list = find_at(page, &self.items)?.ok_or_else(|| bad("there is no list at the declared path"))?;
        let items: Vec<&RawValue> = serde_json::from_str(list.get())
            .map_err(|_| bad("there is something else than a list at the declared path"))?;
        let next = match find_at(page, &self.position)? {
            None => None,
            Some(raw) => position(raw)?,
        };
        let next = match next {
            Some(next) if next.len() > LONGEST => return Err(bad("the position is longer than 4 KiB")),
            Some(next) if next != after || items.is_empty() => next,
            None if items.is_empty() => after.to_owned(),
            _ => return Err(bad("the page has events, and no position after them")),
        };
        Ok(Page { items: items.into_iter().map(|item| item.get().to_owned()).collect(), next })
    }
}

/// A position is text or a number; `null` is none.
fn position(raw: &RawValue) -> Result<Option<String>, DecodeError> {
    match serde_json::from_str(raw.get()) {
        Ok(serde_json::Value::Null) => Ok(None),
        Ok(serde_json::Value::String(text)) => Ok(Some(text)),
        Ok(serde_json::Value::Number(_)) => Ok(Some(raw.get().to_owned())),
        _ => Err(DecodeError::new(Reason::NotJson, "the position is neither text nor a number")),
    }
}
