//! What a read model is folded from when it is folded again: one stream, or the partitions of one, side by side.
//!
//! Between partitions no order is promised. But what is folded again should not be far from what was folded as it came, so
//! they are read together, and what happened earlier by the events' own time comes first.

use std::collections::VecDeque;
use std::time::Duration;

use bson::DateTime;
use tokio::time::timeout;

use super::fold::Item;
use crate::replication::{Inflow, ReadModel};
use crate::source::{Inbox, Log, LogError, Start};
use crate::store::Checkpoint;

/// How many events are taken together.
pub(super) const TOGETHER: usize = 1_000;

/// One stream.
pub(super) struct Lane {
    inflow: Inflow,
    inbox: Inbox,
    waiting: VecDeque<Item>,
    /// Up to which place events were taken from here.
    reached: Option<u64>,
    /// Where the last of them stands, and what tells it from any other that may stand there.
    last: Option<(u64, String)>,
    /// Up to which place it is taken; nothing is, where there is none.
    end: Option<u64>,
}

/// Why a lane has nothing more.
pub(super) enum Dry {
    /// Nothing came in time.
    Quiet,
    /// It has ended.
    Ended,
}

impl Lane {
    /// Begins with the first event that there is.
    pub(super) async fn open(inflow: Inflow, log: &dyn Log) -> Result<Self, LogError> {
        let inbox = log.open(Start::First).await?;
        Ok(Self { inflow, inbox, waiting: VecDeque::new(), reached: None, last: None, end: None })
    }

    /// Which partition it is.
    pub(super) fn partition(&self) -> Option<u16> {
        self.inflow.part().map(|part| part.number)
    }

    /// Has it taken up to where documents stand.
    pub(super) fn lead_to(&mut self, all: &[Checkpoint]) {
        self.end = all.iter().find(|at| at.partition == self.partition()).and_then(Checkpoint::last);
    }

    /// Has it taken as long as anything comes.
    pub(super) fn lead_on(&mut self) {
        self.end = Some(u64::MAX);
    }

    /// Has it taken no further.
    pub(super) fn stop(&mut self) {
        self.end = None;
    }

    /// Whether all is taken that was to be.
    pub(super) fn is_done(&self) -> bool {
        self.end.is_none_or(|end| self.reached >= Some(end))
    }

    /// How far it is to the end, in places; nowhere, where nobody knows the end.
    pub(super) fn behind(&self) -> u64 {
        let known = self.end.filter(|end| *end < u64::MAX);
        known.map_or(0, |end| end.saturating_sub(self.reached.unwrap_or_default()))
    }

    /// Where it ends, for a person.
    pub(super) fn whereabouts(&self) -> String {
        let offset = format!("offset {}", self.end.unwrap_or_default());
        self.partition().map_or(offset.clone(), |number| format!("{offset} of partition {number}"))
    }

    /// Whether the next event stands beyond the end.
    pub(super) fn leads_beyond(&self) -> bool {
        !self.is_done() && self.waiting.front().and_then(Item::number) > self.end
    }

    /// Whether the last event that was taken is that at which documents stand.
    pub(super) fn stands_at(&self, all: &[Checkpoint]) -> bool {
        let at = all.iter().find(|at| at.partition == self.partition());
        let stands = at.and_then(|at| Some((at.last()?, at.mark.clone())));
        self.last == stands
    }

    /// Where the last event stands that was taken.
    pub(super) fn last(&self) -> Option<&(u64, String)> {
        self.last.as_ref()
    }

    /// Takes more, if it has nothing left.
    pub(super) async fn fill(&mut self, of: &ReadModel, within: Duration) -> Result<(), Dry> {
        if self.is_done() || !self.waiting.is_empty() {
            return Ok(());
        }
        let taken = timeout(within, self.inbox.take(TOGETHER)).await.map_err(|_| Dry::Quiet)?;
        if taken.is_empty() {
            return Err(Dry::Ended);
        }
        self.waiting.extend(Item::all(taken, of, &self.inflow));
        Ok(())
    }

    /// When the next event happened. One that does not say so holds up nobody.
    fn next_time(&self) -> Option<DateTime> {
        self.waiting.front()?.facts()?.at
    }

    fn pop(&mut self) -> Option<Item> {
        let item = self.waiting.pop_front()?;
        self.reached = item.number();
        Some(item)
    }

    /// Notes where the last of these events stands that was taken from here.
    fn note(&mut self, items: &[Item]) {
        let last = items.iter().rev().find(|item| item.partition() == self.partition());
        self.last = last.and_then(Item::place).or(self.last.take());
    }
}

/// Takes what comes next of all, until one has nothing left.
pub(super) fn merged(lanes: &mut [Lane]) -> Vec<Item> {
    let mut items = Vec::new();
    while items.len() < TOGETHER {
        let open = || lanes.iter().enumerate().filter(|(_, lane)| !lane.is_done());
        if open().any(|(_, lane)| lane.waiting.is_empty()) {
            break;
        }
        let Some((next, _)) = open().min_by_key(|(_, lane)| lane.next_time()) else { break };
        items.extend(lanes[next].pop());
    }
    for lane in lanes {
        lane.note(&items);
    }
    items
}
