//! Takes up again what documents of read models wait for.

use uuid::Uuid;

use crate::clock;
use crate::event::{DecodeError, EntityId, EntityType, Envelope, Headers, Limits, Message, Reason};
use crate::replication::{Bench, Facts, ReadModel};
use crate::store::{Checkpoint, Folded, Needs, Parked, ParkedStore, ReadModelStore, StoreError};

/// How often a turn is attempted that others have in between.
const ATTEMPTS: usize = 20;

/// Where parked events and documents are.
pub struct Release<'s> {
    /// The events.
    pub parked: &'s dyn ParkedStore,
    /// The documents.
    pub store: &'s dyn ReadModelStore,
}

/// What came of taking up what a document waits for.
#[derive(Debug, Default)]
pub struct Released {
    /// The events that were folded.
    pub done: Vec<Uuid>,
    /// How many still wait, and why the first of them does.
    pub still: Option<(usize, DecodeError)>,
}

impl Release<'_> {
    /// Folds the events that a document waits for, in their order, as the manifest reads them now, until one cannot be.
    pub async fn retry(&self, of: &ReadModel, key: &EntityId) -> Result<Released, StoreError> {
        let waiting = self.waiting(&of.name, key).await?;
        let (mut facts, mut wrong) = (Vec::new(), None);
        for parked in &waiting {
            match again(of, parked) {
                Ok(read) => facts.push(read),
                Err(error) => {
                    wrong = Some(error);
                    break;
                }
            }
        }
        let now = clock::wall_micros();
        let (key, ids) = (key.clone(), waiting.iter().map(|parked| parked.id).collect::<Vec<_>>());
        let (all, readable) = (ids.len(), facts.len());
        let (done, error) = self
            .turn(&of.name, &key.clone(), move |bench| {
                let held = bench.waiting(&key);
                let (done, error) = bench.release(&key, &facts, now);
                if readable < all && done == readable {
                    bench.hold(&key, held);
                }
                (ids[..done].to_vec(), error)
            })
            .await?;
        let left = all - done.len();
        Ok(Released { still: error.or(wrong).filter(|_| left > 0).map(|error| (left, error)), done })
    }

    /// Forgets an event. A document that waits for no other goes on.
    pub async fn drop(&self, parked: &Parked) -> Result<(), StoreError> {
        let id = parked.id;
        let (Some(of), Some(key)) = (&parked.replica, &parked.entity) else {
            return self.parked.unpark(&[id]).await.map(|_| ());
        };
        if self.store.checkpoint(of).await?.is_none() {
            return self.parked.unpark(&[id]).await.map(|_| ());
        }
        let others = self.waiting(of, key).await?.iter().any(|other| other.id != id);
        let document = key.clone();
        let forget = move |bench: &mut Bench| {
            if !others {
                bench.hold(&document, 0);
            }
            (vec![id], None)
        };
        self.turn(of, key, forget).await.map(|_| ())
    }

    /// The events that a document waits for, in their order.
    async fn waiting(&self, of: &EntityType, key: &EntityId) -> Result<Vec<Parked>, StoreError> {
        let mut waiting = Vec::new();
        for id in self.parked.parked_about(of, Some(key)).await? {
            waiting.extend(self.parked.parked_one(id).await?);
        }
        waiting.sort_by_key(|parked| parked.version);
        Ok(waiting)
    }

    /// One turn with one document, at the place where the read model stands; whoever folds begins anew after it.
    async fn turn<F>(
        &self,
        of: &EntityType,
        key: &EntityId,
        work: F,
    ) -> Result<(Vec<Uuid>, Option<DecodeError>), StoreError>
    where
        F: Fn(&mut Bench) -> (Vec<Uuid>, Option<DecodeError>) + Clone + Send + 'static,
    {
        let overtaken = || StoreError::Unavailable {
            action: format!("changing `{key}` of `{of}`"),
            detail: "others were quicker each time".into(),
        };
        for _ in 0..ATTEMPTS {
            let at = self.store.checkpoint(of).await?.ok_or_else(overtaken)?;
            let next = Checkpoint { turn: at.turn + 1, ..at.clone() };
            let needs = Needs { keys: vec![key.clone()], ..Needs::default() };
            let (sender, receiver) = std::sync::mpsc::channel();
            let (key, work) = (key.clone(), work.clone());
            let fold = move |found: Vec<(EntityId, bson::Document)>| {
                let mut bench = Bench::default();
                let document = found.into_iter().map(|(_, document)| document).next();
                bench.lay(key, document);
                let came = work(&mut bench);
                let (stored, deleted) = bench.take_changed();
                let unparked = came.0.clone();
                // The receiver waits until this is over.
                drop(sender.send(came));
                Folded { stored, deleted, unparked, ..Folded::default() }
            };
            if self.store.turn(of, Some(&at), &next, &needs, Box::new(fold)).await? {
                return receiver.try_recv().map_err(|_| overtaken());
            }
        }
        Err(overtaken())
    }
}

/// Reads a parked event again.
fn again(of: &ReadModel, parked: &Parked) -> Result<Facts, DecodeError> {
    let lost = |why: &str| DecodeError::new(Reason::NotJson, why);
    let excerpt = parked.excerpt.as_deref().ok_or_else(|| lost("nothing of its body was kept"))?;
    let message = Message { body: excerpt.as_bytes(), content_type: None, headers: &Headers::new() };
    let notice = Envelope::excerpt(Limits::default()).open(&message)?;
    of.interpret(&notice)?.ok_or_else(|| lost("its type means nothing to the read model any more"))
}
