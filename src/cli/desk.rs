//! Who answers the console of a sidecar at work: the commands, upon its own connections.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::explain::Subject;
use super::{Exit, Failure, explain, parked, status};
use crate::api::console::{Desk, Refusal};
use crate::pipeline::{Pipeline, Release};
use crate::replication::Declaration;
use crate::settings::Settings;
use crate::store::mongo::Mongo;
use crate::store::{Parked, ParkedStore};

/// The commands, and what they need.
#[derive(Clone)]
pub(super) struct Clerk {
    pub(super) settings: Arc<Settings>,
    pub(super) declaration: Arc<Declaration>,
    pub(super) store: Arc<Mongo>,
    pub(super) pipeline: Arc<Pipeline>,
    /// Where work is done: whoever asks may go away before it is.
    pub(super) work: Handle,
}

#[async_trait]
impl Desk for Clerk {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    async fn status(&self) -> Result<Value, Refusal> {
        Ok(status::value(&self.settings, &self.declaration, &self.store).await?)
    }

    async fn parked(&self, replica: Option<&str>, most: usize) -> Result<Vec<Value>, Refusal> {
        let listed = self.store.parked(replica, most).await.map_err(Failure::from)?;
        Ok(listed.iter().map(parked::outline).collect())
    }

    async fn retry(&self, id: uuid::Uuid, rehearsal: bool) -> Result<Value, Refusal> {
        let event = parked::one(&*self.store, id).await?;
        if rehearsal {
            let still = parked::rehearse(&self.declaration, &self.pipeline, &event);
            return Ok(json!({ "id": id.to_string(), "done": [], "still": still }));
        }
        self.to_its_end(async move |clerk: Self| {
            let fate = parked::take_up(&clerk.declaration, &clerk.store, &clerk.pipeline, &event).await?;
            let done =
                fate.done.iter().map(|(id, outcome)| json!({ "id": id.to_string(), "outcome": outcome }));
            Ok(json!({ "id": id.to_string(), "done": done.collect::<Vec<_>>(), "still": fate.still }))
        })
        .await
    }

    async fn forget(&self, id: uuid::Uuid, rehearsal: bool) -> Result<Value, Refusal> {
        let event: Parked = parked::one(&*self.store, id).await?;
        let dropped = json!({ "id": id.to_string(), "dropped": !rehearsal });
        if rehearsal {
            return Ok(dropped);
        }
        self.to_its_end(async move |clerk: Self| {
            Release { parked: &*clerk.store, store: &*clerk.store }.drop(&event).await?;
            Ok(dropped)
        })
        .await
    }

    async fn explain(&self, of: &str, id: &str, path: Option<&str>) -> Result<Vec<Value>, Refusal> {
        Ok(explain::values(&self.store, &self.declaration, &Subject { of, id, path }).await?)
    }
}

impl Clerk {
    /// Does something wholly, whether or not anybody still waits for it.
    async fn to_its_end<F>(&self, deed: impl FnOnce(Self) -> F) -> Result<Value, Refusal>
    where
        F: Future<Output = Result<Value, Failure>> + Send + 'static,
    {
        let done = self.work.spawn(deed(self.clone())).await;
        Ok(done.map_err(|error| Failure::new(Exit::Failed, &error))??)
    }
}

/// What a command would say to a person, a page says, too.
impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let text = failure.text.trim_start_matches("error: ").replace("\nhint: ", "; ");
        match failure.exit {
            Exit::Unreachable => Self::Unavailable(text),
            _ => Self::Unknown(text),
        }
    }
}
