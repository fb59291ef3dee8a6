//! All there is at one moment: what the owner said, what is stored, what is under way. Small, and comparable.
//!
//! Times and tokens are kept as ranks: two moments that differ only in what the clock shows are one state.

use super::held::{Held, NOT_A_TIME, Time};
use super::task::Task;

/// How many entities, and how many documents, there can be.
pub(crate) const FEW: usize = 2;
/// How many things the owner or the app may say.
pub(crate) const SAID: usize = 6;
/// A token that no record has any more.
const VOID: u8 = 99;

/// What happened that must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Broken {
    /// A record went back to an older version.
    Regress,
    /// A record came back to life at a version that was deleted.
    Resurrection,
    /// A live record was taken away that the owner never deleted.
    Taken,
    /// A delivery was settled before its effect was durable.
    SettledEarly,
}

/// A document of the consumer: whom it refers to, what it shows, and the stamp beside that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Doc {
    /// The entity it refers to.
    pub refers: Option<u8>,
    /// The content it shows.
    pub shows: Option<u8>,
    /// Of which entity and which revision that is.
    pub stamp: Option<(u8, Time)>,
}

/// How often something may still go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Left {
    /// Pods may crash so often.
    pub crashes: u8,
    /// Deliveries may come again so often while somebody works on them.
    pub redeliveries: u8,
    /// Writes may be lost, unbeknown to who sent them, so often.
    pub lost: u8,
    /// The owner may fail to answer so often.
    pub failures: u8,
    /// Records may be marked for retirement so often.
    pub marks: u8,
}

/// A state of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// How much of its script the owner has said.
    pub said: u8,
    /// For each of these, how many ticks it may still be missing on the owner's read side.
    pub young: [u8; SAID],
    /// Which events are not settled.
    pub queue: u8,
    /// Of these, which the database has been seen to cover.
    pub covered: u8,
    /// How much of its script the app has done.
    pub done: u8,
    /// Which changes by the app the change stream has not got past.
    pub hints: u8,
    /// The records.
    pub records: [Option<Held>; FEW],
    /// Which entities a pod remembers as unwanted; kept only where somebody relies on it.
    pub memory: [u8; 2],
    /// The consumer's documents.
    pub docs: [Option<Doc>; FEW],
    /// What is under way in each pod.
    pub pods: [Vec<Task>; 2],
    /// What may still go wrong.
    pub left: Left,
    /// What went wrong.
    pub broken: Option<Broken>,
}

impl World {
    /// Nothing is under way, nothing is to be delivered, and all changes by the app have been seen.
    pub(crate) fn is_quiet(&self) -> bool {
        self.pods.iter().all(Vec::is_empty) && self.queue == 0 && self.hints == 0
    }

    /// Whether a document refers to the entity.
    pub(crate) fn is_referenced(&self, entity: u8) -> bool {
        self.docs.iter().flatten().any(|doc| doc.refers == Some(entity))
    }

    /// Every task of every pod.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.pods.iter().flatten()
    }

    /// A read lag of the owner goes by, or a part of it: what is told in ticks becomes older by one.
    pub(crate) fn tick(&mut self) {
        for young in &mut self.young {
            *young = young.saturating_sub(1);
        }
        for held in self.records.iter_mut().flatten() {
            held.due = held.due.map(|due| due.saturating_sub(1));
        }
        for entity in 0..FEW {
            self.visit(entity, &mut Held::age, &mut Time::age);
        }
    }

    /// The one state that stands for all that differ from this one in names and clocks only.
    pub(crate) fn canonical(mut self, ordered: bool) -> Self {
        for entity in 0..FEW {
            self.rank(entity);
            self.rename(entity);
        }
        for pod in &mut self.pods {
            pod.sort_unstable();
        }
        if ordered && (&self.pods[0], self.memory[0]) > (&self.pods[1], self.memory[1]) {
            self.pods.swap(0, 1);
            self.memory.swap(0, 1);
        }
        self
    }

    /// Times of an entity's record are compared with one another only, so their ranks will do.
    fn rank(&mut self, entity: usize) {
        let mut known: Vec<Time> = Vec::new();
        self.visit(entity, &mut |held| known.push(held.rev), &mut |_| {});
        self.visit(entity, &mut |_| {}, &mut |time| known.push(*time));
        known.sort_unstable();
        known.dedup();
        let ranked = |time: &mut Time| {
            if time.tick() == NOT_A_TIME {
                return;
            }
            let earlier = known.iter().filter(|other| other.tick() == time.tick() && *other < time).count();
            *time = Time::new(time.tick(), u8::try_from(earlier).unwrap());
        };
        self.visit(entity, &mut |held| ranked(&mut held.rev), &mut { ranked });
    }

    /// Tokens are compared with that in the record only.
    fn rename(&mut self, entity: usize) {
        let (claim, mark) = self.records[entity].map_or((0, 0), |held| (held.claim, held.mark));
        let named = |token: u8, current: u8| match token {
            0 => 0,
            _ if token == current => 1,
            _ => VOID,
        };
        let mut rename = |held: &mut Held| {
            held.claim = named(held.claim, claim);
            held.mark = named(held.mark, mark);
        };
        self.visit(entity, &mut rename, &mut |_| {});
    }

    /// Shows every copy of an entity's record, and every other time that belongs to it.
    fn visit(&mut self, entity: usize, held: &mut impl FnMut(&mut Held), time: &mut impl FnMut(&mut Time)) {
        self.records[entity].iter_mut().for_each(&mut *held);
        for task in self.pods.iter_mut().flatten() {
            task.copies(entity).into_iter().for_each(&mut *held);
        }
        for doc in self.docs.iter_mut().flatten() {
            if let Some((of, stamped)) = &mut doc.stamp
                && usize::from(*of) == entity
            {
                time(stamped);
            }
        }
    }
}
