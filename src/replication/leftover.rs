//! What earlier generations of an embed left behind in documents: paths that nothing owns any more.

use std::collections::BTreeSet;

use bson::{Bson, Document, doc};

use super::shape::Shown;
use super::{Embed, EmbedWrite, History, RefPath, Scope, Shows, WhenDeleted};
use crate::event::EntityType;

/// Paths at one place that an earlier generation owned, and today's does not. Only what stands beside a stamp of an
/// earlier generation is taken away: the same path may have become the consumer's own since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    embed: Embed,
    stays: bool,
}

impl Leftover {
    /// Everything that the generations before this one left behind.
    pub fn all(history: &History, generation: i32) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for (_, name, shown) in history.shown(generation) {
            let known = |left: &Self| left.embed.name == *name && left.is_at(shown);
            if !found.iter().any(known) {
                found.extend(left(history, generation, name, shown));
            }
        }
        found
    }

    /// A name of its own, to remember by that it is done.
    pub fn name(&self) -> String {
        let Embed { name, collection, reference, shape, .. } = &self.embed;
        format!("clear:{name}:{collection}:{}:{shape}", reference.arrays().join("."))
    }

    /// The embed as it was, for whoever writes to its documents.
    pub fn embed(&self) -> &Embed {
        &self.embed
    }

    /// The documents in which something is left.
    pub fn filter(&self) -> Document {
        self.write(Scope::Everywhere).filter
    }

    /// What takes it away from these documents.
    pub fn clear(&self, ids: &[Bson]) -> EmbedWrite {
        self.write(Scope::Page(ids))
    }

    fn write(&self, scope: Scope<'_>) -> EmbedWrite {
        self.embed.tidy(scope, &|_| doc! {}, self.stays)
    }

    fn is_at(&self, shown: &Shown) -> bool {
        let arrays = self.embed.reference.arrays().join("[].");
        (self.embed.collection.as_str(), arrays.as_str()) == shown.place()
    }
}

/// The paths that an embed owned at its place in earlier generations and does not own today; `None` where it never owned
/// others and always showed the same replica.
pub(super) fn former(embed: &Embed, history: &History, generation: i32) -> Option<Vec<String>> {
    let shown: Vec<&Shown> = history
        .shown(generation)
        .filter(|(_, name, _)| **name == embed.name)
        .map(|(_, _, shown)| shown)
        .collect();
    let today = *shown.last()?;
    let before: Vec<&Shown> = shown.into_iter().filter(|then| then.is_beside(today)).collect();
    let is_other =
        |then: &&Shown| then.from != today.from || then.paths.iter().any(|path| !owns(today, path));
    before.iter().copied().any(|then| is_other(&then)).then(|| unowned(history, generation, &before))
}

/// What is left of one embed at one place, if anything is.
fn left(history: &History, generation: i32, name: &str, place: &Shown) -> Option<Leftover> {
    let here = history.shown(generation).filter(|(_, other, shown)| *other == name && shown.is_beside(place));
    let (numbers, shown): (Vec<i32>, Vec<&Shown>) = here.map(|(number, _, shown)| (number, shown)).unzip();
    let last = *numbers.last()?;
    let stays = last == generation;
    let embed = Embed {
        name: name.to_owned(),
        collection: place.collection.clone(),
        reference: RefPath::parse(&place.reference).ok()?,
        from: EntityType::new(&place.from),
        shows: Shows::Set(Vec::new()),
        when_deleted: WhenDeleted::Keep,
        shape: if stays { history.embed_number(name, generation) } else { last + 1 },
        former: None,
    };
    let former =
        if stays { former(&embed, history, generation)? } else { unowned(history, generation, &shown) };
    Some(Leftover { embed: Embed { former: Some(former), ..embed }, stays })
}

/// Of the paths that an embed owned at a place, those that no embed owns there today, nor what is around them.
fn unowned(history: &History, generation: i32, before: &[&Shown]) -> Vec<String> {
    let paths: BTreeSet<&String> = before.iter().flat_map(|shown| &shown.paths).collect();
    let is_here = |shown: &Shown| before.iter().any(|then| then.is_beside(shown));
    let today: Vec<&Shown> = history
        .shown(generation)
        .filter(|(number, _, shown)| *number == generation && is_here(shown))
        .map(|(_, _, shown)| shown)
        .collect();
    let free = paths.into_iter().filter(|path| !today.iter().any(|shown| owns(shown, path)));
    free.cloned().collect()
}

/// Whether a path is one of those, or inside one.
fn owns(shown: &Shown, path: &str) -> bool {
    let inside = |own: &String| {
        path.strip_prefix(own.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    shown.paths.iter().any(inside)
}
