//! What is asked for, by fields of the request.

use prost_reflect::MessageDescriptor;

use super::super::super::place::Place;
use super::super::super::{Code, Diagnostic, raw, suggest};
use super::fit::{self, Holds, unfit};
use crate::event::IdKind;
use crate::replication::{Comparison, ConditionAsked, Paging, RequestPath, Subscription};

/// The field that holds the id.
pub(super) fn id(
    request: &MessageDescriptor,
    text: &str,
    of: &Subscription,
    at: Place<'_>,
) -> Result<RequestPath, Diagnostic> {
    let kind = of.selection.id_kind();
    let wanted: &[Holds] = match kind {
        IdKind::String | IdKind::Int => &[Holds::Text, Holds::Whole],
        IdKind::ObjectId | IdKind::Uuid => &[Holds::Text],
    };
    let help = "name a field that holds one id, as text or as a whole number";
    one(request, text, wanted, at, &format!("an id of `{}`, which is of the type {kind}", of.name), help)
}

/// A condition of a list.
pub(super) fn condition(
    request: &MessageDescriptor,
    on: &str,
    text: &str,
    of: &Subscription,
    at: Place<'_>,
) -> Result<ConditionAsked, Diagnostic> {
    let (name, comparison) = Comparison::of(on);
    let filters = &of.reads.filters;
    let field = of.selection.fields().find(|field| field.name == name && filters.contains(&field.name));
    let Some(field) = field else {
        let message = format!("`{}` cannot be asked for by `{name}`", of.name);
        return Err(Diagnostic::new(Code::UnknownName, at.key, message)
            .why("not declared under the replica's `reads.filters`")
            .help(suggest::advice(name, filters.iter().map(String::as_str))));
    };
    let value = path(request, text, at)?;
    let message = format!("`{on}` cannot be asked for by `{text}`");
    let Some(last) = value.0.last() else { return Err(unfit(at, message, "it leads nowhere")) };
    let is_range = !matches!(comparison, Comparison::Equal | Comparison::In);
    if last.is_map() || !fit::is_askable(field.kind, last) {
        let why = format!("this is {}, and `{name}` is stored as {}", fit::in_words(last), field.kind);
        return Err(unfit(at, message, why).help("name a field of the request that holds such a value"));
    }
    if is_range && field.protect.is_some() {
        let why = format!("`{name}` is kept as a hash, and hashes have no order");
        return Err(Diagnostic::new(Code::BadFit, at.key, message)
            .why(why)
            .help("ask for it without `.gt`, `.gte`, `.lt` and `.lte`"));
    }
    if is_range && (last.is_list() || fit::holds(last) == Holds::Word) {
        let why = format!("this is {}, which is no end of a range", fit::in_words(last));
        return Err(unfit(at, message, why).help("ask for it without `.gt`, `.gte`, `.lt` and `.lte`"));
    }
    Ok(ConditionAsked { on: on.to_owned(), kind: field.kind, value })
}

/// The field that says how many, as named or by its usual name.
pub(super) fn size(
    request: &MessageDescriptor,
    named: Option<&str>,
    list: Place<'_>,
) -> Result<Option<RequestPath>, Diagnostic> {
    let Some(name) = named.or_else(|| usual(request, "page_size")) else { return Ok(None) };
    let help = "name a field that holds a whole number";
    one(request, name, &[Holds::Whole], list.at("page_size"), "a number of entities", help).map(Some)
}

/// The fields by which a list goes on: both, or none.
pub(super) fn paging(
    request: &MessageDescriptor,
    answer: &MessageDescriptor,
    list: &raw::List,
    at: Place<'_>,
) -> Result<Option<Paging>, Diagnostic> {
    let token = list.page_token.as_deref().or_else(|| usual(request, "page_token"));
    let next = list.next_page_token.as_deref().or_else(|| usual(answer, "next_page_token"));
    let help = "name a field that holds text";
    let read = |message, name, key| one(message, name, &[Holds::Text], at.at(key), "a page token", help);
    match (token, next) {
        (Some(token), Some(next)) => {
            let token = read(request, token, "page_token")?;
            let next = read(answer, next, "next_page_token")?;
            match next.0.as_slice() {
                [next] => Ok(Some(Paging { token, next: next.clone() })),
                _ => Err(unfit(
                    at.at("next_page_token"),
                    "the token is inside of another field",
                    "it leads deeper",
                )
                .help("name a field of the answer itself")),
            }
        }
        _ if list.page_token.is_none() && list.next_page_token.is_none() => Ok(None),
        _ => Err(Diagnostic::new(Code::OneOf, at.key, "a list has both tokens, or none")
            .why("one of `page_token` and `next_page_token` is missing")
            .help("name both; without them all entities are told at once, up to 1,000")),
    }
}

/// A field that has its usual name.
fn usual<'n>(message: &MessageDescriptor, name: &'n str) -> Option<&'n str> {
    message.get_field_by_name(name).map(|_| name)
}

/// A field that holds one value of one of these kinds.
fn one(
    message: &MessageDescriptor,
    text: &str,
    wanted: &[Holds],
    at: Place<'_>,
    what: &str,
    help: &str,
) -> Result<RequestPath, Diagnostic> {
    let path = path(message, text, at)?;
    match path.0.last() {
        Some(last) if fit::is_single(last) && wanted.contains(&fit::holds(last)) => Ok(path),
        last => {
            let why = last.map_or_else(String::new, |last| format!("this is {}", fit::in_words(last)));
            Err(unfit(at, format!("`{text}` cannot be {what}"), why).help(help))
        }
    }
}

/// A field of a message, or of one within it.
fn path(message: &MessageDescriptor, text: &str, at: Place<'_>) -> Result<RequestPath, Diagnostic> {
    let (mut inside, mut fields) = (Some(message.clone()), Vec::new());
    for name in text.split('.') {
        let Some(message) = inside else {
            return Err(unfit(at, format!("`{text}` leads nowhere"), format!("nothing leads to `{name}`"))
                .help("before a dot stands a field that holds one message"));
        };
        let field = fit::field(&message, name, at.mark())?;
        inside = fit::message(&field).filter(|_| fit::is_single(&field));
        fields.push(field);
    }
    Ok(RequestPath(fields))
}
