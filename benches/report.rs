//! What a person sees while it runs.

use std::io::Write;
use std::sync::OnceLock;

use tokio::time::Instant;

use crate::result::Run;

static BEGAN: OnceLock<Instant> = OnceLock::new();

/// A line with the time that has passed.
pub(crate) fn note(text: &str) {
    let passed = BEGAN.get_or_init(Instant::now).elapsed();
    print(&format!("{:>6.1} s  {text}", passed.as_secs_f64()));
}

/// Text as it is. Who does not listen to the end still gets the file.
pub(crate) fn print(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// One turn of a contender.
pub(crate) fn turn(round: usize, run: &Run) {
    let of = |us: Option<f64>| us.map_or("-".into(), |us| format!("{us:.1}"));
    note(&format!(
        "round {round}, {:<8} {:<12} {:>7.0} events/s, µs an event: own {:.1}, mongod {}, rabbitmq {}; peak {:.0} MB{}",
        run.workload,
        run.contender,
        run.per_second(),
        run.cost.own_us,
        of(run.cost.mongod_us),
        of(run.cost.rabbitmq_us),
        run.cost.peak_mb,
        if run.cost.others > 0.1 {
            format!("; {:.1} cores busy with something else", run.cost.others)
        } else {
            String::new()
        },
    ));
}
