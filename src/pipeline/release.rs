//! Takes up again what documents of read models wait for.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::clock;
use crate::event::{DecodeError, EntityId, EntityType, Envelope, Headers, Limits, Message, Notice, Reason};
use crate::replication::{Alert, Bench, Facts, ReadModel, Seen};
use crate::store::{Checkpoint, Folded, Found, Needs, Parked, ParkedStore, ReadModelStore, StoreError};

/// How often a turn is attempted that others have in between.
const ATTEMPTS: usize = 20;
/// How long is waited where others change the same document.
const A_MOMENT: Duration = Duration::from_millis(20);

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
    /// Those that are in the document already, because it was folded anew since.
    pub forgotten: Vec<Uuid>,
    /// How many still wait, and why the first of them does.
    pub still: Option<(usize, DecodeError)>,
}

/// What came of a turn with one document.
#[derive(Default)]
struct Came {
    /// The events that were folded.
    done: Vec<Uuid>,
    /// Those that are forgotten without.
    forgotten: Vec<Uuid>,
    /// What rules tell of what the document has become.
    alerts: Vec<Alert>,
    /// How many events it still waits for, and why for the first of them.
    still: Option<(usize, DecodeError)>,
}

impl Release<'_> {
    /// Reads a parked event of a read model again, as the manifest reads it now; nothing comes of that.
    pub fn read_again(of: &ReadModel, parked: &Parked) -> Result<(), DecodeError> {
        facts(of, parked).map(|_| ())
    }

    /// Folds the events that a document waits for, in their order, as the manifest reads them now, until one cannot be.
    ///
    /// It waits for the last so many. What was put aside before is in the document already, if that was folded anew since.
    pub async fn retry(&self, of: &Arc<ReadModel>, key: &EntityId) -> Result<Released, StoreError> {
        let came = self
            .turn(&of.name, key, |waiting| {
                let read: Vec<_> = waiting.iter().map(|parked| facts(of, parked)).collect();
                let (of, key, now) = (of.clone(), key.clone(), clock::wall_micros());
                move |bench| fold(&of, &key, bench, &waiting, read, now)
            })
            .await?;
        Ok(Released { done: came.done, forgotten: came.forgotten, still: came.still })
    }

    /// Forgets an event. A document that waits for no other goes on.
    pub async fn drop(&self, parked: &Parked) -> Result<(), StoreError> {
        let id = parked.id;
        let (Some(of), Some(key)) = (&parked.replica, &parked.entity) else {
            return self.parked.unpark(&[id]).await.map(|_| ());
        };
        if self.store.checkpoints(of).await?.is_empty() {
            return self.parked.unpark(&[id]).await.map(|_| ());
        }
        let forget = |waiting: Vec<Parked>| {
            let (others, key) = (waiting.iter().any(|other| other.id != id), key.clone());
            move |bench: &mut Bench| {
                if !others {
                    bench.hold(&key, 0);
                }
                Came { forgotten: vec![id], ..Came::default() }
            }
        };
        self.turn(of, key, forget).await.map(|_| ())
    }

    /// The events that were put aside for a document, in their order.
    async fn waiting(&self, of: &EntityType, key: &EntityId) -> Result<Vec<Parked>, StoreError> {
        let mut waiting = Vec::new();
        for id in self.parked.parked_about(of, Some(key)).await? {
            waiting.extend(self.parked.parked_one(id).await?);
        }
        waiting.sort_by_key(|parked| (parked.at, parked.version));
        Ok(waiting)
    }

    /// One turn with one document and the events that were put aside for it, at the place where the read model stands; whoever
    /// folds begins anew after it.
    async fn turn<P, W>(&self, of: &EntityType, key: &EntityId, prepare: P) -> Result<Came, StoreError>
    where
        P: Fn(Vec<Parked>) -> W,
        W: FnOnce(&mut Bench) -> Came + Send + 'static,
    {
        let overtaken = || StoreError::Unavailable {
            action: format!("changing `{key}` of `{of}`"),
            detail: "others were quicker each time".into(),
        };
        let mut known = None;
        for _ in 0..ATTEMPTS {
            // Where there are partitions, any of them will do: each reads a document anew in every turn.
            let at = self.store.checkpoints(of).await?.into_iter().next().ok_or_else(overtaken)?;
            // What is put aside from here on moves the turn; but not what comes from another partition. So the document must
            // wait for as many as it did before these were read.
            let before = at.partition.map(|_| known);
            let work = prepare(self.waiting(of, key).await?);
            let next = Checkpoint { turn: at.turn + 1, ..at.clone() };
            let needs = Needs { keys: vec![key.clone()], ..Needs::default() };
            let (sender, receiver) = std::sync::mpsc::channel();
            let key = key.clone();
            let fold = move |found: Found| {
                let mut bench = Bench::default();
                let document = found.documents.into_iter().map(|(_, document)| document).next();
                bench.lay(key.clone(), document);
                let held = bench.waiting(&key);
                // The receiver waits until this is over.
                if before.is_some_and(|before| before != Some(held)) {
                    drop(sender.send(Err(held)));
                    return Folded::default();
                }
                let came = work(&mut bench);
                let (stored, deleted) = bench.take_changed();
                let unparked = came.done.iter().chain(&came.forgotten).copied().collect();
                let alerts = came.alerts.clone();
                drop(sender.send(Ok(came)));
                Folded { stored, deleted, unparked, alerts, ..Folded::default() }
            };
            match self.store.turn(of, Some(&at), &next, &needs, Box::new(fold)).await {
                Ok(true) => match receiver.try_recv().map_err(|_| overtaken())? {
                    Ok(came) => return Ok(came),
                    Err(held) => known = Some(held),
                },
                Ok(false) => {}
                Err(StoreError::Conflict { .. }) => tokio::time::sleep(A_MOMENT).await,
                Err(error) => return Err(error),
            }
        }
        Err(overtaken())
    }
}

/// Folds what a document waits for, as far as that can be read.
fn fold(
    of: &ReadModel,
    key: &EntityId,
    bench: &mut Bench,
    waiting: &[Parked],
    mut read: Vec<Result<Facts, DecodeError>>,
    now: i64,
) -> Came {
    let held = bench.waiting(key);
    let before = waiting.len().saturating_sub(usize::try_from(held).unwrap_or_default());
    let (stale, waiting) = waiting.split_at(before);
    let (mut facts, mut wrong) = (Vec::new(), None);
    for one in read.drain(before..) {
        match one {
            Ok(one) => facts.push(one),
            Err(error) => {
                wrong = Some(error);
                break;
            }
        }
    }
    let mut alerts = Vec::new();
    let (done, error) = bench.release(key, &facts, now, &mut |number, seen| {
        alerts.extend(alerts_of(of, &waiting[number], seen));
    });
    let left = waiting.len() - done;
    if error.is_none() && left > 0 {
        bench.hold(key, held);
    }
    Came {
        done: waiting[..done].iter().map(|parked| parked.id).collect(),
        forgotten: stale.iter().map(|parked| parked.id).collect(),
        alerts,
        still: error.or(wrong).filter(|_| left > 0).map(|error| (left, error)),
    }
}

/// What a parked event says, as the manifest reads it now.
fn facts(of: &ReadModel, parked: &Parked) -> Result<Facts, DecodeError> {
    let nothing = || lost("its type means nothing to the read model any more");
    opened(parked, |notice| of.interpret(notice)?.ok_or_else(nothing))
}

/// What rules tell of a document that a parked event has changed.
fn alerts_of(of: &ReadModel, parked: &Parked, seen: Seen<'_>) -> Vec<Alert> {
    let tell = |notice: &Notice<'_>| {
        // Where it stood is not kept; what stands for that is as much its own.
        let place = parked.id.as_u64_pair().0.to_string();
        Ok(of.alerts(&of.lookup.find(notice)?, &place, seen).0)
    };
    // It was opened and read before, so it can be again.
    if of.rules.is_empty() { Vec::new() } else { opened(parked, tell).unwrap_or_default() }
}

/// Reads a parked event again.
fn opened<T>(
    parked: &Parked,
    read: impl FnOnce(&Notice<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let excerpt = parked.excerpt.as_deref().ok_or_else(|| lost("nothing of its body was kept"))?;
    let headers = Headers::new();
    let message = Message { body: excerpt.as_bytes(), content_type: None, headers: &headers };
    read(&Envelope::excerpt(Limits::default()).open(&message)?)
}

fn lost(why: &str) -> DecodeError {
    DecodeError::new(Reason::NotJson, why)
}
