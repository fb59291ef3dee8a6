//! How the owner is asked for all that it has.

use super::super::place::Place;
use super::super::raw::{self, Next};
use super::super::{Code, Diagnostic};
use super::{Noted, path, url};
use crate::replication::{ListingSpec, Way};

/// What others call pages that are counted.
const COUNTED: [&str; 4] = ["{page}", "{offset}", "{skip}", "{start}"];

/// Reads it.
pub(super) fn read(raw: &raw::Listing, at: Place<'_>, findings: &mut Vec<Diagnostic>) -> Option<ListingSpec> {
    let items = path::read(&raw.items, at.at("items")).noted(findings);
    let total = raw.total.as_ref().map(|total| path::not_empty(total, at.at("total")).noted(findings));
    let way = way(raw, at, findings);
    let total = match total {
        None => None,
        Some(total) => Some(total?),
    };
    Some(ListingSpec { way: way?, items: items?, total })
}

fn way(raw: &raw::Listing, at: Place<'_>, findings: &mut Vec<Diagnostic>) -> Option<Way> {
    if let Some(counted) = COUNTED.into_iter().find(|slot| raw.url.contains(slot)) {
        findings.push(
            Diagnostic::new(Code::BadUrl, at.at("url").mark(), "pages that are counted cannot be read for certain")
                .why(format!("`{counted}` shifts with each entity that comes or goes, and some are then on no page"))
                .help("ask for what comes after something: a `cursor` that the page gives, its header `link`, or its last `id`"),
        );
        return None;
    }
    let first = raw.first.clone().unwrap_or_default();
    let template =
        |findings: &mut Vec<Diagnostic>| url::read(&raw.url, "after", at.at("url")).noted(findings);
    match &raw.next {
        Next::Cursor(next) => {
            let next = path::not_empty(next, at.at("next").at("cursor")).noted(findings);
            Some(Way::Cursor { url: template(findings)?, next: next?, first })
        }
        Next::Id => Some(Way::LastId { url: template(findings)?, first }),
        Next::Link => {
            if raw.first.is_some() {
                findings.push(
                    Diagnostic::new(Code::NoEffect, at.at("first").key, "`first` has no effect here")
                        .why("with `next: link` nothing stands in the URL")
                        .help("remove it"),
                );
            }
            url::fixed(&raw.url, at.at("url")).noted(findings).map(Way::Link)
        }
    }
}
