//! Filters, as MongoDB understands them: exactly the operators that nearcopy uses, and no guess at any other.

use std::cmp::Ordering;

use bson::{Bson, Document};

use super::order::{comparable, compare};

/// Whether a document matches.
pub(super) fn matches(document: &Document, filter: &Document) -> bool {
    filter.iter().all(|(name, condition)| match name.as_str() {
        "$and" => branches(condition).all(|branch| matches(document, branch)),
        "$or" => branches(condition).any(|branch| matches(document, branch)),
        "$nor" => !branches(condition).any(|branch| matches(document, branch)),
        operator if operator.starts_with('$') => unknown(operator),
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

fn branches(list: &Bson) -> impl Iterator<Item = &Document> {
    list.as_array().unwrap().iter().map(|branch| branch.as_document().unwrap())
}

fn meets(document: &Document, path: &str, condition: &Bson) -> bool {
    match condition {
        Bson::Document(operators) if operators.keys().next().is_some_and(|name| name.starts_with('$')) => {
            operators.iter().all(|(operator, operand)| holds(document, path, operator, operand))
        }
        value => any(document, path, |found| equals(found, value)),
    }
}

fn holds(document: &Document, path: &str, operator: &str, operand: &Bson) -> bool {
    match operator {
        "$eq" => any(document, path, |found| equals(found, operand)),
        "$ne" => !any(document, path, |found| equals(found, operand)),
        "$not" => !meets(document, path, operand),
        "$gte" => any(document, path, |found| is_ordered(found, operand, Ordering::is_ge)),
        "$lt" => any(document, path, |found| is_ordered(found, operand, Ordering::is_lt)),
        "$in" => {
            let list = operand.as_array().unwrap();
            any(document, path, |found| list.iter().any(|value| equals(found, value)))
        }
        "$exists" => any(document, path, |found| found.is_some()) == operand.as_bool().unwrap(),
        "$type" => any(document, path, |found| is_of_type(found, operand)),
        "$elemMatch" => {
            let condition = operand.as_document().unwrap();
            reach(document, path, Leaf::Whole)
                .into_iter()
                .flatten()
                .any(|found| has_element(found, condition))
        }
        other => unknown(other),
    }
}

fn unknown(operator: &str) -> ! {
    panic!("the double does not know the operator `{operator}` in a filter")
}

fn any(document: &Document, path: &str, test: impl FnMut(Option<&Bson>) -> bool) -> bool {
    reach(document, path, Leaf::Expanded).into_iter().any(test)
}

/// Nothing is equal to null, and to nothing else.
fn equals(found: Option<&Bson>, value: &Bson) -> bool {
    assert!(!matches!(value, Bson::RegularExpression(_)), "the double matches no regular expressions");
    compare(found.unwrap_or(&Bson::Null), value) == Ordering::Equal
}

/// Values are compared with values of their kind only; null is compared with nothing here.
fn is_ordered(found: Option<&Bson>, value: &Bson, wanted: fn(Ordering) -> bool) -> bool {
    assert!(!matches!(value, Bson::Null | Bson::Array(_)), "the double orders no null and no arrays");
    found.is_some_and(|found| comparable(found, value) && wanted(compare(found, value)))
}

fn is_of_type(found: Option<&Bson>, wanted: &Bson) -> bool {
    match wanted.as_str() {
        Some("array") => matches!(found, Some(Bson::Array(_))),
        _ => panic!("the double does not know the type {wanted} in a filter"),
    }
}

/// An element that is an array itself is looked at as a document with numbers as names.
fn has_element(found: &Bson, condition: &Document) -> bool {
    let Bson::Array(elements) = found else { return false };
    elements.iter().any(|element| match element {
        Bson::Document(element) => matches(element, condition),
        Bson::Array(nested) => {
            let numbered = nested.iter().enumerate().map(|(at, value)| (at.to_string(), value.clone()));
            matches(&numbered.collect(), condition)
        }
        _ => false,
    })
}

/// Follows a path through documents, and through the documents in arrays.
fn reach<'d>(document: &'d Document, path: &str, leaf: Leaf) -> Reached<'d> {
    let names: Vec<&str> = path.split('.').collect();
    let mut reached = Vec::new();
    walk(document, &names, leaf, &mut reached);
    reached
}

fn walk<'d>(document: &'d Document, names: &[&str], leaf: Leaf, reached: &mut Reached<'d>) {
    let Some((name, rest)) = names.split_first() else { return };
    let Some(value) = document.get(name) else { return reached.push(None) };
    let Some(next) = rest.first() else { return end(value, leaf, reached) };
    match value {
        Bson::Document(inner) => walk(inner, rest, leaf, reached),
        Bson::Array(elements) => {
            let is_number = next.bytes().all(|byte| byte.is_ascii_digit());
            assert!(!is_number, "the double knows no numbers in paths");
            let inner = elements.iter().filter_map(Bson::as_document);
            inner.for_each(|element| walk(element, rest, leaf, reached));
        }
        _ => reached.push(None),
    }
}

fn end<'d>(value: &'d Bson, leaf: Leaf, reached: &mut Reached<'d>) {
    if let (Bson::Array(elements), Leaf::Expanded) = (value, leaf) {
        reached.extend(elements.iter().map(Some));
    }
    reached.push(Some(value));
}
