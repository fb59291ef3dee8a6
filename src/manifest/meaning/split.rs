//! Queues that are split into partitions.

use super::super::place::Place;
use super::super::raw::{self, Property};
use super::super::{Code, Diagnostic};
use super::source::LONGEST;
use super::{Noted, empty, in_doubt, read_model};
use crate::replication::{HashedBy, Split};

/// How a queue is split, if it is.
pub(super) fn read(raw: &raw::RabbitMq, at: Place<'_>, findings: &mut Vec<Diagnostic>) -> Option<Split> {
    let is_reported = ["header", "property"].iter().any(|key| at.at("by").at(key).is_broken());
    let by = raw.by.as_ref().filter(|_| !is_reported).map(|by| hashed_by(by, at.at("by")));
    let Some(partitions) = raw.partitions else {
        if by.is_some() && !at.has("partitions") {
            findings.push(
                Diagnostic::new(Code::NoEffect, at.at("by").key, "`by` has no effect without `partitions`")
                    .why("it says which partition a message belongs to")
                    .help("add `partitions: 4`, or remove `by`"),
            );
        }
        return None;
    };
    let by = by.map_or(Some(HashedBy::RoutingKey), |by| by.noted(findings))?;
    let split = Split { partitions, by };
    let longest = split.exchange(&raw.queue).len().max(raw.queue.len() + "-99".len());
    if longest > LONGEST && raw.queue.len() <= LONGEST {
        findings.push(
            Diagnostic::new(
                Code::BadQueue,
                at.at("queue").mark(),
                "the names of its partitions would be too long",
            )
            .why(format!(
                "the longest is one of {longest} bytes: partitions, and the exchange before them, are named after the queue"
            ))
            .help("choose a shorter name: RabbitMQ's names have up to 255 bytes"),
        );
    }
    Some(split)
}

fn hashed_by(raw: &raw::HashedBy, at: Place<'_>) -> Result<HashedBy, Diagnostic> {
    match (&raw.header, raw.property) {
        (Some(header), None) if header.is_empty() => Err(empty(
            at.at("header"),
            "nothing says which header",
            "name one that the owner sets, such as `user-id`",
        )),
        (Some(header), None) => Ok(HashedBy::Header(header.clone())),
        (None, Some(Property::CorrelationId)) => Ok(HashedBy::CorrelationId),
        (header, _) => {
            let why = if header.is_some() { "both are here" } else { "none of them is here" };
            Err(Diagnostic::new(Code::OneOf, at.key, "`by` wants exactly one of `header` or `property`")
                .why(why)
                .help("say `by: { header: user-id }` with a header that names the entity; without `by` it is the routing key"))
        }
    }
}

/// Sources that are split though no replica reads them; none is blamed while somebody's own source is in doubt.
pub(super) fn idle(root: Place<'_>) -> Vec<Diagnostic> {
    let replicas = || root.get("replicas").into_iter().flat_map(Place::entries);
    let read: Option<Vec<&str>> = replicas().map(|(_, replica)| replica.get("source")?.text()).collect();
    let (Some(read), false) = (read, in_doubt(root)) else { return Vec::new() };
    let folded = read_model::sources_of(root);
    let sources = root.get("sources").into_iter().flat_map(Place::entries);
    let idle = sources.filter(|(name, _)| folded.contains(name) && !read.contains(name));
    let split = idle.filter_map(|(name, at)| Some((name, at.get("rabbitmq")?.get("partitions")?)));
    let diagnostic = |(name, at): (&str, Place<'_>)| {
        Diagnostic::new(Code::NoEffect, at.key, format!("`partitions` has no effect: no replica reads `{name}`"))
            .why("a read model has one queue of its own, since it goes by the order in which events come")
            .help("remove `partitions`; or have the owner split a stream, and say `stream: { name: …, partitions: 4 }`")
    };
    split.map(diagnostic).collect()
}
