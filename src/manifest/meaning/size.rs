//! Sizes such as `512KiB`.

use super::super::place::Place;
use super::super::{Code, Diagnostic};

/// Reads the largest body a source accepts, in bytes.
pub(super) fn read(text: &str, at: Place<'_>) -> Result<usize, Diagnostic> {
    match parse(text) {
        None => Err(Diagnostic::new(Code::BadSize, at.mark(), "this is no size")
            .why("wanted is a whole number with its unit")
            .help("write `64KiB` or `1MiB`")),
        Some(bytes) if !(1 << 10..=16 << 20).contains(&bytes) => {
            Err(Diagnostic::new(Code::BadSize, at.mark(), "this size is out of range")
                .why("not from 1KiB to 16MiB")
                .help("MongoDB stores documents up to 16MiB; events should be far smaller"))
        }
        Some(bytes) => Ok(bytes),
    }
}

fn parse(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(factor)
}
