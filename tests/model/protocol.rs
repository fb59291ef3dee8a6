//! The protocol as a set of steps: what may happen next, and what must hold wherever that leads.
//!
//! Every read and every write of a shared thing is a step of its own, so that anything may come between two of
//! them; what a pod decides in between costs no step. A pod that is slow, or a zombie, is one whose next step
//! comes late. What is decided is decided by the rules themselves, and what a write does is said by `meaning`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nearcopy::event::{Change, ChangeEvent, Stamp, Version};
use nearcopy::replication::{Declaration, Embed, FetchSpec, Subscription};
use stateright::{Model, Property};

use super::declared;
use super::guard::Guard;
use super::held::{self, Held, Knows, NOW, SmallKey, Time};
use super::setting::{Asked, Kept, Say, Setting, Told};
use super::task::{AskStep, Batch, BatchStep, FanOut, Hydrate, HydrateStep, Retire, Task};
use super::world::{Broken, Doc, World};

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// The owner changes something.
    Say,
    /// The app changes something.
    App,
    /// Time goes by.
    Tick,
    /// A pod takes these deliveries.
    Take(usize, u8),
    /// A pod asks about an entity that is due.
    Claim(usize, u8),
    /// A pod takes up a change by the app.
    Hydrate(usize, u8),
    /// A pod takes up a debt.
    Sweep(usize, u8),
    /// A pod finds a record that nobody refers to.
    Mark(usize, u8),
    /// A pod finds a marked record.
    Retire(usize, u8),
    /// A task takes its next step.
    Step(usize, usize, How),
    /// A pod crashes.
    Crash(usize),
}

/// How a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum How {
    /// As it should.
    Well,
    /// Its write is lost, and who sent it does not learn that.
    Lost,
    /// It reads from a primary deposed long ago: no record where events are judged, and where a document is
    /// hydrated, the record as it was in the beginning.
    Late,
    /// The owner answers as it was when so many of its changes were done.
    Sees(u8),
    /// The owner fails to answer.
    InVain,
}

/// A scenario under the protocol, whole or with one rule taken out.
pub(crate) struct Protocol {
    pub setting: Setting,
    pub without: Option<Guard>,
    /// Whether pods go by their names, for a person to read.
    pub named: bool,
    declaration: Arc<Declaration>,
    found: AtomicBool,
}

impl Protocol {
    pub(crate) fn new(setting: Setting, without: Option<Guard>) -> Self {
        let keep = if setting.keep == Kept::All { "all" } else { "referenced" };
        let asked = match setting.asked {
            Asked::Versioned => ASKED.to_owned() + "\n      from: { version: version }",
            Asked::Unversioned => ASKED.to_owned(),
            Asked::Never => String::new(),
        };
        let deleted = if setting.deleted.is_empty() { "clear" } else { setting.deleted };
        let embed = format!("{}\n    when_deleted: {deleted}", declared::PRODUCTS);
        let declaration = declared::shop(keep, &asked, &[&embed]);
        Self { setting, without, named: without.is_some(), declaration, found: AtomicBool::new(false) }
    }

    pub(crate) fn of(&self) -> &Subscription {
        declared::users(&self.declaration)
    }

    pub(crate) fn embed(&self) -> &Embed {
        declared::embed(&self.declaration)
    }

    pub(crate) fn spec(&self) -> &FetchSpec {
        self.of().fetch.as_ref().unwrap()
    }

    pub(crate) fn keeps(&self, guard: Guard) -> bool {
        self.without != Some(guard)
    }

    /// An event as the source decodes it.
    pub(crate) fn event(&self, at: u8) -> ChangeEvent {
        let Say { entity, version, content, told } = self.setting.says[usize::from(at)];
        ChangeEvent {
            entity: held::id(entity).clone(),
            version: (told != Told::Vaguely).then(|| Version::new(version.into())),
            change: match (told, content) {
                (Told::Whole, Some(content)) => Change::Upsert(held::fields(content).try_into().unwrap()),
                (Told::Whole, None) => Change::Delete,
                _ => Change::Refresh,
            },
            stamp: Stamp::default(),
        }
    }

    /// Whether a property holds. Only the first that does not is told, since the way there is the shortest.
    fn tells(&self, holds: bool) -> bool {
        holds || self.found.swap(true, Ordering::Relaxed)
    }

    /// How many times one tick goes by at once.
    fn ticks(&self) -> u8 {
        NOW / self.setting.parts.max(1)
    }

    fn pods(&self) -> usize {
        self.setting.pods.max(1)
    }

    /// How it all begins.
    pub(crate) fn first(&self) -> World {
        let setting = &self.setting;
        let mut world =
            World { said: setting.past, queue: setting.late, left: setting.left, ..World::default() };
        for entity in &setting.held {
            let key = |version, content| SmallKey::live(version, content);
            let truth = setting.truth(*entity, setting.past);
            world.records[usize::from(*entity)] = Some(Held {
                knows: truth.map_or(Knows::NotFound, |(_, content)| Knows::Live(content)),
                key: truth.map(|(version, content)| key(version, content)),
                ..Held::default()
            });
        }
        for (at, entity) in setting.docs.iter().enumerate() {
            let shows = setting.truth(*entity, setting.past).map(|(_, content)| content);
            let stamp = Some((*entity, Time::default()));
            world.docs[at] = Some(Doc { refers: Some(*entity), shows, stamp });
        }
        world
    }

    /// What a pod that has time may begin.
    fn beginnings(&self, world: &World, pod: usize, actions: &mut Vec<Action>) {
        if world.pods[pod].len() >= self.setting.tasks.max(1) {
            return;
        }
        self.deliveries(world, pod, actions);
        for at in (0..8_u8).filter(|at| world.hints & (1 << at) != 0) {
            if !world.pods[pod].iter().any(|task| matches!(task, Task::Hydrate(_))) {
                actions.push(Action::Hydrate(pod, at));
            }
        }
        for entity in 0..self.setting.entities() {
            let Some(held) = &world.records[usize::from(entity)] else { continue };
            if held.due == Some(0) && self.setting.asked != Asked::Never {
                actions.push(Action::Claim(pod, entity));
            }
            let unpaid = world.tasks().any(|task| task.may_pay(entity));
            if held.owes && (self.setting.sweeps || !unpaid) {
                actions.push(Action::Sweep(pod, entity));
            }
            if held.mark == 0 && world.left.marks > 0 && !world.is_referenced(entity) {
                actions.push(Action::Mark(pod, entity));
            }
            if held.mark != 0 {
                actions.push(Action::Retire(pod, entity));
            }
        }
    }

    /// The broker delivers what is not settled; to somebody else, too, if a connection was lost meanwhile.
    fn deliveries(&self, world: &World, pod: usize, actions: &mut Vec<Action>) {
        let taken = world.tasks().fold(0, |taken, task| taken | task.taken());
        for events in 1..=world.queue {
            let fits = events & !world.queue == 0 && events.count_ones() <= self.setting.batch.max(1);
            let mine = world.pods[pod].iter().any(|task| task.taken() & events != 0);
            if fits && !mine && (events & taken == 0 || world.left.redeliveries > 0) {
                actions.push(Action::Take(pod, events));
            }
        }
    }

    fn begin(&self, world: &mut World, action: Action) {
        let (pod, task) = match action {
            Action::Take(pod, events) => {
                if world.tasks().any(|task| task.taken() & events != 0) {
                    world.left.redeliveries -= 1;
                }
                if !self.keeps(Guard::Memory) && self.is_forgettable(world, pod, events) {
                    return self.settle(world, events);
                }
                if !self.keeps(Guard::SettleLast) {
                    self.settle(world, events);
                }
                let next = BatchStep::Write(0);
                (pod, Task::Batch(Batch { taken: events, open: events, next, lost: false, owing: [None; 2] }))
            }
            Action::Claim(pod, entity) => (pod, self.ask(world, entity)),
            Action::Hydrate(pod, hint) => {
                if !self.keeps(Guard::PositionLast) {
                    world.hints &= !(1 << hint);
                }
                let doc = self.setting.app[usize::from(hint)].doc();
                let next = HydrateStep::ReadDocument;
                (pod, Task::Hydrate(Hydrate { doc, hint, refers: None, held: None, next }))
            }
            Action::Sweep(pod, entity) => {
                let held = world.records[usize::from(entity)].unwrap();
                (pod, Task::Sweep(FanOut { entity, held: self.to_show(held), done: 0 }))
            }
            Action::Mark(pod, entity) => (pod, Task::Mark(entity)),
            Action::Retire(pod, entity) => {
                let seen = world.records[usize::from(entity)].unwrap().to_retire();
                (pod, Task::Retire(Retire { entity, seen, wanted: None }))
            }
            _ => return,
        };
        world.pods[pod].push(task);
    }

    /// The ways in which a task's next step may go.
    fn ways(&self, world: &World, task: &Task, mut may: impl FnMut(How)) {
        let writes = match task {
            Task::Ask(ask) if ask.next == AskStep::Answer => {
                self.visible(world, ask.entity).into_iter().for_each(|moment| may(How::Sees(moment)));
                if world.left.failures > 0 {
                    may(How::InVain);
                }
                return;
            }
            Task::Batch(batch) if batch.next == BatchStep::Judge => {
                if !self.keeps(Guard::CausalJudgement) {
                    may(How::Late);
                }
                false
            }
            Task::Hydrate(hydrate) if hydrate.next == HydrateStep::ReadRecord => {
                if !self.keeps(Guard::CausalHydration) {
                    may(How::Late);
                }
                false
            }
            Task::Batch(batch) => matches!(batch.next, BatchStep::Write(_) | BatchStep::Resolve(_)),
            Task::Ask(ask) => matches!(ask.next, AskStep::Write(_)),
            Task::Hydrate(hydrate) => matches!(hydrate.next, HydrateStep::Placeholder | HydrateStep::Unmark),
            Task::Sweep(_) | Task::Mark(_) | Task::Retire(_) => false,
        };
        may(How::Well);
        if writes && world.left.lost > 0 {
            may(How::Lost);
        }
    }

    /// A task takes a step, and is there still if it has another.
    fn step(&self, world: &mut World, pod: usize, at: usize, how: How) {
        let task = world.pods[pod].remove(at);
        match how {
            How::Lost => world.left.lost -= 1,
            How::InVain => world.left.failures -= 1,
            How::Well | How::Late | How::Sees(_) => {}
        }
        let next = match task {
            Task::Batch(batch) => self.step_batch(world, pod, batch, how).map(Task::Batch),
            Task::Ask(ask) => self.step_ask(world, ask, how).map(Task::Ask),
            Task::Hydrate(hydrate) => self.step_hydrate(world, hydrate, how).map(Task::Hydrate),
            Task::Sweep(fan_out) => self.step_fan_out(world, fan_out).map(Task::Sweep),
            Task::Mark(entity) => {
                self.mark(world, entity);
                None
            }
            Task::Retire(retire) => self.step_retire(world, retire).map(Task::Retire),
        };
        world.pods[pod].extend(next);
    }
}

/// An owner that can be asked; how long its answers may be late is told in ticks.
const ASKED: &str = "fetch:
      url: http://owner/users/{id}
      timeout: 1s
      settle: 1000s";

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.first()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        if usize::from(world.said) < self.setting.says.len() {
            actions.push(Action::Say);
        }
        if usize::from(world.done) < self.setting.app.len() {
            actions.push(Action::App);
        }
        let same = world.pods[0] == world.pods[1] && world.memory[0] == world.memory[1];
        for pod in 0..self.pods() {
            for (at, task) in world.pods[pod].iter().enumerate() {
                self.ways(world, task, |how| actions.push(Action::Step(pod, at, how)));
            }
            if pod == 0 || !same {
                self.beginnings(world, pod, actions);
            }
            if world.left.crashes > 0 && !world.pods[pod].is_empty() {
                actions.push(Action::Crash(pod));
            }
        }
        actions.push(Action::Tick);
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Say => {
                world.young[usize::from(world.said)] = NOW + self.setting.overdue;
                world.queue |= 1 << world.said;
                world.said += 1;
            }
            Action::App => {
                let app = self.setting.app[usize::from(world.done)];
                app.apply(&mut world.docs);
                world.hints |= u8::from(app.hints()) << world.done;
                world.done += 1;
            }
            Action::Tick => (0..self.ticks()).for_each(|_| world.tick()),
            Action::Step(pod, at, how) => self.step(&mut world, pod, at, how),
            Action::Crash(pod) => {
                world.pods[pod].clear();
                world.memory[pod] = 0;
                world.left.crashes -= 1;
            }
            begin => self.begin(&mut world, begin),
        }
        self.note_covered(&mut world);
        let next = world.canonical(!self.named);
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no record goes back to an older version", |protocol, world: &World| {
                protocol.tells(world.broken != Some(Broken::Regress))
            }),
            Property::always("nothing deleted comes back to life", |protocol, world: &World| {
                protocol.tells(world.broken != Some(Broken::Resurrection))
            }),
            Property::always("nothing is taken away that the owner has", |protocol, world: &World| {
                protocol.tells(world.broken != Some(Broken::Taken))
            }),
            Property::always("nothing is settled before its effect is durable", |protocol, world: &World| {
                protocol.tells(world.broken != Some(Broken::SettledEarly))
            }),
            Property::always(
                "no document that was looked at shows another entity",
                |protocol, world: &World| protocol.tells(!world.is_quiet() || world.shows_only_its_own()),
            ),
            Property::always("at rest, all is as the owner has it", |protocol, world: &World| {
                protocol.tells(protocol.rests_well(world))
            }),
        ]
    }
}
