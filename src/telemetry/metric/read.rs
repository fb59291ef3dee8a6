//! What is counted of readers.

use metrics::Unit::Count;

use super::super::family::Family;

pub(super) static READS: Family<3> = Family::counter(
    "nearcopy_reads_total",
    Count,
    ["replica", "verb", "outcome"],
    "Entities and lists that readers asked for, by what they were told.",
);
pub(super) static READS_HELD: Family<2> = Family::counter(
    "nearcopy_read_cache_total",
    Count,
    ["replica", "outcome"],
    "Entities that readers asked for, by whether they were held in memory.",
);
pub(super) static WATCHERS: Family<1> =
    Family::gauge("nearcopy_watchers", Count, ["replica"], "Readers that are told of changes as they come.");

/// A reader was told something; verb and outcome are fixed words.
pub fn reads(replica: &str, verb: &'static str, outcome: &'static str) {
    READS.add([replica, verb, outcome], 1);
}

/// So many entities were asked for that were held in memory, and so many that were not.
pub fn reads_held(replica: &str, hits: usize, misses: usize) {
    for (outcome, count) in [("hit", hits), ("miss", misses)] {
        if count > 0 {
            READS_HELD.add([replica, outcome], u64::try_from(count).unwrap_or(u64::MAX));
        }
    }
}

/// So many watch a replica.
pub fn watchers(replica: &str, count: usize) {
    WATCHERS.set([replica], super::count(u64::try_from(count).unwrap_or(u64::MAX)));
}
