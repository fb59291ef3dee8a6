//! What must hold when nothing is left to do.
//!
//! "At rest" is a closure, not a terminal state: questions to an owner who knows nothing of an entity never end, so
//! there may be no terminal state at all. From every quiet state (no task, no delivery, no hint) the world is left
//! to itself: the owner tells the truth, whatever is owed is paid, whatever is due is asked, what nobody refers to
//! is retired, time goes by; until a round changes nothing any more. Each of these is a step of the protocol, so
//! what is found wrong there can happen. And since the model takes the same steps in every other order, too, with
//! every staleness that the owner may have, nothing is missed by taking them here in one order.

use super::held::Knows;
use super::protocol::{How, Protocol};
use super::setting::{Asked, Kept, owner_of};
use super::task::{Ask, AskStep, FanOut, Retire, Said, Task};
use super::world::World;

/// So many rounds are enough for any question to settle.
const ROUNDS: usize = 12;

impl World {
    /// Documents show the entity they refer to, or nothing.
    pub(crate) fn shows_only_its_own(&self) -> bool {
        self.docs
            .iter()
            .flatten()
            .all(|doc| doc.shows.is_none_or(|shown| doc.refers == Some(owner_of(shown))))
    }
}

impl Protocol {
    /// Leaves a quiet world to itself, and looks at what becomes of it.
    pub(crate) fn rests_well(&self, world: &World) -> bool {
        !world.is_quiet() || world.broken.is_some() || self.is_right(&self.at_rest(world))
    }

    /// The world when nothing changes any more.
    pub(crate) fn at_rest(&self, world: &World) -> World {
        let mut world = world.clone();
        world.left.marks = u8::MAX;
        for _ in 0..ROUNDS {
            let before = world.clone();
            for entity in 0..self.setting.entities() {
                self.attend(&mut world, entity);
            }
            world.left.marks = u8::MAX;
            world.tick();
            world = world.canonical(false);
            if world == before {
                break;
            }
        }
        world
    }

    /// Pays what an entity's record owes, asks if that is due, retires it if nobody refers to it.
    fn attend(&self, world: &mut World, entity: u8) {
        let at = usize::from(entity);
        if let Some(held) = world.records[at].filter(|held| held.owes) {
            let mut debt = Some(FanOut { entity, held: self.to_show(held), done: 0 });
            while let Some(fan_out) = debt {
                debt = self.step_fan_out(world, fan_out);
            }
        }
        let due = world.records[at].is_some_and(|held| held.due == Some(0));
        if due && self.setting.asked != Asked::Never {
            let Task::Ask(ask) = self.ask(world, entity) else { return };
            let mut asking = Some(ask);
            while let Some(ask) = asking {
                asking = self.step_ask(world, ask, How::Sees(world.said));
            }
        }
        if self.setting.keep == Kept::Referenced && !world.is_referenced(entity) {
            self.mark(world, entity);
            let mut retiring = world.records[at].map(|seen| Retire { entity, seen, wanted: None });
            while let Some(retire) = retiring {
                retiring = self.step_retire(world, retire);
            }
        }
    }

    fn is_right(&self, world: &World) -> bool {
        (0..self.setting.entities())
            .all(|entity| self.is_as_owned(world, entity) && Self::is_shown(self, world, entity))
            && world.shows_only_its_own()
            && world.docs.iter().flatten().all(|doc| doc.refers.is_some() || doc.stamp.is_none())
    }

    /// A record is there if it is wanted, and says what the owner says.
    fn is_as_owned(&self, world: &World, entity: u8) -> bool {
        let told = self.setting.history(entity, world.said).next().is_some();
        let wanted = match self.setting.keep {
            Kept::Referenced => world.is_referenced(entity),
            Kept::All => told && self.setting.held.is_empty() || world.is_referenced(entity),
        };
        let Some(held) = &world.records[usize::from(entity)] else { return !wanted };
        let asked = self.setting.asked;
        match self.knowable(entity, world.said) {
            Some((version, content)) => {
                let versioned = held.key.is_some_and(|key| key.version == version);
                held.knows == Knows::Live(content) && (versioned || asked == Asked::Unversioned)
            }
            None => matches!(held.knows, Knows::Deleted | Knows::NotFound) || asked == Asked::Never && !told,
        }
    }

    /// What the owner has; if it cannot be asked, what it has told of and the database takes.
    fn knowable(&self, entity: u8, said: u8) -> Option<(u8, u8)> {
        if self.setting.asked != Asked::Never {
            return self.setting.truth(entity, said);
        }
        let history = self.setting.history(entity, said);
        let (_, say) = history.filter(|(at, _)| self.setting.refused & (1 << at) == 0).last()?;
        Some((say.version, say.content?))
    }

    /// Documents show what the record says.
    fn is_shown(&self, world: &World, entity: u8) -> bool {
        let Some(held) = &world.records[usize::from(entity)] else { return true };
        let shown = match held.knows {
            Knows::Live(content) => Some(content),
            _ => None,
        };
        let left = self.setting.deleted == "keep" && shown.is_none();
        let mut referring = world.docs.iter().flatten().filter(|doc| doc.refers == Some(entity));
        !held.owes && referring.all(|doc| doc.shows == shown || left)
    }
}

/// What a question that is under way would do, for a person to read.
pub(crate) fn in_words(ask: &Ask) -> String {
    let said = |said: Said| match said {
        Said::Found(version, _) => format!("version {version}"),
        Said::NotFound => "404".into(),
        Said::Nothing => "no answer".into(),
    };
    match ask.next {
        AskStep::Write(what) | AskStep::Claim(what) => said(what),
        _ => "nothing yet".into(),
    }
}
