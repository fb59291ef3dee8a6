//! Feeds: an owner's events, asked for over HTTP.

use std::time::Duration;

use super::super::Diagnostic;
use super::super::place::Place;
use super::super::raw;
use super::duration::{self, Range};
use super::{Noted, path, url};
use crate::event::Envelope;
use crate::replication::{FeedSpec, ListSpec, Teller};

const EVERY: Range =
    Range { least: Duration::from_millis(100), most: Duration::from_hours(24), words: "from 100ms to 24h" };
const TIMEOUT: Range =
    Range { least: Duration::from_millis(1), most: Duration::from_mins(10), words: "from 1ms to 10m" };

/// Reads how the owner is asked for events.
pub(super) fn read(
    name: &str,
    raw: &raw::Feed,
    envelope: Option<Envelope>,
    at: Place<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<FeedSpec> {
    let url = url::read(&raw.url, "position", at.at("url")).noted(findings);
    let items = path::read(&raw.items, at.at("items")).noted(findings);
    let position = path::not_empty(&raw.position, at.at("position")).noted(findings);
    let every = duration::read(&raw.every, at.at("every"), &EVERY).noted(findings);
    let timeout = duration::read(&raw.timeout, at.at("timeout"), &TIMEOUT).noted(findings);
    let (every, envelope) = (every?, envelope?);
    let list =
        ListSpec { url: url?, items: items?, position: position?, from: raw.from.clone(), timeout: timeout? };
    Some(FeedSpec { name: name.to_owned(), teller: Teller::Owner(list), every, envelope })
}
