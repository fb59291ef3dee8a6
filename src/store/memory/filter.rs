//! Filters, as MongoDB understands them: exactly the operators that nearcopy uses, and no guess at any other.

use std::cmp::Ordering;

use bson::{Bson, Document};

use super::order::{comparable, compare};
use super::unknown::{Known, unknown};

/// Whether a document matches.
pub(super) fn matches(document: &Document, filter: &Document) -> Known<bool> {
    all(filter, |(name, condition)| match name.as_str() {
        "$and" => all(branches(condition)?, |branch| matches(document, branch)),
        "$or" => some(branches(condition)?, |branch| matches(document, branch)),
        "$nor" => some(branches(condition)?, |branch| matches(document, branch)).map(|any| !any),
        operator if operator.starts_with('$') => not_an_operator(operator),
        path => meets(document, path, condition),
    })
}

/// What a path leads to: the values it reaches, and `None` where it ends in nothing.
type Reached<'d> = Vec<Option<&'d Bson>>;

/// What becomes of an array at the end of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaf {
    /// Each of its elements is looked at, and then the array itself.
    Expanded,
    /// Only the array itself.
    Whole,
}

/// Whether all pass a test. The first that does not, or of which nobody knows, is the last that is looked at.
fn all<T>(items: impl IntoIterator<Item = T>, mut test: impl FnMut(T) -> Known<bool>) -> Known<bool> {
    for item in items {
        if !test(item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether any passes a test.
fn some<T>(items: impl IntoIterator<Item = T>, mut test: impl FnMut(T) -> Known<bool>) -> Known<bool> {
    all(items, |item| test(item).map(|passes| !passes)).map(|none| !none)
}

fn branches(list: &Bson) -> Known<Vec<&Document>> {
    let listed = list.as_array().and_then(|branches| branches.iter().map(Bson::as_document).collect());
    listed.map_or_else(|| unknown(format!("`{list}` as a list of filters")), Ok)
}

fn meets(document: &Document, path: &str, condition: &Bson) -> Known<bool> {
    match condition {
        Bson::Document(operators) if operators.keys().next().is_some_and(|name| name.starts_with('$')) => {
            all(operators, |(operator, operand)| holds(document, path, operator, operand))
        }
        value => equal(document, path, value),
    }
}

fn holds(document: &Document, path: &str, operator: &str, operand: &Bson) -> Known<bool> {
    match (operator, operand) {
        ("$eq", _) => equal(document, path, operand),
        ("$ne", _) => equal(document, path, operand).map(|equal| !equal),
        ("$not", _) => meets(document, path, operand).map(|meets| !meets),
        ("$gte" | "$lt", Bson::Null | Bson::Array(_)) => unknown(format!("`{operator}` of `{operand}`")),
        ("$gte", _) => any(document, path, |found| is_ordered(found, operand, Ordering::is_ge)),
        ("$lt", _) => any(document, path, |found| is_ordered(found, operand, Ordering::is_lt)),
        ("$in", Bson::Array(list)) => some(list, |value| equal(document, path, value)),
        ("$exists", Bson::Boolean(wanted)) => {
            any(document, path, |found| found.is_some()).map(|exists| exists == *wanted)
        }
        ("$type", Bson::String(kind)) if kind == "array" => {
            any(document, path, |found| matches!(found, Some(Bson::Array(_))))
        }
        ("$elemMatch", Bson::Document(condition)) => {
            let reached = reach(document, path, Leaf::Whole)?;
            some(reached.into_iter().flatten(), |found| has_element(found, condition))
        }
        _ => not_an_operator(&format!("{operator}: {operand}")),
    }
}

fn not_an_operator<T>(operator: &str) -> Known<T> {
    unknown(format!("the operator `{operator}` in a filter"))
}

fn any(document: &Document, path: &str, test: impl FnMut(Option<&Bson>) -> bool) -> Known<bool> {
    Ok(reach(document, path, Leaf::Expanded)?.into_iter().any(test))
}

/// Nothing is equal to null, and to nothing else.
fn equal(document: &Document, path: &str, value: &Bson) -> Known<bool> {
    if matches!(value, Bson::RegularExpression(_)) {
        return unknown("regular expressions");
    }
    any(document, path, |found| compare(found.unwrap_or(&Bson::Null), value) == Ordering::Equal)
}

/// Values are compared with values of their kind only.
fn is_ordered(found: Option<&Bson>, value: &Bson, wanted: fn(Ordering) -> bool) -> bool {
    found.is_some_and(|found| comparable(found, value) && wanted(compare(found, value)))
}

/// An element that is an array itself is looked at as a document with numbers as names.
fn has_element(found: &Bson, condition: &Document) -> Known<bool> {
    let Bson::Array(elements) = found else { return Ok(false) };
    some(elements, |element| match element {
        Bson::Document(element) => matches(element, condition),
        Bson::Array(nested) => {
            let numbered = nested.iter().enumerate().map(|(at, value)| (at.to_string(), value.clone()));
            matches(&numbered.collect(), condition)
        }
        _ => Ok(false),
    })
}

/// Follows a path through documents, and through the documents in arrays.
fn reach<'d>(document: &'d Document, path: &str, leaf: Leaf) -> Known<Reached<'d>> {
    let names: Vec<&str> = path.split('.').collect();
    let mut reached = Vec::new();
    walk(document, &names, leaf, &mut reached)?;
    Ok(reached)
}

fn walk<'d>(document: &'d Document, names: &[&str], leaf: Leaf, reached: &mut Reached<'d>) -> Known<()> {
    let Some((name, rest)) = names.split_first() else { return Ok(()) };
    match (document.get(name), rest.first()) {
        (Some(value), None) => end(value, leaf, reached),
        (Some(Bson::Document(inner)), Some(_)) => walk(inner, rest, leaf, reached)?,
        (Some(Bson::Array(_)), Some(next)) if next.bytes().all(|byte| byte.is_ascii_digit()) => {
            return unknown(format!("the number {next} in a path"));
        }
        (Some(Bson::Array(elements)), Some(_)) => {
            let mut inner = elements.iter().filter_map(Bson::as_document);
            inner.try_for_each(|element| walk(element, rest, leaf, reached))?;
        }
        _ => reached.push(None),
    }
    Ok(())
}

fn end<'d>(value: &'d Bson, leaf: Leaf, reached: &mut Reached<'d>) {
    if let (Bson::Array(elements), Leaf::Expanded) = (value, leaf) {
        reached.extend(elements.iter().map(Some));
    }
    reached.push(Some(value));
}
