//! A value of the manifest, and where in which file it stands.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

/// A range of bytes in one of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    /// Which file, by its number.
    pub file: usize,
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// One value, as it was written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a value is, by the core schema of YAML 1.2.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing: an empty value, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number, or one with a fraction.
    Number(serde_json::Number),
    /// Text; the offset is the byte at which the very same text stands in the file, if it does.
    Text(String, Option<usize>),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in its order; every key once.
    Map(Vec<(Key, Node)>),
    /// Something that cannot stand at its place and has been reported: it is there, and says nothing.
    Broken,
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Its text.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// A value together with the key that leads to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'t> {
    /// Where the key stands; the value itself where there is none.
    pub key: Span,
    /// The value.
    pub node: &'t Node,
}

impl<'t> Place<'t> {
    /// The whole of a manifest.
    pub(super) fn root(node: &'t Node) -> Self {
        Self { key: node.span, node }
    }

    /// The value under a key, if this is a mapping that has it.
    pub(super) fn get(self, name: &str) -> Option<Self> {
        self.entries().find(|(key, _)| *key == name).map(|(_, place)| place)
    }

    /// The value under a key, or this one where the key is left out: the nearest thing to point at.
    pub(super) fn at(self, name: &str) -> Self {
        self.get(name).unwrap_or(self)
    }

    /// The entries of a mapping, in their order; anything else has none.
    pub(super) fn entries(self) -> impl Iterator<Item = (&'t str, Self)> {
        let entries: &[_] = if let Value::Map(entries) = &self.node.value { entries } else { &[] };
        entries.iter().map(|(key, node)| (key.text.as_str(), Self { key: key.span, node }))
    }

    /// The items of a list; anything else has none.
    pub(super) fn items(self) -> impl Iterator<Item = Self> {
        let items: &[_] = if let Value::List(items) = &self.node.value { items } else { &[] };
        items.iter().map(|node| Self { key: node.span, node })
    }

    /// The keys of the mapping under a key.
    pub(super) fn names(self, of: &str) -> Vec<&'t str> {
        self.get(of).into_iter().flat_map(Self::entries).map(|(name, _)| name).collect()
    }

    /// Whether anything stands under a key, be it broken.
    pub(super) fn has(self, name: &str) -> bool {
        self.get(name).is_some_and(|place| !matches!(place.node.value, Value::Null))
    }

    /// Whether this has been reported already.
    pub(super) fn is_broken(self) -> bool {
        matches!(self.node.value, Value::Broken)
    }

    /// The text, if this is one.
    pub(super) fn text(self) -> Option<&'t str> {
        if let Value::Text(text, _) = &self.node.value { Some(text) } else { None }
    }

    /// What to point at: a value that stands in its line, or the key of a larger or an empty one.
    pub(super) fn mark(self) -> Span {
        match self.node.value {
            Value::List(_) | Value::Map(_) | Value::Null => self.key,
            Value::Bool(_) | Value::Number(_) | Value::Text(..) | Value::Broken => self.node.span,
        }
    }

    /// Where a part of the text stands, from one byte of it on; the whole where it is written otherwise.
    pub(super) fn part(self, from: usize, length: usize) -> Span {
        match &self.node.value {
            Value::Text(text, Some(offset)) if from <= text.len() => {
                let end = (from + length).min(text.len()).max(from);
                Span { start: offset + from, end: offset + end, ..self.node.span }
            }
            _ => self.mark(),
        }
    }
}

impl Node {
    /// What kind of value it is, in words for a person.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(number) if number.is_f64() => "a number with a fraction",
            Value::Number(_) => "a whole number",
            Value::Text(..) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Broken => "broken",
        }
    }

    /// Takes the meaning from values that cannot stand where they do.
    pub(super) fn break_at(&mut self, places: &BTreeSet<Span>) {
        if places.contains(&self.span) {
            self.value = Value::Broken;
        }
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|node| node.break_at(places)),
            Value::Map(entries) => entries.iter_mut().for_each(|(_, node)| node.break_at(places)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(..) | Value::Broken => {}
        }
    }

    /// The value as JSON, without what is broken.
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Null | Value::Broken => Json::Null,
            Value::Bool(truth) => Json::Bool(*truth),
            Value::Number(number) => Json::Number(number.clone()),
            Value::Text(text, _) => Json::String(text.clone()),
            Value::List(items) => {
                Json::Array(items.iter().filter(|node| node.is_sound()).map(Self::to_json).collect())
            }
            Value::Map(entries) => {
                let sound = entries.iter().filter(|(_, node)| node.is_sound());
                let entries = sound.map(|(key, node)| (key.text.clone(), node.to_json()));
                Json::Object(entries.collect::<Map<_, _>>())
            }
        }
    }

    fn is_sound(&self) -> bool {
        !matches!(self.value, Value::Broken)
    }
}
