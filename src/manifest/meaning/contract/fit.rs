//! What can be said in which field of a message, and what can be asked by it.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::super::super::place::{Place, Span};
use super::super::super::{Code, Diagnostic, suggest};
use crate::event::{FieldType, IdKind};

/// The kinds of value that a field of a message holds, as far as they matter here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Truth,
    Whole,
    Fraction,
    Text,
    Bytes,
    /// One of the words of an enum.
    Word,
    Time,
    /// Something that is written as text, and is none.
    Written,
    Message,
    Struct,
    List,
    /// A message of any type.
    AnyMessage,
    Anything,
}

/// What one value of a field is.
pub(super) fn holds(field: &FieldDescriptor) -> Holds {
    let message = match field.kind() {
        Kind::Bool => return Holds::Truth,
        Kind::Double | Kind::Float => return Holds::Fraction,
        Kind::String => return Holds::Text,
        Kind::Bytes => return Holds::Bytes,
        Kind::Enum(_) => return Holds::Word,
        Kind::Message(message) => message,
        _ => return Holds::Whole,
    };
    match message.full_name().strip_prefix("google.protobuf.") {
        Some("BoolValue") => Holds::Truth,
        Some("DoubleValue" | "FloatValue") => Holds::Fraction,
        Some("Int32Value" | "Int64Value" | "UInt32Value" | "UInt64Value") => Holds::Whole,
        Some("StringValue") => Holds::Text,
        Some("BytesValue") => Holds::Bytes,
        Some("Timestamp") => Holds::Time,
        Some("Duration" | "FieldMask") => Holds::Written,
        Some("Struct") => Holds::Struct,
        Some("ListValue") => Holds::List,
        Some("Value") => Holds::Anything,
        Some("Any") => Holds::AnyMessage,
        _ => Holds::Message,
    }
}

/// Whether a field of a message can say what is stored as this type.
pub(super) fn is_sayable(stored: FieldType, field: &FieldDescriptor) -> bool {
    if field.is_list() || field.is_map() {
        let wanted = if field.is_map() { FieldType::Object } else { FieldType::Array };
        return stored == FieldType::Any || stored == wanted;
    }
    let holds = holds(field);
    match stored {
        FieldType::Any => true,
        FieldType::String => {
            !matches!(holds, Holds::Truth | Holds::Message | Holds::Struct | Holds::List | Holds::AnyMessage)
        }
        FieldType::Int => {
            matches!(holds, Holds::Whole | Holds::Fraction | Holds::Text | Holds::Word | Holds::Anything)
        }
        FieldType::Double | FieldType::Decimal => {
            matches!(holds, Holds::Fraction | Holds::Text | Holds::Anything)
        }
        FieldType::Bool => matches!(holds, Holds::Truth | Holds::Anything),
        FieldType::Date => matches!(holds, Holds::Time | Holds::Text | Holds::Anything),
        FieldType::ObjectId | FieldType::Uuid => matches!(holds, Holds::Text | Holds::Anything),
        FieldType::Object => {
            matches!(holds, Holds::Message | Holds::Struct | Holds::AnyMessage | Holds::Anything)
        }
        FieldType::Array => matches!(holds, Holds::List | Holds::Anything),
    }
}

/// Whether what is stored as this type can be asked for by a field of a request.
pub(super) fn is_askable(stored: FieldType, field: &FieldDescriptor) -> bool {
    let holds = holds(field);
    match stored {
        FieldType::Any => {
            matches!(holds, Holds::Truth | Holds::Whole | Holds::Fraction | Holds::Text | Holds::Word)
        }
        FieldType::String => matches!(holds, Holds::Text | Holds::Word),
        FieldType::Int => matches!(holds, Holds::Whole | Holds::Word),
        FieldType::Double => matches!(holds, Holds::Whole | Holds::Fraction),
        FieldType::Decimal => matches!(holds, Holds::Whole | Holds::Fraction | Holds::Text),
        FieldType::Bool => holds == Holds::Truth,
        FieldType::Date => matches!(holds, Holds::Time | Holds::Text),
        FieldType::ObjectId | FieldType::Uuid => holds == Holds::Text,
        FieldType::Object | FieldType::Array => false,
    }
}

/// The type that ids of this kind are told as.
pub(super) fn of_id(kind: IdKind) -> FieldType {
    match kind {
        IdKind::String => FieldType::String,
        IdKind::Int => FieldType::Int,
        IdKind::ObjectId => FieldType::ObjectId,
        IdKind::Uuid => FieldType::Uuid,
    }
}

/// Whether a field has one value, not several.
pub(super) fn is_single(field: &FieldDescriptor) -> bool {
    !field.is_list() && !field.is_map()
}

/// The message that a field holds, or several of them; nothing where it holds something else.
pub(super) fn message(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) if !field.is_map() && holds(field) == Holds::Message => Some(message),
        _ => None,
    }
}

/// What a field is, for a person.
pub(super) fn in_words(field: &FieldDescriptor) -> String {
    match field.kind() {
        _ if field.is_map() => "a map".to_owned(),
        kind if field.is_list() => format!("repeated `{kind:?}`"),
        kind => format!("`{kind:?}`"),
    }
}

/// The field of a message by its name, or by the one it has in JSON.
pub(super) fn field(
    message: &MessageDescriptor,
    name: &str,
    mark: Span,
) -> Result<FieldDescriptor, Diagnostic> {
    let found = message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name));
    found.ok_or_else(|| {
        let names: Vec<String> = message.fields().map(|field| field.name().to_owned()).collect();
        let text = format!("`{}` has no field `{name}`", message.full_name());
        Diagnostic::new(Code::UnknownName, mark, text)
            .why("not declared in the message")
            .help(suggest::advice(name, names.iter().map(String::as_str)))
    })
}

/// A field that is of another kind than needed.
pub(super) fn unfit(at: Place<'_>, message: impl Into<String>, why: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::BadFit, at.mark(), message).why(why)
}
