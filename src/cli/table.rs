//! Columns for a person.

use jiff::Timestamp;
use serde_json::Value;

use crate::manifest::picture;
use crate::store::Checkpoint;

/// Rows in columns, each as wide as its widest cell.
pub(super) fn columns<R: AsRef<[String]>>(rows: &[R]) -> String {
    let most = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.as_ref().get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..most).map(width).collect();
    let line = |row: &R| {
        let cells = row.as_ref().iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}  "));
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What is what, a line each.
pub(super) fn lines(rows: &[(&str, String)]) -> String {
    columns(&rows.iter().map(|(name, value)| [(*name).to_owned(), value.clone()]).collect::<Vec<_>>())
}

/// What was written by others, so that it does not reach a terminal as a command.
pub(super) fn visible(text: &str) -> String {
    text.chars().map(picture).collect()
}

/// A time of day, given in milliseconds since 1970.
pub(super) fn time(millis: i64) -> Option<String> {
    Timestamp::from_millisecond(millis).ok().map(|time| time.to_string())
}

/// The same for a table, where it may be missing.
pub(super) fn time_or_none(millis: Option<i64>) -> String {
    millis.and_then(time).unwrap_or_else(|| "-".into())
}

/// Where a read model of a stream stands: at one offset, or in each partition at one.
pub(super) fn offsets(at: &[Checkpoint]) -> String {
    match at {
        [Checkpoint { partition: None, place, .. }] => format!("offset {place}"),
        parts => {
            let place = |at: &Checkpoint| at.last().map_or("-".to_owned(), |place| place.to_string());
            format!("offsets {}", parts.iter().map(place).collect::<Vec<_>>().join(", "))
        }
    }
}

/// The same for a program: a number, or one for each partition.
pub(super) fn offsets_value(at: &[Checkpoint]) -> Value {
    match at {
        [Checkpoint { partition: None, place, .. }] => (*place).into(),
        parts => parts.iter().map(Checkpoint::last).collect(),
    }
}
