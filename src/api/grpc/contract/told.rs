//! What is told of entities, put into the messages that a team declares.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde_json::Value as Json;
use tonic::{Code, Status};

use super::super::super::read::{One, Page};
use super::super::{message, method};
use super::say::{self, Unsayable};
use crate::replication::{ContractMethod, Origin, Paging, Says};

/// The answer that tells of one entity.
pub(super) fn one(of: &ContractMethod, one: &One) -> Result<DynamicMessage, Status> {
    let entity = &json(one)?;
    let Some(into) = &of.into else { return told(of, of.method.output(), entity) };
    let mut answer = DynamicMessage::new(of.method.output());
    answer.set_field(into, Value::Message(told(of, inner(into)?, entity)?));
    Ok(answer)
}

/// The answer that tells of several.
pub(super) fn many(
    of: &ContractMethod,
    page: &Page,
    paging: Option<&Paging>,
) -> Result<DynamicMessage, Status> {
    let mut answer = DynamicMessage::new(of.method.output());
    if let Some(into) = &of.into {
        let inner = inner(into)?;
        let told = page.items.iter().map(|one| Ok(Value::Message(told(of, inner.clone(), &json(one)?)?)));
        answer.set_field(into, Value::List(told.collect::<Result<_, Status>>()?));
    }
    if let (Some(next), Some(paging)) = (&page.next_page_token, paging) {
        answer.set_field(&paging.next, Value::String(next.clone()));
    }
    Ok(answer)
}

fn json(one: &One) -> Result<Json, Status> {
    serde_json::to_value(one).map_err(|error| Status::internal(error.to_string()))
}

fn inner(field: &FieldDescriptor) -> Result<MessageDescriptor, Status> {
    match field.kind() {
        Kind::Message(inner) => Ok(inner),
        _ => Err(Status::internal(format!("`{}` holds no message", field.full_name()))),
    }
}

/// One entity as its message.
fn told(of: &ContractMethod, message: MessageDescriptor, entity: &Json) -> Result<DynamicMessage, Status> {
    let mut told = DynamicMessage::new(message);
    for says in &of.says {
        let Some(stored) = found(entity, &says.from) else { continue };
        let said = said(says, stored).map_err(|field| refused(of, says, &field, entity))?;
        if let Some(said) = said {
            told.set_field(&says.field, said);
        }
    }
    Ok(told)
}

/// What an entity has there.
fn found<'e>(entity: &'e Json, from: &Origin) -> Option<&'e Json> {
    match from {
        Origin::Id => entity.get("id"),
        Origin::Freshness(name) => entity.get(name),
        Origin::Field(name, inside) => {
            inside.iter().try_fold(entity.get("fields")?.get(name)?, |value, name| value.get(name))
        }
    }
}

/// A value as the field says it; nothing, where there is none.
fn said(says: &Says, stored: &Json) -> Result<Option<Value>, Unsayable> {
    match &says.any {
        Some(message) => say::value(&says.field, &say::typed(stored, message)),
        None => say::value(&says.field, stored),
    }
}

/// What cannot be said is told to the caller and to the log, without the value.
fn refused(of: &ContractMethod, says: &Says, field: &Unsayable, entity: &Json) -> Status {
    let id = entity.get("id").map(message::as_text).unwrap_or_default();
    let (from, Unsayable(field)) = (says.from.to_string(), field);
    tracing::error!(
        event = "contract.unsayable",
        entity.r#type = %of.from,
        entity.id = id,
        field = from,
        message.field = %field,
        "what is stored does not fit into the message that is to say it"
    );
    let text = format!("`{from}` of `{}` holds what `{field}` cannot say", of.from);
    let more = [("replica", of.from.clone()), ("id", id), ("field", from), ("message_field", field.clone())];
    method::refused(Code::Internal, "unsayable", more, text)
}
