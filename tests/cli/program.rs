//! The real binary, run in a clean environment. No output of it may ever show a secret or an escape code here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Stands for every password that the program is given.
pub(crate) const CANARY: &str = "tr0ub4dor";

/// How the program ended, and what it said.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The program, about to be run in the folder of these tests.
pub(crate) struct Program(Command);

/// The program with these arguments.
pub(crate) fn nearcopy(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearcopy"));
    command.args(arguments).env_clear().current_dir(folder()).stdin(Stdio::null());
    Program(command)
}

/// The folder of these tests.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli")
}

/// A file of its own for one test, below the folder for builds.
pub(crate) fn scratch(name: &str, content: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    path
}

impl Program {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Gives it a broker and a database that refuse connections, by URLs that hold the canary.
    pub(crate) fn with_addresses(self) -> Self {
        let database = format!("mongodb://shop:{CANARY}@127.0.0.1:1/shop?serverSelectionTimeoutMS=200");
        self.env("NEARCOPY__RABBITMQ__URL", &format!("amqp://shop:{CANARY}@127.0.0.1:1/shop"))
            .env("NEARCOPY__MONGODB__URL", &database)
    }

    /// Runs it to its end.
    pub(crate) fn end(mut self) -> Ended {
        self.0.output().unwrap().into()
    }

    /// The command itself, for what is special.
    pub(crate) fn command(self) -> Command {
        self.0
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ended = Self {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        for forbidden in [CANARY, "\u{1b}"] {
            assert!(!ended.to_string().contains(forbidden), "{forbidden:?} is shown:\n{ended}");
        }
        ended
    }
}

/// Its exit code and both outputs; the version of the program and places outside of the repository stand as words.
impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |text: &str| {
            text.replace(env!("CARGO_PKG_VERSION"), "[version]")
                .replace(env!("CARGO_TARGET_TMPDIR"), "[scratch]")
        };
        writeln!(f, "exit code {}", self.code)?;
        for (name, text) in [("standard output", &self.stdout), ("standard error", &self.stderr)] {
            if !text.is_empty() {
                write!(f, "\n--- {name}\n{}", plain(text))?;
            }
        }
        Ok(())
    }
}
