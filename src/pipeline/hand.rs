//! What was taken of a read model's source, and is not settled yet.

use std::collections::VecDeque;
use std::sync::Arc;

use super::fold::Item;
use crate::source::Inbox;

/// What is in hand. Whatever is dropped with it comes again, if it came from a queue.
pub(super) struct Hand {
    /// Where more comes from.
    pub(super) inbox: Inbox,
    /// In no turn yet.
    items: Vec<Item>,
    /// In turns that were begun and not stored; they have to be begun again.
    again: VecDeque<Arc<Vec<Item>>>,
    /// In turns under way, the oldest first.
    out: VecDeque<Arc<Vec<Item>>>,
}

impl Hand {
    /// Nothing in hand yet.
    pub(super) fn new(inbox: Inbox) -> Self {
        Self { inbox, items: Vec::new(), again: VecDeque::new(), out: VecDeque::new() }
    }

    /// Takes more.
    pub(super) fn take(&mut self, items: Vec<Item>) {
        self.items.extend(items);
    }

    /// How many more belong into the next turn, of so many together.
    pub(super) fn lacks(&self, together: usize) -> usize {
        if self.again.is_empty() { together.saturating_sub(self.items.len()) } else { 0 }
    }

    /// Whether there is nothing for another turn.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.again.is_empty()
    }

    /// Whether a turn was begun and not stored.
    pub(super) fn has_again(&self) -> bool {
        !self.again.is_empty()
    }

    /// What is in no turn yet.
    pub(super) fn waiting(&self) -> &[Item] {
        &self.items
    }

    /// What the next turn is about.
    pub(super) fn next(&mut self) -> Arc<Vec<Item>> {
        let fresh = || Arc::new(std::mem::take(&mut self.items));
        let next = self.again.pop_front().unwrap_or_else(fresh);
        self.out.push_back(next.clone());
        next
    }

    /// The oldest turn under way is stored: it is done with.
    pub(super) fn settle(&mut self) {
        // Where an earlier attempt still holds it, it is let go unsettled, comes again, and is known.
        let done = self.out.pop_front().and_then(Arc::into_inner);
        done.into_iter().flatten().for_each(Item::settle);
    }

    /// No turn is under way any more, and what was not settled must have another one.
    pub(super) fn begin_again(&mut self) {
        self.out.append(&mut self.again);
        std::mem::swap(&mut self.out, &mut self.again);
    }
}
