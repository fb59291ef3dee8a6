//! Puts aside what cannot be used, with its reason, so that the rest flows on; and takes it up again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document};

use super::batch::{Batch, Verdict};
use super::{Halted, Pipeline, What};
use crate::clock;
use crate::event::{
    ChangeEvent, DecodeError, EntityId, EntityType, Envelope, Headers, Limits, Message, Reason,
};
use crate::replication::{Embed, Inflow, Outcome, Subscription};
use crate::store::{Parked, Records};
use crate::telemetry::metric;
use crate::telemetry::trace::TraceContext;

/// How many parked events are looked at together.
const PAGE: usize = 500;

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
    pub(super) async fn park(&self, source: &Inflow, batch: &mut Batch) -> Result<(), Halted> {
        let unwanted = self.unwanted(batch).await?;
        let (mut parked, mut calls) = (Vec::new(), BTreeMap::<_, Vec<EntityId>>::new());
        for item in batch.unreadable() {
            let named = item.of.map(|of| &of.name).zip(item.misread.entity.as_ref());
            if named.is_some_and(|named| unwanted.contains(&(named.0.clone(), named.1.clone()))) {
                *item.outcome = Some(Outcome::Ignored);
                continue;
            }
            *item.outcome = Some(Outcome::Parked);
            metric::parked(item.of.map_or("", |of| of.name.as_str()), item.misread.error.reason.as_str());
            note(source, item.of, item.parked);
            if let (Some(of), Some(entity)) = (item.of, &item.misread.entity) {
                let (event, version) = (item.parked.event.clone(), item.parked.version);
                let what = What::Parked { event, version, reason: item.misread.error.reason.as_str() };
                self.diary.note(&of.name, [(entity.clone(), what)]);
            }
            parked.push(item.parked.clone());
            if let (Some(of), Some(entity)) = (item.of.filter(|of| of.fetch.is_some()), &item.misread.entity)
            {
                calls.entry(of.name.clone()).or_default().push(entity.clone());
            }
        }
        if !parked.is_empty() {
            self.persist(|| self.store.park(&parked)).await?;
        }
        // What events could not say, the owners can.
        for (name, ids) in calls {
            let Ok(of) = self.declaration.replica(name.as_str()) else { continue };
            self.call(of, &ids, Duration::ZERO).await?;
        }
        Ok(())
    }

    /// The entities of unreadable events that nobody wants, read causally after a write of our own.
    async fn unwanted(&self, batch: &mut Batch) -> Result<BTreeSet<(EntityType, EntityId)>, Halted> {
        let mut named: BTreeMap<EntityType, (Arc<Subscription>, Vec<EntityId>)> = BTreeMap::new();
        for item in batch.unreadable() {
            if let (Some(of), Some(entity)) = (item.of.filter(|of| !of.keep.creates()), &item.misread.entity)
            {
                named
                    .entry(of.name.clone())
                    .or_insert_with(|| (of.clone(), Vec::new()))
                    .1
                    .push(entity.clone());
            }
        }
        let mut unwanted = BTreeSet::new();
        if named.is_empty() {
            return Ok(unwanted);
        }
        let moment = self.persist(|| self.store.heartbeat()).await?;
        for (name, (of, ids)) in named {
            let held: Records = self.persist(|| self.store.read(&of, &ids, moment)).await?;
            unwanted.extend(ids.into_iter().filter(|id| !held.contains_key(id)).map(|id| (name.clone(), id)));
        }
        Ok(unwanted)
    }

    /// Parks a consumer's document that cannot take what it should show.
    pub(super) async fn park_document(&self, embed: &Embed, id: &Bson, reason: &str) -> Result<(), Halted> {
        let parked = [Parked {
            id: document_id(embed, id),
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

    /// Forgets that these documents were put aside; whoever still cannot take what it should show, is again.
    pub(super) async fn unpark_documents(&self, embed: &Embed, documents: &[Document]) -> Result<(), Halted> {
        let ids = documents.iter().filter_map(|document| document.get("_id"));
        let ids: Vec<uuid::Uuid> = ids.map(|id| document_id(embed, id)).collect();
        self.persist(|| self.store.unpark(&ids)).await.map(|_| ())
    }

    /// Reads a parked event of a replica again, as the manifest reads it now; nothing comes of that.
    pub fn read_again(&self, parked: &Parked) -> Result<(Arc<Subscription>, ChangeEvent), DecodeError> {
        let named = parked.replica.as_ref().and_then(|name| self.declaration.replica(name.as_str()).ok());
        let (Some(of), Some(excerpt)) = (named, &parked.excerpt) else {
            let detail = "nothing of its body was kept, so the publisher must send it again";
            return Err(DecodeError::new(Reason::NotJson, detail));
        };
        let message = Message { body: excerpt.as_bytes(), content_type: None, headers: &Headers::new() };
        let limits = self.declaration.envelope(&of.source).map(Envelope::limits);
        let depth = limits.unwrap_or_default().depth;
        let notice = Envelope::excerpt(Limits { depth, ..Limits::default() }).open(&message)?;
        let event = of.interpret(&notice, clock::wall_micros()).map_err(|misread| misread.error)?;
        let nothing = || DecodeError::new(Reason::NoType, "its type means nothing to the replica any more");
        Ok((of.clone(), dated(event.ok_or_else(nothing)?, parked)))
    }

    /// Takes a parked event up again, as the manifest reads it now.
    pub async fn retry(&self, parked: &Parked) -> Result<Retry, Halted> {
        let (of, event) = match self.read_again(parked) {
            Ok(read) => read,
            Err(error) => return Ok(Retry::Still(error)),
        };
        let replicated = self.replicate(&of, vec![event]).await?;
        let paid = self.fan_out(&of, &replicated.owing, replicated.moment).await?;
        self.pay(&of, &paid).await?;
        match replicated.verdicts.into_iter().next() {
            Some((_, Verdict::Refused(error))) => Ok(Retry::Still(error)),
            Some((_, Verdict::Done(outcome))) => {
                let id = [parked.id];
                self.persist(|| self.store.unpark(&id)).await?;
                Ok(Retry::Done(outcome))
            }
            None => Ok(Retry::Still(DecodeError::new(Reason::Refused, "it was not judged"))),
        }
    }

    /// Forgets parked events that a newer state, or the owner's answer, has made good, and those of entities that
    /// nobody wants any more.
    pub(super) async fn close_parked(&self) -> Result<(), Halted> {
        let counted = self.persist(|| self.store.count_parked()).await?;
        let names = self.declaration.readable().map(|of| of.name.as_str());
        for name in names.chain([""]) {
            metric::parked_now(name, counted.get(name).copied().unwrap_or_default());
        }
        for of in self.declaration.replicas.iter().filter(|of| counted.contains_key(of.name.as_str())) {
            let mut from = None;
            loop {
                let page = self.persist(|| self.store.parked_page(&of.name, from, PAGE)).await?;
                let Some(last) = page.last() else { break };
                from = Some(last.id);
                self.close_page(of, &page).await?;
            }
        }
        Ok(())
    }

    async fn close_page(&self, of: &Subscription, page: &[Parked]) -> Result<(), Halted> {
        let ids: Vec<EntityId> = page.iter().filter_map(|parked| parked.entity.clone()).collect();
        let timeline = self.timeline(of).await?;
        // A deposed primary may not know of records that are wanted again.
        let moment = self.persist(|| self.store.heartbeat()).await?;
        let records = self.persist(|| self.store.read(of, &ids, moment)).await?;
        let is_over = |parked: &&Parked| {
            let Some(entity) = &parked.entity else { return false };
            let Some(record) = records.get(entity) else { return !of.keep.creates() };
            let epoch = if timeline.current() == 0 { 0 } else { timeline.epoch_at(time_of(parked)) };
            record.has_overtaken(epoch, parked.version, parked.at)
        };
        let (closed, left): (Vec<&Parked>, Vec<&Parked>) = page.iter().partition(is_over);
        self.curtail(of, &left).await?;
        let closed: Vec<uuid::Uuid> = closed.into_iter().map(|parked| parked.id).collect();
        if closed.is_empty() {
            return Ok(());
        }
        tracing::info!(
            event = "event.unparked",
            entity.r#type = %of.name,
            count = closed.len(),
            "parked events are made good by newer states, or nobody wants them any more"
        );
        self.persist(|| self.store.unpark(&closed)).await.map(|_| ())
    }

    /// Leaves out of events that were put aside before what is protected since.
    async fn curtail(&self, of: &Subscription, left: &[&Parked]) -> Result<(), Halted> {
        let curtailed = |parked: &&Parked| {
            let excerpt = of.curtailed(parked.excerpt.as_deref()?)?;
            Some(Parked { excerpt, ..Parked::clone(parked) })
        };
        let curtailed: Vec<Parked> = left.iter().filter_map(curtailed).collect();
        if curtailed.is_empty() {
            return Ok(());
        }
        self.persist(|| self.store.park(&curtailed)).await
    }
}

/// A parked event is not of today: one that does not say when it happened did so before it was put aside.
fn dated(mut event: ChangeEvent, parked: &Parked) -> ChangeEvent {
    event.stamp.at = event.stamp.at.or(put_aside(parked));
    event
}

/// The owner's time of a parked event, or at least a time after it.
fn time_of(parked: &Parked) -> Option<i64> {
    let body = parked.excerpt.as_deref().unwrap_or_default().as_bytes();
    let message = Message { body, content_type: None, headers: &Headers::new() };
    let notice = Envelope::excerpt(Limits::default()).open(&message).ok();
    notice.and_then(|notice| notice.time()).or(put_aside(parked))
}

fn put_aside(parked: &Parked) -> Option<i64> {
    parked.at.map(|millis| millis.saturating_mul(1000))
}

/// The name under which a document is put aside: the same document, the same name.
fn document_id(embed: &Embed, id: &Bson) -> uuid::Uuid {
    let seed = format!("{}/{}/{id}", embed.collection, embed.name);
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, seed.as_bytes())
}

/// Says once, in the log, that an event is put aside; never what it contains.
fn note(source: &Inflow, of: Option<&Arc<Subscription>>, parked: &Parked) {
    tracing::warn!(
        event = "event.parked",
        source = source.name(),
        entity.r#type = of.map(|of| of.name.as_str()),
        entity.id = parked.entity.as_ref().map(tracing::field::display),
        event.version = parked.version,
        reason = parked.reason,
        detail = parked.detail,
        parked.id = %parked.id,
        trace.id = TraceContext::of_event(&parked.headers).map(TraceContext::trace_id),
        "an event is put aside"
    );
}
