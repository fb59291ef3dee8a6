//! Which events were folded before. Publishers bring some twice, and queues bring again what was not settled.

use std::collections::BTreeSet;

use super::Facts;
use crate::event::{DecodeError, Reason};

/// The ids of events that were folded, as far as they matter to a turn.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    known: BTreeSet<String>,
    new: Vec<String>,
}

impl Memory {
    /// Remembers events of earlier turns.
    pub fn of(known: BTreeSet<String>) -> Self {
        Self { known, new: Vec::new() }
    }

    /// What an event is known by again, or why it cannot be.
    pub fn id(facts: &Facts) -> Result<&str, DecodeError> {
        let nameless = || {
            DecodeError::new(Reason::NoId, "the event has no id, so nobody could tell whether it comes again")
        };
        facts.identity.as_deref().ok_or_else(nameless)
    }

    /// Meets an event that is to be folded; says whether it is for the first time.
    pub fn meet(&mut self, facts: &Facts) -> Result<bool, DecodeError> {
        let id = Self::id(facts)?;
        let is_new = self.known.insert(id.to_owned());
        if is_new {
            self.new.push(id.to_owned());
        }
        Ok(is_new)
    }

    /// The ids of the events that were met for the first time.
    pub fn into_new(self) -> Vec<String> {
        self.new
    }
}
