//! Rules: what is told to others when a document has become so.

use std::time::Duration;

use bson::{Bson, DateTime, Document};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::bench::Seen;
use super::deadline::Deadlines;
use super::{META, ReadModel, Template, template};
use crate::event::{DecodeError, EntityId, Found, Reason};

/// What a rule knows beside the event: the document before and after it, each empty where there is none.
pub const STATES: [&str; 2] = ["before", "after"];

/// A rule as declared.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// When it fires: an expression over event and states that is true.
    pub when: Template,
    /// How long that must have been so without a break; it fires at once where this is left out.
    pub lasting: Option<Duration>,
    /// Where what it tells goes.
    pub exchange: String,
    /// Under which key.
    pub routing_key: String,
    /// Of which type it is.
    pub kind: String,
    /// What it says.
    pub data: Template,
}

/// A message that a rule has others told.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// The same for the same rule, event and document, however often they meet.
    pub id: Uuid,
    /// The read model.
    pub model: String,
    /// The rule.
    pub rule: String,
    /// Where it goes.
    pub exchange: String,
    /// Under which key.
    pub routing_key: String,
    /// Its type.
    pub kind: String,
    /// The whole message, as JSON.
    pub body: String,
}

impl ReadModel {
    /// Whether a rule fires only once a document has been so for a while.
    pub fn has_deadlines(&self) -> bool {
        self.rules.iter().any(|rule| rule.lasting.is_some())
    }

    /// What is to be told because an event, which stands at that place, has brought a document from one state to another;
    /// and which rules cannot say so. Deadlines are noted in the document.
    pub fn alerts(
        &self,
        event: &Found<'_, '_>,
        place: &str,
        seen: Seen<'_>,
    ) -> (Vec<Alert>, Vec<(String, DecodeError)>) {
        let mut deadlines = Deadlines::of(seen.before);
        let mut alerts = template::time(event).map(|time| deadlines.pass(self, time)).unwrap_or_default();
        let mut failed = Vec::new();
        let [before, after] = [seen.before, seen.after.as_deref()].map(|state| {
            let mut state = state.cloned().unwrap_or_default();
            state.remove(META);
            state
        });
        let states = [(STATES[0], &before), (STATES[1], &after)];
        let occasion = Occasion { of: self, event, place, key: seen.key, states: &states };
        for rule in &self.rules {
            match rule.apply(&occasion, &mut deadlines) {
                Ok(alert) => alerts.extend(alert),
                Err(error) => failed.push((rule.name.clone(), error)),
            }
        }
        if let (true, Some(after)) = (self.has_deadlines(), seen.after) {
            deadlines.note_in(after);
        }
        (alerts, failed)
    }
}

/// An event that has changed a document.
struct Occasion<'o> {
    of: &'o ReadModel,
    event: &'o Found<'o, 'o>,
    place: &'o str,
    key: &'o EntityId,
    states: &'o [(&'o str, &'o Document)],
}

impl Occasion<'_> {
    /// The id of what a rule tells on this occasion.
    fn id(&self, rule: &str) -> Uuid {
        let said = self.event.notice().identity().map_or_else(|| self.place.to_owned(), |id| id.to_string());
        let seed = format!("{}/{rule}/{said}/{}", self.of.name, self.key);
        Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes())
    }
}

impl Rule {
    /// What is to be told at once, if anything.
    fn apply(&self, on: &Occasion<'_>, deadlines: &mut Deadlines) -> Result<Option<Alert>, DecodeError> {
        if !self.holds(on)? {
            deadlines.lift(&self.name);
            return Ok(None);
        }
        let data = plain(&self.data.fill_with(on.event, on.states)?);
        let id = on.id(&self.name);
        let Some(lasting) = self.lasting else {
            let body = self.body(id, on.event.notice().time(), &data);
            return Ok(Some(self.alert(on.of, id, body)));
        };
        let wait = i64::try_from(lasting.as_millis()).unwrap_or(i64::MAX);
        let since = template::time(on.event)?.timestamp_millis();
        let at = DateTime::from_millis(since.saturating_add(wait));
        deadlines.set(&self.name, at, id, |at, id| self.body(id, Some(at.timestamp_millis() * 1000), &data));
        Ok(None)
    }

    /// Whether the document is so. What reads what is not there does not hold.
    fn holds(&self, on: &Occasion<'_>) -> Result<bool, DecodeError> {
        match self.when.find_with(on.event, on.states)? {
            Some(Bson::Boolean(holds)) => Ok(holds),
            None => Ok(false),
            Some(_) => Err(DecodeError::new(Reason::BadCondition, "`when` is neither true nor false")),
        }
    }

    /// The message itself; its time is microseconds since 1970.
    fn body(&self, id: Uuid, time: Option<i64>, data: &Json) -> String {
        let time = time.and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
        let time = time.map(|time| time.to_string());
        json!({ "id": id, "type": self.kind, "time": time, "data": data }).to_string()
    }

    pub(super) fn alert(&self, of: &ReadModel, id: Uuid, body: String) -> Alert {
        Alert {
            id,
            model: of.name.to_string(),
            rule: self.name.clone(),
            exchange: self.exchange.clone(),
            routing_key: self.routing_key.clone(),
            kind: self.kind.clone(),
            body,
        }
    }
}

/// A value as plain JSON: a date is text, and so is what JSON has no number for.
fn plain(value: &Bson) -> Json {
    match value {
        Bson::String(text) => json!(text),
        Bson::Int32(number) => json!(number),
        Bson::Int64(number) => json!(number),
        Bson::Double(number) => json!(number),
        Bson::Boolean(truth) => json!(truth),
        Bson::Array(items) => items.iter().map(plain).collect(),
        Bson::Document(members) => {
            Json::Object(members.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        Bson::DateTime(time) => json!(time.try_to_rfc3339_string().ok()),
        Bson::Null => Json::Null,
        other => json!(other.to_string()),
    }
}
