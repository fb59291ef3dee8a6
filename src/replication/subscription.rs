//! What this service keeps of one entity type, and how it reads the owner's events about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{FetchSpec, Keep, Key, Lineage, ReadSpec, Record};
use crate::event::{
    Change, ChangeEvent, DecodeError, EntityId, EntityType, Envelope, Field, FieldPath, Guard, Headers, Keys,
    Limits, Message, Notice, Reason, Selection, Stamp, Values, Version, excerpt, tells,
};

/// What an event type means for a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It carries the full state.
    Upsert,
    /// It carries those of the fields that changed.
    Patch,
    /// The entity is no more.
    Delete,
    /// It only says that something changed.
    Refresh,
}

/// A replica as declared: which entities, which of their fields, from where.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The replica's name, and its collection's.
    pub name: EntityType,
    /// The service that owns the entities.
    pub owner: String,
    /// The source its events come from.
    pub source: String,
    /// Which entities are wanted.
    pub keep: Keep,
    /// What is taken out of an event.
    pub selection: Selection,
    /// What the event types mean; other types are passed by.
    pub reactions: BTreeMap<String, Reaction>,
    /// How the owner is asked, if it can be.
    pub fetch: Option<FetchSpec>,
    /// Whether any document embeds its fields, so that changes must be fanned out.
    pub embedded: bool,
    /// The generation in which its fields, or what is shown of them, came to be as they are.
    pub shape: i32,
    /// What is made of versions that are left out.
    pub gaps: Gaps,
    /// Its fields in the generations before.
    pub lineage: Lineage,
    /// How it may be read.
    pub reads: ReadSpec,
    /// The fields that are declared and dropped, as if they were not.
    pub dropped: Vec<Field>,
}

/// What is made of a version that follows upon one that is not the next lower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gaps {
    /// Nothing: a full state needs none before it.
    #[default]
    Ignore,
    /// It is counted; and where it is a patch, whose forerunner may be lost, the owner is asked.
    Ask,
}

/// An event that a replica reacts to and cannot read, with what could be read of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Misread {
    /// The entity it speaks of, if that much was readable.
    pub entity: Option<EntityId>,
    /// Its version, likewise.
    pub version: Option<Version>,
    /// What is wrong.
    pub error: DecodeError,
}

impl Subscription {
    /// Whether a record is of a newer generation than this declaration: it is neither shown, nor asked about, nor
    /// retired by a pod that does not know all that belongs to it, and stays for one that does.
    pub fn leaves_alone(&self, record: &Record) -> bool {
        record.shape > self.shape
    }

    /// The same with these keys for its protected fields, in events and in answers.
    #[must_use]
    pub fn guarded(&self, keys: &Arc<Keys>) -> Self {
        let guard = || Guard::new(self.name.clone(), keys.clone());
        let mut guarded = self.clone();
        guarded.selection.protect(guard());
        if let Some(fetch) = &mut guarded.fetch {
            fetch.answers.protect(guard());
        }
        guarded
    }

    /// Whether it is filled by its owner's list with all that it keeps. Where only what is referred to is kept, nobody needs
    /// to look for more.
    pub fn is_filled(&self) -> bool {
        self.keep.creates() && self.fetch.as_ref().is_some_and(|fetch| fetch.list.is_some())
    }

    /// Every path of an event that is read.
    pub fn paths(&self) -> Vec<FieldPath> {
        self.selection.paths().chain(self.keep.paths()).cloned().collect()
    }

    /// What is kept of an event that is put aside.
    pub fn excerpt(&self, notice: &Notice<'_>) -> Option<String> {
        let protected: Vec<FieldPath> = self.selection.protected().cloned().collect();
        excerpt(notice, &self.paths(), &protected)
    }

    /// The same of an excerpt that was made before its fields were protected or dropped; `None` where there is nothing of
    /// them in it.
    pub fn curtailed(&self, excerpt: &str) -> Option<Option<String>> {
        let paths = || self.selection.protected().chain(self.dropped.iter().map(|field| &field.from));
        paths().next()?;
        let message = Message { body: excerpt.as_bytes(), content_type: None, headers: &Headers::new() };
        let notice = Envelope::excerpt(Limits::default()).open(&message).ok()?;
        paths().any(|path| tells(&notice, path)).then(|| self.excerpt(&notice))
    }

    /// Reads what a notice means for this replica; `None` if its type means nothing here, or if it is a patch of
    /// nothing that is kept. The time of day is microseconds since 1970.
    pub fn interpret(&self, notice: &Notice<'_>, time_of_day: i64) -> Result<Option<ChangeEvent>, Misread> {
        let Some(reaction) = self.reactions.get(notice.kind.as_ref()) else { return Ok(None) };
        let misread =
            |entity: Option<&EntityId>, version, error| Misread { entity: entity.cloned(), version, error };
        let values = self.selection.find(notice).map_err(|error| misread(None, None, error))?;
        let entity = self.selection.entity(&values).map_err(|error| misread(None, None, error))?;
        let version = self
            .selection
            .version(&values, time_of_day)
            .map_err(|error| misread(Some(&entity), None, error))?;
        let change = self
            .change(*reaction, notice, &entity, version, &values)
            .map_err(|error| misread(Some(&entity), version, error))?;
        if matches!(&change, Change::Patch(fields) if fields.is_empty()) {
            return Ok(None);
        }
        let stamp = Stamp { event: notice.event_id(), at: notice.time(), listed: false };
        Ok(Some(ChangeEvent { entity, version, change, stamp }))
    }

    fn change(
        &self,
        reaction: Reaction,
        notice: &Notice<'_>,
        entity: &EntityId,
        version: Option<Version>,
        values: &Values<'_, '_>,
    ) -> Result<Change, DecodeError> {
        let missing = || DecodeError::new(Reason::NoVersion, "the event has no version at the declared path");
        match (reaction, version) {
            (Reaction::Refresh, _) => Ok(Change::Refresh),
            // What is not there is not what the owner left out.
            (Reaction::Upsert | Reaction::Patch, _) if notice.is_curtailed() => match self.fetch {
                Some(_) => Ok(Change::Refresh),
                None => Err(DecodeError::new(
                    Reason::BadField,
                    "its protected fields were not kept, so the publisher must send it again",
                )),
            },
            (_, None)
                if self.fetch.is_some()
                    && (reaction == Reaction::Delete || !self.selection.is_versioned()) =>
            {
                Ok(Change::Refresh)
            }
            (_, None) => Err(missing()),
            (Reaction::Delete, Some(_)) => Ok(Change::Delete),
            (Reaction::Upsert, Some(_)) => match &self.keep {
                Keep::Where(condition) if !condition.holds(notice.data())? => Ok(Change::Leave),
                _ => self.selection.state(values, entity).map(Change::Upsert),
            },
            // The condition speaks of the whole entity, of which a patch shows a part: the owner has to be asked.
            (Reaction::Patch, Some(_)) if matches!(self.keep, Keep::Where(_)) => Ok(Change::Refresh),
            (Reaction::Patch, Some(_)) => self.selection.partial(values, entity).map(Change::Patch),
        }
    }

    /// Whether events must be compared with the record as it is, instead of each write having its own guard: where
    /// some of them carry only a part, or the version before matters.
    pub fn compares(&self) -> bool {
        let patched = self.reactions.values().any(|reaction| *reaction == Reaction::Patch);
        self.gaps == Gaps::Ask || (patched && !matches!(self.keep, Keep::Where(_)))
    }

    /// The key that must be above the one held for a state to enter. Where the owner can be asked, it decides
    /// between different contents of one version, so the first to come stays until then.
    pub fn guard(&self, key: &Key) -> Key {
        if self.fetch.is_some() { key.without_hash() } else { key.clone() }
    }
}
