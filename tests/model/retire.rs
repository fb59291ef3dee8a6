//! A record that nobody refers to: mark it, look once more, delete it under that very mark.

use nearcopy::replication::RecordWrite;

use super::ask::FRESH;
use super::guard::Guard;
use super::held::{self, Held};
use super::protocol::Protocol;
use super::task::Retire;
use super::world::World;

impl Protocol {
    /// Marks a record that has no mark.
    pub(crate) fn mark(&self, world: &mut World, entity: u8) {
        world.left.marks = world.left.marks.saturating_sub(1);
        if let Some(held) = world.records[usize::from(entity)].filter(|held| held.mark == 0) {
            self.change(world, entity, Some(Held { mark: FRESH, ..held }));
        }
    }

    pub(crate) fn step_retire(&self, world: &mut World, retire: Retire) -> Option<Retire> {
        match retire.wanted {
            None => {
                let wanted = self.keeps(Guard::LookAgain) && world.is_referenced(retire.entity);
                return Some(Retire { wanted: Some(wanted), ..retire });
            }
            Some(true) => self.write(world, &RecordWrite::Unmark { id: held::id(retire.entity).clone() }),
            Some(false) => self.delete(world, retire),
        }
        None
    }

    fn delete(&self, world: &mut World, retire: Retire) {
        let Some(held) = world.records[usize::from(retire.entity)] else { return };
        let same = match self.without {
            Some(Guard::UnderMark) => true,
            Some(Guard::UniqueMark) => held.mark != 0,
            _ => held.mark == retire.seen.mark,
        };
        if same {
            self.change(world, retire.entity, None);
        }
    }
}
