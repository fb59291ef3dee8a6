//! Compares the tree with the JSON Schema that is printed, and reports every difference at its place.
//!
//! It knows that part of JSON Schema which the raw types give rise to, and what a person needs to hear.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::place::{Place, Span, Value};
use super::{Code, Diagnostic, suggest};

/// Reports everything that differs from the schema; the answer is where values stand that mean nothing.
pub(super) fn check(
    name: &str,
    root: Place<'_>,
    schema: &Json,
    findings: &mut Vec<Diagnostic>,
) -> BTreeSet<Span> {
    let mut comparison = Comparison { root: schema, findings, broken: BTreeSet::new() };
    comparison.value(name, root, schema);
    comparison.broken
}

struct Comparison<'s, 'f> {
    root: &'s Json,
    findings: &'f mut Vec<Diagnostic>,
    broken: BTreeSet<Span>,
}

impl<'s> Comparison<'s, '_> {
    fn value(&mut self, name: &str, place: Place<'_>, schema: &'s Json) {
        let branches = self.branches(schema);
        let fitting: Vec<&Json> = branches.iter().copied().filter(|branch| fits(place, branch)).collect();
        if fitting.iter().any(|branch| kinds(branch).is_empty()) {
            return;
        }
        match (&place.node.value, fitting.as_slice()) {
            (_, []) => self.reject(place, wrong_type(name, place, &branches, schema)),
            (Value::Text(text, _), _) => self.word(name, place, text, &branches),
            (Value::Map(_), [only]) => self.mapping(name, place, only),
            (Value::Map(_), several) => self.one_of(name, place, several),
            (Value::List(_), [list, ..]) => {
                for (number, item) in place.items().enumerate() {
                    self.value(&format!("{name}[{number}]"), item, &list["items"]);
                }
            }
            (Value::Number(number), [range, ..]) => {
                let number = number.as_f64().unwrap_or_default();
                let bound = |key: &str| range[key].as_f64();
                if bound("minimum").is_some_and(|least| number < least)
                    || bound("maximum").is_some_and(|most| number > most)
                {
                    self.findings.push(out_of_range(name, place, range));
                }
            }
            (Value::Null | Value::Bool(_) | Value::Broken, _) => {}
        }
    }

    /// Reports a value that cannot be read any further.
    fn reject(&mut self, place: Place<'_>, found: Diagnostic) {
        self.broken.insert(place.node.span);
        self.findings.push(found);
    }

    /// The alternatives that a schema offers, references followed.
    fn branches(&self, schema: &'s Json) -> Vec<&'s Json> {
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
            return self.branches(&self.root["$defs"][name]);
        }
        match schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
            Some(branches) => branches.iter().flat_map(|branch| self.branches(branch)).collect(),
            None => vec![schema],
        }
    }

    fn mapping(&mut self, name: &str, place: Place<'_>, schema: &'s Json) {
        let title = schema["title"].as_str().map_or_else(|| format!("`{name}`"), str::to_owned);
        let properties = schema["properties"].as_object();
        let known = || properties.into_iter().flatten().map(|(name, _)| name.as_str());
        let mut meant = Vec::new();
        for (key, value) in place.entries() {
            match (properties.and_then(|known| known.get(key)), &schema["additionalProperties"]) {
                (Some(property), _) => self.value(key, value, property),
                (None, entry @ Json::Object(_)) => self.value(key, value, entry),
                (None, Json::Bool(true)) => {}
                (None, _) => {
                    meant.extend(suggest::nearest(key, known()));
                    self.findings.push(unknown_key(&title, key, value, known()));
                }
            }
        }
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            // A mistyped key has its own diagnostic, which names the right one.
            if place.get(required).is_none() && !meant.contains(&required) {
                let described = properties.and_then(|known| known[required]["description"].as_str());
                let what = described.or(schema["description"].as_str());
                self.findings.push(missing_key(&title, required, place, what));
            }
        }
    }

    /// Of several mappings with one key each, exactly one must be there.
    fn one_of(&mut self, name: &str, place: Place<'_>, branches: &[&'s Json]) {
        let keys: Vec<&str> = branches.iter().filter_map(|branch| branch["required"][0].as_str()).collect();
        let all = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" or ");
        let known = |key: &str| branches.iter().find(|branch| !branch["properties"][key].is_null());
        for (key, value) in place.entries() {
            match known(key) {
                Some(branch) => self.value(key, value, &branch["properties"][key]),
                None => {
                    let title = format!("`{name}`");
                    self.findings.push(unknown_key(&title, key, value, keys.iter().copied()));
                }
            }
        }
        let given = place.entries().filter(|(key, _)| known(key).is_some()).count();
        if given == 0 && place.entries().next().is_some() {
            self.broken.insert(place.node.span);
        } else if given != 1 {
            let found =
                Diagnostic::new(Code::OneOf, place.key, format!("`{name}` wants exactly one of {all}"))
                    .why(if given == 0 { "none of them is here" } else { "there is more than one" })
                    .help(format!("keep one of {all}"));
            self.reject(place, found);
        }
    }

    /// Text is free, or one of the words that the schema lists.
    fn word(&mut self, name: &str, place: Place<'_>, text: &str, branches: &[&Json]) {
        let words: Vec<&str> = branches.iter().flat_map(|branch| words(branch)).collect();
        let mut texts = branches.iter().filter(|branch| kinds(branch).contains(&"string"));
        let free = texts.any(|branch| branch["const"].is_null() && branch["enum"].is_null());
        if free || words.contains(&text) {
            return;
        }
        let message = format!("`{name}` cannot be `{text}`");
        let found = Diagnostic::new(Code::UnknownWord, place.mark(), message)
            .why("not one of the words known here")
            .help(suggest::advice(text, words));
        let mappings = branches.iter().filter_map(|branch| branch["required"][0].as_str());
        let found = mappings.fold(found, |found, key| found.help(format!("or a mapping: `{{ {key}: … }}`")));
        self.reject(place, found);
    }
}

fn words(schema: &Json) -> impl Iterator<Item = &str> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    listed.chain([&schema["const"]]).filter_map(Json::as_str)
}

/// Whether a value is of a kind that a schema without alternatives admits.
fn fits(place: Place<'_>, schema: &Json) -> bool {
    let kinds = kinds(schema);
    kinds.is_empty()
        || kinds.iter().any(|kind| match (&place.node.value, *kind) {
            (Value::Null, "null")
            | (Value::Bool(_), "boolean")
            | (Value::Number(_), "number")
            | (Value::Text(..), "string")
            | (Value::List(_), "array")
            | (Value::Map(_), "object") => true,
            (Value::Number(number), "integer") => !number.is_f64(),
            _ => false,
        })
}

fn kinds(schema: &Json) -> Vec<&str> {
    match &schema["type"] {
        Json::String(kind) => vec![kind],
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn wrong_type(name: &str, place: Place<'_>, branches: &[&Json], schema: &Json) -> Diagnostic {
    let mut wanted: Vec<&str> = Vec::new();
    for kind in branches.iter().flat_map(|branch| kinds_in_words(branch)) {
        if !wanted.contains(&kind) {
            wanted.push(kind);
        }
    }
    let wanted = wanted.join(" or ");
    let found = Diagnostic::new(Code::WrongType, place.mark(), format!("`{name}` must be {wanted}"))
        .why(format!("this is {}", place.node.kind()));
    let patterned = branches.iter().any(|branch| branch["pattern"].is_string());
    let slip = slip(&place.node.value, &wanted).filter(|_| !patterned);
    let described = schema["description"].as_str().map(|text| format!("`{name}`: {}", one_line(text)));
    let shown = described.or_else(|| branches.iter().find_map(|branch| keys_of(branch)));
    match (slip, shown) {
        (None, None) => found.help(format!("write {wanted} here")),
        (slip, shown) => [slip.map(str::to_owned), shown].into_iter().flatten().fold(found, Diagnostic::help),
    }
}

/// What a person who wrote this value most likely overlooked.
fn slip(value: &Value, wanted: &str) -> Option<&'static str> {
    match value {
        Value::Number(_) | Value::Bool(_) if wanted.contains("text") => Some("put it in quotes"),
        Value::Text(text, _) if wanted.contains("true") && is_old_bool(text) => {
            Some("YAML 1.2 knows only `true` and `false`")
        }
        Value::Text(text, _) if wanted.contains("number") && text.parse::<i64>().is_ok() => {
            Some("write it without quotes")
        }
        Value::Null => Some("give it a value, or remove the key"),
        _ => None,
    }
}

/// Which keys a mapping may have, in words.
fn keys_of(schema: &Json) -> Option<String> {
    let title = schema["title"].as_str()?;
    let keys: Vec<String> = schema["properties"].as_object()?.keys().map(|key| format!("`{key}`")).collect();
    Some(format!("{title} is a mapping with the keys {}", keys.join(", ")))
}

/// The kinds of value that a schema without alternatives admits, for a person.
fn kinds_in_words(schema: &Json) -> impl Iterator<Item = &str> {
    let title = schema["title"].as_str();
    kinds(schema).into_iter().filter_map(move |kind| match kind {
        "string" => Some(title.unwrap_or("text")),
        "boolean" => Some("true or false"),
        "integer" => Some("a whole number"),
        "number" => Some("a number"),
        "array" => Some("a list"),
        "object" => Some("a mapping"),
        _ => None,
    })
}

fn is_old_bool(text: &str) -> bool {
    ["yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str())
}

fn unknown_key<'k>(
    title: &str,
    key: &str,
    place: Place<'_>,
    known: impl IntoIterator<Item = &'k str> + Clone,
) -> Diagnostic {
    let found = Diagnostic::new(Code::UnknownKey, place.key, format!("{title} has no key `{key}`"))
        .why("not known here");
    if key == "<<" {
        return found.help("merge keys are not part of YAML 1.2; write the keys out");
    }
    found.help(suggest::advice(key, known))
}

fn missing_key(title: &str, key: &str, place: Place<'_>, what: Option<&str>) -> Diagnostic {
    let found = Diagnostic::new(Code::MissingKey, place.key, format!("{title} needs the key `{key}`"))
        .why(format!("`{key}` is missing here"));
    match what {
        Some(what) => found.help(format!("`{key}`: {}", one_line(what))),
        None => found,
    }
}

fn out_of_range(name: &str, place: Place<'_>, range: &Json) -> Diagnostic {
    let (least, most) = (&range["minimum"], &range["maximum"]);
    Diagnostic::new(Code::OutOfRange, place.mark(), format!("`{name}` is out of range"))
        .why(format!("not from {least} to {most}"))
        .help(format!("choose a whole number from {least} to {most}"))
}

/// A description as one line of advice.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
