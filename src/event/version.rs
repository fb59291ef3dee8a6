//! The owner's version of an entity: the one order that decides what may enter a record.

use std::fmt;
use std::time::Duration;

use serde_json::value::RawValue;

use super::extract::text;
use super::{DecodeError, Reason};

/// The owner's version: a sequence number, or microseconds since 1970 where the owner has only times.
///
/// One replica uses one of the two, declared in the manifest; they are never compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(i64);

impl Version {
    /// Takes a number that is already known to be a version, such as one read back from the store.
    pub fn new(number: i64) -> Self {
        Self(number)
    }

    /// The number, as it is stored.
    pub fn get(self) -> i64 {
        self.0
    }

    /// Reads a sequence number: a whole number from 0 to 2^63 − 1, as a JSON number or decimal text
    /// (CloudEvents' `sequence` is text, zero-padded).
    pub fn sequence(raw: &RawValue) -> Result<Self, DecodeError> {
        let text = raw.get().trim();
        let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match digits.parse::<i64>() {
            Ok(number) if plain => Ok(Self(number)),
            _ => Err(DecodeError::new(
                Reason::BadVersion,
                "the version is no whole number from 0 to 9223372036854775807",
            )),
        }
    }

    /// Reads a time version: RFC 3339 text, kept to the microsecond, and no further than `skew` beyond the time of day,
    /// which is microseconds since 1970.
    pub fn time(raw: &RawValue, time_of_day: i64, skew: Duration) -> Result<Self, DecodeError> {
        let time = parse_time(raw)
            .ok_or_else(|| DecodeError::new(Reason::BadVersion, "the version is no RFC 3339 time"))?;
        let latest = time_of_day.saturating_add(i64::try_from(skew.as_micros()).unwrap_or(i64::MAX));
        if time > latest {
            let detail = format!("the version is a time more than {} s ahead of ours", skew.as_secs_f64());
            return Err(DecodeError::new(Reason::FutureVersion, detail));
        }
        Ok(Self(time))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Microseconds since 1970 of a JSON string that holds an RFC 3339 time: those that were over by then, also before 1970.
pub(super) fn parse_time(raw: &RawValue) -> Option<i64> {
    let time = text(raw.get())?.parse::<jiff::Timestamp>().ok()?;
    i64::try_from(time.as_nanosecond().div_euclid(1_000)).ok()
}
