//! The seeds of the fuzz targets, and every input that once went wrong, through the same functions.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails at that very line")]
#![expect(clippy::print_stdout, reason = "of a failing test, the last one that is named is the one")]

mod targets;

use std::fs;
use std::path::Path;
use std::time::Duration;

use nearcopy::clock::Stopwatch;

/// S3: whatever the bytes, what must hold of them holds, and soon.
#[test]
fn the_seeds_hold_what_the_targets_say() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    for (name, run) in targets::ALL {
        let mut inputs: Vec<_> =
            fs::read_dir(seeds.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() >= 8, "only {} seeds of {name}", inputs.len());
        for input in inputs {
            println!("{}", input.display());
            let (bytes, began) = (fs::read(&input).unwrap(), Stopwatch::start());
            run(&bytes);
            assert!(
                began.elapsed() < Duration::from_secs(1),
                "{} takes {:?}",
                input.display(),
                began.elapsed()
            );
        }
    }
}
