//! The events that every contender gets, and the documents that must come of them.
//!
//! All of it follows from a seed, so that nothing has to be kept: an event is a user and a version, and its body and
//! the document are written down from these two whenever they are needed.

use std::collections::HashMap;
use std::fmt::Write;

/// How users are chosen.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Spread {
    /// Each as often as any other.
    Uniform,
    /// The n-th a n-th as often as the first.
    Zipf,
}

/// One state of one user.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    pub(crate) user: u32,
    pub(crate) version: u32,
}

/// Events in the order in which they are published. The last one is of a user of its own, who is seen only once all
/// others are at least under way.
pub(crate) struct Workload {
    pub(crate) events: Vec<Event>,
    pub(crate) last: Event,
}

/// Of a hundred events so many come late.
const LATE: u32 = 1;
/// By how many others an event can be overtaken.
const OVERTAKEN: usize = 50;

impl Spread {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
        }
    }
}

impl Workload {
    /// So many events of so many users; versions rise, from the one after `above` on.
    pub(crate) fn new(spread: Spread, count: usize, users: u32, above: u32, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut versions = vec![above; users as usize];
        let mut choose = chooser(spread, users);
        let mut events: Vec<Event> = (1..count)
            .map(|_| {
                let user = choose(&mut rng);
                versions[user as usize] += 1;
                Event { user, version: versions[user as usize] }
            })
            .collect();
        for at in 0..events.len() {
            if rng.u32(..100) < LATE {
                let later = (at + rng.usize(1..=OVERTAKEN)).min(events.len() - 1);
                events.swap(at, later);
            }
        }
        let last = Event { user: users, version: above + 1 };
        events.push(last);
        Self { events, last }
    }

    /// One event for each user, all of this version, in any order; then the last one, of a user of its own.
    pub(crate) fn each_once(users: u32, version: u32) -> Self {
        let mut events: Vec<Event> = (0..users).map(|user| Event { user, version }).collect();
        fastrand::Rng::with_seed(u64::from(version)).shuffle(&mut events);
        let last = Event { user: users, version };
        events.push(last);
        Self { events, last }
    }

    /// The versions that must be stored in the end, by user.
    pub(crate) fn newest(&self) -> HashMap<u32, u32> {
        newest(&self.events)
    }

    /// The same for the users of the last so many events only.
    pub(crate) fn newest_of_tail(&self, count: usize) -> HashMap<u32, u32> {
        let all = self.newest();
        let tail = &self.events[self.events.len().saturating_sub(count)..];
        tail.iter().filter_map(|event| Some((event.user, *all.get(&event.user)?))).collect()
    }
}

fn newest(events: &[Event]) -> HashMap<u32, u32> {
    let mut newest = HashMap::new();
    for event in events {
        let version = newest.entry(event.user).or_default();
        *version = event.version.max(*version);
    }
    newest
}

fn chooser(spread: Spread, users: u32) -> impl FnMut(&mut fastrand::Rng) -> u32 {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=users)
        .map(|rank| {
            sum += if spread == Spread::Zipf { 1.0 / f64::from(rank) } else { 1.0 };
            sum
        })
        .collect();
    move |rng| {
        let point = rng.f64() * sum;
        u32::try_from(sums.partition_point(|upto| *upto <= point)).unwrap_or(users).min(users - 1)
    }
}

impl Event {
    /// The user's id.
    pub(crate) fn id(self) -> String {
        format!("u{}", self.user)
    }

    /// Names this version, too, so that who looks at a document knows which one it shows.
    pub(crate) fn username(self) -> String {
        format!("user-{}-{}", self.user, self.version)
    }

    pub(crate) fn email(self) -> String {
        format!("user-{}-{}@example.org", self.user, self.version)
    }

    pub(crate) fn city(self) -> String {
        format!("City {}", self.version % 100)
    }

    /// Appends the body: about 400 bytes, of which less than half is declared.
    pub(crate) fn write(self, body: &mut String) {
        let Self { user, version } = self;
        // Writing into a text does not fail.
        let _written = write!(
            body,
            r#"{{"id":"e-{user}-{version}","type":"user.updated","occurredAt":"2026-01-01T12:00:00Z","data":{{"id":"u{user}","version":{version},"username":"{}","email":"{}","address":{{"street":"Long Street 112","zip":"10115","city":"{}","country":"DE"}},"phone":"+49 30 5550100","locale":"de-DE","timezone":"Europe/Berlin","roles":["customer","reviewer"],"newsletter":true,"lastLoginAt":"2026-01-01T11:59:30Z"}}}}"#,
            self.username(),
            self.email(),
            self.city(),
        );
    }
}
