//! nearcopy: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    nearcopy::cli::main()
}
