//! What a reader may ask of a whole replica: equality and ranges on declared fields, never an operator of its own.

use std::fmt;

use bson::Bson;
use serde_json::value::{RawValue, to_raw_value};

use super::{Record, Subscription};
use crate::event::{DecodeError, EntityId, Field, FieldType};

/// How many values one condition may name.
const MOST_VALUES: usize = 100;
/// How many conditions there may be.
const MOST_CONDITIONS: usize = 8;

/// A condition on live records, and with it the order in which they come: that of the field with a range, if there is
/// one, and then that of their ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// The fields that have one of these values.
    pub equal: Vec<(String, Vec<Bson>)>,
    /// The field whose values lie in a range.
    pub range: Option<Range>,
}

/// A range of one field's values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Range {
    /// The field.
    pub field: String,
    /// Where it begins.
    pub from: Option<Bound>,
    /// Where it ends.
    pub to: Option<Bound>,
}

/// One end of a range.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// The value.
    pub value: Bson,
    /// Whether that value itself is in the range.
    pub included: bool,
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It has the value.
    Equal,
    /// It has one of several values, separated by commas.
    In,
    /// It is above the value.
    Above,
    /// It is the value or above it.
    From,
    /// It is below the value.
    Below,
    /// It is the value or below it.
    To,
}

/// Why a condition cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Lists cannot be asked for by it.
    #[error("`{replica}` cannot be asked for by `{field}`; {known}")]
    UnknownField {
        /// The replica.
        replica: String,
        /// The field as it was given.
        field: String,
        /// By which fields it can.
        known: String,
    },
    /// The value is none of the field's type.
    #[error("`{field}`: {detail}")]
    BadValue {
        /// The field.
        field: String,
        /// What is wrong with the value, without saying it.
        detail: String,
    },
    /// Only hashes are known of the field.
    #[error(
        "`{0}` is kept as a hash, and hashes have no order; ask for values that are equal: `{0}=` or `{0}.in=`"
    )]
    NoOrder(String),
    /// There is too much of it, or the same twice.
    #[error("{0}")]
    TooMuch(String),
}

impl Comparison {
    /// Takes a parameter's name apart: the field, and how it is compared, as in `age.gte`.
    pub fn of(parameter: &str) -> (&str, Self) {
        let Some((field, word)) = parameter.rsplit_once('.') else { return (parameter, Self::Equal) };
        let comparison = match word {
            "in" => Self::In,
            "gt" => Self::Above,
            "gte" => Self::From,
            "lt" => Self::Below,
            "lte" => Self::To,
            _ => return (parameter, Self::Equal),
        };
        (field, comparison)
    }
}

impl Query {
    /// Adds a condition on one of these fields, its value as text.
    pub fn add(
        &mut self,
        of: &Subscription,
        allowed: &[String],
        parameter: &str,
        text: &str,
    ) -> Result<(), QueryError> {
        let (name, comparison) = Comparison::of(parameter);
        let field = of.selection.fields().find(|field| field.name == name && allowed.contains(&field.name));
        let field = field.ok_or_else(|| unknown(of, allowed, name))?;
        if self.equal.len() >= MOST_CONDITIONS {
            return Err(QueryError::TooMuch(format!("there are more than {MOST_CONDITIONS} conditions")));
        }
        match comparison {
            Comparison::Equal => self.equal.push((name.to_owned(), asked(of, field, text)?)),
            Comparison::In => {
                let texts: Vec<&str> = text.split(',').collect();
                if texts.len() > MOST_VALUES {
                    let detail = format!("`{parameter}` names more than {MOST_VALUES} values");
                    return Err(QueryError::TooMuch(detail));
                }
                let read: Result<Vec<_>, _> = texts.into_iter().map(|text| asked(of, field, text)).collect();
                self.equal.push((name.to_owned(), read?.into_iter().flatten().collect()));
            }
            _ if field.protect.is_some() => return Err(QueryError::NoOrder(name.to_owned())),
            bound => self.bound(field, bound, text)?,
        }
        Ok(())
    }

    fn bound(&mut self, field: &Field, comparison: Comparison, text: &str) -> Result<(), QueryError> {
        // A range has one type; where the field has any, a number is meant where one is written.
        let value = values(field, text)?.swap_remove(0);
        let name = &field.name;
        let range = self.range.get_or_insert_with(|| Range { field: name.clone(), ..Range::default() });
        if range.field != *name {
            let detail = format!("only one field can have a range, not both `{}` and `{name}`", range.field);
            return Err(QueryError::TooMuch(detail));
        }
        let included = matches!(comparison, Comparison::From | Comparison::To);
        let end = match comparison {
            Comparison::Above | Comparison::From => &mut range.from,
            _ => &mut range.to,
        };
        match end.replace(Bound { value, included }) {
            None => Ok(()),
            Some(_) => Err(QueryError::TooMuch(format!("`{name}` has the same end of its range twice"))),
        }
    }
}

/// The values that a text may stand for, as they are kept.
fn asked(of: &Subscription, field: &Field, text: &str) -> Result<Vec<Bson>, QueryError> {
    let bad = |error: DecodeError| QueryError::BadValue { field: field.name.clone(), detail: error.detail };
    let sought = |value| of.selection.sought(field, value).map_err(bad);
    values(field, text)?.into_iter().map(sought).collect()
}

/// The values that a text may stand for. In a field of any type `18` is the number, and also that text.
fn values(field: &Field, text: &str) -> Result<Vec<Bson>, QueryError> {
    let bad = |detail: String| QueryError::BadValue { field: field.name.clone(), detail };
    let read = |json: &RawValue| field.kind.read(json, 1).map_err(|error| bad(error.detail));
    let quoted = to_raw_value(text).map_err(|error| bad(error.to_string()))?;
    let plain = || RawValue::from_string(text.to_owned());
    match field.kind {
        FieldType::Any => {
            let number = plain().ok().filter(|json| !json.get().starts_with(['"', '[', '{']));
            let number = number.and_then(|json| read(&json).ok());
            Ok(number.into_iter().chain([Bson::String(text.to_owned())]).collect())
        }
        FieldType::Int | FieldType::Double | FieldType::Bool => {
            let json = plain().map_err(|_| bad(format!("the value is no {}", field.kind)))?;
            Ok(vec![read(&json)?])
        }
        FieldType::Date if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(vec![read(&plain().map_err(|error| bad(error.to_string()))?)?])
        }
        _ => Ok(vec![read(&quoted)?]),
    }
}

fn unknown(of: &Subscription, allowed: &[String], field: &str) -> QueryError {
    let names: Vec<String> = allowed.iter().map(|name| format!("`{name}`")).collect();
    let known = match names.as_slice() {
        [] => "no field is declared for that".to_owned(),
        names => format!("it can by {}", names.join(", ")),
    };
    QueryError::UnknownField { replica: of.name.to_string(), field: field.to_owned(), known }
}

impl fmt::Display for Query {
    /// The conditions in their order, the same for the same query: what a place in its answer belongs to.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (field, values) in &self.equal {
            write!(f, "{field}={values:?};")?;
        }
        self.range.iter().try_for_each(|range| write!(f, "{range:?}"))
    }
}

/// Where a list is taken up again: behind this entity, in the query's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Its value of the field with a range, where the query has one.
    pub value: Option<Bson>,
    /// The entity.
    pub id: EntityId,
}

impl Query {
    /// The place of a record in the order of this query.
    pub fn place(&self, record: &Record) -> Place {
        let value = self.range.as_ref().and_then(|range| record.fields.get(&range.field)).cloned();
        Place { value, id: record.id.clone() }
    }
}
