//! The owner's peace: one question about an entity at a time, unless somebody called for another look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nearcopy::event::EntityId;

use crate::journal::Journal;
use crate::life::Life;

/// Who counts the questions under way.
#[derive(Clone)]
pub(crate) struct Peace {
    open: Arc<Mutex<BTreeMap<u64, Open>>>,
    journal: Journal,
    /// Whether nothing goes wrong that would make a claim end too soon.
    is_strict: bool,
}

struct Open {
    id: EntityId,
    by: Life,
    since: Duration,
    /// Somebody has called for another look, so the claim is void.
    is_void: bool,
}

impl Peace {
    pub(crate) fn new(journal: Journal, is_strict: bool) -> Self {
        Self { open: Arc::default(), journal, is_strict }
    }

    /// A pod asks about these; gives the numbers of the questions.
    pub(crate) fn asks(&self, by: &Life, ids: &[EntityId], since: Duration) -> Vec<u64> {
        let mut numbers = Vec::new();
        for id in ids {
            let mut open = self.open();
            let other = open.values().find(|question| question.id == *id && !question.is_void);
            let overlap = other.map(|other| {
                format!("{by} asks about {id}, while {} asks since {:?}", other.by, other.since)
            });
            let number = open.last_key_value().map_or(0, |(last, _)| last + 1);
            open.insert(number, Open { id: id.clone(), by: by.clone(), since, is_void: false });
            drop(open);
            if let Some(overlap) = overlap {
                self.journal.count("questions at once");
                if self.is_strict {
                    self.journal
                        .broken("I9, the owner's peace: one question about an entity at a time", overlap);
                }
            }
            numbers.push(number);
        }
        numbers
    }

    /// These questions are answered.
    pub(crate) fn answered(&self, numbers: &[u64]) {
        let mut open = self.open();
        for number in numbers {
            open.remove(number);
        }
    }

    /// Somebody called for another look at an entity, at all of them if none is named.
    pub(crate) fn calls_for(&self, id: Option<&EntityId>) {
        for question in self.open().values_mut() {
            question.is_void |= id.is_none_or(|id| question.id == *id);
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
