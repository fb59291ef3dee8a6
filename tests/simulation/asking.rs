//! The owner's API as one pod sees it: slow, behind by up to `settle`, at times in trouble, and asked at most once
//! about an entity at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nearcopy::event::{EntityId, EntityType};
use nearcopy::fetch::{Fetch, FetchError, Reply};
use nearcopy::replication::{Answer, FetchSpec, Subscription};
use tokio::sync::{Notify, Semaphore};

use crate::chance::Chance;
use crate::faults::{Fate, Faults};
use crate::journal::Journal;
use crate::life::Life;
use crate::owner::Owner;
use crate::peace::Peace;

type Outcome = Result<Answer, FetchError>;
type Flights = Mutex<BTreeMap<EntityId, Flight>>;

/// A question under way, and who waits for its outcome.
#[derive(Clone, Default)]
struct Flight(Arc<(Mutex<Option<Outcome>>, Notify)>);

/// One pod's way to the owner.
#[derive(Clone)]
pub(crate) struct Asking(Arc<Way>);

struct Way {
    owner: Owner,
    life: Life,
    faults: Faults,
    peace: Peace,
    chance: Chance,
    journal: Journal,
    flights: Flights,
    slots: Semaphore,
    rests_until: Mutex<Duration>,
}

impl Asking {
    pub(crate) fn new(
        owner: Owner,
        life: Life,
        faults: Faults,
        peace: Peace,
        chance: Chance,
        journal: Journal,
    ) -> Self {
        let (flights, slots, rests_until) = (Mutex::default(), Semaphore::new(2), Mutex::default());
        Self(Arc::new(Way { owner, life, faults, peace, chance, journal, flights, slots, rests_until }))
    }
}

#[async_trait]
impl Fetch for Asking {
    async fn ask(&self, of: &Subscription, ids: &[EntityId]) -> Vec<Reply> {
        let Some(spec) = of.fetch.clone() else {
            return ids.iter().map(|_| Reply::not_declared()).collect();
        };
        let fate = self.0.faults.enter(&self.0.life, "ask", || format!("{ids:?}")).await;
        let (seats, flights) = self.0.board(ids);
        let own: BTreeSet<EntityId> = seats.iter().map(|(id, _)| id.clone()).collect();
        if !seats.is_empty() {
            let (way, of) = (self.0.clone(), of.clone());
            tokio::spawn(async move { way.answer(&of, &spec, seats, fate).await });
        }
        let mut outcomes = Vec::new();
        for flight in flights {
            outcomes.push(flight.landing().await);
        }
        self.0.faults.leave(&self.0.life, fate).await;
        self.0.journal.note(|| format!("{}: answers {:?}", self.0.life, told(ids, &outcomes)));
        let reply = |(id, outcome)| Reply { outcome, is_shared: !own.contains(id) };
        ids.iter().zip(outcomes).map(reply).collect()
    }

    fn is_resting(&self, _: &EntityType) -> bool {
        self.0.journal.now() < *lock(&self.0.rests_until)
    }
}

impl Flight {
    async fn landing(&self) -> Outcome {
        loop {
            let landed = self.0.1.notified();
            if let Some(outcome) = lock(&self.0.0).clone() {
                return outcome;
            }
            landed.await;
        }
    }

    fn land(&self, outcome: Outcome) {
        *lock(&self.0.0) = Some(outcome);
        self.0.1.notify_waiters();
    }
}

impl Way {
    /// Joins questions under way, and opens those that are not.
    fn board(&self, ids: &[EntityId]) -> (Vec<(EntityId, Flight)>, Vec<Flight>) {
        let (mut under_way, mut seats) = (lock(&self.flights), Vec::new());
        let flights = ids.iter().map(|id| {
            let flight = under_way.entry(id.clone()).or_insert_with(|| {
                let flight = Flight::default();
                seats.push((id.clone(), flight.clone()));
                flight
            });
            flight.clone()
        });
        let flights = flights.collect();
        (seats, flights)
    }

    async fn answer(&self, of: &Subscription, spec: &FetchSpec, seats: Vec<(EntityId, Flight)>, fate: Fate) {
        let ids: Vec<EntityId> = seats.iter().map(|(id, _)| id.clone()).collect();
        let fails = matches!(fate, Fate::FailBefore | Fate::FailAfter);
        let asked = self.peace.asks(&self.life, &ids, self.journal.now());
        let answers = if fails { self.in_vain().await } else { self.exchange(of, spec, &ids).await };
        self.peace.answered(&asked);
        for (id, flight) in seats {
            lock(&self.flights).remove(&id);
            flight.land(match &answers {
                Ok(answers) => answers[&id].clone(),
                Err(error) => Err(error.clone()),
            });
        }
    }

    async fn in_vain(&self) -> Result<BTreeMap<EntityId, Outcome>, FetchError> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Err(FetchError::Unreachable("no answer".into()))
    }

    /// Asks for all, in a batch where that is declared, and singly for those that the batch leaves out.
    async fn exchange(
        &self,
        of: &Subscription,
        spec: &FetchSpec,
        ids: &[EntityId],
    ) -> Result<BTreeMap<EntityId, Outcome>, FetchError> {
        let mut outcomes = BTreeMap::new();
        if spec.batch.is_some() && ids.len() > 1 {
            for chunk in ids.chunks(spec.batch_size.max(1)) {
                let body = self.request(|| Some(self.batch_body(chunk))).await?;
                // What cannot be read as a batch is asked for singly.
                let read = spec.answers.read_batch(body.unwrap_or_default().as_bytes(), chunk, of, i64::MAX);
                outcomes.extend(read.unwrap_or_default().into_iter().map(|(id, answer)| (id, Ok(answer))));
            }
        }
        for id in ids {
            if !outcomes.contains_key(id) {
                let outcome = match self.request(|| self.body(id)).await {
                    Ok(None) => Ok(Answer::NotFound),
                    Ok(Some(body)) => {
                        spec.answers.read_one(body.as_bytes(), id, of, i64::MAX).map_err(FetchError::from)
                    }
                    Err(error) => Err(error),
                };
                outcomes.insert(id.clone(), outcome);
            }
        }
        Ok(outcomes)
    }

    /// One request: some time on the way, a look at what the owner shows then, some time back.
    async fn request(&self, look: impl Fn() -> Option<String>) -> Result<Option<String>, FetchError> {
        let _slot = self.slots.acquire().await;
        self.journal.count("questions");
        if self.faults.are_over() || !self.chance.happens(self.faults.trouble().owner) {
            tokio::time::sleep(self.chance.between(1, 80)).await;
            let body = look();
            tokio::time::sleep(self.chance.between(1, 80)).await;
            return Ok(body);
        }
        self.journal.count("questions in vain");
        match self.chance.below(6) {
            0 => {
                *lock(&self.rests_until) = self.journal.now() + self.chance.between(500, 3_000);
                Err(FetchError::Resting)
            }
            1 => Err(FetchError::Failed(503)),
            2 => Err(FetchError::Refused(401)),
            3 => Ok(Some("<html>".into())),
            4 => {
                // As late as an answer may be.
                let body = look();
                tokio::time::sleep(Duration::from_millis(990)).await;
                Ok(body)
            }
            _ => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Err(FetchError::Unreachable("no answer in time".into()))
            }
        }
    }

    /// What the owner's read side shows of a user: it is behind by `settle` at most.
    fn body(&self, id: &EntityId) -> Option<String> {
        let id = id.to_string();
        let said = self.owner.at(&id, self.as_of())?;
        self.owner.answer(&id, &said).map(|answer| answer.to_string())
    }

    /// A batch: some are left out, though the owner has them, and somebody else stands in it.
    fn batch_body(&self, ids: &[EntityId]) -> String {
        let gaps = self.chance.happens(200);
        let listed = ids.iter().filter(|_| !(gaps && self.chance.happens(500)));
        let mut items: Vec<String> = listed.filter_map(|id| self.body(id)).collect();
        if gaps {
            items.push(r#"{"id": "u99", "name": "canary", "version": 1}"#.into());
        }
        format!("[{}]", items.join(","))
    }

    fn as_of(&self) -> Duration {
        let settle = u64::try_from(self.owner.settle().as_millis()).unwrap_or_default();
        // The database's times are whole milliseconds, so the bound is kept by two of them.
        let most = settle.saturating_sub(2);
        let behind = match self.chance.below(3) {
            0 => 0,
            1 => most,
            _ => self.chance.below(most + 1),
        };
        self.journal.now().saturating_sub(Duration::from_millis(behind))
    }
}

/// Answers in few words.
fn told(ids: &[EntityId], outcomes: &[Outcome]) -> Vec<String> {
    let told = |outcome: &Outcome| match outcome {
        Ok(Answer::NotFound) => "404".into(),
        Ok(Answer::Found { version, content }) => format!("{version:?} {content:?}"),
        Err(error) => error.to_string(),
    };
    ids.iter().zip(outcomes).map(|(id, outcome)| format!("{id}: {}", told(outcome))).collect()
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
