//! What a person sees.

#![expect(clippy::print_stdout, reason = "telling what happened is what it is for")]

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

/// When the program began, and whether each fault is told of.
static BEGAN: OnceLock<(Instant, bool)> = OnceLock::new();

/// Begins to count the time.
pub(crate) fn begin(verbose: bool) {
    BEGAN.get_or_init(|| (Instant::now(), verbose));
}

/// A heading.
pub(crate) fn title(text: &str) {
    println!("\n{text}\n{}", "─".repeat(text.chars().count()));
}

/// A line with the time that has passed.
pub(crate) fn note(text: &str) {
    let passed = BEGAN.get().map_or(Duration::ZERO, |(began, _)| began.elapsed());
    println!("{:>6.1} s  {text}", passed.as_secs_f64());
}

/// A line only for those who want all of them.
pub(crate) fn trace(text: &str) {
    if BEGAN.get().is_some_and(|(_, verbose)| *verbose) {
        note(text);
    }
}

/// A name and its value, and whether that is as it must be.
pub(crate) fn row(name: &str, value: &str, is_right: bool) {
    println!("  {} {name:<36} {value}", if is_right { ' ' } else { '✗' });
}

/// A time for people.
pub(crate) fn shown(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        seconds => format!("{seconds:.1} s"),
    }
}
