//! A target under libFuzzer; `NEARCOPY_FUZZ` names which. One program for all is linked once.

#![no_main]

use std::env;
use std::sync::LazyLock;

static TARGET: LazyLock<targets::Target> = LazyLock::new(|| {
    let wanted = env::var("NEARCOPY_FUZZ").expect("NEARCOPY_FUZZ names a target");
    let known = targets::ALL.iter().find(|(name, _)| *name == wanted);
    known.unwrap_or_else(|| panic!("there is no target `{wanted}`")).1
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET(input));
