//! The statements that bring the documents of a collection in line with a record.
//!
//! Each is guarded by the stamp that the last write left: `{ ref, rev, version }` beside what is shown, inside
//! the element where the reference is in an array. A statement that finds nothing to do writes nothing, so all
//! of them may be repeated, cut off in the middle, or overtaken.

use bson::{Bson, Document, doc};

use super::{Embed, Record, Rendering, Shows};
use crate::event::EntityId;

/// One guarded update of all documents that match.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedWrite {
    /// Which documents.
    pub filter: Document,
    /// What is done to them.
    pub update: Document,
    /// Which elements of their arrays.
    pub array_filters: Vec<Document>,
}

/// Which documents a statement may touch.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Every one that refers to the record and shows an older revision: the fan-out.
    Everywhere,
    /// Of these, by `_id`, the ones that show an older revision: a page of the fan-out.
    Page(&'a [Bson]),
    /// Of these, by `_id`, also the ones that show something else under the same stamp: what the consumer
    /// copied, replaced or wrote back.
    Exactly(&'a [Bson]),
}

/// A condition on an element, given the prefix of its names.
pub(super) type Condition<'c> = &'c dyn Fn(&str) -> Document;

impl Embed {
    /// The statements that make documents show this record, in order. Of [`Rendering::Remove`] only what is
    /// another entity's goes here: what destroys goes its own way.
    pub fn writes(&self, record: &Record, scope: Scope<'_>) -> Vec<EmbedWrite> {
        let subject = Subject { embed: self, reference: record.id.to_bson(), record, scope };
        let tidy = self.former.as_ref().map(|_| subject.tidy());
        let shown = match self.render(record) {
            Rendering::Show(values) => vec![subject.show(&values)],
            Rendering::Nothing => vec![subject.clear()],
            Rendering::Leave => vec![subject.evict(None), subject.restamp(None)],
            Rendering::Mark(path) => vec![subject.evict(Some(&path)), subject.restamp(Some(&path))],
            Rendering::Wait => vec![subject.evict(None)],
            Rendering::Remove => std::iter::once(subject.evict(None)).chain(subject.scrub()).collect(),
        };
        tidy.into_iter().chain(shown).collect()
    }

    /// The statement that clears these documents where they refer to nothing, or to this value that can be no
    /// reference, and still show somebody.
    pub fn clear_unreferenced(&self, ids: &[Bson], reference: &Bson) -> EmbedWrite {
        let stamp = self.stamp_path();
        let condition = |prefix: &str| {
            let mut condition = doc! {
                format!("{prefix}{}", self.reference.leaf()): { "$eq": reference },
                format!("{prefix}{stamp}"): { "$exists": true },
            };
            condition.extend(self.tidied(prefix));
            condition
        };
        let mut unset = self.unset();
        unset.insert(self.element_path(&stamp), "");
        self.write(Scope::Exactly(ids), &condition, doc! { "$unset": unset })
    }

    /// The documents that refer to this record and show an older revision of it, or another entity.
    pub fn outdated(&self, record: &Record) -> Document {
        let subject =
            Subject { embed: self, reference: record.id.to_bson(), record, scope: Scope::Everywhere };
        let condition = |prefix: &str| subject.guarded(prefix, Vec::new());
        self.write(Scope::Everywhere, &condition, Document::new()).filter
    }

    /// Takes away what earlier generations left beside their stamps. The stamp stays, as outdated as can be, where this
    /// generation goes on showing something there.
    pub(super) fn tidy(&self, scope: Scope<'_>, refers: Condition<'_>, stays: bool) -> EmbedWrite {
        let stamp = self.stamp_path();
        let former = self.former.iter().flatten().map(|path| (self.element_path(path), Bson::from("")));
        let (mut unset, mut update): (Document, _) = (former.collect(), Document::new());
        if stays {
            let [rev, shape] = ["rev", "s"].map(|name| self.element_path(&format!("{stamp}.{name}")));
            update.insert("$set", doc! { rev: 0_i64, shape: self.shape });
        } else {
            unset.insert(self.element_path(&stamp), "");
        }
        if !unset.is_empty() {
            update.insert("$unset", unset);
        }
        let condition = |prefix: &str| {
            let mut condition = refers(prefix);
            condition.extend(self.older_stamp(prefix));
            condition
        };
        self.write(scope, &condition, update)
    }

    /// The stamp is of an earlier generation than this embed.
    fn older_stamp(&self, prefix: &str) -> Document {
        let stamp = format!("{prefix}{}", self.stamp_path());
        doc! { format!("{stamp}.rev"): { "$exists": true }, format!("{stamp}.s"): { "$not": { "$gte": self.shape } } }
    }

    /// What earlier generations left behind is taken away already; no condition where they left nothing.
    fn tidied(&self, prefix: &str) -> Document {
        match self.former {
            Some(_) => doc! { "$nor": [self.older_stamp(prefix)] },
            None => Document::new(),
        }
    }

    /// The documents that refer to this entity and show anything where an entity is shown.
    pub fn shown(&self, entity: &EntityId) -> Document {
        let reference = entity.to_bson();
        let condition = |prefix: &str| {
            let exactly = doc! { "$eq": &reference, "$not": { "$type": "array" } };
            doc! { format!("{prefix}{}", self.reference.leaf()): exactly, "$or": self.shows_any(prefix) }
        };
        self.write(Scope::Everywhere, &condition, Document::new()).filter
    }

    /// Puts a condition and an update where the reference stands: in the document, or in its arrays' elements.
    fn write(&self, scope: Scope<'_>, condition: Condition<'_>, update: Document) -> EmbedWrite {
        let mut filter = match scope {
            Scope::Everywhere => Document::new(),
            Scope::Page(ids) | Scope::Exactly(ids) => doc! { "_id": { "$in": ids } },
        };
        let arrays = self.reference.arrays();
        if arrays.is_empty() {
            filter.extend(condition(""));
            return EmbedWrite { filter, update, array_filters: Vec::new() };
        }
        filter.insert(arrays.join("."), doc! { "$elemMatch": condition("") });
        let inner = arrays.len() - 1;
        let outer =
            (0..inner).map(|level| doc! { format!("a{level}.{}", arrays[level + 1]): { "$type": "array" } });
        let array_filters = outer.chain([condition(&format!("a{inner}."))]).collect();
        EmbedWrite { filter, update, array_filters }
    }

    /// A path inside the element, as an update names it from the document's root.
    fn element_path(&self, path: &str) -> String {
        let arrays = self.reference.arrays().iter().enumerate();
        let prefix: String = arrays.map(|(level, array)| format!("{array}.$[a{level}].")).collect();
        prefix + path
    }

    /// Each way of showing anything at all.
    fn shows_any(&self, prefix: &str) -> Vec<Document> {
        let paths = self.owned_paths().into_iter();
        paths.map(|path| doc! { format!("{prefix}{path}"): { "$exists": true } }).collect()
    }

    fn unset(&self) -> Document {
        self.owned_paths().into_iter().map(|path| (self.element_path(path), Bson::from(""))).collect()
    }
}

/// One record, seen from one embed.
struct Subject<'a> {
    embed: &'a Embed,
    reference: Bson,
    record: &'a Record,
    scope: Scope<'a>,
}

impl Subject<'_> {
    fn show(&self, values: &[(String, Bson)]) -> EmbedWrite {
        let mut set: Document =
            values.iter().map(|(path, value)| (self.embed.element_path(path), value.clone())).collect();
        set.insert(self.stamp_at(), self.stamp(false));
        let differs = |prefix: &str| {
            values.iter().map(|(path, value)| doc! { format!("{prefix}{path}"): { "$ne": value } }).collect()
        };
        self.write(&|prefix| self.guarded(prefix, differs(prefix)), doc! { "$set": set })
    }

    fn clear(&self) -> EmbedWrite {
        let update = doc! { "$unset": self.embed.unset(), "$set": { self.stamp_at(): self.stamp(false) } };
        self.write(&|prefix| self.guarded(prefix, self.embed.shows_any(prefix)), update)
    }

    /// Takes away what another entity left behind.
    fn evict(&self, mark: Option<&str>) -> EmbedWrite {
        let condition = |prefix: &str| {
            let mut condition = self.refers(prefix);
            let other = doc! { "$exists": true, "$ne": &self.reference };
            condition.insert(format!("{prefix}{}.ref", self.embed.stamp_path()), other);
            condition
        };
        let mut update = doc! { "$set": { self.stamp_at(): self.stamp(mark.is_some()) } };
        match (&self.embed.shows, mark) {
            (Shows::Into { path, .. }, Some(_)) => {
                let set = doc! { self.stamp_at(): self.stamp(false), self.embed.element_path(path): { "deleted": true } };
                update.insert("$set", set);
            }
            _ => {
                update.insert("$unset", self.embed.unset());
            }
        }
        self.write(&condition, update)
    }

    /// Takes away what the consumer has written beside the stamp of this very revision, where nothing is to be shown.
    fn scrub(&self) -> Option<EmbedWrite> {
        let Scope::Exactly(_) = self.scope else { return None };
        let stamp = self.embed.stamp_path();
        let condition = |prefix: &str| {
            let mut condition = self.refers(prefix);
            condition.extend(doc! {
                format!("{prefix}{stamp}.ref"): { "$eq": &self.reference },
                format!("{prefix}{stamp}.rev"): self.record.rev,
                "$or": self.embed.shows_any(prefix),
            });
            condition
        };
        Some(self.write(&condition, doc! { "$unset": self.embed.unset() }))
    }

    /// Moves the stamp and leaves what is shown; never what is another entity's, for the document may have come to
    /// refer to this one since that was taken away.
    fn restamp(&self, mark: Option<&str>) -> EmbedWrite {
        let condition = |prefix: &str| {
            let mut condition = self.refers(prefix);
            let stamp = format!("{prefix}{}", self.embed.stamp_path());
            condition.insert(format!("{stamp}.ref"), doc! { "$in": [&self.reference, Bson::Null] });
            let (rev, older) = (format!("{stamp}.rev"), doc! { "$not": { "$gte": self.record.rev } });
            match (self.scope, mark) {
                (Scope::Exactly(_), Some(mark)) => {
                    let unmarked = doc! { &rev: self.record.rev, format!("{prefix}{mark}"): { "$ne": true } };
                    condition.insert("$or", vec![doc! { rev: older }, unmarked]);
                }
                _ => drop(condition.insert(rev, older)),
            }
            condition
        };
        let flat = matches!(self.embed.shows, Shows::Set(_));
        let mut set = doc! { self.stamp_at(): self.stamp(flat && mark.is_some()) };
        if let (Some(path), false) = (mark, flat) {
            set.insert(self.embed.element_path(path), true);
        }
        self.write(&condition, doc! { "$set": set })
    }

    /// Refers to the record, and shows another entity, or an older revision, or (when exact) something else.
    fn guarded(&self, prefix: &str, differs: Vec<Document>) -> Document {
        let stamp = format!("{prefix}{}", self.embed.stamp_path());
        let rev = self.record.rev;
        let mut outdated = vec![
            doc! { format!("{stamp}.ref"): { "$ne": &self.reference } },
            doc! { format!("{stamp}.rev"): { "$not": { "$gte": rev } } },
        ];
        if matches!(self.scope, Scope::Exactly(_)) {
            outdated.extend(differs.into_iter().map(|mut other| {
                other.insert(format!("{stamp}.rev"), rev);
                other
            }));
        }
        let mut condition = self.refers(prefix);
        condition.insert("$or", outdated);
        condition
    }

    /// Refers to the record. MongoDB finds a value in an array, too, but an array is no reference.
    fn refers(&self, prefix: &str) -> Document {
        let exactly = doc! { "$eq": &self.reference, "$not": { "$type": "array" } };
        doc! { format!("{prefix}{}", self.embed.reference.leaf()): exactly }
    }

    fn tidy(&self) -> EmbedWrite {
        self.embed.tidy(self.scope, &|prefix| self.refers(prefix), true)
    }

    fn write(&self, condition: Condition<'_>, update: Document) -> EmbedWrite {
        let condition = |prefix: &str| {
            let mut condition = condition(prefix);
            condition.extend(self.embed.tidied(prefix));
            condition
        };
        self.embed.write(self.scope, &condition, update)
    }

    fn stamp_at(&self) -> String {
        self.embed.element_path(&self.embed.stamp_path())
    }

    fn stamp(&self, deleted: bool) -> Document {
        let version = self.record.version().map(crate::event::Version::get);
        let mut stamp = doc! { "ref": &self.reference, "rev": self.record.rev, "version": version };
        if self.embed.shape > 1 {
            stamp.insert("s", self.embed.shape);
        }
        if deleted {
            stamp.insert("deleted", true);
        }
        stamp
    }
}
