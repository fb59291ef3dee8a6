//! Reads gathered: a read costs the database far more than a record in it does, so whoever asks while others are read for
//! is read for together with all who asked meanwhile. Where nobody else asks, nobody is waited for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::event::EntityId;
use crate::replication::Reading;
use crate::store::StoreError;

/// How many reads are under way at once, but for those that take long: one is put together while the other is answered.
const ABREAST: usize = 2;
/// How many entities one is for, unless somebody asks for more by himself.
const MOST: usize = 1_000;

/// What somebody is told of those he asked for: as many of them as there are, in no order.
pub(super) type Found = Result<Vec<Reading>, StoreError>;

/// Those who wait for a read.
#[derive(Default)]
pub(super) struct Gathered(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    asks: Vec<Ask>,
    under_way: usize,
}

/// What somebody asks for.
struct Ask {
    ids: Vec<EntityId>,
    tell: oneshot::Sender<Found>,
}

/// One of the reads that may be under way at once. It reads until nobody waits any more; if it is given up before, so are
/// those who wait.
pub(super) struct Seat {
    of: Arc<Gathered>,
    is_left: bool,
}

/// A read for some who have waited.
pub(super) struct Turn(Vec<Ask>);

impl Gathered {
    /// Asks for some: what they will be told, and a seat if one has to be taken for that.
    pub(super) fn ask(self: &Arc<Self>, ids: Vec<EntityId>) -> (oneshot::Receiver<Found>, Option<Seat>) {
        let (tell, told) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.asks.push(Ask { ids, tell });
        let is_free = waiting.under_way < ABREAST;
        waiting.under_way += usize::from(is_free);
        (told, is_free.then(|| Seat { of: self.clone(), is_left: false }))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// The next read; where nobody waits, the seat is left.
    pub(super) fn next(&mut self) -> Option<Turn> {
        let mut waiting = self.of.waiting();
        let mut room = MOST;
        let fits = |ask: &&Ask| {
            let fits = room == MOST || ask.ids.len() <= room;
            room = room.saturating_sub(ask.ids.len());
            fits
        };
        let count = waiting.asks.iter().take_while(fits).count();
        if count == 0 {
            waiting.under_way -= 1;
            self.is_left = true;
            return None;
        }
        Some(Turn(waiting.asks.drain(..count).collect()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_left {
            let mut waiting = self.of.waiting();
            waiting.under_way -= 1;
            waiting.asks.clear();
        }
    }
}

impl Turn {
    /// Who is read, each once.
    pub(super) fn ids(&self) -> Vec<EntityId> {
        match &self.0[..] {
            [one] => one.ids.clone(),
            all => {
                let mut each: Vec<EntityId> = all.iter().flat_map(|ask| &ask.ids).cloned().collect();
                each.sort_unstable();
                each.dedup();
                each
            }
        }
    }

    /// Tells everybody what was found of those he asked for. Whoever has gone meanwhile is told nothing.
    pub(super) fn tell(self, found: Found) {
        let mut asks = self.0;
        let last = asks.pop();
        if asks.is_empty() {
            last.map(|only| only.tell.send(found));
            return;
        }
        let found = found.map(in_order);
        for ask in asks.into_iter().chain(last) {
            let told = found.as_ref().map_err(StoreError::clone);
            let told = told.map(|found| ask.ids.iter().filter_map(|id| of(id, found).cloned()).collect());
            drop(ask.tell.send(told));
        }
    }
}

/// The same, each to be found by its id.
pub(super) fn in_order(mut found: Vec<Reading>) -> Vec<Reading> {
    found.sort_unstable_by(|one, other| one.record.id.cmp(&other.record.id));
    found
}

/// What was found of an entity, among those that are in order.
pub(super) fn of<'f>(id: &EntityId, found: &'f [Reading]) -> Option<&'f Reading> {
    let at = found.binary_search_by(|reading| reading.record.id.cmp(id)).ok()?;
    found.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::IdKind;

    fn ids(names: &[&str]) -> Vec<EntityId> {
        names.iter().filter_map(|name| EntityId::parse(name, IdKind::String).ok()).collect()
    }

    /// A database that has everybody whose name is short.
    fn find(turn: &Turn) -> Vec<Reading> {
        let there = turn.ids().into_iter().filter(|id| id.to_string().len() < 4);
        there.map(|id| Reading::live(id, 1)).collect()
    }

    fn told(receiver: &mut oneshot::Receiver<Found>) -> Vec<String> {
        let found = receiver.try_recv().expect("nothing was told").expect("the read failed");
        found.iter().map(|reading| reading.record.id.to_string()).collect()
    }

    #[test]
    fn who_asks_alone_is_read_for_at_once() {
        let gathered = Arc::<Gathered>::default();
        let (mut ann, seat) = gathered.ask(ids(&["ann", "nobody"]));
        let mut seat = seat.expect("a seat");
        let turn = seat.next().expect("a turn");
        assert_eq!(turn.ids(), ids(&["ann", "nobody"]));
        let found = find(&turn);
        turn.tell(Ok(found));
        assert_eq!(told(&mut ann), ["ann"]);
        assert!(seat.next().is_none(), "nobody waits any more");
    }

    #[test]
    fn who_asks_meanwhile_is_read_for_together_and_told_only_what_was_asked_for() {
        let gathered = Arc::<Gathered>::default();
        let begin = |_| {
            let mut seat = gathered.ask(ids(&["ann"])).1.expect("a seat");
            assert!(seat.next().is_some());
            seat
        };
        let mut seats: Vec<Seat> = (0..ABREAST).map(begin).collect();
        let (mut one, no_seat) = gathered.ask(ids(&["bob", "nobody"]));
        let (mut two, _) = gathered.ask(ids(&["bob", "eve"]));
        let (mut three, _) = gathered.ask(ids(&["nobody"]));
        assert!(no_seat.is_none(), "more reads than are to be under way");
        let turn = seats[0].next().expect("a turn");
        assert_eq!(turn.ids(), ids(&["bob", "eve", "nobody"]), "each once");
        let found = find(&turn);
        turn.tell(Ok(found));
        assert_eq!(told(&mut one), ["bob"]);
        assert_eq!(told(&mut two), ["bob", "eve"]);
        assert!(told(&mut three).is_empty());
        assert!(seats.iter_mut().all(|seat| seat.next().is_none()));
        assert!(gathered.ask(ids(&["ann"])).1.is_some(), "seats that were left can be taken again");
    }

    #[test]
    fn a_read_is_for_so_many_or_for_one_who_asks_for_more() {
        let gathered = Arc::<Gathered>::default();
        let many: Vec<EntityId> =
            (0..=MOST).map(|at| EntityId::Int(i64::try_from(at).unwrap_or(0))).collect();
        let asks = [&many[..], &many[1..MOST], &many[..1], &many[..1]];
        let mut asked: Vec<_> = asks.map(|ids| gathered.ask(ids.to_vec())).into();
        let seat = asked[0].1.as_mut().expect("a seat");
        let sizes = std::iter::from_fn(|| seat.next().map(|turn| (turn.0.len(), turn.ids().len())));
        assert_eq!(sizes.collect::<Vec<_>>(), [(1, MOST + 1), (2, MOST), (1, 1)]);
    }

    #[test]
    fn all_who_were_read_for_together_are_told_why_it_failed() {
        let gathered = Arc::<Gathered>::default();
        let (mut ann, seat) = gathered.ask(ids(&["ann"]));
        let (mut bob, _other) = gathered.ask(ids(&["bob"]));
        let failed = StoreError::Conflict { action: "reading".into() };
        seat.expect("a seat").next().expect("a turn").tell(Err(failed));
        for told in [&mut ann, &mut bob] {
            assert!(matches!(told.try_recv(), Ok(Err(StoreError::Conflict { .. }))));
        }
    }

    /// A task that dies must not leave anybody waiting for ever, nor its seat taken.
    #[test]
    fn a_seat_that_is_given_up_gives_up_those_who_wait() {
        let gathered = Arc::<Gathered>::default();
        let (mut ann, seat) = gathered.ask(ids(&["ann"]));
        drop(seat);
        assert!(matches!(ann.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        let seats = (0..=ABREAST).filter(|_| gathered.ask(ids(&["bob"])).1.map(std::mem::forget).is_some());
        assert_eq!(seats.count(), ABREAST);
    }
}
