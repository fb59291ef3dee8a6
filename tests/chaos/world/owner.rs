//! The owner: what its users are, and everything they ever were.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::machine::secret;

/// What a user is at one version; none where it is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) city: String,
}

impl User {
    /// What is told of everybody, and declared by one of the manifests only.
    pub(crate) fn language(&self) -> &'static str {
        match self.city.as_str() {
            "London" => "en",
            "São Paulo" => "pt",
            _ => "none",
        }
    }
}

/// One entry of the owner's log.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) version: i64,
    pub(crate) user: Option<User>,
    at: Instant,
}

/// A message to be published.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) key: &'static str,
    pub(crate) body: String,
}

/// All users with all that they were.
pub(crate) struct Owner {
    log: Mutex<BTreeMap<String, Vec<Change>>>,
}

impl Owner {
    /// Nobody yet.
    pub(crate) fn new() -> Self {
        Self { log: Mutex::new(BTreeMap::new()) }
    }

    /// Does something with a user, as users do: mostly changes it, at times deletes it, brings it back if it is gone.
    /// What there is to tell of it.
    pub(crate) fn touch(&self, id: &str, rng: &mut fastrand::Rng) -> Event {
        let mut log = self.log();
        let changes = log.entry(id.to_owned()).or_default();
        let version = next_version(changes, rng);
        let lives = changes.last().is_some_and(|last| last.user.is_some());
        let user = (!lives || rng.f32() > 0.04).then(|| user(id, version, rng));
        let event = event(id, version, lives, user.as_ref(), rng);
        changes.push(Change { version, user, at: Instant::now() });
        event
    }

    /// Changes a user to something new, whatever it was. Its new name, and what there is to tell.
    pub(crate) fn rename(&self, id: &str, rng: &mut fastrand::Rng) -> (String, Event) {
        let mut log = self.log();
        let changes = log.entry(id.to_owned()).or_default();
        let key = if changes.is_empty() { "user.created" } else { "user.updated" };
        let version = next_version(changes, rng);
        let user = user(id, version, rng);
        let body = body(id, version, key, Some(&user), user.name.clone().into());
        let name = user.name.clone();
        changes.push(Change { version, user: Some(user), at: Instant::now() });
        (name, Event { key, body })
    }

    /// What was so that long ago.
    pub(crate) fn as_of(&self, id: &str, ago: Duration) -> Option<(i64, User)> {
        let now = Instant::now();
        let log = self.log();
        let known = log.get(id)?.iter().rev().find(|change| now.duration_since(change.at) >= ago)?;
        Some((known.version, known.user.clone()?))
    }

    /// The last change of a user.
    pub(crate) fn last(&self, id: &str) -> Option<Change> {
        self.log().get(id)?.last().cloned()
    }

    /// The change that made a version, if there was such a version.
    pub(crate) fn at(&self, id: &str, version: i64) -> Option<Change> {
        self.log().get(id)?.iter().find(|change| change.version == version).cloned()
    }

    /// Whether a user was deleted after a version.
    pub(crate) fn deletes_after(&self, id: &str, version: i64) -> bool {
        let deleted = |change: &Change| change.version > version && change.user.is_none();
        self.log().get(id).is_some_and(|changes| changes.iter().any(deleted))
    }

    /// Whether some version of a user satisfies a condition.
    pub(crate) fn ever(&self, id: &str, condition: impl Fn(&User) -> bool) -> bool {
        let log = self.log();
        log.get(id)
            .is_some_and(|changes| changes.iter().filter_map(|change| change.user.as_ref()).any(condition))
    }

    fn log(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Change>>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that is none.
pub(crate) fn garbage(rng: &mut fastrand::Rng) -> Event {
    Event { key: "user.updated", body: format!("{{ {} {}", secret("garbage"), rng.u32(..)) }
}

/// An answer of the API, or one element of it.
pub(crate) fn answer(id: &str, version: i64, user: &User) -> Value {
    json!({
        "id": id, "version": version, "username": user.name, "email": user.email,
        "address": { "city": user.city }, "language": user.language(), "password": secret("answer"),
    })
}

/// Versions rise; now and then they leave a gap.
fn next_version(changes: &[Change], rng: &fastrand::Rng) -> i64 {
    let gap = i64::from(rng.clone().u8(..) == 0);
    changes.last().map_or(0, |last| last.version) + 1 + gap
}

fn user(id: &str, version: i64, rng: &mut fastrand::Rng) -> User {
    // The content says whose it is and of which version, so that a mixture would be seen.
    let name = format!("{id} {version} {:04x}", rng.u16(..));
    let city = ["London", "$city", "São Paulo", "a.b"][rng.usize(..4)];
    User { email: format!("{name} @example.org"), name, city: city.to_owned() }
}

fn event(id: &str, version: i64, lived: bool, user: Option<&User>, rng: &mut fastrand::Rng) -> Event {
    let key = match (user, lived) {
        (None, _) => "user.deleted",
        (Some(_), true) => "user.updated",
        (Some(_), false) => "user.created",
    };
    // One in five hundred is wrong in a field: it has to be parked, and made good by a question.
    let name = user.map(|user| if rng.u16(..500) == 0 { Value::from(17) } else { user.name.clone().into() });
    Event { key, body: body(id, version, key, user, name.unwrap_or_default()) }
}

fn body(id: &str, version: i64, kind: &str, user: Option<&User>, name: Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut data = json!({ "id": id, "version": version, "password": secret("event") });
    if let Some(user) = user {
        data["username"] = name;
        data["email"] = user.email.clone().into();
        data["address"] = json!({ "city": user.city });
        data["language"] = user.language().into();
    }
    let time = u64::try_from(now.as_millis()).unwrap_or_default();
    json!({ "id": format!("{id}/{version}"), "type": kind, "occurredAt": time, "data": data }).to_string()
}
