//! From settled deliveries, in any order, to few acknowledgements.

use std::collections::BTreeMap;
use std::sync::Arc;

use lapin::Channel;
use lapin::options::BasicAckOptions;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::SourceCounters;
use crate::source::Ledger;

/// How many notes are taken at once.
const BURST: usize = 1024;

/// Makes the ledger of one connection's deliveries and the task that acknowledges what it notes.
///
/// Delivery tags mean something only on the channel they came on. Both ends belong to that one channel and
/// end with it, so a delivery settled later can never acknowledge another one. The client library must not
/// recover channels by itself for this to hold, and does not unless told to.
pub(super) fn ledger(
    channel: Channel,
    prefetch: u16,
    counters: Arc<SourceCounters>,
) -> (Arc<dyn Ledger>, Acknowledger) {
    let (notes, taken) = mpsc::unbounded_channel();
    let ledger = Arc::new(ChannelLedger { notes, counters: Arc::clone(&counters) });
    let most_ahead = usize::from(prefetch) / 2;
    (ledger, Acknowledger { channel, notes: taken, frontier: Frontier::default(), most_ahead, counters })
}

/// Acknowledges what one connection's ledger notes. Dropped, it counts what it can acknowledge no more.
pub(super) struct Acknowledger {
    channel: Channel,
    notes: UnboundedReceiver<Note>,
    frontier: Frontier,
    most_ahead: usize,
    counters: Arc<SourceCounters>,
}

/// Why acknowledging ended early.
pub(super) enum Halt {
    /// The channel is gone.
    Channel(lapin::Error),
    /// A delivery was dropped unsettled; on this channel it would never come again.
    Dropped,
}

impl Acknowledger {
    /// Acknowledges until every delivery is settled or dropped. Whether a dropped one is a mistake or the way
    /// things end is for the caller to say.
    pub(super) async fn run(&mut self, may_drop: impl Fn() -> bool) -> Result<(), Halt> {
        let mut burst = Vec::new();
        while self.notes.recv_many(&mut burst, BURST).await > 0 {
            let mut dropped = false;
            for note in burst.drain(..) {
                match note {
                    Note::Settled(tag) => self.frontier.settle(tag),
                    Note::LetGo => dropped = true,
                }
            }
            self.acknowledge().await.map_err(Halt::Channel)?;
            if dropped && !may_drop() {
                return Err(Halt::Dropped);
            }
        }
        Ok(())
    }

    async fn acknowledge(&mut self) -> Result<(), lapin::Error> {
        for Ack { tag, multiple, covers } in self.frontier.acks(self.most_ahead) {
            if let Err(error) = self.channel.basic_ack(tag, BasicAckOptions { multiple }).await {
                self.counters.acks_lost.add(covers);
                return Err(error);
            }
            self.counters.acked.add(covers);
        }
        Ok(())
    }
}

impl Drop for Acknowledger {
    fn drop(&mut self) {
        self.notes.close();
        let mut lost = self.frontier.waiting;
        while let Ok(note) = self.notes.try_recv() {
            lost += u64::from(matches!(note, Note::Settled(_)));
        }
        self.counters.acks_lost.add(lost);
    }
}

/// The ledger of the deliveries of one channel. Its queue has no bound of its own and needs none: there is
/// one note for each delivery, and no more of those than the prefetch.
struct ChannelLedger {
    notes: UnboundedSender<Note>,
    counters: Arc<SourceCounters>,
}

enum Note {
    Settled(u64),
    LetGo,
}

impl Ledger for ChannelLedger {
    fn settle(&self, tag: u64) {
        if self.notes.send(Note::Settled(tag)).is_err() {
            self.counters.acks_lost.add(1);
        }
    }

    fn let_go(&self, _tag: u64) {
        if self.notes.send(Note::LetGo).is_ok() {
            self.counters.dropped.add(1);
        }
    }
}

/// Which tags are settled. Tags of a channel count from 1, and every one of them comes to us.
#[derive(Default)]
struct Frontier {
    /// All tags up to here are settled and acknowledged.
    reached: u64,
    /// Settled tags beyond it, and whether they have been acknowledged singly.
    ahead: BTreeMap<u64, bool>,
    /// How many tags ahead wait to be acknowledged.
    waiting: u64,
}

/// One acknowledgement to send.
#[derive(Debug, PartialEq, Eq)]
struct Ack {
    tag: u64,
    multiple: bool,
    covers: u64,
}

impl Frontier {
    fn settle(&mut self, tag: u64) {
        self.ahead.insert(tag, false);
        self.waiting += 1;
    }

    /// What to acknowledge now: one multiple acknowledgement for the unbroken run of settled tags, which ends
    /// in a tag not acknowledged before (the broker refuses others). Those beyond a tag that takes long wait
    /// for it, but only `most_ahead` of them: else one delivery that takes for ever would stop all, once the
    /// prefetch is used up.
    fn acks(&mut self, most_ahead: usize) -> Vec<Ack> {
        let mut acks = Vec::new();
        acks.extend(self.advance());
        if self.waiting > most_ahead as u64 {
            acks.extend(self.ahead.iter_mut().filter(|(_, told)| !**told).map(|(tag, told)| {
                *told = true;
                Ack { tag: *tag, multiple: false, covers: 1 }
            }));
            self.waiting = 0;
        }
        acks
    }

    fn advance(&mut self) -> Option<Ack> {
        let mut last = None;
        let mut covers = 0;
        while let Some(told) = self.ahead.remove(&(self.reached + 1)) {
            self.reached += 1;
            if !told {
                last = Some(self.reached);
                covers += 1;
            }
        }
        self.waiting -= covers;
        last.map(|tag| Ack { tag, multiple: true, covers })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn settle(frontier: &mut Frontier, tags: &[u64]) -> Vec<Ack> {
        for tag in tags {
            frontier.settle(*tag);
        }
        frontier.acks(100)
    }

    #[test]
    fn a_burst_is_one_acknowledgement() {
        let mut frontier = Frontier::default();
        assert_eq!(settle(&mut frontier, &[2, 1, 3]), [Ack { tag: 3, multiple: true, covers: 3 }]);
    }

    #[test]
    fn what_is_settled_early_waits_for_what_came_before() {
        let mut frontier = Frontier::default();
        assert_eq!(settle(&mut frontier, &[3, 2]), []);
        assert_eq!(settle(&mut frontier, &[1]), [Ack { tag: 3, multiple: true, covers: 3 }]);
    }

    #[test]
    fn one_that_takes_for_ever_does_not_hold_the_others() {
        let mut frontier = Frontier::default();
        for tag in [2, 3, 4] {
            frontier.settle(tag);
        }
        let singles = [2, 3, 4].map(|tag| Ack { tag, multiple: false, covers: 1 });
        assert_eq!(frontier.acks(2), singles);
        assert_eq!(settle(&mut frontier, &[1]), [Ack { tag: 1, multiple: true, covers: 1 }]);
        assert_eq!(settle(&mut frontier, &[5]), [Ack { tag: 5, multiple: true, covers: 1 }]);
    }

    proptest! {
        /// Against a broker as the protocol describes it: an acknowledgement names a tag that is out, it
        /// covers settled tags only, and in the end nothing is out.
        #[test]
        fn any_order_of_settling_acknowledges_all_and_nothing_else(
            order in Just((1..=60_u64).collect::<Vec<_>>()).prop_shuffle(),
            bursts in proptest::collection::vec(1..8_usize, 60),
            most_ahead in 0..40_usize,
        ) {
            let mut out: BTreeSet<u64> = order.iter().copied().collect();
            let mut settled = BTreeSet::new();
            let mut frontier = Frontier::default();
            let mut rest = order.as_slice();
            for burst in bursts {
                let (now, later) = rest.split_at(burst.min(rest.len()));
                rest = later;
                for tag in now {
                    settled.insert(*tag);
                    frontier.settle(*tag);
                }
                for ack in frontier.acks(most_ahead) {
                    prop_assert!(out.contains(&ack.tag), "{} is not out", ack.tag);
                    let covered: Vec<u64> = if ack.multiple {
                        out.range(..=ack.tag).copied().collect()
                    } else {
                        vec![ack.tag]
                    };
                    prop_assert_eq!(covered.len() as u64, ack.covers);
                    for tag in covered {
                        prop_assert!(settled.contains(&tag), "{} was not settled", tag);
                        out.remove(&tag);
                    }
                }
                prop_assert_eq!(frontier.waiting, settled.intersection(&out).count() as u64);
                prop_assert!(frontier.waiting <= most_ahead as u64);
            }
            prop_assert!(rest.is_empty() && out.is_empty());
        }
    }
}
