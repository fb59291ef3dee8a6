//! How the owner is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::place::Place;
use super::super::raw::{self, Short};
use super::super::{Code, Diagnostic};
use super::duration::{self, Range};
use super::{Noted, listing, path, url, version};
use crate::event::{Field, IdKind, VersionRule};
use crate::replication::{AnswerPaths, FetchSpec, UrlTemplate};

const TIMEOUT: Range =
    Range { least: Duration::from_millis(1), most: Duration::from_mins(10), words: "from 1ms to 10m" };
const SETTLE: Range =
    Range { least: Duration::ZERO, most: Duration::from_hours(24), words: "from 0s to 24h" };
const RECONCILE: Range =
    Range { least: Duration::from_secs(1), most: Duration::from_hours(720), words: "from 1s to 720h" };

/// What the replica has already said, which answers are read by, too.
pub(super) struct Told {
    /// The type of its identifiers.
    pub id_kind: IdKind,
    /// What orders its events.
    pub version: VersionRule,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// Reads how the owner is asked; without `told`, only for what is wrong with it.
pub(super) fn read(
    raw: &raw::Fetch,
    at: Place<'_>,
    told: Option<Told>,
    unique: &[String],
    findings: &mut Vec<Diagnostic>,
) -> Option<FetchSpec> {
    let url = url::read(&raw.url, "id", at.at("url")).noted(findings);
    let batch = raw.batch.as_ref().map(|batch| url::read(batch, "ids", at.at("batch")).noted(findings));
    let by = by(raw, at, unique, findings);
    let list = raw.list.as_ref().map(|list| listing::read(list, at.at("list"), findings));
    let timeout = duration::read(&raw.timeout, at.at("timeout"), &TIMEOUT).noted(findings);
    let settle = duration::read(&raw.settle, at.at("settle"), &SETTLE).noted(findings);
    let reconcile = raw
        .reconcile
        .as_ref()
        .map(|every| duration::read(every, at.at("reconcile"), &RECONCILE).noted(findings));
    let answers = answers(&raw.from, at.at("from"), told, findings);
    if raw.batch.is_none() && at.get("batch_size").is_some() {
        findings.push(
            Diagnostic::new(Code::NoEffect, at.at("batch_size").key, "`batch_size` has no effect here")
                .why("there is no `batch` URL to ask for several at once")
                .help("give `batch: \"…?ids={ids}\"`, or remove `batch_size`"),
        );
    }
    Some(FetchSpec {
        url: url?,
        batch: transposed(batch)?,
        by: by?,
        list: transposed(list)?,
        batch_size: raw.batch_size,
        concurrency: raw.concurrency,
        timeout: timeout?,
        settle: settle?,
        reconcile: transposed(reconcile)?,
        answers: answers?,
    })
}

/// Reads where those are found who have a value. Only readers ask that, and only by unique fields.
fn by(
    raw: &raw::Fetch,
    at: Place<'_>,
    unique: &[String],
    findings: &mut Vec<Diagnostic>,
) -> Option<BTreeMap<String, UrlTemplate>> {
    let mut read = BTreeMap::new();
    for (field, template) in &raw.by {
        let at = at.at("by").at(field);
        if !unique.contains(field) {
            let what = format!("nobody asks the owner by `{field}`");
            findings.push(
                Diagnostic::new(Code::NoEffect, at.key, what)
                    .why("it is not one of `reads.unique`")
                    .help(format!("add `{field}` to `reads: {{ unique: […] }}`, or remove it here")),
            );
        }
        read.insert(field.clone(), url::read(template, field, at).noted(findings));
    }
    read.into_iter().map(|(field, url)| Some((field, url?))).collect()
}

/// Left out is fine; given and wrong is not.
#[expect(
    clippy::option_option,
    reason = "the outer is whether it could be read, the inner whether it is there"
)]
fn transposed<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

fn answers(
    raw: &raw::AnswerPaths,
    at: Place<'_>,
    told: Option<Told>,
    findings: &mut Vec<Diagnostic>,
) -> Option<AnswerPaths> {
    let id = path::in_answer(&raw.id, at.at("id")).noted(findings);
    let data = path::read(&raw.data, at.at("data")).noted(findings);
    let items = path::read(&raw.items, at.at("items")).noted(findings);
    let told_rule = told.as_ref().map(|told| &told.version);
    let rule = match &raw.version {
        None => Some(VersionRule::None),
        Some(raw) => answer_version(raw, at.at("version"), told_rule, findings),
    };
    let (id, data, items, rule, told) = (id?, data?, items?, rule?, told?);
    Some(AnswerPaths::new(&id, told.id_kind, rule, data, items, told.fields))
}

/// A plain path is of the kind that events have; the two could not be compared otherwise. How far a time may be
/// ahead is said once, for both.
fn answer_version(
    raw: &raw::VersionPath,
    at: Place<'_>,
    told: Option<&VersionRule>,
    findings: &mut Vec<Diagnostic>,
) -> Option<VersionRule> {
    if let Short::Full(raw::Version { skew: Some(_), .. }) = raw {
        findings.push(
            Diagnostic::new(Code::NoEffect, at.at("skew").key, "`skew` has no effect here")
                .why("that of the replica's `version` holds for answers, too")
                .help("declare it there, and remove it here"),
        );
    }
    let rule = version::read(raw, at, path::in_answer, findings)?;
    match (raw, told, rule) {
        (Short::Path(_), Some(VersionRule::Time { skew, .. }), VersionRule::Sequence(path))
        | (Short::Full(_), Some(VersionRule::Time { skew, .. }), VersionRule::Time { path, .. }) => {
            Some(VersionRule::Time { path, skew: *skew })
        }
        (Short::Full(_), Some(VersionRule::Time { .. }), VersionRule::Sequence(_)) => {
            findings.push(mixed(at, "a sequence", "times"));
            None
        }
        (Short::Full(_), Some(VersionRule::Sequence(_)), VersionRule::Time { .. }) => {
            findings.push(mixed(at, "a time", "sequence numbers"));
            None
        }
        (_, _, rule) => Some(rule),
    }
}

fn mixed(at: Place<'_>, here: &str, there: &str) -> Diagnostic {
    Diagnostic::new(
        Code::MixedVersions,
        at.mark(),
        "answers and events are ordered by different kinds of version",
    )
    .why(format!("{here} here, while events are ordered by {there}"))
    .help("use the same kind in `version` and in `fetch.from.version`")
}
