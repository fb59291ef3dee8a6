//! No two embeds own the same place of a document, and none owns the place of a reference.

use std::sync::Arc;

use super::super::place::{Place, Span};
use super::super::{Code, Diagnostic};
use crate::replication::{Embed, Shows};

/// A place in the documents of a collection, and where the manifest speaks of it.
struct Claim<'e> {
    embed: &'e str,
    collection: &'e str,
    path: String,
    at: Span,
}

/// Compares all embeds with each other and with themselves.
pub(super) fn check(embeds: &[(Arc<Embed>, Place<'_>)], findings: &mut Vec<Diagnostic>) {
    let mut owned: Vec<Claim<'_>> = Vec::new();
    let references: Vec<Claim<'_>> = embeds.iter().map(|(embed, at)| reference(embed, *at)).collect();
    for (embed, at) in embeds {
        for claim in targets(embed, *at) {
            if let Some(other) = references.iter().find(|other| claim.meets(other)) {
                findings.push(on_reference(&claim, other));
            } else if let Some(first) = owned.iter().find(|first| claim.meets(first)) {
                findings.push(on_target(&claim, first));
            }
            owned.push(claim);
        }
    }
}

impl Claim<'_> {
    /// Whether one place is the other, or lies in it.
    fn meets(&self, other: &Claim<'_>) -> bool {
        let inside = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.collection == other.collection
            && (inside(&self.path, &other.path) || inside(&other.path, &self.path))
    }
}

fn reference<'e>(embed: &'e Embed, at: Place<'_>) -> Claim<'e> {
    let path = embed.reference.dotted();
    Claim { embed: &embed.name, collection: &embed.collection, path, at: at.at("ref").mark() }
}

fn targets<'e>(embed: &'e Embed, at: Place<'_>) -> Vec<Claim<'e>> {
    let claim = |path: &str, at: Span| {
        let mut names = embed.reference.arrays().to_vec();
        names.push(path.to_owned());
        Claim { embed: &embed.name, collection: &embed.collection, path: names.join("."), at }
    };
    match &embed.shows {
        Shows::Into { path, .. } => vec![claim(path, at.at("into").mark())],
        Shows::Set(pairs) => {
            let at = at.at("set");
            pairs.iter().map(|(path, _)| claim(path, at.at(path).key)).collect()
        }
    }
}

fn on_reference(claim: &Claim<'_>, reference: &Claim<'_>) -> Diagnostic {
    let message = format!("`{}` would overwrite a reference", claim.path);
    Diagnostic::new(Code::Overlap, claim.at, message)
        .why("what stands here belongs wholly to nearcopy")
        .also(reference.at, format!("the reference of `{}`", reference.embed))
        .help("show the fields beside the reference, not around or inside it")
}

fn on_target(claim: &Claim<'_>, first: &Claim<'_>) -> Diagnostic {
    let message = format!("two embeds show something at `{}`", claim.path);
    Diagnostic::new(Code::Overlap, claim.at, message)
        .why("each would overwrite the other")
        .also(first.at, format!("`{}` owns `{}`", first.embed, first.path))
        .help("give each a place of its own")
}
