//! What a pod remembers of one entity or document, beside probes and metrics: ids, versions and words, never a value.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::event::{EventId, Version};
use crate::pipeline::{Diary, Note, Remembered, What};

/// `GET /timeline/{replica or collection}/{id}`.
pub fn routes(diary: Arc<Diary>) -> Router {
    Router::new().route("/timeline/{of}/{id}", get(timeline)).with_state(diary)
}

async fn timeline(
    State(diary): State<Arc<Diary>>,
    Path((of, id)): Path<(String, String)>,
) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(told(&diary.about(&of, &id))))
}

fn told(remembered: &Remembered) -> Value {
    json!({
        "remembers": remembered.size,
        "eventsSince": time(remembered.events_since),
        "othersSince": time(remembered.others_since),
        "notes": remembered.notes.iter().map(note).collect::<Vec<_>>(),
    })
}

fn note(note: &Note) -> Value {
    let mut told = match &note.what {
        What::Event { event, version, outcome, listed } => json!({
            "what": if *listed { "listed" } else { "event" },
            "event": event.as_ref().map(EventId::as_str),
            "version": version.map(Version::get),
            "outcome": outcome.as_str(),
        }),
        What::Parked { event, version, reason } => {
            json!({ "what": "parked", "event": event, "version": version, "reason": reason })
        }
        What::Wanted => json!({ "what": "wanted" }),
        What::Asked { said, version, brought } => json!({
            "what": "asked", "said": said, "version": version.map(Version::get), "brought": brought,
        }),
        What::FannedOut(embed) => json!({ "what": "fannedOut", "embed": &**embed }),
        What::FanOutBegun => json!({ "what": "fanOutBegun" }),
        What::FanOutEnded => json!({ "what": "fanOutEnded" }),
        What::Hydrated(embed) => json!({ "what": "hydrated", "embed": &**embed }),
        What::Retired => json!({ "what": "retired" }),
    };
    told["at"] = time(note.at);
    told
}

fn time(micros: i64) -> Value {
    Timestamp::from_microsecond(micros).map_or(Value::Null, |time| time.to_string().into())
}
