//! A step in words.

use super::batch::bits;
use super::held::{Held, Knows};
use super::protocol::{Action, How, Protocol};
use super::rest::in_words;
use super::setting::{App, Told};
use super::task::{AskStep, BatchStep, FanOut, Hydrate, HydrateStep, Task};
use super::world::World;

impl Protocol {
    /// What happens in a step.
    pub(crate) fn describe(&self, world: &World, action: Action) -> String {
        let pod = |pod: usize| ["A", "B"][pod];
        match action {
            Action::Say => self.event_in_words(world.said, "the owner says: "),
            Action::App => app_in_words(self.setting.app[usize::from(world.done)]),
            Action::Tick if self.setting.parts > 1 => "half a read lag goes by".into(),
            Action::Tick => "a read lag goes by".into(),
            Action::Take(at, events) => {
                let events: Vec<String> = bits(events).map(|event| self.event_in_words(event, "")).collect();
                format!("{} takes {}", pod(at), events.join(" and "))
            }
            Action::Claim(at, entity) if !self.keeps(super::guard::Guard::ClaimFirst) => {
                format!("{} is about to ask for {}", pod(at), name(entity))
            }
            Action::Claim(at, entity) => format!("{} claims {}", pod(at), name(entity)),
            Action::Hydrate(at, hint) => {
                let doc = self.setting.app[usize::from(hint)].doc();
                format!("{} hears that document {doc} has changed", pod(at))
            }
            Action::Sweep(at, entity) => format!("{} finds that {} owes a fan-out", pod(at), name(entity)),
            Action::Mark(at, entity) => format!("{} finds nobody who refers to {}", pod(at), name(entity)),
            Action::Retire(at, entity) => format!("{} finds {} marked", pod(at), name(entity)),
            Action::Crash(at) => format!("{} crashes", pod(at)),
            Action::Step(at, task, how) => {
                let lost = if how == How::Lost { ", and that is lost" } else { "" };
                let late = if how == How::Late { " (from a deposed primary)" } else { "" };
                format!("{} {}{lost}{late}", pod(at), self.step_in_words(&world.pods[at][task], how))
            }
        }
    }

    fn event_in_words(&self, at: u8, before: &str) -> String {
        let say = self.setting.says[usize::from(at)];
        let what = match (say.told, say.content) {
            (Told::Whole, Some(content)) => version_in_words(content),
            (Told::Whole, None) => format!("v{} (deleted)", say.version),
            (Told::Version, _) => format!("there is v{}", say.version),
            (Told::Vaguely, _) => format!("there is something new (v{})", say.version),
        };
        format!("{before}{what} of {}", name(say.entity))
    }

    fn step_in_words(&self, task: &Task, how: How) -> String {
        match task {
            Task::Batch(batch) => match batch.next {
                BatchStep::Write(at) if at > 0 => "writes the next record of its batch".into(),
                BatchStep::Write(_) => {
                    let events: Vec<String> =
                        bits(batch.open).map(|at| self.event_in_words(at, "")).collect();
                    format!("writes {}", events.join(" and "))
                }
                BatchStep::Judge => "reads back and judges".into(),
                BatchStep::Resolve(_) => "calls for a look at the owner".into(),
                BatchStep::FanOut(entity, done) => {
                    let held = batch.owing[usize::from(entity)].unwrap();
                    self.fan_out_in_words(&FanOut { entity, held, done })
                }
                BatchStep::Settle => "settles".into(),
                BatchStep::Pay(entity) => format!("notes that {} owes nothing", name(entity)),
            },
            Task::Ask(ask) => match (ask.next, how) {
                (AskStep::Answer, How::Sees(said)) => {
                    let answer = self.setting.truth(ask.entity, said);
                    let answer = answer.map_or("404".to_owned(), |(_, content)| version_in_words(content));
                    format!("asks for {}, and is told {answer}", name(ask.entity))
                }
                (AskStep::Answer, _) => format!("asks for {} in vain", name(ask.entity)),
                (AskStep::Claim(_), _) => format!("claims {}", name(ask.entity)),
                (AskStep::Write(_), _) => format!("writes the answer: {}", in_words(ask)),
                (AskStep::Read, _) => format!("reads {} again", name(ask.entity)),
                (AskStep::FanOut(fan_out), _) => self.fan_out_in_words(&fan_out),
            },
            Task::Hydrate(hydrate) => self.hydration_in_words(hydrate),
            Task::Sweep(fan_out) => self.fan_out_in_words(fan_out),
            Task::Mark(entity) => format!("marks {}", name(*entity)),
            Task::Retire(retire) => match retire.wanted {
                None => format!("looks who refers to {}", name(retire.entity)),
                Some(true) => format!("frees {} of its mark", name(retire.entity)),
                Some(false) => format!("deletes {} under the mark it saw", name(retire.entity)),
            },
        }
    }

    fn hydration_in_words(&self, hydrate: &Hydrate) -> String {
        let of = hydrate.refers.map_or("nobody".to_owned(), name);
        match (hydrate.next, hydrate.held) {
            (HydrateStep::ReadDocument, _) => format!("reads document {}", hydrate.doc),
            (HydrateStep::ReadRecord, _) => format!("reads {of}, whom it refers to"),
            (HydrateStep::Placeholder, _) => format!("makes a placeholder for {of}"),
            (HydrateStep::Unmark, _) => format!("frees {of} of its mark"),
            (HydrateStep::Write(which), Some(held))
                if which < self.statements(hydrate.refers.unwrap_or_default(), &held) =>
            {
                let what = record_in_words(hydrate.refers.unwrap_or_default(), &held);
                format!("writes {what} into document {}, if that still refers there", hydrate.doc)
            }
            (HydrateStep::Write(_), _) => format!("clears document {}, if it refers to nobody", hydrate.doc),
            (HydrateStep::Advance, _) => "moves its position".into(),
        }
    }

    fn fan_out_in_words(&self, fan_out: &FanOut) -> String {
        let documents = u8::try_from(self.setting.documents()).unwrap().max(1);
        match fan_out.done {
            u8::MAX => format!("notes that {} owes nothing", name(fan_out.entity)),
            done => {
                let what = record_in_words(fan_out.entity, &fan_out.held);
                format!("shows {what} in document {}, if that is older", done % documents)
            }
        }
    }
}

fn app_in_words(app: App) -> String {
    match app {
        App::Insert(doc, entity) => {
            format!("the app inserts document {doc}, which refers to {}", name(entity))
        }
        App::Refer(doc, Some(entity)) => format!("the app lets document {doc} refer to {}", name(entity)),
        App::Refer(doc, None) => format!("the app lets document {doc} refer to nobody"),
        App::Copy(from, to) => format!("the app copies document {from} over {to}"),
        App::Replace(doc, entity) => {
            format!("the app replaces document {doc}; it refers to {}", name(entity))
        }
        App::WriteBack(doc, _) => format!("the app writes back into document {doc} what it once read there"),
        App::Delete(doc) => format!("the app deletes document {doc}"),
    }
}

fn record_in_words(entity: u8, held: &Held) -> String {
    let state = match held.knows {
        Knows::Pending => "(pending)".into(),
        Knows::Live(content) => version_in_words(content),
        Knows::Deleted | Knows::Out => "(gone)".into(),
        Knows::NotFound => "(not found)".to_owned(),
    };
    format!("{} {state}", name(entity))
}

fn version_in_words(content: u8) -> String {
    let other = if content.is_multiple_of(2) { "" } else { " with another content" };
    format!("v{}{other}", content % 32 / 2)
}

fn name(entity: u8) -> String {
    ["Ann", "Bob"][usize::from(entity)].to_owned()
}
