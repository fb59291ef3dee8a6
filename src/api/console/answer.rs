//! What the page asks for, as JSON.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::response::Json;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Console;
use super::desk::{Desk, Refusal};
use super::topology;
use crate::api::health::Health;
use crate::api::read::Problem;
use crate::clock;
use crate::telemetry::{Metrics, Series};

/// How large a body may be.
const LARGEST_BODY: usize = 4 * 1024;
/// How many parked events are told of at once, where nobody says, and at most.
const PAGE: usize = 200;
const MOST: usize = 1_000;
/// What of all that is measured the page shows; of a histogram, all of its parts.
const SHOWN: [&str; 9] = [
    "nearcopy_events_received_total",
    "nearcopy_events_total",
    "nearcopy_lag_seconds",
    "nearcopy_fan_out_documents_total",
    "nearcopy_hydrated_documents_total",
    "nearcopy_fetches_total",
    "nearcopy_breaker_open",
    "nearcopy_broker_connected",
    "nearcopy_alerts_total",
];

/// What answers are made of.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) console: Console,
    pub(super) health: Health,
    pub(super) metrics: Metrics,
}

type Answer = Result<Json<Value>, Problem>;

/// Which parked events are meant.
#[derive(Deserialize)]
struct Listed {
    replica: Option<String>,
    limit: Option<usize>,
}

/// What is to be done with a parked event.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deed {
    id: String,
    #[serde(default)]
    dry_run: bool,
}

/// What is to be explained.
#[derive(Deserialize)]
struct Subject {
    of: String,
    id: String,
    path: Option<String>,
}

pub(super) fn router(sources: Sources) -> Router {
    Router::new()
        .route("/console/api/topology", get(shape))
        .route("/console/api/state", get(state))
        .route("/console/api/measured", get(measured))
        .route("/console/api/parked", get(parked))
        .route("/console/api/parked/retry", post(retry))
        .route("/console/api/parked/drop", post(forget))
        .route("/console/api/explain", get(explain))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(sources)
}

async fn shape(State(sources): State<Sources>) -> Answer {
    let desk = sources.desk()?;
    let mut shape = topology::of(desk.declaration());
    shape["version"] = env!("CARGO_PKG_VERSION").into();
    shape["acts"] = sources.console.acts().into();
    Ok(Json(shape))
}

/// How everything stands, as far as that is known: this pod knows itself at any time.
async fn state(State(sources): State<Sources>) -> Answer {
    let health = sources.health.ready();
    let Ok(desk) = sources.desk() else {
        return Ok(Json(json!({ "health": health, "look": null })));
    };
    let look = sources.console.looks().last(&desk).await;
    let look = look.map(|look| {
        let trouble = look.status.as_ref().err().map(ToString::to_string);
        let status = look.status.as_ref().ok();
        json!({
            "ageMs": (clock::wall_micros() - look.at).max(0) / 1000,
            "tookMs": u64::try_from(look.took.as_millis()).unwrap_or(u64::MAX),
            "status": status,
            "trouble": trouble,
        })
    });
    Ok(Json(json!({ "health": health, "look": look })))
}

/// What this pod has counted since it started.
async fn measured(State(sources): State<Sources>) -> Json<Value> {
    let is_shown = |series: &Series| {
        let parts = ["_bucket", "_sum", "_count"];
        let plain = parts.iter().find_map(|part| series.name.strip_suffix(part)).unwrap_or(&series.name);
        SHOWN.contains(&plain)
    };
    let series = sources.metrics.series().into_iter().filter(is_shown).map(|series| {
        let labels: serde_json::Map<String, Value> =
            series.labels.into_iter().map(|(name, value)| (name, value.into())).collect();
        json!([series.name, labels, series.value])
    });
    Json(json!({ "at": clock::wall_micros() / 1000, "series": series.collect::<Vec<_>>() }))
}

async fn parked(State(sources): State<Sources>, listed: Result<Query<Listed>, Unreadable>) -> Answer {
    let Query(listed) = listed.map_err(unreadable)?;
    let most = listed.limit.unwrap_or(PAGE).clamp(1, MOST);
    let mut items = sources.desk()?.parked(listed.replica.as_deref(), most + 1).await?;
    let is_more = items.len() > most;
    items.truncate(most);
    Ok(Json(json!({ "items": items, "more": is_more })))
}

async fn retry(State(sources): State<Sources>, body: Bytes) -> Answer {
    let (id, rehearsal) = sources.deed(&body)?;
    let told = sources.desk()?.retry(id, rehearsal).await?;
    note("retry", id, rehearsal);
    Ok(Json(told))
}

async fn forget(State(sources): State<Sources>, body: Bytes) -> Answer {
    let (id, rehearsal) = sources.deed(&body)?;
    let told = sources.desk()?.forget(id, rehearsal).await?;
    note("drop", id, rehearsal);
    Ok(Json(told))
}

async fn explain(State(sources): State<Sources>, subject: Result<Query<Subject>, Unreadable>) -> Answer {
    let Query(Subject { of, id, path }) = subject.map_err(unreadable)?;
    let path = path.as_deref().filter(|path| !path.is_empty());
    let accounts = sources.desk()?.explain(&of, &id, path).await?;
    Ok(Json(json!({ "accounts": accounts })))
}

type Unreadable = axum::extract::rejection::QueryRejection;

fn unreadable(_: Unreadable) -> Problem {
    Problem::bad("parameters are missing or are none: see the page, which sends them")
}

/// A person has done something that would otherwise stand nowhere.
fn note(deed: &'static str, id: uuid::Uuid, rehearsal: bool) {
    if !rehearsal {
        tracing::info!(event = "console.acted", deed, parked.id = %id, "somebody has used the console");
    }
}

impl Sources {
    fn desk(&self) -> Result<Arc<dyn Desk>, Problem> {
        let starting = || Problem::unavailable("the sidecar is starting; `/startupz` says what it is at");
        self.console.desk().ok_or_else(starting)
    }

    /// Which parked event is meant, and whether it is only rehearsed.
    fn deed(&self, body: &[u8]) -> Result<(uuid::Uuid, bool), Problem> {
        let deed: Option<Deed> = serde_json::from_slice(body).ok();
        let read = deed.and_then(|deed| Some((uuid::Uuid::parse_str(&deed.id).ok()?, deed.dry_run)));
        let (id, rehearsal) =
            read.ok_or_else(|| Problem::bad("the body is `{\"id\": …, \"dry_run\": true}` as JSON"))?;
        if rehearsal || self.console.acts() {
            return Ok((id, rehearsal));
        }
        Err(Problem::barred("the console only shows; `admin.console` is `act` where it may do things, too"))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(text) => Self::missing(text),
            Refusal::Unavailable(text) => Self::unavailable(text),
        }
    }
}
