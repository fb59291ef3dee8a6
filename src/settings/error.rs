//! What is wrong with settings, said so that it can be put right without looking anything up.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why settings cannot be used. No text of it shows a value, since a value may be a secret at the wrong place.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The settings file cannot be read.
    #[error("the settings file {} cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The settings file is no TOML.
    #[error("the settings file {} is no TOML: {detail}", path.display())]
    NotToml {
        /// Which file.
        path: PathBuf,
        /// Where and why, without the line itself.
        detail: String,
    },
    /// Some settings are wrong; all of them are listed.
    #[error("{}", list(.0))]
    Wrong(Vec<Problem>),
}

/// One setting that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its key, such as `rabbitmq.prefetch`.
    pub key: String,
    /// Where it was given, if it was.
    pub given: Option<String>,
    /// What is wrong, continuing the key: `must be …`, `is not a setting`.
    pub what: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Problem {
    /// What is wrong and where it was given, without the advice.
    pub fn statement(&self) -> String {
        let given = self.given.as_ref().map(|given| format!(" (given by {given})")).unwrap_or_default();
        format!("`{}` {}{given}", self.key, self.what)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.statement())?;
        if let Some(advice) = &self.advice {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

fn list(problems: &[Problem]) -> String {
    match problems {
        [only] => only.to_string(),
        _ => {
            let lines = problems.iter().map(|problem| format!("\n  - {problem}"));
            format!("{} settings are wrong:{}", problems.len(), lines.collect::<String>())
        }
    }
}
