//! What a pod has under way: how far it is, and what it has read so far.

use super::held::Held;
use super::world::FEW;

/// A piece of work; each step of it does one thing to the outside, or reads one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Task {
    /// Events, from their delivery to their settlement.
    Batch(Batch),
    /// A question to the owner.
    Ask(Ask),
    /// A document that has changed.
    Hydrate(Hydrate),
    /// A debt that somebody left behind.
    Sweep(FanOut),
    /// An entity that nobody was found to refer to: its record is about to be marked.
    Mark(u8),
    /// A record that has been marked.
    Retire(Retire),
}

/// Events taken together, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Batch {
    /// The deliveries it will settle.
    pub taken: u8,
    /// Of these, the ones without a verdict.
    pub open: u8,
    /// The next step.
    pub next: BatchStep,
    /// Whether a write of this round was lost, which shows in that it changed nothing.
    pub lost: bool,
    /// The records that owe, as they were read back.
    pub owing: [Option<Held>; FEW],
}

/// What a batch does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum BatchStep {
    /// Send one of the writes.
    Write(u8),
    /// Read back and judge.
    Judge,
    /// Call for a look at the owner, about these entities.
    Resolve(u8),
    /// Show the record of an entity in the documents, from this statement and document on.
    FanOut(u8, u8),
    /// Settle what was taken.
    Settle,
    /// Clear the debt of an entity.
    Pay(u8),
}

/// A question to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ask {
    /// About whom.
    pub entity: u8,
    /// The record as it was claimed.
    pub claimed: Held,
    /// The next step.
    pub next: AskStep,
}

/// What a question does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum AskStep {
    /// Claim the record: only where the request left before that.
    Claim(Said),
    /// Wait for the owner's answer.
    Answer,
    /// Write what the answer does.
    Write(Said),
    /// Read the changed record.
    Read,
    /// Show it.
    FanOut(FanOut),
}

/// What the owner said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Said {
    /// A version and a content.
    Found(u8, u8),
    /// It knows nothing of it.
    NotFound,
    /// It could not say.
    Nothing,
}

/// A record that is shown in the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FanOut {
    /// Whose.
    pub entity: u8,
    /// As it was read.
    pub held: Held,
    /// How many pairs of statement and document are done.
    pub done: u8,
}

/// A document that is brought in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Hydrate {
    /// Which document.
    pub doc: u8,
    /// Which change by the app led to it.
    pub hint: u8,
    /// Whom it was seen to refer to.
    pub refers: Option<u8>,
    /// The record as it was read, if any.
    pub held: Option<Held>,
    /// The next step.
    pub next: HydrateStep,
}

/// What a hydration does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum HydrateStep {
    /// Read the document.
    ReadDocument,
    /// Read the record that it refers to.
    ReadRecord,
    /// Make a placeholder.
    Placeholder,
    /// Free the record of its mark.
    Unmark,
    /// Send one of the statements.
    Write(u8),
    /// Move the position.
    Advance,
}

/// A marked record that is about to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Retire {
    /// Whose.
    pub entity: u8,
    /// The record, of which only the mark is known.
    pub seen: Held,
    /// Whether somebody refers to it, once that was looked up.
    pub wanted: Option<bool>,
}

impl Task {
    /// Every copy of this entity's record that the task carries along.
    pub(crate) fn copies(&mut self, entity: usize) -> Vec<&mut Held> {
        let is = |of: u8| usize::from(of) == entity;
        match self {
            Self::Batch(batch) => batch.owing[entity].iter_mut().collect(),
            Self::Ask(ask) if is(ask.entity) => match &mut ask.next {
                AskStep::FanOut(fan_out) => vec![&mut ask.claimed, &mut fan_out.held],
                _ => vec![&mut ask.claimed],
            },
            Self::Hydrate(hydrate) if hydrate.refers.is_some_and(is) => hydrate.held.iter_mut().collect(),
            Self::Sweep(fan_out) if is(fan_out.entity) => vec![&mut fan_out.held],
            Self::Retire(retire) if is(retire.entity) => vec![&mut retire.seen],
            _ => Vec::new(),
        }
    }

    /// Whether it may be about to pay what the entity's record owes.
    pub(crate) fn may_pay(&self, entity: u8) -> bool {
        match self {
            Self::Batch(_) => true,
            Self::Ask(ask) => ask.entity == entity,
            Self::Sweep(fan_out) => fan_out.entity == entity,
            _ => false,
        }
    }

    /// The events it will settle.
    pub(crate) fn taken(&self) -> u8 {
        if let Self::Batch(batch) = self { batch.taken } else { 0 }
    }
}

impl Held {
    /// What matters of it to who only shows it.
    pub(crate) fn to_show(self) -> Self {
        Self { knows: self.knows, key: self.key, rev: self.rev, ..Self::default() }
    }

    /// What matters of it to who only knows its mark.
    pub(crate) fn to_retire(self) -> Self {
        Self { mark: self.mark, ..Self::default() }
    }
}
