//! Values of an event by their paths, for whoever declares more than an id, a version and fields.

use serde_json::value::RawValue;

use super::extract::{Slots, Wanted};
use super::path::Part;
use super::{DecodeError, FieldPath, Notice};

/// Paths of an event, each with a slot; one pass over its data finds them all.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    of_changes: bool,
    paths: Vec<FieldPath>,
    places: Vec<Place>,
    data: Wanted,
    body: Wanted,
}

/// Where a value is looked up, decided once.
#[derive(Clone, Debug)]
enum Place {
    Attribute(String),
    Data(usize),
    Body(usize),
}

/// What was found of one event, unread.
pub struct Found<'n, 'a> {
    lookup: &'n Lookup,
    notice: &'n Notice<'a>,
    data: Slots<'a>,
    body: Slots<'a>,
}

impl Lookup {
    /// Prepares to look into changes of documents, of which it is known what attributes they have.
    pub fn of_changes() -> Self {
        Self { of_changes: true, ..Self::default() }
    }

    /// Whether it is for changes of documents.
    pub fn is_of_changes(&self) -> bool {
        self.of_changes
    }

    /// Adds a path, which begins with `data`, `body` or the name of an attribute, and says which slot it has.
    pub fn add(&mut self, path: &FieldPath) -> usize {
        if let Some(at) = self.paths.iter().position(|known| known == path) {
            return at;
        }
        let place = match Part::of(path) {
            Part::Data(path) => Place::Data(self.data.add(&path)),
            Part::Body(path) => Place::Body(self.body.add(&path)),
            Part::Attribute(name) => Place::Attribute(name.to_owned()),
        };
        self.paths.push(path.clone());
        self.places.push(place);
        self.paths.len() - 1
    }

    /// The paths, by slot.
    pub fn paths(&self) -> &[FieldPath] {
        &self.paths
    }

    /// Finds the values of an event.
    pub fn find<'n, 'a>(&'n self, notice: &'n Notice<'a>) -> Result<Found<'n, 'a>, DecodeError> {
        let look = |wanted: &Wanted, text: Option<&'a str>| wanted.extract(text.unwrap_or("null"));
        let data = look(&self.data, notice.data().map(RawValue::get))?;
        let body = look(&self.body, notice.body_text())?;
        Ok(Found { lookup: self, notice, data, body })
    }
}

impl<'a> Found<'_, 'a> {
    /// The event.
    pub fn notice(&self) -> &Notice<'a> {
        self.notice
    }

    /// The value in a slot, if the event has one.
    pub fn get(&self, slot: usize) -> Option<&RawValue> {
        match self.lookup.places.get(slot)? {
            Place::Attribute(name) => self.notice.attribute(name),
            Place::Data(at) => self.data[*at],
            Place::Body(at) => self.body[*at],
        }
    }
}
