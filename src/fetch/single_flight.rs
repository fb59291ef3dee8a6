//! At most one question about an entity is under way: whoever asks meanwhile shares its outcome.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{FetchError, Reply};
use crate::event::EntityId;
use crate::replication::Answer;

pub(super) type Outcome = Result<Answer, FetchError>;
type Landing = watch::Receiver<Option<Outcome>>;

/// The questions under way to one owner.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<EntityId, Landing>>>);

/// A question about one entity, to be answered by whoever holds this. Dropped unanswered, those who wait are told
/// so, and the next one to ask leads again.
pub(super) struct Seat {
    id: EntityId,
    flights: Flights,
    outcome: watch::Sender<Option<Outcome>>,
}

/// The reply to come.
pub(super) struct Flight {
    landing: Landing,
    is_shared: bool,
}

impl Flights {
    /// Joins the questions under way and opens those that are not: a seat for each to be asked, a flight for
    /// each id in their order.
    pub(super) fn board(&self, ids: &[EntityId]) -> (Vec<Seat>, Vec<Flight>) {
        let mut under_way = self.lock();
        let mut seats: Vec<Seat> = Vec::new();
        let mut flights = Vec::with_capacity(ids.len());
        for id in ids {
            let landing = under_way.entry(id.clone()).or_insert_with(|| {
                let (outcome, landing) = watch::channel(None);
                seats.push(Seat { id: id.clone(), flights: self.clone(), outcome });
                landing
            });
            let is_shared = !seats.iter().any(|seat| seat.id == *id);
            flights.push(Flight { landing: landing.clone(), is_shared });
        }
        (seats, flights)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EntityId, Landing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// The entity that is asked about.
    pub(super) fn id(&self) -> &EntityId {
        &self.id
    }

    /// Tells everyone who waits. From now on, who asks leads a new question.
    pub(super) fn land(self, outcome: Outcome) {
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.id);
    }
}

impl Flight {
    /// Waits for what comes of it.
    pub(super) async fn landed(mut self) -> Reply {
        let lost = || Err(FetchError::Unreachable("the question was given up".into()));
        let outcome = match self.landing.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(lost),
            Err(_) => lost(),
        };
        Reply { outcome, is_shared: self.is_shared }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(texts: &[&str]) -> Vec<EntityId> {
        texts.iter().map(|text| EntityId::String((*text).into())).collect()
    }

    #[tokio::test]
    async fn those_who_ask_meanwhile_share_the_outcome() {
        let flights = Flights::default();
        let (mut seats, first) = flights.board(&ids(&["a", "b", "a"]));
        assert_eq!(seats.iter().map(Seat::id).cloned().collect::<Vec<_>>(), ids(&["a", "b"]));
        let (none, second) = flights.board(&ids(&["b", "a"]));
        assert!(none.is_empty());
        seats.pop().unwrap().land(Err(FetchError::Failed(500)));
        seats.pop().unwrap().land(Ok(Answer::NotFound));
        let mut seen = Vec::new();
        for flight in first.into_iter().chain(second) {
            let Reply { outcome, is_shared } = flight.landed().await;
            seen.push((outcome.map_err(|error| error.to_string()), is_shared));
        }
        let failed = Err("the owner answered with status 500".to_owned());
        let found = Ok(Answer::NotFound);
        let expected = [(&found, false), (&failed, false), (&found, false), (&failed, true), (&found, true)];
        assert_eq!(seen, expected.map(|(outcome, is_shared)| (outcome.clone(), is_shared)));
        assert_eq!(flights.board(&ids(&["a"])).0.len(), 1, "the next question is a new one");
    }

    #[tokio::test]
    async fn a_question_given_up_is_said_to_be_and_can_be_asked_again() {
        let flights = Flights::default();
        let (seats, mut waiting) = flights.board(&ids(&["a"]));
        drop(seats);
        let outcome = waiting.remove(0).landed().await.outcome;
        assert!(matches!(outcome, Err(FetchError::Unreachable(_))));
        assert_eq!(flights.board(&ids(&["a"])).0.len(), 1);
    }
}
