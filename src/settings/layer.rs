//! The layers that settings come from, merged; what nobody knows is found here.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat, Source, Value, ValueKind};

use super::again::Seen;
use super::error::{Problem, SettingsError};

/// Every key there is stands in this file with its default.
pub(super) const DEFAULT: &str = include_str!("../../config/default.toml");

const PREFIX: &str = "NEARCOPY__";
const FILE_SUFFIX: &str = "_file";
/// The largest file that a `_file` key may name, in bytes.
const LARGEST_FILE: u64 = 64 << 10;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File(PathBuf),
    Environment,
    Flag,
}

/// A value, and where it was given.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) origin: Origin,
    /// The file that holds it, where a key with `_file` names one.
    pub(super) named: Option<Seen>,
    key: String,
}

pub(super) type Entries = BTreeMap<String, Entry>;

/// Merges the layers, the later above the earlier. Keys that the defaults do not have become problems.
pub(super) fn merge(
    file: Option<&Path>,
    environment: Vec<(String, String)>,
    flags: &[(String, String)],
    problems: &mut Vec<Problem>,
) -> Result<Entries, SettingsError> {
    let mut merged =
        layer(&File::from_str(DEFAULT, FileFormat::Toml), &Origin::Default, Path::new("default"))?;
    let known: Vec<String> = merged.keys().cloned().collect();
    let mut layers = Vec::new();
    if let Some(path) = file {
        let text = fs::read_to_string(path)
            .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
        layers.push(layer(&File::from_str(&text, FileFormat::Toml), &Origin::File(path.to_owned()), path)?);
    }
    let variables = environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    let environment =
        Environment::with_prefix("nearcopy").separator("__").ignore_empty(true).source(Some(variables));
    layers.push(layer(&environment, &Origin::Environment, Path::new("environment"))?);
    layers.push(flags.iter().map(|(key, value)| flag(key, value)).collect());
    for entries in layers {
        merged.extend(admit(entries, &known, problems));
    }
    Ok(merged)
}

fn layer(source: &dyn Source, origin: &Origin, path: &Path) -> Result<Entries, SettingsError> {
    let collected = source.collect().map_err(|error| SettingsError::NotToml {
        path: path.to_owned(),
        detail: without_excerpt(&error.to_string()),
    })?;
    let mut entries = Entries::new();
    flatten(String::new(), Value::new(None, collected), origin, &mut entries);
    Ok(entries)
}

fn flag(key: &str, value: &str) -> (String, Entry) {
    let entry = Entry { value: value.into(), origin: Origin::Flag, named: None, key: key.to_owned() };
    (key.to_owned(), entry)
}

fn flatten(key: String, value: Value, origin: &Origin, entries: &mut Entries) {
    match value.kind {
        ValueKind::Table(table) => {
            for (name, value) in table {
                let below = if key.is_empty() { name } else { format!("{key}.{name}") };
                flatten(below, value, origin, entries);
            }
        }
        _ => {
            entries.insert(key.clone(), Entry { value, origin: origin.clone(), named: None, key });
        }
    }
}

/// Takes the known keys of a layer; a key with `_file` is read from the file it names.
fn admit(entries: Entries, known: &[String], problems: &mut Vec<Problem>) -> Entries {
    let mut admitted = Entries::new();
    for (key, entry) in entries {
        let plain = key.strip_suffix(FILE_SUFFIX).unwrap_or(&key).to_owned();
        let verdict = if known.contains(&key) {
            Ok(entry)
        } else if known.contains(&plain) {
            read_named(entry)
        } else {
            Err(unknown(&entry, known))
        };
        match verdict {
            Ok(entry) if admitted.contains_key(&plain) => {
                let what = format!("is given a second time as `{plain}{FILE_SUFFIX}`");
                problems.push(Problem { key: plain, given: Some(entry.to_string()), what, advice: None });
            }
            Ok(entry) => {
                admitted.insert(plain, entry);
            }
            Err(problem) => problems.push(problem),
        }
    }
    admitted
}

fn read_named(entry: Entry) -> Result<Entry, Problem> {
    let problem =
        |what: String| Problem { key: entry.key.clone(), given: Some(entry.to_string()), what, advice: None };
    let path = entry.value.clone().into_string().map_err(|_| problem("must name a file".into()))?;
    let (named, mut text) = (Seen::now(Path::new(&path)), String::new());
    fs::File::open(&path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_string(&mut text))
        .map_err(|error| problem(format!("names a file that cannot be read: {error}")))?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(problem(format!("names a file of more than {LARGEST_FILE} bytes")));
    }
    Ok(Entry { value: text.trim_end_matches(['\r', '\n']).into(), named: Some(named), ..entry })
}

fn unknown(entry: &Entry, known: &[String]) -> Problem {
    let section = format!("{}.", entry.key);
    let (what, advice) = if known.iter().any(|key| key.starts_with(&section)) {
        ("is a section, not a setting", None)
    } else {
        ("is not a setting", nearest(&entry.key, known).map(|key| format!("did you mean `{key}`?")))
    };
    Problem { key: entry.key.clone(), given: Some(entry.to_string()), what: what.into(), advice }
}

/// The known key that is meant, if one is near: by spelling, or by its last name in another section.
fn nearest<'k>(key: &str, known: &'k [String]) -> Option<&'k String> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let nearness = |candidate: &String| {
        let whole = strsim::normalized_damerau_levenshtein(key, candidate);
        if last(candidate) == last(key) { whole.max(0.9) } else { whole }
    };
    let best = known.iter().max_by(|a, b| nearness(a).total_cmp(&nearness(b)))?;
    (nearness(best) >= 0.6).then_some(best)
}

/// A parser's complaint without the line it is about, because that may hold a secret.
fn without_excerpt(text: &str) -> String {
    let is_excerpt = |line: &&str| {
        let rest = line.trim_start().trim_start_matches(|letter: char| letter.is_ascii_digit());
        rest.trim_start().starts_with('|')
    };
    text.lines().filter(|line| !is_excerpt(line)).collect::<Vec<_>>().join(": ")
}

/// Says where a value was given, for a person who wants to change it there.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => f.write_str("the defaults"),
            Origin::File(path) => write!(f, "the file {}", path.display()),
            Origin::Environment => f.write_str(&variable(&self.key)),
            Origin::Flag => f.write_str("a flag"),
        }
    }
}

/// The environment variable that gives a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}
