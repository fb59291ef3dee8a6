//! The laws of the core: in whatever order, however often and in whatever batches events come, whatever stale owners
//! answer between them, the same is held in the end, and nothing is ever taken back.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bson::{Document, doc};
use nearcopy::event::{Change, ChangeEvent, Stamp, Version};
use nearcopy::replication::{
    Answer, Content, Declaration, Due, Judgement, Key, Record, RecordWrite, State, Subscription, Timeline,
    Why, fold, judge, merge, revise,
};
use nearcopy::store::memory::meaning;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::declared::{ASKED, PRODUCTS, id, patched_shop, shop, users};

/// The declarations under which the laws hold; the first can ask nobody.
static DECLARATIONS: LazyLock<[Arc<Declaration>; 4]> = LazyLock::new(|| {
    [
        shop("all", "", &[PRODUCTS]),
        shop("all", ASKED, &[PRODUCTS]),
        shop("referenced", ASKED, &[PRODUCTS]),
        patched_shop("all", ASKED, &[PRODUCTS]),
    ]
});
/// How stale the owner's answers can be, in milliseconds, as [`ASKED`] says.
const SETTLE: i64 = 400;
const HOLD: Duration = Duration::from_secs(2);

/// One record, and the database's clock.
struct Held {
    of: Arc<Subscription>,
    record: Option<Record>,
    now: i64,
    batch: i64,
}

impl Held {
    fn new(declaration: usize) -> Self {
        let of = users(&DECLARATIONS[declaration]).clone();
        let mut held = Self { of, record: None, now: 1_000_000, batch: 0 };
        if declaration == 2 {
            held.write(&RecordWrite::Placeholder { id: id("ann"), ask: true, hold: None });
        }
        held
    }

    /// Carries a write out. No revision falls, no version is taken back, and what shows is moved by a new revision.
    fn write(&mut self, write: &RecordWrite) {
        let after = meaning::apply(&self.of, self.record.as_ref(), write, self.now, self.batch);
        let Some(after) = after else { return };
        if let Some(before) = &self.record {
            let version = |record: &Record| record.key.as_ref().map(|key| key.version);
            assert!(version(&after) >= version(before), "{before:#?}\n{write:#?}\n{after:#?}");
            let shows = |record: &Record| (record.state, record.fields.clone(), record.key.clone());
            let moved = if shows(before) == shows(&after) { before.rev } else { before.rev + 1 };
            assert!(after.rev >= moved, "{before:#?}\n{write:#?}\n{after:#?}");
        }
        self.record = Some(after);
    }

    /// Brings a batch in as the pipeline does: again, until no event is open; conflicts are the owner's to decide.
    fn take(&mut self, events: &[ChangeEvent]) {
        for _ in 0..3 {
            self.batch += 1;
            let of = self.of.clone();
            let folded = if of.compares() {
                let held = self.record.clone().map(|record| (record.id.clone(), record));
                revise(&of, events, &Timeline::default(), &held.into_iter().collect()).folded
            } else {
                fold(&of, events, &Timeline::default())
            };
            folded.writes.iter().for_each(|write| self.write(write));
            let judged = folded.expected.iter();
            let judged: Vec<Judgement> =
                judged.map(|(_, claim)| judge(claim, self.record.as_ref(), &of.keep, self.batch)).collect();
            if let (true, Some(fetch)) = (judged.contains(&Judgement::Conflict), &of.fetch) {
                self.write(&RecordWrite::Ask { id: id("ann"), wait: fetch.settle });
            }
            if !judged.contains(&Judgement::Open) {
                return;
            }
        }
        panic!("an event stays open: {events:#?}\n{:#?}", self.record);
    }

    /// Claims the record, if it is due.
    fn claim(&mut self) -> Option<Record> {
        let claimed = meaning::claim(self.record.as_ref()?, &self.now.to_string(), HOLD, self.now)?;
        self.record = Some(claimed.clone());
        Some(claimed)
    }

    fn answer(&mut self, claimed: &Record, answer: &Answer) {
        let of = self.of.clone();
        self.write(&merge(claimed, answer, 0, of.shape, of.fetch.as_ref().unwrap(), of.embedded));
    }
}

fn event(version: Option<i64>, change: Change) -> ChangeEvent {
    ChangeEvent { entity: id("ann"), version: version.map(Version::new), change, stamp: Stamp::default() }
}

fn content(version: i64, tie: u8) -> Document {
    doc! { "username": format!("ann-{version}-{tie}") }
}

/// An event of any kind; two of one version may contradict each other.
fn any_event() -> impl Strategy<Value = ChangeEvent> {
    (0..6_i64, 0..12_u8).prop_map(|(version, kind)| match kind {
        0..5 => event(Some(version), Change::Upsert(content(version, 0).try_into().unwrap())),
        5 => event(Some(version), Change::Upsert(content(version, 1).try_into().unwrap())),
        6 | 7 => event(Some(version), Change::Delete),
        8 => event(Some(version), Change::Leave),
        _ => event(Some(version), Change::Refresh),
    })
}

/// Events in any order, some of them more than once, in batches of any size.
fn deliveries() -> impl Strategy<Value = (Vec<ChangeEvent>, Vec<ChangeEvent>, Vec<usize>)> {
    vec((any_event(), 1..3_usize), 1..7).prop_flat_map(|events| {
        let once: Vec<ChangeEvent> = events.iter().map(|(event, _)| event.clone()).collect();
        let often: Vec<ChangeEvent> =
            events.into_iter().flat_map(|(event, times)| vec![event; times]).collect();
        let sizes = vec(1..4_usize, often.len());
        (Just(once), Just(often).prop_shuffle(), sizes)
    })
}

/// The key of an event that carries a state.
fn key_of(of: &Subscription, event: &ChangeEvent) -> Option<Key> {
    let version = event.version?;
    match &event.change {
        Change::Upsert(fields) => Some(Key::live(version, of.shape, fields)),
        Change::Leave => Some(Key::gone(version, Why::Out, of.shape)),
        Change::Delete => Some(Key::gone(version, Why::Deleted, of.shape)),
        _ => None,
    }
}

fn in_batches(held: &mut Held, events: &[ChangeEvent], sizes: &[usize]) {
    let (mut rest, mut sizes) = (events, sizes.iter());
    while !rest.is_empty() {
        let size = sizes.next().map_or(1, |size| *size).min(rest.len());
        let (batch, later) = rest.split_at(size);
        held.take(batch);
        (held.now, rest) = (held.now + 1, later);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]

    /// V1, V2, V5, D1, D4: what is held in the end is the highest of the keys, whatever the order, the batches and the
    /// duplicates; and to take all of it again changes nothing.
    #[test]
    fn what_is_held_follows_from_the_set_of_events((once, often, sizes) in deliveries(), which in 0..4_usize) {
        let mut held = Held::new(which);
        in_batches(&mut held, &often, &sizes);
        let highest = once.iter().filter_map(|event| key_of(&held.of, event)).max();
        let record = held.record.clone().unwrap();
        let guarded = |key: Option<&Key>| key.map(|key| held.of.guard(key));
        prop_assert_eq!(guarded(record.key.as_ref()), guarded(highest.as_ref()));
        let leads = |event: &&ChangeEvent| key_of(&held.of, event) == record.key;
        match once.iter().find(leads).map(|event| &event.change) {
            Some(Change::Upsert(fields)) => prop_assert_eq!((record.state, &record.fields), (State::Live, &fields.to_document())),
            Some(Change::Leave) => prop_assert_eq!(record.state, State::Gone(Why::Out)),
            Some(Change::Delete) => prop_assert_eq!(record.state, State::Gone(Why::Deleted)),
            _ => prop_assert_eq!((record.state, &record.key), (State::Pending, &None)),
        }
        let needs = once.iter().filter(|event| event.change == Change::Refresh);
        let need = needs.filter_map(|event| event.version).max();
        let unmet = need.filter(|need| highest.is_none_or(|key| key.version < *need));
        prop_assert_eq!(record.need, unmet, "{:#?}", record);
        if which > 0 && unmet.is_some() {
            prop_assert!(record.due.is_some());
        }

        in_batches(&mut held, &often, &[1]);
        let again = held.record.unwrap();
        prop_assert_eq!((again.rev, again.need), (record.rev, record.need));
    }
}

/// What the owner does to an entity, and how that is told.
#[derive(Clone, Debug)]
struct Commit {
    after: i64,
    is_deleted: bool,
    telling: Telling,
    delays: Vec<i64>,
}

#[derive(Clone, Copy, Debug)]
enum Telling {
    State,
    Change,
    ChangeWithoutVersion,
}

/// A question to the owner, whose answer may be as old as is allowed, late, or lost.
#[derive(Clone, Debug)]
struct Question {
    at: i64,
    takes: i64,
    staleness: i64,
    fate: Fate,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    Unanswered,
    Lost,
}

/// Something that happens at its time.
enum Happening<'q> {
    Delivered(ChangeEvent),
    Asked(&'q Question),
    Answered(Record, &'q Question),
}

/// The owner's own history: times, and what was so from then on. Versions count from one.
struct Owner(Vec<(i64, bool)>);

impl Owner {
    fn of(commits: &[Commit], begin: i64) -> Self {
        let mut time = begin;
        let at = |commit: &Commit| {
            time += commit.after;
            (time, commit.is_deleted)
        };
        Self(commits.iter().map(at).collect())
    }

    /// What the owner answers that knows of everything up to a time.
    fn answer(&self, time: i64) -> Answer {
        let known = self.0.iter().filter(|(at, _)| *at <= time).count();
        match known.checked_sub(1).map(|last| self.0[last].1) {
            Some(false) => {
                let version = i64::try_from(known).unwrap();
                let content = Content::Live(content(version, 0).try_into().unwrap());
                Answer::Found { version: Some(Version::new(version)), content }
            }
            _ => Answer::NotFound,
        }
    }
}

/// Some commits, of which at least the last is told.
fn commits() -> impl Strategy<Value = Vec<Commit>> {
    let telling = prop_oneof![3 => Just(Telling::State), 2 => Just(Telling::Change), 1 => Just(Telling::ChangeWithoutVersion)];
    let commit = (0..300_i64, prop::bool::weighted(0.25), telling, vec(0..1_500_i64, 0..3));
    let commit =
        commit.prop_map(|(after, is_deleted, telling, delays)| Commit { after, is_deleted, telling, delays });
    (vec(commit, 1..6), 0..1_500_i64).prop_map(|(mut commits, delay)| {
        commits.last_mut().unwrap().delays.push(delay);
        commits
    })
}

fn questions() -> impl Strategy<Value = Vec<Question>> {
    let fate = prop_oneof![6 => Just(Fate::Answered), 1 => Just(Fate::Unanswered), 1 => Just(Fate::Lost)];
    let question = (0..4_000_i64, 0..600_i64, 0..=SETTLE, fate);
    vec(question.prop_map(|(at, takes, staleness, fate)| Question { at, takes, staleness, fate }), 0..12)
}

/// How a commit is told.
fn told(commit: &Commit, number: usize) -> ChangeEvent {
    let version = i64::try_from(number).unwrap() + 1;
    match (commit.telling, commit.is_deleted) {
        (Telling::State, false) => {
            event(Some(version), Change::Upsert(content(version, 0).try_into().unwrap()))
        }
        (Telling::State, true) => event(Some(version), Change::Delete),
        (Telling::Change, _) => event(Some(version), Change::Refresh),
        (Telling::ChangeWithoutVersion, _) => event(None, Change::Refresh),
    }
}

/// Lets everything happen in the order of its time.
fn live_through(held: &mut Held, owner: &Owner, commits: &[Commit], questions: &[Question]) {
    let begin = held.now;
    let mut ahead: Vec<(i64, Happening<'_>)> = Vec::new();
    for (number, (commit, (at, _))) in commits.iter().zip(&owner.0).enumerate() {
        let deliver = |delay: &i64| (at + delay, Happening::Delivered(told(commit, number)));
        ahead.extend(commit.delays.iter().map(deliver));
    }
    ahead.extend(questions.iter().map(|question| (begin + question.at, Happening::Asked(question))));
    while let Some(next) = (0..ahead.len()).min_by_key(|at| ahead[*at].0) {
        let (at, happening) = ahead.remove(next);
        held.now = at;
        match happening {
            Happening::Delivered(event) => held.take(&[event]),
            Happening::Asked(question) => {
                let claimed = held.claim();
                ahead.extend(
                    claimed.map(|claimed| (at + question.takes, Happening::Answered(claimed, question))),
                );
            }
            Happening::Answered(claimed, question) => match question.fate {
                Fate::Answered => {
                    held.answer(&claimed, &owner.answer(at - question.takes - question.staleness));
                }
                Fate::Unanswered => {
                    let (due, tries) = (Due::After(Duration::from_millis(100)), claimed.tries + 1);
                    held.write(&RecordWrite::Unanswered { id: id("ann"), claim: claimed.claim, due, tries });
                }
                Fate::Lost => {}
            },
        }
        is_the_owners(held.record.as_ref(), owner);
    }
}

/// What is held was the owner's at that very version.
fn is_the_owners(record: Option<&Record>, owner: &Owner) {
    let Some((record, key)) = record.and_then(|record| Some((record, record.key.as_ref()?))) else { return };
    if record.state == State::Live {
        let version = key.version.get();
        assert_eq!(record.fields, content(version, 0), "{record:#?}");
        assert!(!owner.0[usize::try_from(version).unwrap() - 1].1, "it was deleted: {record:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]

    /// A5, V2, V3, V7, N1, N4, F3: answers may be as stale as the owner may be, late or lost, and events too; if only the last
    /// commit was ever told, what is held is the owner's in the end.
    #[test]
    fn what_is_held_is_the_owners_in_the_end(
        commits in commits(),
        questions in questions(),
        which in 1..4_usize,
    ) {
        let mut held = Held::new(which);
        let owner = Owner::of(&commits, held.now);
        live_through(&mut held, &owner, &commits, &questions);
        for _ in 0..30 {
            let Some(due) = held.record.as_ref().and_then(|record| record.due) else { break };
            held.now = held.now.max(due);
            let claimed = held.claim().unwrap();
            held.answer(&claimed, &owner.answer(held.now));
            is_the_owners(held.record.as_ref(), &owner);
        }
        let record = held.record.unwrap();
        match owner.answer(i64::MAX) {
            Answer::Found { version, content: Content::Live(fields) } => {
                prop_assert_eq!((record.state, record.fields), (State::Live, fields.to_document()));
                prop_assert_eq!(record.key.map(|key| key.version), version);
            }
            _ => prop_assert!(matches!(record.state, State::Gone(_)), "{:#?}", record),
        }
    }
}
