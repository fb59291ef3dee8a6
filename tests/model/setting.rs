//! What a scenario is made of: who says and does what, and what may go wrong.

use super::world::{Doc, Left};

/// Which entities are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Those that a document refers to.
    #[default]
    Referenced,
    /// Every one.
    All,
}

/// How the owner can be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Its answers carry a version.
    #[default]
    Versioned,
    /// Its answers carry none.
    Unversioned,
    /// Not at all.
    Never,
}

/// How an event tells of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// With the full state.
    Whole,
    /// With its version only.
    Version,
    /// Not even with that.
    Vaguely,
}

/// The owner changes an entity, and tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Say {
    /// Which.
    pub entity: u8,
    /// Its version then.
    pub version: u8,
    /// Its content then; none when it is deleted.
    pub content: Option<u8>,
    /// What the event says.
    pub told: Told,
}

/// The app changes a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum App {
    /// It inserts one that refers to an entity.
    Insert(u8, u8),
    /// It lets one refer to another entity, or to none.
    Refer(u8, Option<u8>),
    /// It copies one over another, stamp and all.
    Copy(u8, u8),
    /// It replaces one by a new one that refers to an entity.
    Replace(u8, u8),
    /// It writes back what it once read of the embedded content.
    WriteBack(u8, u8),
    /// It deletes one.
    Delete(u8),
}

/// All that a scenario fixes. What is not said is left to every interleaving.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setting {
    /// Which entities are kept.
    pub keep: Kept,
    /// How the owner is asked.
    pub asked: Asked,
    /// What documents show of a deleted entity: `clear`, `keep` or `mark`.
    pub deleted: &'static str,
    /// What the owner says, in this order.
    pub says: Vec<Say>,
    /// How much of that was said long ago, and all events of it settled.
    pub past: u8,
    /// Of what is past, the events that are still to come.
    pub late: u8,
    /// Which entities have a record in the beginning, in line with the past.
    pub held: Vec<u8>,
    /// Whom the documents refer to in the beginning; they show it.
    pub docs: Vec<u8>,
    /// What the app does, in this order.
    pub app: Vec<App>,
    /// How many events are taken together at most.
    pub batch: u32,
    /// How much a pod has under way at once.
    pub tasks: usize,
    /// Whether a second pod is there.
    pub pods: usize,
    /// In how many parts the owner's read lag goes by: 1, or 2 for two changes less than a lag apart.
    pub parts: u8,
    /// For how many ticks the owner's read side is behind longer than it declares.
    pub overdue: u8,
    /// Whether debts are swept while others may still pay them.
    pub sweeps: bool,
    /// Events, as bits, that the database refuses to take.
    pub refused: u8,
    /// What may go wrong.
    pub left: Left,
}

impl Say {
    /// A state, told as a whole.
    pub(crate) fn saved(entity: u8, version: u8) -> Self {
        let content = Some(entity * 32 + version * 2);
        Self { entity, version, content, told: Told::Whole }
    }

    /// A deletion.
    pub(crate) fn deleted(entity: u8, version: u8) -> Self {
        Self { entity, version, content: None, told: Told::Whole }
    }

    /// Another content under the same version.
    pub(crate) fn twice(entity: u8, version: u8) -> Self {
        let content = Some(entity * 32 + version * 2 + 1);
        Self { entity, version, content, told: Told::Whole }
    }

    /// The same, told otherwise.
    pub(crate) fn told(self, told: Told) -> Self {
        Self { told, ..self }
    }
}

/// The entity that a content is of.
pub(crate) fn owner_of(content: u8) -> u8 {
    content / 32
}

impl App {
    /// The document that changes.
    pub(crate) fn doc(self) -> u8 {
        match self {
            Self::Insert(doc, _)
            | Self::Refer(doc, _)
            | Self::Copy(_, doc)
            | Self::Replace(doc, _)
            | Self::WriteBack(doc, _)
            | Self::Delete(doc) => doc,
        }
    }

    /// Whether the change stream tells of it; of a deletion it says nothing of use.
    pub(crate) fn hints(self) -> bool {
        !matches!(self, Self::Delete(_))
    }

    /// Does it.
    pub(crate) fn apply(self, docs: &mut [Option<Doc>]) {
        let new = |refers| Some(Doc { refers: Some(refers), ..Doc::default() });
        match self {
            Self::Insert(doc, refers) | Self::Replace(doc, refers) => docs[usize::from(doc)] = new(refers),
            Self::Copy(from, to) => docs[usize::from(to)] = docs[usize::from(from)],
            Self::Delete(doc) => docs[usize::from(doc)] = None,
            Self::Refer(doc, refers) => {
                if let Some(doc) = &mut docs[usize::from(doc)] {
                    doc.refers = refers;
                }
            }
            Self::WriteBack(doc, content) => {
                if let Some(doc) = &mut docs[usize::from(doc)] {
                    doc.shows = Some(content);
                }
            }
        }
    }
}

impl Setting {
    /// How many documents there can be.
    pub(crate) fn documents(&self) -> usize {
        let made = self.app.iter().map(|app| usize::from(app.doc()) + 1);
        made.chain([self.docs.len()]).max().unwrap_or(0)
    }

    /// How many entities there are.
    pub(crate) fn entities(&self) -> u8 {
        let said = self.says.iter().map(|say| say.entity + 1);
        said.max().unwrap_or(0).max(self.held.iter().map(|held| held + 1).max().unwrap_or(0))
    }

    /// What the owner has said of an entity by now, oldest first, each with its place in the script.
    pub(crate) fn history(&self, entity: u8, said: u8) -> impl Iterator<Item = (usize, &Say)> {
        let said = self.says.iter().take(said.into()).enumerate();
        said.filter(move |(_, say)| say.entity == entity)
    }

    /// What the owner has of an entity by now.
    pub(crate) fn truth(&self, entity: u8, said: u8) -> Option<(u8, u8)> {
        let (_, say) = self.history(entity, said).last()?;
        Some((say.version, say.content?))
    }
}
