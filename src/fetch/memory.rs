//! Owners in memory, which answer with what they were given.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Fetch, FetchError, Reply};
use crate::clock;
use crate::event::{EntityId, EntityType};
use crate::replication::{Answer, Subscription};

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
