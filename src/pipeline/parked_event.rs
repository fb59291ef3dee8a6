//! What is kept of an event that is put aside: enough to find, judge and retry it, and nothing nobody declared.

use std::sync::Arc;

use crate::event::{DecodeError, EntityId, Headers, Limits, Notice, Version, excerpt, is_context_header};
use crate::replication::{Inflow, Misread, ReadModel, Subscription};
use crate::source::Delivery;
use crate::store::Parked;

/// Headers that are kept; of any other only the name is, since anybody may put anything there.
const KEPT_HEADERS: [&str; 4] = ["traceparent", "tracestate", "x-death", "x-delivery-count"];

/// An event's declared parts, its size and a hash. The same event put aside twice has the same id.
pub fn parked(
    source: &Inflow,
    of: Option<&Arc<Subscription>>,
    delivery: &Delivery,
    notice: Option<&Notice<'_>>,
    misread: &Misread,
) -> Parked {
    let hash = xxhash_rust::xxh3::xxh3_128(&delivery.body);
    let seed = format!("{}/{}/{hash:032x}", source.name(), of.map_or("", |of| of.name.as_str()));
    // Where only wanted entities are kept, nothing is kept of an event that does not say whose it is.
    let known = of.filter(|of| misread.entity.is_some() || of.keep.creates());
    let kept = known.zip(notice).and_then(|(of, notice)| of.excerpt(notice));
    Parked {
        id: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, seed.as_bytes()),
        replica: of.map(|of| of.name.clone()),
        entity: misread.entity.clone(),
        version: misread.version.map(Version::get),
        ..told(source.name(), delivery, notice, &misread.error, hash, kept)
    }
}

/// An event that came to a read model.
pub struct Told<'t> {
    /// As it came.
    pub delivery: &'t Delivery,
    /// What tells its place from any other; what comes from a queue has none.
    pub label: Option<String>,
    /// What it says of itself, if it can be opened.
    pub notice: Option<&'t Notice<'t>>,
}

/// An event that a read model cannot fold, or not yet, for one of its documents or for all that it may be about.
pub fn of_model(
    of: &ReadModel,
    source: &str,
    Told { delivery, label, notice }: Told<'_>,
    key: Option<&EntityId>,
    error: &DecodeError,
) -> Parked {
    let hash = xxhash_rust::xxh3::xxh3_128(&delivery.body);
    let about = key.map(ToString::to_string).unwrap_or_default();
    // What comes from a queue has no place, but an id, if it can be folded at all.
    let nameless = || notice.and_then(Notice::identity).map(|id| id.to_string()).unwrap_or_default();
    let place = label.unwrap_or_else(nameless);
    let seed = format!("{source}/{}/{place}/{hash:032x}/{about}", of.name);
    let kept = notice.and_then(|notice| excerpt(notice, of.lookup.paths(), &[]));
    Parked {
        id: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, seed.as_bytes()),
        replica: Some(of.name.clone()),
        entity: key.cloned(),
        ..told(source, delivery, notice, error, hash, kept)
    }
}

/// What an event says of itself, and why it is put aside; not yet for whom.
fn told(
    source: &str,
    delivery: &Delivery,
    notice: Option<&Notice<'_>>,
    error: &DecodeError,
    hash: u128,
    kept: Option<String>,
) -> Parked {
    Parked {
        id: uuid::Uuid::nil(),
        source: source.to_owned(),
        replica: None,
        entity: None,
        version: None,
        kind: notice.map(|notice| notice.kind.to_string()),
        event: notice.and_then(Notice::event_id).map(|id| id.to_string()),
        reason: error.reason.to_string(),
        detail: error.detail.clone(),
        headers: redacted(&delivery.headers),
        excerpt: kept.filter(|kept| kept.len() <= Limits::default().body),
        size: i64::try_from(delivery.body.len()).unwrap_or(i64::MAX),
        hash: format!("{hash:032x}"),
        at: None,
    }
}

fn redacted(headers: &Headers) -> Headers {
    let known = |name: &str| KEPT_HEADERS.contains(&name) || is_context_header(name);
    let keep = |(name, value): (&String, &String)| {
        // The names become keys of a document, and MongoDB has none with NUL.
        (name.replace('\0', "\u{FFFD}"), if known(name) { value.clone() } else { "(not kept)".to_owned() })
    };
    headers.iter().map(keep).collect()
}
