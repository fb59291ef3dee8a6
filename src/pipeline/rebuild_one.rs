//! Folds one document anew, from the events that are about it, and puts it in its place.
//!
//! Here no collection is needed: the document lies in hand. In the end, while the read model is frozen, one turn stores it,
//! forgets what had been put aside for it, and ends the freeze, all at once.

use bson::{Document, RawDocumentBuf};

use super::rebuild::{Rebuild, RebuildError};
use super::refold::{Into, Refold};
use crate::event::EntityId;
use crate::replication::take_over_deadlines;
use crate::store::{Checkpoint, Folded, Found, Needs, ParkedStore};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RebuiltOne {
    /// How many events were read.
    pub events: u64,
    /// Whether there is a document after all of them.
    pub is_there: bool,
    /// Whether it is another one than was served.
    pub is_different: bool,
}

impl Rebuild<'_> {
    /// Folds the document with this key anew, and replaces what is served, unless it is only to be seen what would come of it.
    pub async fn run_one(
        &self,
        key: &EntityId,
        parked: &dyn ParkedStore,
        only_look: bool,
    ) -> Result<RebuiltOne, RebuildError> {
        let served = self.served().await?;
        let mut refold = Refold::begin(self, Into::Hand(key.clone(), [].into())).await?;
        self.come_near(&mut refold, &served).await?;
        self.while_frozen(async |frozen| {
            refold.fold_exactly_to(&frozen).await?;
            let rebuilt = refold.bench.document(key).cloned();
            let is_there = rebuilt.is_some();
            let is_different = self.put(key, rebuilt, &frozen, parked, only_look).await?;
            Ok(RebuiltOne { events: refold.events, is_there, is_different })
        })
        .await
    }

    /// Stores it, or only compares it with what is served; says whether it is another one.
    async fn put(
        &self,
        key: &EntityId,
        rebuilt: Option<Document>,
        frozen: &[Checkpoint],
        parked: &dyn ParkedStore,
        only_look: bool,
    ) -> Result<bool, RebuildError> {
        let unparked = parked.parked_about(&self.of.name, Some(key)).await?;
        self.is_still_frozen(frozen).await?;
        // Whoever ends a freeze that has run out does so here first; so where this one stands, none has gone on.
        let first = frozen.first().ok_or(RebuildError::Disturbed)?;
        let next = Checkpoint { turn: first.turn + 1, frozen: None, ..first.clone() };
        let needs = Needs { keys: vec![key.clone()], ..Needs::default() };
        let (sender, receiver) = std::sync::mpsc::channel();
        let (key, mut rebuilt) = (key.clone(), rebuilt);
        let fold = move |found: Found| {
            let served = found.documents.into_iter().map(|(_, served)| served).next();
            // The receiver waits until this is over.
            sender.send(without_meta(served.clone()) != without_meta(rebuilt.clone())).ok();
            if only_look {
                return Folded::default();
            }
            if let Some(rebuilt) = &mut rebuilt {
                take_over_deadlines(rebuilt, served.as_ref());
            }
            let deleted = if rebuilt.is_none() { vec![key] } else { Vec::new() };
            let stored = rebuilt.iter().map(RawDocumentBuf::try_from).collect();
            Folded { stored, deleted, unparked, ..Folded::default() }
        };
        if !self.store.turn(&self.of.name, Some(first), &next, &needs, Box::new(fold)).await? {
            return Err(RebuildError::Disturbed);
        }
        receiver.try_recv().map_err(|_| RebuildError::Disturbed)
    }
}

/// A document without what is nearcopy's own in it.
fn without_meta(document: Option<Document>) -> Option<Document> {
    document.map(|mut document| {
        document.remove("_nearcopy");
        document
    })
}
