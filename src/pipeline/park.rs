//! Puts aside what cannot be used, with its reason, so that the rest flows on; and takes it up again.

use std::sync::Arc;

use bson::Bson;

use super::batch::{Batch, Verdict};
use super::{Halted, Pipeline};
use crate::event::{DecodeError, EntityId, Envelope, Headers, Limits, Message, Reason};
use crate::replication::{Due, Embed, Outcome, RecordWrite, SourceSpec, Subscription};
use crate::store::{Parked, Records};
use crate::telemetry::metric;

/// How a retry of a parked event ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Retry {
    /// It is done with, and no longer parked.
    Done(Outcome),
    /// It still cannot be used.
    Still(DecodeError),
}

impl Pipeline {
    /// Parks the unreadable events of a batch. Interest comes first: of an entity that nobody wants nothing is
    /// kept, unreadable or not.
    pub(super) async fn park(&self, source: &SourceSpec, batch: &mut Batch) -> Result<(), Halted> {
        let mut parked = Vec::new();
        for item in batch.unreadable() {
            let unwanted = match (item.of, &item.misread.entity) {
                (Some(of), Some(entity)) => !self.is_wanted(of, entity).await?,
                _ => false,
            };
            *item.outcome = Some(if unwanted { Outcome::Ignored } else { Outcome::Parked });
            if !unwanted {
                metric::parked(item.of.map_or("", |of| of.name.as_str()), item.misread.error.reason.as_str());
                note(source, item.of, item.parked);
                self.ask_instead(item.of, item.misread.entity.as_ref()).await?;
                parked.push(item.parked.clone());
            }
        }
        if parked.is_empty() {
            return Ok(());
        }
        self.persist(|| self.store.park(&parked)).await
    }

    /// Whether anything is held of an entity, read causally after a write of our own.
    async fn is_wanted(&self, of: &Subscription, entity: &EntityId) -> Result<bool, Halted> {
        if of.keep.creates() {
            return Ok(true);
        }
        let moment = self.persist(|| self.store.heartbeat()).await?;
        let ids = [entity.clone()];
        let held: Records = self.persist(|| self.store.read(of, &ids, moment)).await?;
        Ok(!held.is_empty())
    }

    /// What an event could not say, the owner can.
    async fn ask_instead(
        &self,
        of: Option<&Arc<Subscription>>,
        entity: Option<&EntityId>,
    ) -> Result<(), Halted> {
        let (Some(of), Some(entity)) = (of, entity) else { return Ok(()) };
        if of.fetch.is_none() {
            return Ok(());
        }
        let asks = [RecordWrite::Ask { id: entity.clone(), due: Due::Now }];
        self.persist(|| self.store.write(of, &asks, 0)).await?;
        self.wanted.send_replace(());
        Ok(())
    }

    /// Parks a consumer's document that cannot take what it should show.
    pub(super) async fn park_document(&self, embed: &Embed, id: &Bson, reason: &str) -> Result<(), Halted> {
        let seed = format!("{}/{}/{id}", embed.collection, embed.name);
        let parked = [Parked {
            id: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, seed.as_bytes()),
            source: format!("embed {}", embed.name),
            replica: Some(embed.from.clone()),
            entity: None,
            version: None,
            kind: None,
            event: None,
            reason: "embed_refused".into(),
            detail: format!("document {id} of `{}`: {reason}", embed.collection),
            headers: Headers::new(),
            excerpt: None,
            size: 0,
            hash: String::new(),
            at: None,
        }];
        metric::parked(embed.from.as_str(), "embed_refused");
        tracing::warn!(
            event = "embed.parked",
            embed = embed.name,
            collection = embed.collection,
            document.id = %id,
            reason,
            "a document cannot take what it should show"
        );
        self.persist(|| self.store.park(&parked)).await
    }

    /// Takes a parked event up again, as the manifest reads it now.
    pub async fn retry(&self, parked: &Parked) -> Result<Retry, Halted> {
        let still = |reason, detail: &str| Ok(Retry::Still(DecodeError::new(reason, detail)));
        let named = parked.replica.as_ref().and_then(|name| self.declaration.replica(name.as_str()).ok());
        let (Some(of), Some(excerpt)) = (named, &parked.excerpt) else {
            return still(
                Reason::NotJson,
                "nothing of its body was kept, so the publisher must send it again",
            );
        };
        let message = Message { body: excerpt.as_bytes(), content_type: None, headers: &Headers::new() };
        let event = match Envelope::excerpt(Limits::default()).open(&message) {
            Err(error) => return Ok(Retry::Still(error)),
            Ok(notice) => match of.interpret(&notice) {
                Err(misread) => return Ok(Retry::Still(misread.error)),
                Ok(None) => return still(Reason::NoType, "its type means nothing to the replica any more"),
                Ok(Some(event)) => event,
            },
        };
        let replicated = self.replicate(of, &[event]).await?;
        let paid = self.fan_out(of, &replicated.owing).await?;
        self.pay(of, &paid).await?;
        match replicated.verdicts.into_iter().next() {
            Some((_, Verdict::Refused(error))) => Ok(Retry::Still(error)),
            Some((_, Verdict::Done(outcome))) => {
                let id = [parked.id];
                self.persist(|| self.store.unpark(&id)).await?;
                Ok(Retry::Done(outcome))
            }
            None => still(Reason::Refused, "it was not judged"),
        }
    }

    /// Forgets parked events that a newer state, or the owner's answer, has made good.
    pub(super) async fn close_parked(&self) -> Result<(), Halted> {
        let parked = self.persist(|| self.store.parked(None, 1_000)).await?;
        let mut closed = Vec::new();
        for of in &self.declaration.replicas {
            let theirs = parked.iter().filter(|parked| parked.replica.as_ref() == Some(&of.name));
            let theirs: Vec<(&Parked, EntityId)> =
                theirs.filter_map(|parked| Some((parked, parked.entity.clone()?))).collect();
            metric::parked_now(of.name.as_str(), theirs.len() as u64);
            if theirs.is_empty() {
                continue;
            }
            let ids: Vec<EntityId> = theirs.iter().map(|(_, id)| id.clone()).collect();
            let records = self.persist(|| self.store.read(of, &ids, None)).await?;
            let healed = theirs.iter().filter(|(parked, id)| {
                records.get(id).is_some_and(|record| record.has_overtaken(parked.version, parked.at))
            });
            closed.extend(healed.map(|(parked, _)| parked.id));
        }
        if closed.is_empty() {
            return Ok(());
        }
        tracing::info!(
            event = "event.unparked",
            count = closed.len(),
            "parked events are made good by newer states"
        );
        self.persist(|| self.store.unpark(&closed)).await.map(|_| ())
    }
}

/// Says once, in the log, that an event is put aside; never what it contains.
fn note(source: &SourceSpec, of: Option<&Arc<Subscription>>, parked: &Parked) {
    tracing::warn!(
        event = "event.parked",
        source = source.name,
        entity.r#type = of.map(|of| of.name.as_str()),
        entity.id = parked.entity.as_ref().map(tracing::field::display),
        event.version = parked.version,
        reason = parked.reason,
        detail = parked.detail,
        parked.id = %parked.id,
        "an event is put aside"
    );
}
