//! What is taken out of an event or an owner's answer: the id, the version, and the declared fields.

use std::time::Duration;

use bson::raw::CStr;
use bson::{Bson, Document, RawBson, RawDocumentBuf};
use serde_json::value::RawValue;

use super::extract::{Slots, Wanted};
use super::path::Part;
use super::{
    DecodeError, EntityId, FieldPath, FieldType, Fields, Guard, IdKind, Notice, Protection, Reason, Version,
};

/// One field of the subset that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name in the record.
    pub name: String,
    /// Where it is in the event: `data…`, `body…`, or an attribute's name.
    pub from: FieldPath,
    /// The type it is stored as.
    pub kind: FieldType,
    /// What is stored when the owner leaves it out; without a default it is left out here, too.
    pub default: Option<Bson>,
    /// How it is kept from whoever sees what is stored; in clear, where nothing is said.
    pub protect: Option<Protection>,
}

/// Which of the owner's values orders the states of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionRule {
    /// A sequence number at this path.
    Sequence(FieldPath),
    /// A time.
    Time {
        /// Its path.
        path: FieldPath,
        /// How far beyond our own time it may be. What is further is believed of nobody: it would keep every
        /// later state away.
        skew: Duration,
    },
    /// The owner gives none: its events only say that it must be asked.
    None,
}

/// Where a value is looked up, decided once.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Attribute(String),
    Data(usize),
    Body(usize),
}

/// A compiled selection: one pass over the data yields everything that is wanted of it.
#[derive(Clone, Debug)]
pub struct Selection {
    id_kind: IdKind,
    id: Place,
    version: Option<(Place, VersionRule)>,
    fields: Vec<(Place, Field)>,
    data: Wanted,
    body: Wanted,
    paths: Vec<FieldPath>,
    joined: Option<Joined>,
    guard: Option<Guard>,
}

/// Where the envelope of its source puts what a selection wants, by the selection's own slots.
#[derive(Clone, Debug, Default)]
struct Joined {
    data: Vec<usize>,
    body: Vec<usize>,
}

/// What stands beside a name and a value in BSON, and how much longer a short number is there.
const BESIDE_A_VALUE: usize = 16;
/// A document without a field: its length, and its end.
const EMPTY: [u8; 5] = [5, 0, 0, 0, 0];

/// The wanted values of one notice, unread.
pub struct Values<'n, 'a> {
    notice: &'n Notice<'a>,
    found: Found<'n, 'a>,
}

/// Where they are.
enum Found<'n, 'a> {
    /// Among all that the notice was opened for.
    Joined(&'n Slots<'a>, &'n Joined),
    /// In the slots of the selection.
    Own { data: Slots<'a>, body: Slots<'a> },
}

impl Selection {
    /// Compiles a selection; paths begin with `data`, `body`, or name an attribute of the event.
    pub fn new(id: &FieldPath, id_kind: IdKind, version: VersionRule, fields: Vec<Field>) -> Self {
        let (mut data, mut body, mut paths) = (Wanted::default(), Wanted::default(), Vec::new());
        let mut place = |path: &FieldPath| {
            paths.push(path.clone());
            match Part::of(path) {
                Part::Data(path) => Place::Data(data.add(&path)),
                Part::Body(path) => Place::Body(body.add(&path)),
                Part::Attribute(name) => Place::Attribute(name.to_owned()),
            }
        };
        let id = place(id);
        let version = match &version {
            VersionRule::Sequence(path) | VersionRule::Time { path, .. } => Some((place(path), version)),
            VersionRule::None => None,
        };
        let fields = fields.into_iter().map(|field| (place(&field.from), field)).collect();
        Self { id_kind, id, version, fields, data, body, paths, joined: None, guard: None }
    }

    /// Has fields protected by this guard. Without one, what needs a key cannot be read.
    pub fn protect(&mut self, guard: Guard) {
        self.guard = Some(guard);
    }

    /// What protects its fields.
    pub fn guard(&self) -> Option<&Guard> {
        self.guard.as_ref()
    }

    /// Adds what is wanted of an event to what else is, the data being at that path.
    pub(super) fn join(&mut self, wanted: &mut Wanted, data_at: &FieldPath) {
        let mut joined = Joined::default();
        for path in &self.paths {
            // A path that stands twice has the slot of the first, which comes before those of all that follow.
            match Part::of(path) {
                Part::Data(path) if self.data.add(&path) == joined.data.len() => {
                    joined.data.push(wanted.add(&data_at.join(&path)));
                }
                Part::Body(path) if self.body.add(&path) == joined.body.len() => {
                    joined.body.push(wanted.add(&path));
                }
                _ => {}
            }
        }
        self.joined = Some(joined);
    }

    /// The type of this replica's identifiers.
    pub fn id_kind(&self) -> IdKind {
        self.id_kind
    }

    /// The declared fields, in their order.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().map(|(_, field)| field)
    }

    /// Every path that is read.
    pub fn paths(&self) -> impl Iterator<Item = &FieldPath> {
        self.paths.iter()
    }

    /// Those of fields that are not kept in clear. The manifest sees to it that nothing else is read there.
    pub fn protected(&self) -> impl Iterator<Item = &FieldPath> {
        self.fields().filter(|field| field.protect.is_some()).map(|field| &field.from)
    }

    /// Finds the wanted values of a notice.
    pub fn find<'n, 'a>(&'n self, notice: &'n Notice<'a>) -> Result<Values<'n, 'a>, DecodeError> {
        if let (Some(found), Some(joined)) = (notice.found(), &self.joined) {
            return Ok(Values { notice, found: Found::Joined(found, joined) });
        }
        let look = |wanted: &Wanted, text: Option<&'a str>| wanted.extract(text.unwrap_or("null"));
        let data = look(&self.data, notice.data().map(RawValue::get))?;
        let body = look(&self.body, notice.body_text())?;
        Ok(Values { notice, found: Found::Own { data, body } })
    }

    /// Reads which entity the notice speaks of.
    pub fn entity(&self, values: &Values<'_, '_>) -> Result<EntityId, DecodeError> {
        let raw = values
            .at(&self.id)
            .ok_or_else(|| DecodeError::new(Reason::NoId, "there is no id at the declared path"))?;
        EntityId::from_json(raw, self.id_kind)
    }

    /// Reads its version; `None` where the declaration has no rule or the notice no value. The time of day is
    /// microseconds since 1970.
    pub fn version(&self, values: &Values<'_, '_>, time_of_day: i64) -> Result<Option<Version>, DecodeError> {
        let Some((place, rule)) = &self.version else { return Ok(None) };
        let Some(raw) = values.at(place).filter(|raw| raw.get() != "null") else { return Ok(None) };
        match rule {
            VersionRule::Time { skew, .. } => Version::time(raw, time_of_day, *skew).map(Some),
            VersionRule::Sequence(_) | VersionRule::None => Version::sequence(raw).map(Some),
        }
    }

    /// Whether this selection orders by a version at all.
    pub fn is_versioned(&self) -> bool {
        self.version.is_some()
    }

    /// Reads the declared fields of an entity, each as its declared type, or as it is protected.
    pub fn state(&self, values: &Values<'_, '_>, of: &EntityId) -> Result<Fields, DecodeError> {
        let mut encoded = with_room(self.room(values));
        for (place, field) in &self.fields {
            let name =
                <&CStr>::try_from(field.name.as_str()).map_err(|_| field.refused("its name has a NUL"))?;
            let value = match (values.at(place), field.protect, &field.default) {
                (Some(raw), None, _) => {
                    let depth = values.notice.limits.depth;
                    field.kind.write(raw, depth, name, &mut encoded).map_err(|error| field.blame(&error))?;
                    continue;
                }
                (Some(raw), Some(_), _) => self.read(field, raw, values, of)?,
                (None, _, Some(default)) => default.clone(),
                (None, _, None) => continue,
            };
            let value = RawBson::try_from(value).map_err(|_| field.refused("it cannot be stored"))?;
            encoded.append(name, value);
        }
        Ok(Fields::new(encoded))
    }

    /// How many bytes the declared fields take at most, or about so many: BSON says a value in hardly more than JSON does.
    fn room(&self, values: &Values<'_, '_>) -> usize {
        let found = self.fields.iter().filter_map(|(place, field)| Some((field, values.at(place)?)));
        found.map(|(field, raw)| field.name.len() + raw.get().len() + BESIDE_A_VALUE).sum()
    }

    /// Reads those of the declared fields that are there. Where a part that should contain one is `null`, the
    /// field went with it: it then has its default, or is null itself.
    pub fn partial(&self, values: &Values<'_, '_>, of: &EntityId) -> Result<Document, DecodeError> {
        let mut document = Document::new();
        for (place, field) in &self.fields {
            if let Some(raw) = values.at(place) {
                document.insert(&field.name, self.read(field, raw, values, of)?);
            } else if values.is_lost(place, &field.from)? {
                document.insert(&field.name, field.default.clone().unwrap_or(Bson::Null));
            }
        }
        Ok(document)
    }

    /// Reads the value of a field. This is the one place at which those that are protected are seen in clear.
    fn read(
        &self,
        field: &Field,
        raw: &RawValue,
        values: &Values<'_, '_>,
        of: &EntityId,
    ) -> Result<Bson, DecodeError> {
        let value = field.kind.read(raw, values.notice.limits.depth).map_err(|error| field.blame(&error))?;
        self.kept(field, of, value)
    }

    /// A value of a field of an entity as it is kept.
    pub fn kept(&self, field: &Field, of: &EntityId, value: Bson) -> Result<Bson, DecodeError> {
        let Some(how) = field.protect else { return Ok(value) };
        let kept = self.guard.as_ref().and_then(|guard| guard.protect(how, &field.name, of, &value));
        kept.ok_or_else(|| field.refused("there is no key to protect it by"))
    }

    /// A value that is looked for, as it stands where it is found: that is possible in clear, and by hash.
    pub fn sought(&self, field: &Field, value: Bson) -> Result<Bson, DecodeError> {
        match (field.protect, &value) {
            (None, _) | (_, Bson::Null) => Ok(value),
            (Some(Protection::Hash), _) => {
                let hash = self.guard.as_ref().and_then(|guard| guard.hash(&field.name, &value));
                hash.ok_or_else(|| field.refused("there is no key to hash it by"))
            }
            (Some(how), _) => {
                Err(field.refused(&format!("it is kept by `{how}`, and nobody can look for it")))
            }
        }
    }

    /// A value as it is kept, made of one of which nobody knows whether it is in clear. One that is not is left as it is. That
    /// is told by its form: what looks so and is in clear stays so until it is told again.
    pub fn kept_by_now(&self, field: &Field, of: &EntityId, value: Bson) -> Result<Bson, DecodeError> {
        let is_kept = field.protect.is_some_and(|how| how.has_made(&value));
        if is_kept { Ok(value) } else { self.kept(field, of, value) }
    }
}

impl Field {
    /// The type of what readers are told of it: a hash, or what a mask leaves, is text whatever it was. What is encrypted is
    /// told in clear, or not at all.
    pub fn told_as(&self) -> FieldType {
        match self.protect {
            Some(Protection::Hash | Protection::Mask) => FieldType::String,
            Some(Protection::Encrypt) | None => self.kind,
        }
    }

    fn blame(&self, error: &DecodeError) -> DecodeError {
        DecodeError::new(error.reason, format!("field `{}`: {}", self.name, error.detail))
    }

    fn refused(&self, why: &str) -> DecodeError {
        self.blame(&DecodeError::new(Reason::BadField, why))
    }
}

impl Values<'_, '_> {
    fn at(&self, place: &Place) -> Option<&RawValue> {
        match (place, &self.found) {
            (Place::Attribute(name), _) => self.notice.attribute(name),
            (Place::Data(slot), Found::Joined(found, joined)) => found[joined.data[*slot]],
            (Place::Body(slot), Found::Joined(found, joined)) => found[joined.body[*slot]],
            (Place::Data(slot), Found::Own { data, .. }) => data[*slot],
            (Place::Body(slot), Found::Own { body, .. }) => body[*slot],
        }
    }

    /// Whether a value is not there because a part that should contain it is null.
    fn is_lost(&self, place: &Place, path: &FieldPath) -> Result<bool, DecodeError> {
        let whole = match place {
            Place::Attribute(_) => return Ok(false),
            Place::Data(_) => self.notice.data(),
            Place::Body(_) => self.notice.body(),
        };
        let (Some(whole), Some((_, mut part))) = (whole, path.split_first()) else { return Ok(false) };
        while let Some(outer) = part.parent() {
            if let Some(found) = super::find_at(whole, &outer)? {
                return Ok(found.get() == "null");
            }
            part = outer;
        }
        Ok(false)
    }
}

/// An empty document that takes so many bytes of fields before it has to grow.
fn with_room(bytes: usize) -> RawDocumentBuf {
    let mut empty = Vec::with_capacity(EMPTY.len() + bytes);
    empty.extend_from_slice(&EMPTY);
    RawDocumentBuf::from_bytes(empty).unwrap_or_default()
}
