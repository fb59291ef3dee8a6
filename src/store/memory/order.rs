//! MongoDB's order of values: by kind first, numbers of all types as one kind, documents field by field.

use std::cmp::Ordering;

use bson::{Bson, Document};

/// An `_id`, in MongoDB's order.
#[derive(Clone, Debug)]
pub(super) struct Id(pub(super) Bson);

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Id {}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

/// The order over all kinds, as sorting and expressions have it.
pub(super) fn compare(left: &Bson, right: &Bson) -> Ordering {
    let by_kind = kind(left).cmp(&kind(right));
    by_kind.then_with(|| match (left, right) {
        (Bson::Document(left), Bson::Document(right)) => compare_documents(left, right),
        (Bson::Array(left), Bson::Array(right)) => compare_arrays(left, right),
        (Bson::ObjectId(left), Bson::ObjectId(right)) => left.cmp(right),
        (Bson::Boolean(left), Bson::Boolean(right)) => left.cmp(right),
        (Bson::DateTime(left), Bson::DateTime(right)) => left.cmp(right),
        (Bson::Timestamp(left), Bson::Timestamp(right)) => left.cmp(right),
        (Bson::Binary(left), Bson::Binary(right)) => {
            let facts = |binary: &bson::Binary| (binary.bytes.len(), u8::from(binary.subtype));
            facts(left).cmp(&facts(right)).then_with(|| left.bytes.cmp(&right.bytes))
        }
        _ if kind(left) == NUMBER => compare_numbers(left, right),
        _ if kind(left) == TEXT => text(left).cmp(text(right)),
        // Those of which nearcopy has none. There is an order, if not the database's.
        _ if (CODE..LAST).contains(&kind(left)) => left.to_string().cmp(&right.to_string()),
        _ => Ordering::Equal,
    })
}

/// Whether two values are of one kind, so that `$gte` and `$lt` compare them at all.
pub(super) fn comparable(left: &Bson, right: &Bson) -> bool {
    kind(left) == kind(right) && !is_nan(left) && !is_nan(right)
}

/// Whether two values are the same to the byte, types of numbers and order of fields included.
pub(super) fn identical(left: &Bson, right: &Bson) -> bool {
    let bytes = |value: &Bson| bson::doc! { "": value }.to_vec().ok();
    bytes(left).is_some_and(|left| Some(left) == bytes(right))
}

const NUMBER: u8 = 10;
const TEXT: u8 = 15;
const CODE: u8 = 50;
const LAST: u8 = 127;

fn kind(value: &Bson) -> u8 {
    match value {
        Bson::MinKey => 0,
        Bson::Undefined => 3,
        Bson::Null => 5,
        Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::Decimal128(_) => NUMBER,
        Bson::String(_) | Bson::Symbol(_) => TEXT,
        Bson::Document(_) => 20,
        Bson::Array(_) => 25,
        Bson::Binary(_) => 30,
        Bson::ObjectId(_) => 35,
        Bson::Boolean(_) => 40,
        Bson::DateTime(_) => 45,
        Bson::Timestamp(_) => 47,
        Bson::RegularExpression(_) => CODE,
        Bson::DbPointer(_) => 55,
        Bson::JavaScriptCode(_) => 60,
        Bson::JavaScriptCodeWithScope(_) => 65,
        Bson::MaxKey => LAST,
    }
}

fn is_nan(value: &Bson) -> bool {
    kind(value) == NUMBER && matches!(number(value), Number::Double(number) if number.is_nan())
}

fn text(value: &Bson) -> &str {
    match value {
        Bson::String(text) | Bson::Symbol(text) => text,
        _ => "",
    }
}

fn compare_documents(left: &Document, right: &Document) -> Ordering {
    let pairs = left.iter().zip(right.iter());
    let by_field = pairs.map(|((left_name, left), (right_name, right))| {
        let by_kind = kind(left).cmp(&kind(right));
        by_kind.then_with(|| left_name.cmp(right_name)).then_with(|| compare(left, right))
    });
    first_difference(by_field).then_with(|| left.len().cmp(&right.len()))
}

fn compare_arrays(left: &[Bson], right: &[Bson]) -> Ordering {
    let by_element = left.iter().zip(right).map(|(left, right)| compare(left, right));
    first_difference(by_element).then_with(|| left.len().cmp(&right.len()))
}

fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders.find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
}

/// A number, as far as its type matters to the order.
enum Number {
    Whole(i64),
    Double(f64),
}

/// A decimal counts as the double next to it, which is not the database's order to the last digit.
fn number(value: &Bson) -> Number {
    match value {
        Bson::Int32(number) => Number::Whole(i64::from(*number)),
        Bson::Int64(number) => Number::Whole(*number),
        Bson::Double(number) => Number::Double(*number),
        other => Number::Double(other.to_string().parse().unwrap_or(f64::NAN)),
    }
}

/// Numbers of all types are compared exactly; what is no number is below all.
fn compare_numbers(left: &Bson, right: &Bson) -> Ordering {
    match (number(left), number(right)) {
        (Number::Double(left), Number::Double(right)) => compare_doubles(left, right),
        (Number::Double(double), Number::Whole(whole)) => compare_mixed(whole, double).reverse(),
        (Number::Whole(whole), Number::Double(double)) => compare_mixed(whole, double),
        (Number::Whole(left), Number::Whole(right)) => left.cmp(&right),
    }
}

fn compare_doubles(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

fn compare_mixed(whole: i64, double: f64) -> Ordering {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if double.is_nan() || double < -BEYOND {
        return Ordering::Greater;
    }
    if double >= BEYOND {
        return Ordering::Less;
    }
    #[expect(clippy::cast_possible_truncation, reason = "what is beyond an i64 is dealt with above")]
    let floor = double.floor() as i64;
    whole.cmp(&floor).then_with(|| 0.0_f64.total_cmp(&double.fract().abs()))
}
