//! A document that changed: read it, want its record, make it show that, move on.

use nearcopy::replication::RecordWrite;

use super::guard::Guard;
use super::held;
use super::protocol::{How, Protocol};
use super::setting::Asked;
use super::task::{Hydrate, HydrateStep};
use super::world::World;

impl Protocol {
    pub(crate) fn step_hydrate(&self, world: &mut World, hydrate: Hydrate, how: How) -> Option<Hydrate> {
        let next = |next| Some(Hydrate { next, ..hydrate });
        match hydrate.next {
            HydrateStep::ReadDocument => {
                let Some(document) = world.docs[usize::from(hydrate.doc)] else {
                    return next(HydrateStep::Advance);
                };
                let next =
                    if document.refers.is_some() { HydrateStep::ReadRecord } else { HydrateStep::Write(0) };
                Some(Hydrate { refers: document.refers, next, ..hydrate })
            }
            HydrateStep::ReadRecord => {
                let from = if how == How::Late { &self.first() } else { &*world };
                let held = from.records[usize::from(hydrate.refers?)];
                let marked = held.is_some_and(|held| held.mark != 0) && self.keeps(Guard::Unmark);
                let next = match held {
                    Some(_) if !marked => HydrateStep::Write(0),
                    Some(_) => HydrateStep::Unmark,
                    None if self.keeps(Guard::Placeholder) => HydrateStep::Placeholder,
                    None => HydrateStep::Advance,
                };
                let kept = next == HydrateStep::Write(0) || marked && !self.keeps(Guard::ReadUnmarked);
                Some(Hydrate { held: held.filter(|_| kept).map(|held| self.to_show(held)), next, ..hydrate })
            }
            HydrateStep::Placeholder => {
                let ask = self.setting.asked != Asked::Never;
                let id = held::id(hydrate.refers?).clone();
                self.wants(world, &RecordWrite::Placeholder { id, ask, hold: None }, how);
                next(HydrateStep::ReadRecord)
            }
            HydrateStep::Unmark => {
                let id = held::id(hydrate.refers?).clone();
                self.wants(world, &RecordWrite::Unmark { id }, how);
                let reads = self.keeps(Guard::ReadUnmarked);
                next(if reads { HydrateStep::ReadRecord } else { HydrateStep::Write(0) })
            }
            HydrateStep::Write(which) => Some(self.align(world, hydrate, which)),
            HydrateStep::Advance => {
                world.hints &= !(1 << hydrate.hint);
                None
            }
        }
    }

    fn wants(&self, world: &mut World, write: &RecordWrite, how: How) {
        if how != How::Lost {
            self.write(world, write);
        }
    }

    /// Runs the next statement for the document, or the last, which clears it where it refers to nothing.
    fn align(&self, world: &mut World, hydrate: Hydrate, which: u8) -> Hydrate {
        if let (Some(entity), Some(held)) = (hydrate.refers, hydrate.held)
            && which < self.statements(entity, &held)
        {
            self.show(world, hydrate.doc, entity, &held, true, which);
            return Hydrate { next: HydrateStep::Write(which + 1), ..hydrate };
        }
        self.clear(world, hydrate.doc);
        Hydrate { next: HydrateStep::Advance, refers: None, held: None, ..hydrate }
    }
}
