//! Walks through all that an owner has, by its list, and brings in what is kept of it.
//!
//! What a list says goes the way of an event, under the same guards: it undoes nothing that events have brought, and may come
//! twice. How far a walk has come is noted once all before it has had its effect, so whoever takes it up misses nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bson::{Document, doc};
use xxhash_rust::xxh3::xxh3_64;

use super::batch::Verdict;
use super::lease::RENEWED_EVERY;
use super::{Backfill, Backfilled, Halted, Pipeline};
use crate::clock::{self, Stopwatch};
use crate::event::{Change, ChangeEvent, DecodeError, EntityId, Stamp};
use crate::fetch::FetchError;
use crate::replication::{Answer, Content, Keep, Listing, Outcome, Subscription};

/// By these an owner may say that it does not know any more what a page was to come after.
const FORGOTTEN: [u16; 4] = [400, 404, 410, 422];

/// How many entities are asked for in a second where nobody has said how many.
const UNASKED: u32 = 1_000;
/// How often it is looked whether a walk was called for.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A walk through the list of one owner.
pub struct Walk<'w> {
    /// The replica.
    pub of: &'w Subscription,
    /// How many entities are asked for in a second, at most.
    pub per_second: u32,
    /// Whether it is only counted what would be brought in.
    pub only_look: bool,
    /// Is told how far it has come.
    pub tell: &'w (dyn Fn(&Walked) + Send + Sync),
}

/// What a walk has done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Walked {
    /// How many entities the list has named, those before it was taken up included.
    pub entities: u64,
    /// How many it had named when it was taken up.
    pub before: u64,
    /// How many brought something that was not known.
    pub brought: u64,
    /// Of how many the list gives no version, so that their owner is asked.
    pub wanted: u64,
    /// How many cannot be read, or stored.
    pub unreadable: u64,
    /// The first of these, and why.
    pub trouble: Option<(Option<EntityId>, DecodeError)>,
    /// How many there are in all, if the owner says so.
    pub total: Option<u64>,
}

/// Why a walk is not at its end. Where it can be taken up, how far it came is noted.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The owner does not answer, or not as declared.
    #[error(transparent)]
    Owner(#[from] FetchError),
    /// The owner does not know any more how to go on.
    #[error("the owner does not know any more how its list goes on (status {0}); the next walk begins anew")]
    Forgotten(u16),
    /// One page after the other leads back to one before.
    #[error("the owner's list leads in a circle")]
    Circle,
    /// Somebody else is at it.
    #[error("another process is walking through this list")]
    Taken,
    /// The program stops.
    #[error(transparent)]
    Halted(#[from] Halted),
}

/// How far a walk has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    /// Who has called for the walk.
    call: String,
    after: Option<String>,
    entities: u64,
    done: bool,
}

impl Place {
    fn read(stored: &Document) -> Self {
        let text = |name: &str| stored.get_str(name).ok().map(str::to_owned);
        Self {
            call: text("call").unwrap_or_default(),
            after: text("after"),
            entities: stored.get_i64("entities").unwrap_or_default().unsigned_abs(),
            done: stored.get_bool("done").unwrap_or_default(),
        }
    }

    fn stored(&self) -> Document {
        let entities = i64::try_from(self.entities).unwrap_or(i64::MAX);
        doc! { "call": &self.call, "after": self.after.as_ref(), "entities": entities, "done": self.done }
    }
}

impl Pipeline {
    /// Walks on from where the last walk was cut off, or from the beginning; nobody else walks meanwhile.
    pub async fn walk_list(&self, walk: &Walk<'_>) -> Result<Walked, WalkError> {
        if walk.only_look {
            return self.walk_on(walk, Place::default()).await;
        }
        let lease = name(walk.of);
        let walked = self.if_leased(&lease, self.walk_from_there(walk)).await;
        // A lease that is not given back ends by itself.
        let _given_back = self.store.release(&lease).await;
        walked?.ok_or(WalkError::Taken)
    }

    /// Calls for a walk: events may have passed by.
    pub(super) async fn call_for_a_walk(&self, of: &Subscription) -> Result<(), Halted> {
        let (name, call) = (called(of), doc! { "call": uuid::Uuid::new_v4().to_string() });
        self.persist(|| self.store.set_position(&name, Some(&call))).await
    }

    /// Whether the last walk that was called for has come to its end.
    pub(super) async fn has_walked(&self, of: &Subscription) -> Result<bool, Halted> {
        let place = self.place(of).await?;
        Ok(place.done && place.call == self.last_call(of).await?)
    }

    /// Walks through an owner's list by itself: once, and again whenever events may have passed by.
    pub(super) async fn fill(self: Arc<Self>, of: Arc<Subscription>) -> Result<(), Halted> {
        let Some(fetch) = &of.fetch else { return Ok(()) };
        self.has_heard().await?;
        self.has_begun(&of.source).await?;
        let mut trouble = None;
        loop {
            if !self.has_walked(&of).await? {
                // What is listed must be no older than the queue, or a change would be told by neither.
                self.pause(fetch.settle).await?;
                let walk = Walk { of: &of, per_second: UNASKED, only_look: false, tell: &|_| {} };
                match self.walk_list(&walk).await {
                    Err(WalkError::Halted(halted)) => return Err(halted),
                    walked => trouble = report(&of, &walked, trouble),
                }
            }
            self.pause(LOOK_EVERY).await?;
        }
    }

    /// Waits until events of a source come: whoever lists before that may miss what happens between.
    async fn has_begun(&self, source: &str) -> Result<(), Halted> {
        if !self.declaration.sources.iter().any(|of| of.name == source) {
            return Ok(());
        }
        let mut begun = self.begun.subscribe();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Halted),
            begun = begun.wait_for(|sources| sources.contains(source)) => begun.map(|_| ()).map_err(|_| Halted),
        }
    }

    async fn walk_from_there(&self, walk: &Walk<'_>) -> Result<Walked, WalkError> {
        let (place, call) = (self.place(walk.of).await?, self.last_call(walk.of).await?);
        let is_under_way = place.call == call && !place.done;
        self.walk_on(walk, if is_under_way { place } else { Place { call, ..Place::default() } }).await
    }

    async fn walk_on(&self, walk: &Walk<'_>, mut place: Place) -> Result<Walked, WalkError> {
        let (watch, mut seen) = (Stopwatch::start(), BTreeSet::new());
        let mut walked = Walked { entities: place.entities, before: place.entities, ..Walked::default() };
        loop {
            if !walk.only_look {
                let call = self.last_call(walk.of).await?;
                if call != place.call {
                    // Events have passed by since it began, and may have been about what it was told before.
                    (place, walked) = (Place { call, ..Place::default() }, Walked::default());
                    seen.clear();
                }
            }
            let page = self.page_after(walk.of, place.after.as_deref()).await;
            if let (Err(WalkError::Forgotten(_)), false) = (&page, walk.only_look) {
                self.note_place(walk.of, &Place { call: place.call.clone(), ..Place::default() }).await?;
            }
            let mut page = page?;
            let next = page.next.take();
            self.bring(walk, page, &mut walked).await?;
            place.done = next.is_none();
            (place.after, place.entities) = (next, walked.entities);
            if !walk.only_look {
                self.note_place(walk.of, &place).await?;
            }
            (walk.tell)(&walked);
            let Some(after) = &place.after else { return Ok(walked) };
            if !seen.insert(xxh3_64(after.as_bytes())) {
                return Err(WalkError::Circle);
            }
            let due = to_f64(walked.entities - walked.before) / f64::from(walk.per_second.max(1));
            self.pause(Duration::from_secs_f64(due).saturating_sub(watch.elapsed())).await?;
        }
    }

    /// Asks for a page, once the owner need not be left in peace any more.
    pub(super) async fn page_after(
        &self,
        of: &Subscription,
        after: Option<&str>,
    ) -> Result<Listing, WalkError> {
        loop {
            let page = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Halted.into()),
                page = self.fetch.list(of, after) => page,
            };
            match page {
                Err(FetchError::Resting) => self.pause(RENEWED_EVERY).await?,
                Err(FetchError::Failed(status)) if after.is_some() && FORGOTTEN.contains(&status) => {
                    return Err(WalkError::Forgotten(status));
                }
                page => return Ok(page?),
            }
        }
    }

    /// Brings in what a page says; what is not wanted of it is passed by.
    async fn bring(&self, walk: &Walk<'_>, page: Listing, walked: &mut Walked) -> Result<(), Halted> {
        walked.entities += (page.entities.len() + page.unreadable.len()) as u64;
        walked.total = page.total.or(walked.total);
        for (id, error) in page.unreadable {
            walked.complain(id, error);
        }
        let (events, unplaced) = meant(page.entities);
        let events = self.without_strangers(walk, events, walked).await?;
        let mut left = events.into_iter();
        loop {
            let events: Vec<ChangeEvent> = left.by_ref().take(self.rhythm.batch).collect();
            if events.is_empty() {
                break;
            }
            let mut replicated = self.replicate(walk.of, events).await?;
            let at = clock::wall_micros();
            let paid = self.fan_out(walk.of, &replicated.owing, replicated.moment).await?;
            self.pay(walk.of, &paid).await?;
            self.diary.events(at, &walk.of.name, &mut replicated.verdicts);
            for (event, verdict) in replicated.verdicts {
                match verdict {
                    Verdict::Done(outcome) => walked.brought += u64::from(outcome == Outcome::Applied),
                    Verdict::Refused(error) => walked.complain(Some(event.entity), error),
                }
            }
        }
        if walk.of.keep.creates() && !unplaced.is_empty() {
            let backfill = Backfill { of: walk.of, hold: None, only_look: walk.only_look, tell: &|_, _| {} };
            let mut done = Backfilled::default();
            self.backfill(&backfill, &unplaced, &mut done).await?;
            walked.wanted += done.wanted;
        }
        Ok(())
    }

    /// Leaves out who is outside the subset and was never in it. Where it is only looked, all are left out, and those
    /// counted that would be brought in.
    async fn without_strangers(
        &self,
        walk: &Walk<'_>,
        mut events: Vec<ChangeEvent>,
        walked: &mut Walked,
    ) -> Result<Vec<ChangeEvent>, Halted> {
        let of = walk.of;
        if events.is_empty() || !(walk.only_look || matches!(of.keep, Keep::Where(_))) {
            return Ok(events);
        }
        let ids: Vec<EntityId> = events.iter().map(|event| event.entity.clone()).collect();
        let held = self.persist(|| self.store.read(of, &ids, None)).await?;
        events.retain(|event| held.contains_key(&event.entity) || event.change != Change::Leave);
        if walk.only_look {
            let epoch = self.timeline(of).await?.current();
            let is_new = |event: &&ChangeEvent| match held.get(&event.entity) {
                None => of.keep.creates(),
                Some(record) => {
                    let held = record.key.as_ref().map(|key| (key.epoch, key.version));
                    held < event.version.map(|version| (epoch, version))
                }
            };
            walked.brought += events.iter().filter(is_new).count() as u64;
            events.clear();
        }
        Ok(events)
    }

    async fn place(&self, of: &Subscription) -> Result<Place, Halted> {
        self.place_at(&name(of)).await
    }

    async fn last_call(&self, of: &Subscription) -> Result<String, Halted> {
        Ok(self.place_at(&called(of)).await?.call)
    }

    async fn place_at(&self, name: &str) -> Result<Place, Halted> {
        let stored = self.persist(|| self.store.position(name)).await?;
        Ok(stored.as_ref().map(Place::read).unwrap_or_default())
    }

    async fn note_place(&self, of: &Subscription, place: &Place) -> Result<(), Halted> {
        let (name, stored) = (name(of), place.stored());
        self.persist(|| self.store.set_position(&name, Some(&stored))).await
    }
}

impl Walked {
    fn complain(&mut self, id: Option<EntityId>, error: DecodeError) {
        self.unreadable += 1;
        self.trouble.get_or_insert((id, error));
    }
}

/// Says how a walk ended; trouble that lasts is said once.
fn report(of: &Subscription, walked: &Result<Walked, WalkError>, before: Option<String>) -> Option<String> {
    match walked {
        Ok(Walked { entities, brought, wanted, unreadable, trouble, .. }) => {
            tracing::info!(
                event = "backfill.ended", entity.r#type = %of.name, entities, brought, wanted, unreadable,
                "all that the owner lists has been looked at"
            );
            if let Some((id, error)) = trouble {
                let id = id.as_ref().map(tracing::field::display);
                tracing::warn!(
                    event = "backfill.failed", entity.r#type = %of.name, entity.id = id, unreadable, %error,
                    "some of what the owner lists is unreadable"
                );
            }
            None
        }
        Err(WalkError::Taken | WalkError::Halted(_)) => before,
        Err(error) => {
            let said = error.to_string();
            if before.as_ref() == Some(&said) {
                tracing::debug!(event = "backfill.failed", entity.r#type = %of.name, "{said}");
            } else {
                tracing::warn!(event = "backfill.failed", entity.r#type = %of.name, "the owner's list is not read to its end: {said}");
            }
            Some(said)
        }
    }
}

/// What a page says as events would; and who on it has no version, which nothing can be placed by.
fn meant(entities: Vec<(EntityId, Answer)>) -> (Vec<ChangeEvent>, Vec<EntityId>) {
    let (mut events, mut unplaced) = (Vec::new(), Vec::new());
    for (entity, answer) in entities {
        let Answer::Found { version, content } = answer else { continue };
        let change = match content {
            Content::Live(fields) => Change::Upsert(fields),
            Content::Gone(_) => Change::Leave,
        };
        if version.is_some() {
            let stamp = Stamp { listed: true, ..Stamp::default() };
            events.push(ChangeEvent { entity, version, change, stamp });
        } else if change != Change::Leave {
            unplaced.push(entity);
        }
    }
    (events, unplaced)
}

/// The name of a walk's lease and position.
fn name(of: &Subscription) -> String {
    format!("backfill:{}", of.name)
}

/// Where it is noted who has called for a walk.
fn called(of: &Subscription) -> String {
    format!("backfill:{}:called", of.name)
}

#[expect(clippy::cast_precision_loss, reason = "a rate is no exact number")]
fn to_f64(count: u64) -> f64 {
    count as f64
}
