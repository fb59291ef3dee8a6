//! Rules: what is told to others when a document has become so.

use bson::{Bson, Document};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{META, ReadModel, Template};
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
    /// What is to be told because an event, which stands at that place, has brought a document from one state to another;
    /// and which rules cannot say so.
    pub fn alerts(
        &self,
        event: &Found<'_, '_>,
        place: u64,
        key: &EntityId,
        states: [Option<&Document>; 2],
    ) -> (Vec<Alert>, Vec<(String, DecodeError)>) {
        let (mut alerts, mut failed) = (Vec::new(), Vec::new());
        let [before, after] = states.map(|state| {
            let mut state = state.cloned().unwrap_or_default();
            state.remove(META);
            state
        });
        let states = [(STATES[0], &before), (STATES[1], &after)];
        for rule in &self.rules {
            match rule.apply(self, event, place, key, &states) {
                Ok(alert) => alerts.extend(alert),
                Err(error) => failed.push((rule.name.clone(), error)),
            }
        }
        (alerts, failed)
    }
}

impl Rule {
    fn apply(
        &self,
        of: &ReadModel,
        event: &Found<'_, '_>,
        place: u64,
        key: &EntityId,
        states: &[(&str, &Document)],
    ) -> Result<Option<Alert>, DecodeError> {
        let neither = || DecodeError::new(Reason::BadCondition, "`when` is neither true nor false");
        match self.when.find_with(event, states)? {
            Some(Bson::Boolean(true)) => {}
            // What reads what is not there does not hold.
            Some(Bson::Boolean(false)) | None => return Ok(None),
            Some(_) => return Err(neither()),
        }
        let said = event.notice().event_id().map_or_else(|| place.to_string(), |id| id.to_string());
        let seed = format!("{}/{}/{said}/{key}", of.name, self.name);
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes());
        let time = event.notice().time().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
        let data = plain(&self.data.fill_with(event, states)?);
        let body =
            json!({ "id": id, "type": self.kind, "time": time.map(|time| time.to_string()), "data": data });
        Ok(Some(Alert {
            id,
            model: of.name.to_string(),
            rule: self.name.clone(),
            exchange: self.exchange.clone(),
            routing_key: self.routing_key.clone(),
            kind: self.kind.clone(),
            body: body.to_string(),
        }))
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
