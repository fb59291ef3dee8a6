//! The truth: the owner's users, every change of them, and the events that tell of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nearcopy::event::Headers;
use serde_json::{Value, json};

use crate::broker::{Broker, Message};
use crate::chance::Chance;
use crate::journal::Journal;
use crate::plan::{Asked, Kept, Plan, Style};

/// What no event or answer may leave behind: it stands in every field that is not declared.
pub(crate) const CANARY: &str = "canary";

/// A user as the owner has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) country: &'static str,
}

/// How a user was from some time on.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) at: Duration,
    pub(crate) version: i64,
    /// `None`: there was no such user any more.
    pub(crate) user: Option<User>,
    /// Whether an event told of it.
    pub(crate) told: bool,
}

/// The owner.
#[derive(Clone)]
pub(crate) struct Owner {
    plan: Arc<Plan>,
    users: Arc<Mutex<BTreeMap<String, Vec<Said>>>>,
    broker: Broker,
    chance: Chance,
    journal: Journal,
}

impl Owner {
    pub(crate) fn new(plan: Arc<Plan>, broker: Broker, chance: Chance, journal: Journal) -> Self {
        Self { plan, users: Arc::default(), broker, chance, journal }
    }

    /// Changes somebody.
    pub(crate) fn act(&self) {
        if self.chance.happens(self.plan.trouble.poison) {
            self.send_rubbish();
        }
        let id = format!("u{}", 1 + self.chance.below(self.plan.users));
        let said = self.next(&id);
        let is_tie = self.latest(&id).is_some_and(|latest| latest.version == said.version);
        self.journal.count("changes");
        self.journal.note(|| {
            let silently = if said.told { "" } else { ", and tells nobody" };
            format!("owner: {id} v{} is {:?}{silently}", said.version, said.user)
        });
        self.users().entry(id.clone()).or_default().push(said.clone());
        if said.told {
            self.tell(&id, &said, is_tie);
        }
    }

    /// How stale what it answers can be.
    pub(crate) fn settle(&self) -> Duration {
        self.plan.settle
    }

    /// Everything the owner ever said, by user.
    pub(crate) fn log(&self) -> BTreeMap<String, Vec<Said>> {
        self.users().clone()
    }

    /// How a user is now.
    pub(crate) fn latest(&self, id: &str) -> Option<Said> {
        self.users().get(id)?.last().cloned()
    }

    /// How a user was at that time.
    pub(crate) fn at(&self, id: &str, time: Duration) -> Option<Said> {
        self.users().get(id)?.iter().rfind(|said| said.at <= time).cloned()
    }

    /// The next state of a user.
    fn next(&self, id: &str) -> Said {
        let (at, latest) = (self.journal.now(), self.latest(id));
        let floor = latest.as_ref().map_or(0, |latest| latest.version);
        let above = floor + 1 + i64::try_from(self.chance.below(3)).unwrap_or_default();
        let told = !(self.plan.silence && self.chance.happens(200));
        let is_tie = self.plan.ties && self.chance.happens(250);
        match latest.and_then(|latest| latest.user) {
            Some(_) if self.chance.happens(200) => {
                Said { at, version: if is_tie { floor } else { above }, user: None, told }
            }
            Some(before) if is_tie && self.plan.style != Style::Notices => {
                let user = Some(User { country: before.country, ..self.somebody(id) });
                Said { at, version: floor, user, told }
            }
            Some(_) => Said { at, version: above, user: Some(self.somebody(id)), told },
            None => Said { at, version: above, user: Some(self.somebody(id)), told: true },
        }
    }

    fn somebody(&self, id: &str) -> User {
        let number = self.chance.below(100_000);
        User {
            name: format!("{id} the {number}th"),
            email: format!("{id}-{number}@example.org"),
            country: self.chance.pick(&["DE", "DE", "FR"]),
        }
    }

    /// Publishes what was said, some time later, and perhaps twice.
    fn tell(&self, id: &str, said: &Said, is_tie: bool) {
        let is_notice = match self.plan.style {
            Style::Full => false,
            Style::Notices => true,
            Style::Both => !is_tie && self.chance.happens(400),
        };
        let kind = match (&said.user, is_notice) {
            (None, _) => "user.deleted",
            (Some(_), true) => "user.changed",
            (Some(_), false) => "user.saved",
        };
        let mut data = match &said.user {
            Some(user) if !is_notice => shown(id, user),
            _ => json!({ "id": id }),
        };
        // A notice may come without a version: then nothing but the answer tells what it was about.
        if !(is_notice && kind == "user.changed" && self.chance.happens(300)) {
            data["version"] = said.version.into();
        }
        let times = if self.chance.happens(self.plan.trouble.duplicates) { 2 } else { 1 };
        for _ in 0..times {
            let says = format!("{kind} {id} v{}", data["version"]);
            let late = if self.chance.happens(200) { 6_000 } else { 300 };
            self.broker.publish(self.message(says, kind, &data), self.chance.between(0, late));
        }
    }

    /// Publishes something nobody can read.
    fn send_rubbish(&self) {
        self.journal.count("rubbish");
        let id = format!("u{}", 1 + self.chance.below(self.plan.users));
        let data = match self.chance.below(3) {
            0 => json!({ "version": 3, "name": "nobody", "note": CANARY }),
            1 => json!({ "id": id, "version": "new", "note": CANARY }),
            _ => json!({ "id": [id], "version": 1, "note": CANARY }),
        };
        let mut message = self.message("rubbish".into(), "user.saved", &data);
        if self.chance.happens(250) {
            message.body = Bytes::from_static(b"{\"canary\": ");
        }
        self.broker.publish(message, self.chance.between(0, 300));
    }

    fn message(&self, says: String, kind: &str, data: &Value) -> Message {
        let number = self.chance.below(1 << 40);
        let (id, time) = (format!("e-{number}"), "2026-01-01T00:00:00Z");
        if !self.plan.cloud_events {
            let event = json!({ "id": id, "type": kind, "time": time, "data": data, "by": CANARY });
            return Message {
                says,
                body: event.to_string().into(),
                content_type: None,
                headers: Headers::new(),
            };
        }
        if self.chance.happens(500) {
            let event = json!({ "specversion": "1.0", "id": id, "type": kind, "source": "users", "time": time,
                "subject": CANARY, "data": data });
            let content_type = Some("application/cloudevents+json".into());
            return Message { says, body: event.to_string().into(), content_type, headers: Headers::new() };
        }
        let attributes = [
            ("specversion", "1.0"),
            ("id", &id),
            ("type", kind),
            ("source", "users"),
            ("time", time),
            ("subject", CANARY),
        ];
        let headers =
            attributes.map(|(name, value)| (format!("cloudEvents_{name}"), value.to_owned())).into();
        Message {
            says,
            body: data.to_string().into(),
            content_type: Some("application/json".into()),
            headers,
        }
    }

    /// Whether a user in this state belongs to what is kept.
    pub(crate) fn keeps(&self, user: &User) -> bool {
        self.plan.kept != Kept::Where || user.country == "DE"
    }

    /// What the owner answers about a user.
    pub(crate) fn answer(&self, id: &str, said: &Said) -> Option<Value> {
        let mut answer = shown(id, said.user.as_ref()?);
        if self.plan.asked == Asked::Versioned {
            answer["version"] = said.version.into();
        }
        Some(answer)
    }

    fn users(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Said>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A user as events and answers show it: declared fields, and others.
fn shown(id: &str, user: &User) -> Value {
    json!({
        "id": id,
        "name": user.name,
        "contact": { "email": user.email, "phone": CANARY },
        "country": user.country,
        "password": CANARY,
    })
}
