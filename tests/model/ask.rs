//! A question: claim, ask, write what the answer does, show it.

use nearcopy::event::Version;
use nearcopy::replication::{Answer, Content, Due, Record, RecordWrite, State, merge};
use nearcopy::store::memory::meaning;

use super::guard::Guard;
use super::held::{self, Held, NOW};
use super::protocol::{How, Protocol};
use super::setting::Asked;
use super::task::{Ask, AskStep, FanOut, Said, Task};
use super::world::World;

/// A token that nobody has had before.
pub(crate) const FRESH: u8 = 50;

impl Protocol {
    /// Begins a question about a record that is due.
    pub(crate) fn ask(&self, world: &mut World, entity: u8) -> Task {
        let claimed = world.records[usize::from(entity)].unwrap();
        let ask = Ask { entity, claimed, next: AskStep::Answer };
        if !self.keeps(Guard::ClaimFirst) {
            return Task::Ask(ask);
        }
        Task::Ask(self.claim(world, ask, AskStep::Answer).unwrap())
    }

    /// Claims the record, if it is still due.
    fn claim(&self, world: &mut World, ask: Ask, next: AskStep) -> Option<Ask> {
        let held = world.records[usize::from(ask.entity)]?;
        let hold = std::time::Duration::from_millis(u64::try_from(held::TICK).unwrap());
        let record = held.record(ask.entity);
        let claimed = meaning::claim(&record, &FRESH.to_string(), hold, held::now())?;
        let claimed = Held { asked: NOW, ..Held::of(&claimed, held.mark) };
        self.change(world, ask.entity, Some(Held { asked: 0, ..claimed }));
        Some(Ask { claimed: Held { owes: false, mark: 0, ..claimed }, next, ..ask })
    }

    pub(crate) fn step_ask(&self, world: &mut World, ask: Ask, how: How) -> Option<Ask> {
        match ask.next {
            AskStep::Answer => {
                let said = self.said(ask.entity, how);
                let next =
                    if self.keeps(Guard::ClaimFirst) { AskStep::Write(said) } else { AskStep::Claim(said) };
                Some(Ask { next, ..ask })
            }
            AskStep::Claim(said) => self.claim(world, ask, AskStep::Write(said)),
            AskStep::Write(said) => {
                let write = self.answer(&ask, said);
                if how != How::Lost {
                    self.write(world, &write);
                }
                let changes = matches!(write, RecordWrite::Answer { content: Some(_), .. });
                changes.then_some(Ask { next: AskStep::Read, claimed: Held::default(), ..ask })
            }
            AskStep::Read => {
                let held = world.records[usize::from(ask.entity)]?;
                let owes = held.owes || !self.keeps(Guard::Owes);
                let fan_out = FanOut { entity: ask.entity, held: self.to_show(held), done: 0 };
                owes.then_some(Ask { next: AskStep::FanOut(fan_out), ..ask })
            }
            AskStep::FanOut(fan_out) => {
                let fan_out = self.step_fan_out(world, fan_out)?;
                Some(Ask { next: AskStep::FanOut(fan_out), ..ask })
            }
        }
    }

    /// What the answer does to the record that was claimed.
    pub(crate) fn answer(&self, ask: &Ask, said: Said) -> RecordWrite {
        let mut record = ask.claimed.record(ask.entity);
        if !self.keeps(Guard::Need) {
            record.need = None;
        }
        let settles = match said {
            Said::NotFound => !self.keeps(Guard::Settled404),
            _ => !self.keeps(Guard::SettledTie),
        };
        if settles {
            record.asked = Some(i64::MAX);
        }
        let answer = match said {
            Said::Found(version, content) => Answer::Found {
                version: (self.setting.asked == Asked::Versioned).then(|| Version::new(version.into())),
                content: Content::Live(held::fields(content).try_into().unwrap()),
            },
            Said::NotFound => Answer::NotFound,
            Said::Nothing => {
                let due = Due::After(self.spec().settle);
                return RecordWrite::Unanswered { id: record.id, claim: record.claim, due, tries: 1 };
            }
        };
        let mut write = merge(&record, &answer, 0, self.of().shape, self.spec(), self.of().embedded);
        if let RecordWrite::Answer { content, .. } = &mut write
            && !self.keeps(Guard::Word)
        {
            content.take_if(|(content, _)| is_held(&record, content));
        }
        write
    }

    fn said(&self, entity: u8, how: How) -> Said {
        let How::Sees(said) = how else { return Said::Nothing };
        match self.setting.truth(entity, said) {
            Some((version, content)) => Said::Found(version, content),
            None => Said::NotFound,
        }
    }

    /// The moments in the owner's past that its read side may still show of an entity.
    pub(crate) fn visible(&self, world: &World, entity: u8) -> Vec<u8> {
        let mut moments = vec![0];
        for (at, _) in self.setting.history(entity, world.said) {
            if world.young[at] == 0 {
                moments.clear();
            }
            moments.push(u8::try_from(at).unwrap() + 1);
        }
        moments
    }
}

/// Whether a record shows this very content.
fn is_held(record: &Record, content: &Content) -> bool {
    match (content, record.state) {
        (Content::Live(fields), State::Live) => fields.to_document() == record.fields,
        (Content::Gone(why), State::Gone(held)) => *why == held,
        _ => false,
    }
}
