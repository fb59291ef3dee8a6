//! Durations such as `500ms`, `2s`, `5m`, `1h` and `14d`.

use std::time::Duration;

use super::super::place::Place;
use super::super::{Code, Diagnostic};

/// The shortest and the longest that is accepted, in words and in fact.
pub(super) struct Range {
    pub least: Duration,
    pub most: Duration,
    pub words: &'static str,
}

/// Reads a duration in range.
pub(super) fn read(text: &str, at: Place<'_>, range: &Range) -> Result<Duration, Diagnostic> {
    let bad = |message: String| Diagnostic::new(Code::BadDuration, at.mark(), message);
    let duration = parse(text).ok_or_else(|| {
        bad("this is no duration".to_owned())
            .why("wanted is a whole number with its unit")
            .help("write `500ms`, `2s`, `5m`, `1h` or `14d`")
    })?;
    if duration < range.least || duration > range.most {
        return Err(bad("this duration is out of range".to_owned())
            .why(format!("not {}", range.words))
            .help(format!("choose one {}", range.words)));
    }
    Ok(duration)
}

fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(millis).map(Duration::from_millis)
}
