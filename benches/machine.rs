//! Where it is measured, for those who compare.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::contender::Arena;
use crate::result::Machine;

/// Describes the machine and the programs upon it.
pub(crate) async fn describe(arena: &Arena) -> Result<Machine> {
    let [processors, memory, load] = ["/proc/cpuinfo", "/proc/meminfo", "/proc/loadavg"]
        .map(|path| fs::read_to_string(path).unwrap_or_default());
    let model = processors.lines().find(|line| line.starts_with("model name"));
    let kilobytes =
        memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    Ok(Machine {
        processor: model.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_default(),
        cores: std::thread::available_parallelism()?.get(),
        memory_gb: (kilobytes.unwrap_or_default() / 1024.0 / 1024.0).round(),
        kernel: told("uname", &["-sr"]),
        rabbitmq: arena.broker.version().await?,
        mongodb: arena.database.version().await?,
        node: told("node", &["--version"]),
        python: told("python3", &["--version"]),
        commit: told("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]),
        date: told("date", &["-u", "+%Y-%m-%d"]),
        load_before: load.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or_default(),
    })
}

/// Has this thread go before all others on the processors, and says whether it may: what it measures is how long others take,
/// not how long it waits for its own turn.
pub(crate) fn goes_first() -> bool {
    let thread = fs::read_link("/proc/thread-self").unwrap_or_default();
    let Some(thread) = thread.file_name() else { return false };
    let asked = Command::new("renice").args(["-n", "-10", "-p"]).arg(thread).output();
    asked.is_ok_and(|output| output.status.success())
}

/// What a program says, or nothing.
fn told(program: &str, arguments: &[&str]) -> String {
    let asked = Command::new(program).args(arguments).output();
    asked.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
