//! Which documents of the consumer show which fields of a replica, and what they show in each state.

use std::fmt;

use bson::{Bson, Document};

use super::{History, Record, State, Why, leftover};
use crate::event::EntityType;

/// Where in a document the reference stands: dotted names, `[]` after each that is an array.
///
/// `contributors[].userId` has one array level, `sections[].authors[].userId` two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefPath {
    arrays: Vec<String>,
    leaf: String,
}

/// What is written into a document, or an array's element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shows {
    /// One object at this dotted path, wholly nearcopy's, with these fields of the record.
    Into {
        /// Where the object stands.
        path: String,
        /// Which fields it has.
        fields: Vec<String>,
    },
    /// Single values: dotted path, and the record's field that is shown there.
    Set(Vec<(String, String)>),
}

/// What documents show of an entity that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenDeleted {
    /// What they showed last.
    Keep,
    /// Nothing.
    Clear,
    /// What they showed last, and beside it that it is deleted.
    Mark,
    /// The document goes, too, if the owner deleted the entity.
    Delete,
}

/// A set of replica fields copied into the documents of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embed {
    /// Its name, under which the stamps are kept; it contains neither dots nor dollars.
    pub name: String,
    /// The consumer's collection.
    pub collection: String,
    /// Where its documents refer to the entity.
    pub reference: RefPath,
    /// The replica that is shown.
    pub from: EntityType,
    /// What is shown, and where.
    pub shows: Shows,
    /// What is shown of an entity that is gone.
    pub when_deleted: WhenDeleted,
    /// The generation in which it came to be as it is; stamps say it.
    pub shape: i32,
    /// The paths it owned in earlier generations and does not any more, where there were such, or it showed another
    /// replica: what an older stamp stands beside is taken away before anything is shown.
    pub former: Option<Vec<String>>,
}

/// What the documents that refer to a record must show.
#[derive(Clone, Debug, PartialEq)]
pub enum Rendering {
    /// These values at these paths.
    Show(Vec<(String, Bson)>),
    /// Nothing.
    Nothing,
    /// What is there, unless it is another entity's.
    Leave,
    /// What is there, unless it is another entity's, and that the entity is deleted.
    Mark(String),
    /// The documents must go.
    Remove,
    /// It is not known yet; only what is another entity's must go.
    Wait,
}

impl RefPath {
    /// Reads a path such as `userId`, `owner.id` or `sections[].authors[].userId`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts: Vec<&str> = text.split("[].").collect();
        let leaf = parts.pop().unwrap_or_default();
        if leaf.ends_with("[]") {
            return Err(
                "an array of plain ids has no place for what is embedded; make its elements objects".into()
            );
        }
        let wrong = |part: &&str| {
            part.is_empty()
                || part.split('.').any(|name| name.is_empty() || name.starts_with('$'))
                || part.contains(['[', ']', '\0'])
        };
        if parts.iter().chain([&leaf]).any(wrong) {
            return Err("a reference is dotted names, with `[]` after those that are arrays".into());
        }
        Ok(Self { arrays: parts.into_iter().map(str::to_owned).collect(), leaf: leaf.to_owned() })
    }

    /// The array levels from the outside in, each relative to the one before.
    pub fn arrays(&self) -> &[String] {
        &self.arrays
    }

    /// The reference's path inside the innermost element, or inside the document.
    pub fn leaf(&self) -> &str {
        &self.leaf
    }

    /// The path as MongoDB's indexes and queries name it, array or not.
    pub fn dotted(&self) -> String {
        let mut names = self.arrays.clone();
        names.push(self.leaf.clone());
        names.join(".")
    }

    /// Every reference in a document, whatever its type, in order; null and missing ones are left out.
    pub fn find<'d>(&self, document: &'d Document) -> Vec<&'d Bson> {
        let mut elements = vec![document];
        for array in &self.arrays {
            elements = elements
                .into_iter()
                .filter_map(|element| lookup(element, array)?.as_array())
                .flatten()
                .filter_map(Bson::as_document)
                .collect();
        }
        let leaves = elements.into_iter().filter_map(|element| lookup(element, &self.leaf));
        leaves.filter(|value| !matches!(value, Bson::Null)).collect()
    }
}

/// The value at a dotted path through documents only.
fn lookup<'d>(document: &'d Document, path: &str) -> Option<&'d Bson> {
    match path.split_once('.') {
        None => document.get(path),
        Some((head, tail)) => lookup(document.get(head)?.as_document()?, tail),
    }
}

impl fmt::Display for RefPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arrays.iter().try_for_each(|array| write!(f, "{array}[]."))?;
        f.write_str(&self.leaf)
    }
}

impl Embed {
    /// The same embed in that generation of a history.
    pub(super) fn as_generation(&self, generation: i32, of: &History) -> Self {
        let shape = of.embed_number(&self.name, generation);
        Self { shape, former: leftover::former(self, of, generation), ..self.clone() }
    }

    /// What documents must show of a record.
    pub fn render(&self, record: &Record) -> Rendering {
        match (record.state, self.when_deleted) {
            (State::Live, _) => Rendering::Show(self.values(&record.fields)),
            (State::Pending, _) => Rendering::Wait,
            (State::Gone(Why::Erased), _) | (State::Gone(_), WhenDeleted::Clear) => Rendering::Nothing,
            (State::Gone(_), WhenDeleted::Mark) => Rendering::Mark(self.mark_path()),
            (State::Gone(Why::Deleted), WhenDeleted::Delete) => Rendering::Remove,
            (State::Gone(_), WhenDeleted::Keep | WhenDeleted::Delete) => Rendering::Leave,
        }
    }

    /// The paths that this embed owns in a document or element, besides its stamp.
    pub fn owned_paths(&self) -> Vec<&str> {
        match &self.shows {
            Shows::Into { path, .. } => vec![path],
            Shows::Set(pairs) => pairs.iter().map(|(path, _)| path.as_str()).collect(),
        }
    }

    /// The stamp's path inside the document or element.
    pub fn stamp_path(&self) -> String {
        format!("_nearcopy.{}", self.name)
    }

    fn values(&self, record: &Document) -> Vec<(String, Bson)> {
        match &self.shows {
            Shows::Into { path, fields } => {
                let shown = fields.iter().filter_map(|name| Some((name.clone(), record.get(name)?.clone())));
                vec![(path.clone(), Bson::Document(shown.collect()))]
            }
            Shows::Set(pairs) => {
                let value = |name: &String| record.get(name).cloned().unwrap_or(Bson::Null);
                pairs.iter().map(|(path, name)| (path.clone(), value(name))).collect()
            }
        }
    }

    /// Where a deletion is marked: inside the object, or under the stamp where values are flat.
    fn mark_path(&self) -> String {
        match &self.shows {
            Shows::Into { path, .. } => format!("{path}.deleted"),
            Shows::Set(_) => format!("{}.deleted", self.stamp_path()),
        }
    }
}
