//! What this service keeps of one entity type, and how it reads the owner's events about it.

use std::collections::BTreeMap;

use super::{FetchSpec, Keep, Key};
use crate::event::{
    Change, ChangeEvent, DecodeError, EntityId, EntityType, FieldPath, Notice, Reason, Selection, Stamp,
    Version,
};

/// What an event type means for a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It carries the full state.
    Upsert,
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
    /// The generation of this declaration.
    pub shape: i32,
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
    /// Every path of an event that is read.
    pub fn paths(&self) -> Vec<FieldPath> {
        self.selection.paths().chain(self.keep.paths()).cloned().collect()
    }

    /// Reads what a notice means for this replica; `None` if its type means nothing here.
    pub fn interpret(&self, notice: &Notice<'_>) -> Result<Option<ChangeEvent>, Misread> {
        let Some(reaction) = self.reactions.get(notice.kind.as_ref()) else { return Ok(None) };
        let misread =
            |entity: Option<&EntityId>, version, error| Misread { entity: entity.cloned(), version, error };
        let values = self.selection.find(notice).map_err(|error| misread(None, None, error))?;
        let entity = self.selection.entity(&values).map_err(|error| misread(None, None, error))?;
        let version = self.selection.version(&values).map_err(|error| misread(Some(&entity), None, error))?;
        let change = self
            .change(*reaction, notice, version, || self.selection.document(&values))
            .map_err(|error| misread(Some(&entity), version, error))?;
        let stamp = Stamp { event: notice.event_id(), at: notice.time() };
        Ok(Some(ChangeEvent { entity, version, change, stamp }))
    }

    fn change(
        &self,
        reaction: Reaction,
        notice: &Notice<'_>,
        version: Option<Version>,
        document: impl FnOnce() -> Result<bson::Document, DecodeError>,
    ) -> Result<Change, DecodeError> {
        let missing = || DecodeError::new(Reason::NoVersion, "the event has no version at the declared path");
        match (reaction, version) {
            (Reaction::Refresh, _) => Ok(Change::Refresh),
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
                _ => document().map(Change::Upsert),
            },
        }
    }

    /// The key that must be above the one held for a state to enter. Where the owner can be asked, it decides
    /// between different contents of one version, so the first to come stays until then.
    pub fn guard(&self, key: &Key) -> Key {
        if self.fetch.is_some() { key.without_hash() } else { key.clone() }
    }
}
