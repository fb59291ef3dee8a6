//! Every number that is measured: name, unit and labels stand here once, and everyone else calls these functions.
//!
//! Labels carry names from the manifest or words from closed lists, never an id, so that nobody's messages can
//! make their number grow. The books close per process: what is received is in the end applied, duplicate, stale,
//! ignored, deferred, parked or abandoned.

use std::time::Duration;

use metrics::Unit::Count;

use super::family::{Entry, Family};
use crate::replication::Outcome;

mod read;
mod rule;

use read::{READS, READS_HELD, WATCHERS};
pub use read::{reads, reads_held, watchers};
use rule::ALERTS;
pub use rule::alerts;

/// What came of a request to an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// A readable answer.
    Found,
    /// The owner does not know the entity.
    NotFound,
    /// No answer, or one that says that it cannot answer.
    Failed,
    /// Credentials or rights are wrong.
    Refused,
    /// An answer of another form than declared.
    Unreadable,
    /// Nothing was sent, because the owner is left in peace.
    Resting,
}

static RECEIVED: Family<1> = Family::counter(
    "nearcopy_events_received_total",
    Count,
    ["source"],
    "Deliveries taken from a source, redelivered ones included.",
);
static REDELIVERED: Family<1> = Family::counter(
    "nearcopy_events_redelivered_total",
    Count,
    ["source"],
    "Deliveries that the broker had delivered before.",
);
static EVENTS: Family<3> = Family::counter(
    "nearcopy_events_total",
    Count,
    ["source", "replica", "outcome"],
    "Events by what became of them, counted when they are settled.",
);
static LAG: Family<1> = Family::seconds(
    "nearcopy_lag_seconds",
    ["replica"],
    "From the owner's time of a change until it is durable here.",
);
static BATCH_DURATION: Family<1> = Family::seconds(
    "nearcopy_batch_duration_seconds",
    ["source"],
    "From taking a batch of deliveries until it is settled.",
);
static RECORDS_WRITTEN: Family<1> = Family::counter(
    "nearcopy_records_written_total",
    Count,
    ["replica"],
    "Guarded writes that changed a record.",
);
static FETCHES: Family<2> = Family::counter(
    "nearcopy_fetches_total",
    Count,
    ["replica", "result"],
    "Requests to the owner by what came of them; `resting` ones were not sent.",
);
static FETCH_DURATION: Family<1> = Family::seconds(
    "nearcopy_fetch_duration_seconds",
    ["replica"],
    "How long one request to the owner took.",
);
static BREAKER_OPEN: Family<1> = Family::gauge(
    "nearcopy_breaker_open",
    Count,
    ["replica"],
    "1 while the owner is left in peace, 0 while it is asked.",
);
static FAN_OUT_DOCUMENTS: Family<1> = Family::counter(
    "nearcopy_fan_out_documents_total",
    Count,
    ["embed"],
    "Documents whose embedded copy was refreshed after a change.",
);
static FAN_OUT_DURATION: Family<1> = Family::seconds(
    "nearcopy_fan_out_duration_seconds",
    ["embed"],
    "How long the documents of one round of changed records took to refresh.",
);
static FAN_OUT_OWED: Family<1> = Family::gauge(
    "nearcopy_fan_out_owed_records",
    Count,
    ["replica"],
    "Records that have changed and whose documents are not refreshed yet.",
);
static HYDRATED: Family<1> = Family::counter(
    "nearcopy_hydrated_documents_total",
    Count,
    ["embed"],
    "Documents that were given their embedded copy after an insert or a change by the consumer.",
);
static DRIFT: Family<1> = Family::counter(
    "nearcopy_drift_repaired_documents_total",
    Count,
    ["embed"],
    "Documents whose embedded copy the periodic comparison had to repair.",
);
static PARKED: Family<2> = Family::counter(
    "nearcopy_parked_total",
    Count,
    ["replica", "reason"],
    "Events that could not be understood or stored, by reason.",
);
static PARKED_NOW: Family<1> =
    Family::gauge("nearcopy_parked_events", Count, ["replica"], "Events that are parked now.");
static PENDING: Family<1> = Family::gauge(
    "nearcopy_pending_records",
    Count,
    ["replica"],
    "Entities that are wanted and not known yet.",
);
static UPGRADE_REMAINING: Family<1> = Family::gauge(
    "nearcopy_upgrade_remaining",
    Count,
    ["replica"],
    "Records that do not hold yet what this declaration keeps.",
);
static CONFLICTS: Family<1> = Family::counter(
    "nearcopy_conflicts_total",
    Count,
    ["replica"],
    "Events of an equal version and other content than what is held.",
);
static REGRESSIONS: Family<1> = Family::counter(
    "nearcopy_regressions_total",
    Count,
    ["replica"],
    "Settled answers of the owner with a version below the one held.",
);
static VERSION_GAPS: Family<1> = Family::counter(
    "nearcopy_version_gaps_total",
    Count,
    ["replica"],
    "Events more than one version above what was held before; counted where `gaps: ask` is declared.",
);
static RETIRED: Family<1> = Family::counter(
    "nearcopy_retired_records_total",
    Count,
    ["replica"],
    "Records removed because nobody refers to them any more.",
);
static BROKER_CONNECTED: Family<1> =
    Family::gauge("nearcopy_broker_connected", Count, ["source"], "1 while the source is consumed, else 0.");
static RECONNECTS: Family<1> = Family::counter(
    "nearcopy_broker_reconnects_total",
    Count,
    ["source"],
    "Connections that had to be rebuilt.",
);
static CHANGE_STREAM_RESTARTS: Family<1> = Family::counter(
    "nearcopy_change_stream_restarts_total",
    Count,
    ["collection"],
    "Change streams that had to begin anew.",
);
static LOGS_SUPPRESSED: Family<0> = Family::counter(
    "nearcopy_log_lines_suppressed_total",
    Count,
    [],
    "Log lines left out because the same place had said the same too often.",
);
static MANIFEST_REFUSED: Family<0> = Family::gauge(
    "nearcopy_manifest_refused",
    Count,
    [],
    "1 while a changed manifest, secret or certificate is refused, since it is wrong.",
);
static BUILD_INFO: Family<1> =
    Family::gauge("nearcopy_build_info", Count, ["version"], "Always 1; its label says which version runs.");

/// Every metric there is, in the order of this file.
pub fn entries() -> Vec<Entry> {
    vec![
        RECEIVED.entry(),
        REDELIVERED.entry(),
        EVENTS.entry(),
        LAG.entry(),
        BATCH_DURATION.entry(),
        RECORDS_WRITTEN.entry(),
        FETCHES.entry(),
        FETCH_DURATION.entry(),
        BREAKER_OPEN.entry(),
        FAN_OUT_DOCUMENTS.entry(),
        FAN_OUT_DURATION.entry(),
        FAN_OUT_OWED.entry(),
        HYDRATED.entry(),
        DRIFT.entry(),
        PARKED.entry(),
        PARKED_NOW.entry(),
        PENDING.entry(),
        UPGRADE_REMAINING.entry(),
        CONFLICTS.entry(),
        REGRESSIONS.entry(),
        VERSION_GAPS.entry(),
        RETIRED.entry(),
        READS.entry(),
        READS_HELD.entry(),
        WATCHERS.entry(),
        ALERTS.entry(),
        BROKER_CONNECTED.entry(),
        RECONNECTS.entry(),
        CHANGE_STREAM_RESTARTS.entry(),
        LOGS_SUPPRESSED.entry(),
        MANIFEST_REFUSED.entry(),
        BUILD_INFO.entry(),
    ]
}

/// Deliveries were taken from a source.
pub fn source_received(source: &str, n: usize) {
    RECEIVED.add([source], n as u64);
}

/// Some of them had been delivered before.
pub fn redelivered(source: &str, n: usize) {
    REDELIVERED.add([source], n as u64);
}

/// Events were settled with this outcome. Where no replica reacts, the replica is the empty text.
pub fn events(source: &str, replica: &str, outcome: Outcome, n: usize) {
    EVENTS.add([source, replica, outcome.as_str()], n as u64);
}

/// Deliveries were dropped unsettled, because the connection was lost or the program stops; they come again.
pub fn abandoned(source: &str, n: usize) {
    EVENTS.add([source, "", "abandoned"], n as u64);
}

/// A change is durable, this long after the owner made it; clocks that disagree make it 0 at least.
pub fn lag(replica: &str, seconds: f64) {
    lags(replica, [seconds]);
}

/// The same for the changes of a batch, which looks the metric up only once.
pub fn lags(replica: &str, seconds: impl IntoIterator<Item = f64>) {
    LAG.record_all([replica], seconds.into_iter().map(|lag| lag.max(0.0)));
}

/// A batch was taken, written and settled.
pub fn batch_duration(source: &str, took: Duration) {
    BATCH_DURATION.record([source], took.as_secs_f64());
}

/// Writes changed records.
pub fn records_written(replica: &str, n: usize) {
    RECORDS_WRITTEN.add([replica], n as u64);
}

/// A request to the owner ended; one that was not sent took no time.
pub fn fetch(replica: &str, result: Fetched, took: Option<Duration>) {
    FETCHES.add([replica, result.as_str()], 1);
    if let Some(took) = took {
        FETCH_DURATION.record([replica], took.as_secs_f64());
    }
}

/// The owner is left in peace, or asked again.
pub fn breaker_open(replica: &str, open: bool) {
    BREAKER_OPEN.set([replica], f64::from(u8::from(open)));
}

/// Documents were refreshed after a change.
pub fn fan_out_documents(embed: &str, n: u64) {
    FAN_OUT_DOCUMENTS.add([embed], n);
}

/// A round of refreshing ended.
pub fn fan_out_duration(embed: &str, took: Duration) {
    FAN_OUT_DURATION.record([embed], took.as_secs_f64());
}

/// So many records owe their fan-out.
pub fn fan_out_owed(replica: &str, records: u64) {
    FAN_OUT_OWED.set([replica], count(records));
}

/// Documents were given their embedded copy.
pub fn hydrated(embed: &str, n: u64) {
    HYDRATED.add([embed], n);
}

/// The periodic comparison repaired documents.
pub fn drift_repaired(embed: &str, n: u64) {
    DRIFT.add([embed], n);
}

/// An event was parked; the reason is one of the fixed words.
pub fn parked(replica: &str, reason: &'static str) {
    PARKED.add([replica, reason], 1);
}

/// So many events are parked now.
pub fn parked_now(replica: &str, events: u64) {
    PARKED_NOW.set([replica], count(events));
}

/// So many entities are wanted and not known.
pub fn pending(replica: &str, records: u64) {
    PENDING.set([replica], count(records));
}

/// So many records are of earlier generations, or lack fields of this one.
pub fn upgrade_remaining(replica: &str, records: u64) {
    UPGRADE_REMAINING.set([replica], count(records));
}

/// An event contradicted what is held at the same version.
pub fn conflicts(replica: &str, n: usize) {
    CONFLICTS.add([replica], n as u64);
}

/// The owner, asked again, gave versions below those that are held.
pub fn regressions(replica: &str, n: usize) {
    REGRESSIONS.add([replica], n as u64);
}

/// So many events came with a version before them missing.
pub fn version_gaps(replica: &str, n: usize) {
    if n > 0 {
        VERSION_GAPS.add([replica], n as u64);
    }
}

/// Records were removed because nobody refers to them.
pub fn retired(replica: &str, n: u64) {
    RETIRED.add([replica], n);
}

/// The source is consumed, or not.
pub fn broker_connected(source: &str, connected: bool) {
    BROKER_CONNECTED.set([source], f64::from(u8::from(connected)));
}

/// A connection had to be rebuilt.
pub fn reconnected(source: &str) {
    RECONNECTS.add([source], 1);
}

/// A change stream had to begin anew.
pub fn change_stream_restarted(collection: &str) {
    CHANGE_STREAM_RESTARTS.add([collection], 1);
}

/// A log line was left out.
pub(super) fn log_suppressed() {
    LOGS_SUPPRESSED.add([], 1);
}

/// Says which version runs.
pub(super) fn build_info() {
    BUILD_INFO.set([env!("CARGO_PKG_VERSION")], 1.0);
}

/// A changed manifest is refused, or the one at work is the one there is.
pub fn manifest_refused(refused: bool) {
    MANIFEST_REFUSED.set([], f64::from(u8::from(refused)));
}

impl Fetched {
    /// The word that labels the metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound => "not_found",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::Resting => "resting",
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a double; beyond 2^53 nobody counts one by one")]
fn count(n: u64) -> f64 {
    n as f64
}
