//! The generations of a declaration: what was kept and shown over time, and which of them a pod works by.
//!
//! The database holds the whole history, the oldest first; a generation's number is its place in it, from one. A
//! declaration that was never seen is appended. One that was, and is not the newest, belongs to an older pod: it works
//! on under its older number, and leaves alone what is of a newer one.

use std::collections::{BTreeMap, BTreeSet};

use bson::{Bson, Document, doc};
use xxhash_rust::xxh3::xxh3_64;

use super::{Declaration, Embed, Lineage, RefPath, Shows};
use crate::event::{Field, Keys, Selection};

/// Stands between how a field is read and how it is protected.
const PROTECTED: &str = "; ";

/// What a declaration keeps and shows, so far as a change of it changes records or documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Each replica's fields, and how each is read.
    replicas: BTreeMap<String, BTreeMap<String, String>>,
    /// Each embed.
    embeds: BTreeMap<String, Shown>,
}

/// What an embed owns, and what it shows there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) collection: String,
    pub(super) reference: String,
    pub(super) from: String,
    pub(super) paths: Vec<String>,
    how: String,
}

/// Every generation there has been, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History(Vec<Shape>);

/// Where a declaration stands in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is this generation, and there is none after it.
    Newest(i32),
    /// It is this generation, and there are newer ones.
    Older(i32),
    /// It is to be appended, and will then be this generation.
    New(i32),
}

impl Shape {
    /// The shape of a declaration.
    pub fn of(declaration: &Declaration) -> Self {
        let field = |of: &Selection, field: &Field| (field.name.clone(), fingerprint(of, field));
        let fields = |of: &Selection| of.fields().map(|one| field(of, one)).collect();
        Self {
            replicas: declaration
                .replicas
                .iter()
                .map(|of| (of.name.to_string(), fields(&of.selection)))
                .collect(),
            embeds: declaration.embeds.iter().map(|embed| (embed.name.clone(), Shown::of(embed))).collect(),
        }
    }

    /// As it is stored.
    pub fn to_document(&self) -> Document {
        let fields = |fields: &BTreeMap<String, String>| -> Document {
            fields.iter().map(|(name, how)| (name.clone(), Bson::from(how))).collect()
        };
        let replicas: Document =
            self.replicas.iter().map(|(name, kept)| (name.clone(), fields(kept).into())).collect();
        let embeds: Document =
            self.embeds.iter().map(|(name, shown)| (name.clone(), shown.to_document().into())).collect();
        doc! { "replicas": replicas, "embeds": embeds }
    }

    /// Reads a stored shape; `None` if it is not one of ours.
    pub fn from_document(stored: &Document) -> Option<Self> {
        let text = |(name, how): (&String, &Bson)| Some((name.clone(), how.as_str()?.to_owned()));
        let fields = |(name, kept): (&String, &Bson)| {
            Some((name.clone(), kept.as_document()?.iter().map(text).collect::<Option<_>>()?))
        };
        let shown = |(name, shown): (&String, &Bson)| {
            Some((name.clone(), Shown::from_document(shown.as_document()?)?))
        };
        Some(Self {
            replicas: stored.get_document("replicas").ok()?.iter().map(fields).collect::<Option<_>>()?,
            embeds: stored.get_document("embeds").ok()?.iter().map(shown).collect::<Option<_>>()?,
        })
    }

    /// What of it touches one replica: its fields, and what its embeds show.
    fn part(&self, replica: &str) -> (Option<&BTreeMap<String, String>>, BTreeMap<&String, &Shown>) {
        let of_it = self.embeds.iter().filter(|(_, shown)| shown.from == replica);
        (self.replicas.get(replica), of_it.collect())
    }
}

impl Shown {
    fn of(embed: &Embed) -> Self {
        let how = match &embed.shows {
            Shows::Into { fields, .. } => fields.join(", "),
            Shows::Set(pairs) => {
                pairs.iter().map(|(path, name)| format!("{path}: {name}")).collect::<Vec<_>>().join(", ")
            }
        };
        Self {
            collection: embed.collection.clone(),
            reference: embed.reference.to_string(),
            from: embed.from.to_string(),
            paths: embed.owned_paths().into_iter().map(str::to_owned).collect(),
            how: format!("{how}; {:?}", embed.when_deleted),
        }
    }

    /// Whether both leave their values and stamps in the same documents or elements.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.place() == other.place()
    }

    /// The collection, and the arrays whose elements are written, if any.
    pub(super) fn place(&self) -> (&str, &str) {
        (&self.collection, self.reference.rsplit_once("[].").map_or("", |(arrays, _)| arrays))
    }

    fn to_document(&self) -> Document {
        doc! {
            "in": &self.collection,
            "ref": &self.reference,
            "from": &self.from,
            "paths": &self.paths,
            "shows": &self.how,
        }
    }

    fn from_document(stored: &Document) -> Option<Self> {
        let text = |name: &str| Some(stored.get_str(name).ok()?.to_owned());
        let paths = stored.get_array("paths").ok()?.iter().map(|path| Some(path.as_str()?.to_owned()));
        Some(Self {
            collection: text("in")?,
            reference: text("ref").filter(|path| RefPath::parse(path).is_ok())?,
            from: text("from")?,
            paths: paths.collect::<Option<_>>()?,
            how: text("shows")?,
        })
    }
}

impl History {
    /// The history of these generations, the oldest first.
    pub fn new(generations: impl IntoIterator<Item = Shape>) -> Self {
        Self(generations.into_iter().collect())
    }

    /// The number of the newest generation; 0 where there is none.
    pub fn newest(&self) -> i32 {
        number(self.0.len())
    }

    /// Where a declaration stands. Going back for good is no accident: whoever names the very generation that is left
    /// makes an older declaration the newest again.
    pub fn standing(&self, declared: &Shape, downgrade_from: Option<i32>) -> Standing {
        let newest = self.newest();
        match self.0.iter().rposition(|shape| shape == declared).map(|at| number(at + 1)) {
            Some(known) if known == newest => Standing::Newest(known),
            Some(older) if downgrade_from != Some(newest) => Standing::Older(older),
            _ => Standing::New(newest + 1),
        }
    }

    /// Appends a generation.
    pub fn append(&mut self, shape: Shape) {
        self.0.push(shape);
    }

    /// The generations up to this number, each with its own.
    pub(super) fn up_to(&self, generation: i32) -> impl Iterator<Item = (i32, &Shape)> {
        (1..).zip(&self.0).take(usize::try_from(generation).unwrap_or_default())
    }

    /// The generation in which a replica, or what is shown of it, came to be as it is in this one.
    pub fn replica_number(&self, replica: &str, generation: i32) -> i32 {
        self.unchanged_since(generation, |shape| shape.part(replica))
    }

    /// The same for an embed.
    pub(super) fn embed_number(&self, embed: &str, generation: i32) -> i32 {
        self.unchanged_since(generation, |shape| shape.embeds.get(embed))
    }

    fn unchanged_since<'h, T: PartialEq>(&'h self, generation: i32, part: impl Fn(&'h Shape) -> T) -> i32 {
        let mut past: Vec<(i32, T)> =
            self.up_to(generation).map(|(number, shape)| (number, part(shape))).collect();
        let Some((mut since, today)) = past.pop() else { return 1 };
        while let Some((number, _)) = past.pop().filter(|(_, before)| *before == today) {
            since = number;
        }
        since
    }

    /// How a replica's fields have changed up to a generation.
    pub fn lineage(&self, replica: &str, generation: i32) -> Lineage {
        let kept = |(number, shape): (i32, &Shape)| Some((number, shape.replicas.get(replica)?.clone()));
        Lineage::new(self.up_to(generation).filter_map(kept))
    }

    /// The replicas of earlier generations that this one does not have.
    pub fn orphans(&self, generation: i32) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for (_, shape) in self.up_to(generation) {
            names.extend(shape.replicas.keys().cloned());
        }
        let declared = self.up_to(generation).last();
        names.retain(|name| declared.is_none_or(|(_, shape)| !shape.replicas.contains_key(name)));
        names
    }

    /// The replicas of any generation that this declaration does not have.
    pub(super) fn orphans_of(&self, declared: &Declaration) -> Vec<String> {
        let all = self.0.iter().flat_map(|shape| shape.replicas.keys());
        let names: BTreeSet<&String> = all.filter(|name| declared.replica(name).is_err()).collect();
        names.into_iter().cloned().collect()
    }

    /// An embed as it was, and since which generation; by name, the newest last.
    pub(super) fn shown(&self, generation: i32) -> impl Iterator<Item = (i32, &String, &Shown)> {
        self.up_to(generation)
            .flat_map(|(number, shape)| shape.embeds.iter().map(move |(name, shown)| (number, name, shown)))
    }
}

/// How a field is read and kept, in words that stay the same over releases. Another key is another way to keep it.
fn fingerprint(of: &Selection, field: &Field) -> String {
    let mut read = format!("{} as {}", field.from, field.kind);
    if let Some(default) = &field.default {
        let bytes = doc! { "default": default }.to_vec().unwrap_or_default();
        read.push_str(&format!(", else {:016x}", xxh3_64(&bytes)));
    }
    match field.protect {
        None => read,
        Some(how) => {
            let print =
                of.guard().map_or_else(|| Keys::default().print(how), |guard| guard.keys().print(how));
            format!("{read}{PROTECTED}{print}")
        }
    }
}

/// How a protected field is read, without how it is kept; `None` where it is kept in clear. What stands behind the last
/// of these marks of a field in clear ends in its type, and has blanks.
pub(super) fn protected(fingerprint: &str) -> Option<&str> {
    let (read, print) = fingerprint.rsplit_once(PROTECTED)?;
    let key = ["hash by ", "encrypt by "].iter().find_map(|how| print.strip_prefix(how));
    (print == "mask" || key.is_some_and(|key| !key.contains(' '))).then_some(read)
}

fn number(generations: usize) -> i32 {
    i32::try_from(generations).unwrap_or(i32::MAX)
}
