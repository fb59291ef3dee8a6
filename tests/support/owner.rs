//! An owner that says what it is told to say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bson::{Document, doc};
use nearcopy::event::{EntityId, EntityType, Version};
use nearcopy::fetch::{Fetch, FetchError, Reply};
use nearcopy::replication::{Answer, Content, Subscription};
use tokio::sync::watch;

use crate::declared::id;

/// An owner's API. Whom it was told nothing of, it does not know.
pub(crate) struct Owner {
    script: Mutex<Script>,
    open: watch::Sender<bool>,
}

#[derive(Default)]
struct Script {
    answers: BTreeMap<EntityId, Answer>,
    asked: BTreeMap<EntityId, usize>,
    is_down: bool,
}

impl Owner {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { script: Mutex::default(), open: watch::Sender::new(true) })
    }

    /// From now on, a user is this.
    pub(crate) fn has(&self, user: &str, version: impl Into<Option<i64>>, name: &str) {
        self.shows(user, version, doc! { "username": name });
    }

    /// From now on, a user has these fields.
    pub(crate) fn shows(&self, user: &str, version: impl Into<Option<i64>>, fields: Document) {
        let version = version.into().map(Version::new);
        let answer = Answer::Found { version, content: Content::Live(fields.try_into().unwrap()) };
        self.script.lock().unwrap().answers.insert(id(user), answer);
    }

    /// From now on, a user is not known.
    pub(crate) fn lacks(&self, user: &str) {
        self.script.lock().unwrap().answers.remove(&id(user));
    }

    /// From now on, nothing is answered.
    pub(crate) fn is_down(&self, is_down: bool) {
        self.script.lock().unwrap().is_down = is_down;
    }

    /// From now on, answers are what they are at the time of the question, and are on their way until let go.
    pub(crate) fn hold(&self) {
        self.open.send_replace(false);
    }

    /// Lets all answers go.
    pub(crate) fn let_go(&self) {
        self.open.send_replace(true);
    }

    /// How often it was asked about a user.
    pub(crate) fn asked(&self, user: &str) -> usize {
        self.script.lock().unwrap().asked.get(&id(user)).copied().unwrap_or_default()
    }

    fn answer(&self, user: &EntityId) -> Result<Answer, FetchError> {
        let mut script = self.script.lock().unwrap();
        *script.asked.entry(user.clone()).or_default() += 1;
        if script.is_down {
            return Err(FetchError::Unreachable("down".into()));
        }
        Ok(script.answers.get(user).cloned().unwrap_or(Answer::NotFound))
    }
}

#[async_trait]
impl Fetch for Owner {
    async fn ask(&self, _: &Subscription, ids: &[EntityId]) -> Vec<Reply> {
        let reply = |id| Reply { outcome: self.answer(id), is_shared: false };
        let answers = ids.iter().map(reply).collect();
        drop(self.open.subscribe().wait_for(|open| *open).await);
        answers
    }

    fn is_resting(&self, _: &EntityType) -> bool {
        false
    }
}
