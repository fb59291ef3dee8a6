//! What a manifest writes where a value belongs: a constant, a part of the event, an expression, or an object of these.

use std::collections::{BTreeMap, HashMap};

use bson::{Bson, DateTime, Document};
use cel::Value;
use cel::objects::Key;

use crate::event::{DecodeError, FieldPath, FieldType, Found, Lookup, Reason, WireFormat};
use crate::replication::expression::Expression;

/// What expressions know: `data` is what the event is about, `event` has its attributes.
pub const VARIABLES: [&str; 2] = ["data", "event"];

/// A value to be made of an event.
#[derive(Clone, Debug)]
pub enum Template {
    /// Always this one.
    Constant(Bson),
    /// The owner's time of the event, as a date.
    Time,
    /// The value at a path of the event.
    At(Part),
    /// What an expression says.
    Computed(Computed),
    /// An object of such values.
    Object(Vec<(String, Template)>),
    /// A list of such values.
    List(Vec<Template>),
}

/// A value of the event, as it stands there.
#[derive(Clone, Debug)]
pub struct Part {
    path: FieldPath,
    slot: usize,
    kind: FieldType,
    default: Option<Bson>,
}

/// An expression, and where the values are that it reads.
#[derive(Clone, Debug)]
pub struct Computed {
    expression: Expression,
    reads: Vec<(FieldPath, usize)>,
}

impl Template {
    /// Prepares an expression; what it reads will be looked up. The error says what is wrong with it.
    pub fn compile(text: &str, lookup: &mut Lookup) -> Result<Self, String> {
        Self::compile_with(text, &[], lookup)
    }

    /// The same, where there are more variables than those of the event.
    pub fn compile_with(text: &str, more: &[&str], lookup: &mut Lookup) -> Result<Self, String> {
        let expression = Expression::compile(text, &[&VARIABLES, more].concat())?;
        let is_of_event =
            |path: &&FieldPath| path.split_first().is_some_and(|(variable, _)| VARIABLES.contains(&variable));
        if let Some(path) = expression.as_path().filter(is_of_event) {
            return Self::part(path, FieldType::Any, None, lookup);
        }
        let mut reads = Vec::new();
        for path in expression.paths().iter().filter(is_of_event) {
            reads.push((path.clone(), lookup.add(&within_event(path, lookup.is_of_changes())?)));
        }
        // What is read as a whole stands first, so that parts of it find it there.
        reads.sort_by_key(|(path, _)| path.names().len());
        Ok(Self::Computed(Computed { expression, reads }))
    }

    /// Prepares the value at a path, as one of that type, and what stands for it where the event has none.
    pub fn part(
        path: &FieldPath,
        kind: FieldType,
        default: Option<Bson>,
        lookup: &mut Lookup,
    ) -> Result<Self, String> {
        if path.names() == ["event", "time"] {
            return Ok(Self::Time);
        }
        let slot = lookup.add(&within_event(path, lookup.is_of_changes())?);
        Ok(Self::At(Part { path: path.clone(), slot, kind, default }))
    }

    /// The value for an event; `None` where it reads what is not there.
    pub fn find_with(
        &self,
        event: &Found<'_, '_>,
        more: &[(&str, &Document)],
    ) -> Result<Option<Bson>, DecodeError> {
        match self {
            Self::Computed(computed) => computed.evaluate(event, more),
            Self::At(part) if event.get(part.slot).is_none() => Ok(part.default.clone()),
            _ => self.fill_with(event, more).map(Some),
        }
    }

    /// The type of the values, as far as that is known before there is an event.
    pub fn kind(&self) -> FieldType {
        match self {
            Self::Constant(Bson::String(_)) => FieldType::String,
            Self::Constant(Bson::Int64(_)) => FieldType::Int,
            Self::Constant(Bson::Double(_)) => FieldType::Double,
            Self::Constant(Bson::Boolean(_)) => FieldType::Bool,
            Self::Constant(_) | Self::Computed(_) => FieldType::Any,
            Self::Time => FieldType::Date,
            Self::At(part) => part.kind,
            Self::Object(_) => FieldType::Object,
            Self::List(_) => FieldType::Array,
        }
    }

    /// Makes the value for an event, or says why that cannot be.
    pub fn fill(&self, event: &Found<'_, '_>) -> Result<Bson, DecodeError> {
        self.fill_with(event, &[])
    }

    /// The same with the values of more variables.
    pub fn fill_with(&self, event: &Found<'_, '_>, more: &[(&str, &Document)]) -> Result<Bson, DecodeError> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Time => time(event).map(Bson::DateTime),
            Self::At(part) => part.read(event),
            Self::Computed(computed) => computed.evaluate(event, more)?.ok_or_else(|| computed.lacks()),
            Self::Object(members) => {
                let filled =
                    members.iter().map(|(name, value)| Ok((name.clone(), value.fill_with(event, more)?)));
                filled.collect::<Result<Document, _>>().map(Bson::Document)
            }
            Self::List(items) => items
                .iter()
                .map(|item| item.fill_with(event, more))
                .collect::<Result<_, _>>()
                .map(Bson::Array),
        }
    }
}

/// The owner's time of an event.
pub fn time(event: &Found<'_, '_>) -> Result<DateTime, DecodeError> {
    let micros = event.notice().time();
    let millis = micros.map(|micros| micros.div_euclid(1000));
    millis.map(DateTime::from_millis).ok_or_else(|| bad("the event has no time that can be read".into()))
}

impl Part {
    fn read(&self, event: &Found<'_, '_>) -> Result<Bson, DecodeError> {
        let Some(raw) = event.get(self.slot) else {
            return self.default.clone().ok_or_else(|| bad(format!("the event has no `{}`", self.path)));
        };
        let read = self.kind.read(raw, event.notice().limits.depth);
        read.map_err(|error| DecodeError::new(error.reason, format!("`{}`: {}", self.path, error.detail)))
    }
}

impl Computed {
    fn evaluate(
        &self,
        event: &Found<'_, '_>,
        more: &[(&str, &Document)],
    ) -> Result<Option<Bson>, DecodeError> {
        let mut variables: BTreeMap<&str, Bson> =
            VARIABLES.iter().map(|name| (*name, Bson::Document(Document::new()))).collect();
        for (path, slot) in &self.reads {
            let raw = event.get(*slot);
            let value = raw.map(|raw| FieldType::Any.read(raw, event.notice().limits.depth)).transpose()?;
            let Some((variable, rest)) = path.names().split_first() else { continue };
            if let Some(root) = variables.get_mut(variable.as_str()) {
                place(root, rest, value);
            }
        }
        let more = more.iter().map(|(name, value)| (*name, Bson::Document(Document::clone(value))));
        let values = variables.into_iter().chain(more).map(|(name, value)| (name, to_cel(value)));
        let Some(value) = self.expression.evaluate(values).map_err(bad)? else { return Ok(None) };
        let text = self.expression.text();
        from_cel(&value).map(Some).ok_or_else(|| bad(format!("`{text}` is nothing that can be stored")))
    }

    fn lacks(&self) -> DecodeError {
        bad(format!("`{}` reads what the event does not have", self.expression.text()))
    }
}

/// A path of an expression as a path of the event.
fn within_event(path: &FieldPath, is_change: bool) -> Result<FieldPath, String> {
    let Some(("event", attribute)) = path.split_first() else { return Ok(path.clone()) };
    let known = |name: &String| WireFormat::OF_CHANGE.contains(&name.as_str());
    match attribute.names() {
        [name] if !is_change || known(name) => Ok(attribute),
        [name, _, ..] if is_change && name == "before" => Ok(attribute),
        _ if is_change => {
            Err("of `event` there are `id`, `type`, `time`, `key`, `version` and `before`, and only into \
                               `before` leads a path"
                .into())
        }
        _ => {
            Err("of `event` there are `id`, `type`, `time`, `routing_key` and what else its format has, each by itself"
                .into())
        }
    }
}

/// Puts a value at a path of objects, which are made where there are none.
fn place(root: &mut Bson, names: &[String], value: Option<Bson>) {
    let Some((name, rest)) = names.split_first() else {
        *root = value.unwrap_or(Bson::Null);
        return;
    };
    if rest.is_empty() && value.is_none() {
        return;
    }
    if let Bson::Document(members) = root {
        place(members.entry(name.clone()).or_insert(Bson::Document(Document::new())), rest, value);
    }
}

fn to_cel(value: Bson) -> Value {
    match value {
        Bson::String(text) => Value::String(text.into()),
        Bson::Int64(number) => Value::Int(number),
        Bson::Int32(number) => Value::Int(number.into()),
        Bson::Double(number) => Value::Float(number),
        Bson::Boolean(truth) => Value::Bool(truth),
        Bson::Array(items) => Value::List(items.into_iter().map(to_cel).collect::<Vec<_>>().into()),
        Bson::Document(members) => {
            let members = members.into_iter().map(|(name, value)| (name, to_cel(value)));
            Value::Map(members.collect::<HashMap<String, Value>>().into())
        }
        Bson::Null => Value::Null,
        Bson::DateTime(time) => Value::String(time.try_to_rfc3339_string().unwrap_or_default().into()),
        Bson::ObjectId(id) => Value::String(id.to_hex().into()),
        // What no double holds, for one.
        other => Value::String(other.to_string().into()),
    }
}

fn from_cel(value: &Value) -> Option<Bson> {
    Some(match value {
        Value::String(text) => Bson::String(text.to_string()),
        Value::Int(number) => Bson::Int64(*number),
        Value::UInt(number) => Bson::Int64(i64::try_from(*number).ok()?),
        Value::Float(number) => Bson::Double(*number),
        Value::Bool(truth) => Bson::Boolean(*truth),
        Value::Null => Bson::Null,
        Value::List(items) => Bson::Array(items.iter().map(from_cel).collect::<Option<_>>()?),
        Value::Map(map) => {
            let mut members = BTreeMap::new();
            for (key, value) in map.map.iter() {
                let Key::String(name) = key else { return None };
                members.insert(name.to_string(), from_cel(value)?);
            }
            Bson::Document(members.into_iter().collect())
        }
        _ => return None,
    })
}

fn bad(why: String) -> DecodeError {
    DecodeError::new(Reason::BadField, why)
}
