//! Owners in memory, which answer with what they were given, and tell their events to one who asks for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Feed, FeedError, Fetch, FetchError, Reply};
use crate::clock;
use crate::event::{EntityId, EntityType};
use crate::replication::{Answer, Page, Subscription};

/// The bodies of what owners answer, by replica. Who is not among an owner's answers is unknown to it; an owner that is not
/// here does not answer.
pub struct Owners {
    answers: BTreeMap<EntityType, BTreeMap<EntityId, String>>,
}

impl Owners {
    /// Owners who answer that.
    pub fn new(answers: BTreeMap<EntityType, BTreeMap<EntityId, String>>) -> Self {
        Self { answers }
    }

    fn answer(&self, of: &Subscription, id: &EntityId) -> Result<Answer, FetchError> {
        let spec = of.fetch.as_ref().ok_or(FetchError::NotDeclared)?;
        let silent = || FetchError::Unreachable("nobody is there".into());
        let known = self.answers.get(&of.name).ok_or_else(silent)?;
        match known.get(id) {
            Some(body) => Ok(spec.answers.read_one(body.as_bytes(), id, of, clock::wall_micros())?),
            None => Ok(Answer::NotFound),
        }
    }
}

#[async_trait]
impl Fetch for Owners {
    async fn ask(&self, of: &Subscription, ids: &[EntityId]) -> Vec<Reply> {
        ids.iter().map(|id| Reply { outcome: self.answer(of, id), is_shared: false }).collect()
    }

    fn is_resting(&self, _: &EntityType) -> bool {
        false
    }
}

/// The events of an owner, for one reader. Positions are counted.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    all: Vec<String>,
    /// How many the reader has had whose position he has kept.
    kept: usize,
}

impl Events {
    /// Adds one.
    pub fn publish(&self, event: String) {
        self.told().all.push(event);
    }

    /// How many the reader has not had, or may ask for again.
    pub fn unread(&self) -> usize {
        let told = self.told();
        told.all.len() - told.kept
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Feed for Events {
    async fn page(&self, after: &str) -> Result<Page, FeedError> {
        let mut told = self.told();
        // Another position than these is the first one, as the manifest writes it.
        let from = after.parse().ok().filter(|from| *from <= told.all.len()).unwrap_or_default();
        told.kept = from;
        let items = told.all[from..].to_vec();
        let next = if items.is_empty() { after.to_owned() } else { told.all.len().to_string() };
        Ok(Page { items, next })
    }
}
