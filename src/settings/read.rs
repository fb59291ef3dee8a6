//! Takes settings out of the merged layers as what they must be, and gathers what is wrong with all of them.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use config::{Value, ValueKind};
use secrecy::{ExposeSecret, SecretString};

use super::error::Problem;
use super::grant::{self, Grant};
use super::key::{self, Protect};
use super::layer::{Entries, Entry, Origin, variable};
use super::schema::Form;
use super::url;

/// Reads settings key by key.
pub(super) struct Reader<'e> {
    entries: &'e Entries,
    pub(super) problems: Vec<Problem>,
    pub(super) shown: Vec<Shown>,
    pub(super) forms: Vec<(&'static str, Form)>,
}

/// One setting as a person may see it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    key: &'static str,
    value: String,
    origin: String,
}

const DAY: Duration = Duration::from_hours(24);
/// The longest duration any setting accepts: long enough for all, short enough to be added to a clock.
const LONGEST: Duration = Duration::from_secs(10 * 365 * DAY.as_secs());

impl<'e> Reader<'e> {
    pub(super) fn new(entries: &'e Entries, problems: Vec<Problem>) -> Self {
        Self { entries, problems, shown: Vec::new(), forms: Vec::new() }
    }

    /// A whole number in a range.
    pub(super) fn number<T: TryFrom<u64> + Default>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> T {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.forms.push((key, Form::Number(range.clone())));
        let parse = |text: &str| {
            let number = text.parse::<u64>().ok().filter(|number| range.contains(number))?;
            T::try_from(number).ok()
        };
        self.read(key, &expected, parse).unwrap_or_default()
    }

    /// A duration of at least this.
    pub(super) fn duration(&mut self, key: &'static str, least: Duration) -> Duration {
        let expected =
            format!("a duration of at least {}ms, such as 500ms, 10s, 5m, 1h or 30d", least.as_millis());
        self.forms.push((key, Form::Duration));
        let parse = |text: &str| {
            let span: jiff::Span = text.parse().ok()?;
            let exact = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
            Duration::try_from(exact).ok().filter(|duration| (least..=LONGEST).contains(duration))
        };
        self.read(key, &expected, parse).unwrap_or_default()
    }

    /// One of some words.
    pub(super) fn one_of<T: Copy + Default>(&mut self, key: &'static str, words: &[(&str, T)]) -> T {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let expected = format!("one of {}", names.join(", "));
        self.forms.push((key, Form::Words(names.iter().map(|name| (*name).to_owned()).collect())));
        let parse = |text: &str| words.iter().find(|(word, _)| *word == text).map(|(_, meant)| *meant);
        self.read(key, &expected, parse).unwrap_or_default()
    }

    /// An address to listen on.
    pub(super) fn address(&mut self, key: &'static str) -> Option<SocketAddr> {
        self.forms.push((key, Form::Address));
        self.read(key, "an IP address and a port, such as 0.0.0.0:9464 or [::]:9464", |text| {
            text.parse().ok()
        })
    }

    /// An address to listen on, or the empty text for none.
    pub(super) fn address_or_none(&mut self, key: &'static str) -> Option<SocketAddr> {
        let expected = "an IP address and a port, such as 127.0.0.1:9465, or empty";
        self.forms.push((key, Form::AddressOrNone));
        self.read(
            key,
            expected,
            |text| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) },
        )?
    }

    /// Text that a test accepts.
    pub(super) fn text(
        &mut self,
        key: &'static str,
        expected: &str,
        accepts: impl Fn(&str) -> bool,
    ) -> String {
        self.forms.push((key, Form::Text));
        self.read(key, expected, |text| accepts(text).then(|| text.to_owned())).unwrap_or_default()
    }

    /// Paths: a list, or text separated by commas.
    pub(super) fn paths(&mut self, key: &'static str) -> Vec<PathBuf> {
        let parse = |text: &str| {
            let paths: Vec<PathBuf> =
                text.split(',').map(str::trim).filter(|path| !path.is_empty()).map(PathBuf::from).collect();
            (!paths.is_empty()).then_some(paths)
        };
        self.forms.push((key, Form::Paths));
        self.read(key, "one path or more", parse).unwrap_or_default()
    }

    /// A secret URL of one of these schemes; `None` where it is not set.
    pub(super) fn secret_url(&mut self, key: &'static str, schemes: &[&str]) -> Option<SecretString> {
        self.hidden(key, |text| url::fault(text, schemes))
    }

    /// Tokens, and what each is for; none where it is not set.
    pub(super) fn grants(&mut self, key: &'static str) -> Vec<Grant> {
        let text = self.hidden(key, |text| grant::parse(text).err());
        text.and_then(|text| grant::parse(text.expose_secret()).ok()).unwrap_or_default()
    }

    /// Keys, the one and those that have names; none where they are not set.
    pub(super) fn protect(&mut self, hash: &'static str, encrypt: &'static str) -> Protect {
        let one = self.hidden(hash, |text| key::one(text).err());
        let named = self.hidden(encrypt, |text| key::named(text).err());
        Protect {
            hash_key: one.and_then(|text| key::one(text.expose_secret()).ok()),
            encrypt_keys: named.and_then(|text| key::named(text.expose_secret()).ok()).unwrap_or_default(),
        }
    }

    /// A path, or the empty text for none.
    pub(super) fn path_or_none(&mut self, key: &'static str) -> Option<PathBuf> {
        let path = |text: &str| Some(Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty()));
        self.forms.push((key, Form::Text));
        self.read(key, "a path, or empty", path)?
    }

    /// What is never shown, nor taken from a flag, because everyone on the machine can read those.
    fn hidden(&mut self, key: &'static str, fault: impl Fn(&str) -> Option<String>) -> Option<SecretString> {
        self.forms.push((key, Form::Secret));
        let entry = self.entries.get(key)?;
        let text = as_text(&entry.value).unwrap_or_default();
        let value = if text.is_empty() { "(not set)" } else { "(set, not shown)" };
        self.shown.push(Shown { key, value: value.into(), origin: entry.to_string() });
        if text.is_empty() {
            return None;
        }
        if entry.origin == Origin::Flag {
            let advice = format!("use {} or {}_FILE", variable(key), variable(key));
            self.problem(
                key,
                Some(entry),
                "is a secret, and flags can be seen by others".into(),
                Some(advice),
            );
        } else if let Some(what) = fault(&text) {
            self.problem(key, Some(entry), what, None);
        }
        Some(text.into())
    }

    fn read<T>(&mut self, key: &'static str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let entry = self.entries.get(key)?;
        let text = as_text(&entry.value);
        let parsed = text.as_deref().map(str::trim).and_then(parse);
        match (&parsed, text) {
            (Some(_), Some(value)) => self.shown.push(Shown { key, value, origin: entry.to_string() }),
            _ => self.problem(key, Some(entry), format!("must be {expected}"), None),
        }
        parsed
    }

    fn problem(&mut self, key: &str, entry: Option<&Entry>, what: String, advice: Option<String>) {
        self.problems.push(Problem { key: key.into(), given: entry.map(Entry::to_string), what, advice });
    }
}

/// A single value as text, a list of them separated by commas; tables and nothing are no text.
fn as_text(value: &Value) -> Option<String> {
    match &value.kind {
        ValueKind::Array(items) => {
            items.iter().map(as_text).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        ValueKind::Nil | ValueKind::Table(_) => None,
        scalar => Some(scalar.to_string()),
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setting = format!("{} = {}", self.key, self.value);
        write!(f, "{setting:<44} # {}", self.origin)
    }
}
