//! Changes as they come, as server-sent events: whoever is cut off takes it up again by the last id.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::answer::{absent, live};
use super::shown::{self, Absent, One};
use crate::clock::Stopwatch;
use crate::pipeline::{Changed, Ended, Told, Watch};
use crate::replication::Subscription;

/// After how long a watcher is told that nothing has changed, and from where on it would take it up.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// How long one watch lasts; then its client takes it up by itself.
const LASTS: Duration = Duration::from_secs(240);

/// A replica that is watched.
pub(in crate::api) struct Watched {
    pub(in crate::api) of: Arc<Subscription>,
    watch: Watch,
    /// Whether what is encrypted is seen in clear. It is asked at the beginning: what is told later is told in no request.
    clear: bool,
    since: Stopwatch,
}

/// What a watcher is told.
pub(in crate::api) enum News {
    /// These have changed.
    Changed(Arc<Changed>),
    /// Nothing has.
    Nothing,
    /// Nothing more is told.
    End(Option<Ended>),
}

impl Watched {
    pub(super) fn new(of: Arc<Subscription>, watch: Watch, clear: bool) -> Self {
        let clear = clear && shown::differs(&of);
        Self { of, watch, clear, since: Stopwatch::start() }
    }

    /// From where on it would be taken up.
    pub(in crate::api) fn position(&self) -> &str {
        self.watch.position()
    }

    /// What is to be told next.
    pub(in crate::api) async fn next(&mut self, stop: &CancellationToken) -> News {
        let Some(left) = LASTS.checked_sub(self.since.elapsed()) else { return News::End(None) };
        let waiting = timeout(SIGN_OF_LIFE.min(left), self.watch.next());
        match pin!(stop.run_until_cancelled(waiting)).await {
            None => News::End(None),
            Some(Err(_)) => News::Nothing,
            Some(Ok(Ok(changed))) => News::Changed(changed),
            Some(Ok(Err(ended))) => News::End(Some(ended)),
        }
    }

    /// Each entity as any answer tells it: what is live, and what is not.
    pub(in crate::api) fn entities(&self, changed: &Changed) -> (Vec<One>, Vec<Absent>) {
        let (mut found, mut gone) = (Vec::new(), Vec::new());
        for told in &changed.told {
            match live(told) {
                Ok(reading) => found.push(One::new(&self.of, reading, self.clear)),
                Err(_) => gone.push(absent(told)),
            }
        }
        (found, gone)
    }
}

/// Tells of changes until the watch ends.
pub(super) fn events(watched: Watched, stop: CancellationToken) -> Response {
    let events = stream::unfold((Some(watched), false), move |(watched, is_open)| {
        let stop = stop.clone();
        async move {
            let mut watched = watched?;
            if !is_open {
                let open = event("open", Some(watched.position()), &json!({}));
                return Some((Ok::<_, Infallible>(open), (Some(watched), true)));
            }
            match watched.next(&stop).await {
                News::Changed(changed) => {
                    let say = || say(&watched.of, &changed, watched.clear);
                    // What most see is written down once for all of them.
                    let said = if watched.clear { say() } else { changed.said.get_or_init(say).clone() };
                    Some((Ok(said), (Some(watched), true)))
                }
                News::Nothing => {
                    let alive = Bytes::from(format!("id: {}\n\n", watched.position()));
                    Some((Ok(alive), (Some(watched), true)))
                }
                News::End(Some(Ended::Lost)) => {
                    let detail = json!({ "detail": "read everything anew, and watch from now on" });
                    Some((Ok(event("lost", None, &detail)), (None, true)))
                }
                News::End(_) => None,
            }
        }
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(events)).into_response()
}

/// An event for each entity; the last one has the position, since all of them come before it.
fn say(of: &Arc<Subscription>, changed: &Changed, clear: bool) -> Bytes {
    let mut said = Vec::new();
    for (at, told) in changed.told.iter().enumerate() {
        let position = changed.position.as_deref().filter(|_| at + 1 == changed.told.len());
        said.extend_from_slice(&one(of, told, position, clear));
    }
    said.into()
}

fn one(of: &Arc<Subscription>, told: &Told, position: Option<&str>, clear: bool) -> Bytes {
    match live(told) {
        Ok(reading) => event("changed", position, &One::new(of, reading, clear)),
        Err(_) => event("gone", position, &absent(told)),
    }
}

fn event(name: &str, position: Option<&str>, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    let position = position.map(|position| format!("id: {position}\n")).unwrap_or_default();
    format!("event: {name}\n{position}data: {data}\n\n").into()
}
