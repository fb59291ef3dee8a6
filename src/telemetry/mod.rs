//! What the outside sees of a running nearcopy: logs, metrics, and the thread of a trace.
//!
//! Logs say ids and versions, never payloads or secrets. A line is written once, where an error is consumed; its
//! `event` field is a stable word to search for, and field names are the same everywhere (`source`, `replica`,
//! `entity.type`, `entity.id`, `event.version`).

mod family;
mod flood;
mod json;
pub mod metric;
mod series;
pub mod trace;

use std::io::{self, IsTerminal};

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer};

pub use family::{Entry, Kind};
pub use json::JsonLines;
pub use series::Series;

/// The bounds of all histograms in seconds: from a fetch on the same node to a fan-out of minutes.
const BUCKETS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0];

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// Lines for a person.
    Text,
}

/// Why logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is none that is understood.
    #[error("the log filter `{0}` is not understood")]
    Filter(String, #[source] ParseError),
    /// Somebody else receives the logs of this program already.
    #[error("logs are set up already")]
    Logs(#[from] TryInitError),
    /// The bounds of the histograms are refused.
    #[error("metrics cannot be set up")]
    Metrics(#[from] BuildError),
}

/// Reads what has been measured.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

/// Sends logs to standard output and starts to measure; once per program.
pub fn init(format: LogFormat, filter: &str) -> Result<Metrics, TelemetryError> {
    init_logs(format, filter)?;
    let recorder = recorder()?;
    let metrics = Metrics(recorder.handle());
    describe(&recorder);
    metrics::set_global_recorder(recorder).map_err(BuildError::FailedToSetGlobalRecorder)?;
    metric::build_info();
    Ok(metrics)
}

/// Checks a filter such as `info` or `warn,nearcopy=debug`.
pub fn check_filter(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(filter).map_err(|error| TelemetryError::Filter(filter.to_owned(), error))
}

fn init_logs(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let filter = check_filter(filter)?;
    let terminal = io::stdout().is_terminal();
    let lines = match (format, terminal) {
        (LogFormat::Json, _) | (LogFormat::Auto, false) => JsonLines::new(io::stdout).boxed(),
        (LogFormat::Text, _) | (LogFormat::Auto, true) => {
            let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            tracing_subscriber::fmt::layer().with_ansi(colours).boxed()
        }
    };
    let lines = lines.with_filter(filter_fn(is_discreet));
    tracing_subscriber::registry().with(lines).with(flood::Dam::default()).with(filter).try_init()?;
    Ok(())
}

/// Whether a line may be written at all. What libraries say in detail is what they send and receive: payloads, and
/// the words they log in with.
fn is_discreet(line: &Metadata<'_>) -> bool {
    *line.level() <= Level::INFO || line.target().split("::").next() == Some("nearcopy")
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    Ok(PrometheusBuilder::new().set_buckets(&BUCKETS)?.build_recorder())
}

fn describe(recorder: &PrometheusRecorder) {
    for entry in metric::entries() {
        entry.describe(recorder);
    }
}

impl Metrics {
    /// What has been measured, in Prometheus' text format.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// The same, number by number.
    pub fn series(&self) -> Vec<Series> {
        series::read(&self.render())
    }

    /// Folds what histograms have gathered since; without this, or a scrape, they grow.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::replication::Outcome;
    use metric::Fetched;

    fn rendered(measure: impl FnOnce()) -> String {
        let recorder = recorder().unwrap();
        describe(&recorder);
        metrics::with_local_recorder(&recorder, measure);
        recorder.handle().render()
    }

    #[test]
    fn what_is_measured_is_scraped_under_its_declared_name_and_labels() {
        let text = rendered(|| {
            metric::events("users", "users", Outcome::Applied, 3);
            metric::events("users", "users", Outcome::Applied, 4);
            metric::fetch("users", Fetched::Found, Some(Duration::from_millis(30)));
            metric::fetch("users", Fetched::Resting, None);
            metric::breaker_open("users", true);
            metric::lag("users", -2.0);
        });
        for line in [
            r#"nearcopy_events_total{source="users",replica="users",outcome="applied"} 7"#,
            r#"nearcopy_fetches_total{replica="users",result="resting"} 1"#,
            r#"nearcopy_fetch_duration_seconds_bucket{replica="users",le="0.025"} 0"#,
            r#"nearcopy_fetch_duration_seconds_bucket{replica="users",le="0.05"} 1"#,
            r#"nearcopy_fetch_duration_seconds_count{replica="users"} 1"#,
            r#"nearcopy_breaker_open{replica="users"} 1"#,
            r#"nearcopy_lag_seconds_sum{replica="users"} 0"#,
            "# TYPE nearcopy_lag_seconds histogram",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn every_metric_is_named_after_its_kind_and_unit_and_says_what_it_means() {
        let mut names = std::collections::BTreeSet::new();
        for entry in metric::entries() {
            assert!(names.insert(entry.name), "{} stands twice", entry.name);
            assert!(entry.name.starts_with("nearcopy_") && entry.help.ends_with('.'), "{}", entry.name);
            assert_eq!(entry.name.ends_with("_total"), entry.kind == Kind::Counter, "{}", entry.name);
            let seconds = entry.unit == metrics::Unit::Seconds;
            assert_eq!(entry.name.ends_with("_seconds"), seconds, "{}", entry.name);
        }
    }

    #[test]
    fn a_filter_that_is_not_understood_is_refused() {
        assert!(check_filter("warn,nearcopy=debug").is_ok());
        assert!(check_filter("nearcopy=loud").is_err());
    }
}
