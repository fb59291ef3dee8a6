//! The page: a few files in the binary, which ask for all that they show. In themselves they say nothing of anybody.

use axum::Router;
use axum::http::header;
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Where each file is, what it is, and what it says.
const FILES: [(&str, &str, &str); 12] = [
    ("/console", HTML, include_str!("index.html")),
    ("/console/console.css", CSS, include_str!("console.css")),
    ("/console/icon.svg", "image/svg+xml", include_str!("icon.svg")),
    ("/console/main.js", SCRIPT, include_str!("main.js")),
    ("/console/ask.js", SCRIPT, include_str!("ask.js")),
    ("/console/draw.js", SCRIPT, include_str!("draw.js")),
    ("/console/topology.js", SCRIPT, include_str!("topology.js")),
    ("/console/flow.js", SCRIPT, include_str!("flow.js")),
    ("/console/jobs.js", SCRIPT, include_str!("jobs.js")),
    ("/console/lookup.js", SCRIPT, include_str!("lookup.js")),
    ("/console/measure.js", SCRIPT, include_str!("measure.js")),
    ("/console/parked.js", SCRIPT, include_str!("parked.js")),
];

pub(super) fn router() -> Router {
    let serve = |router: Router, (path, kind, text): (&'static str, &'static str, &'static str)| {
        router.route(path, get(move || async move { ([(header::CONTENT_TYPE, kind)], text) }))
    };
    FILES.into_iter().fold(Router::new(), serve)
}
