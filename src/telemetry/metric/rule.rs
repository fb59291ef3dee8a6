//! What is counted of rules.

use metrics::Unit::Count;

use super::super::family::Family;

pub(super) static ALERTS: Family<2> = Family::counter(
    "nearcopy_alerts_total",
    Count,
    ["replica", "rule"],
    "Messages that rules of read models have put into the outbox.",
);

/// A rule of a read model has fired.
pub fn alerts(model: &str, rule: &str) {
    ALERTS.add([model, rule], 1);
}
