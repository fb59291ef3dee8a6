//! CloudEvents 1.0 over AMQP: structured mode by content type, binary mode by header prefix.
//!
//! AMQP 0.9.1 has no binding of its own; the one of AMQP 1.0 is used by habit, with `cloudEvents_` or
//! `cloudEvents:` before the attribute's name. Both are accepted.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::extract::{Members, broken};
use super::{DecodeError, Limits, Message, Notice, Reason};

const STRUCTURED: &str = "application/cloudevents";
const BATCH: &str = "application/cloudevents-batch";
const PREFIXES: [&str; 2] = ["cloudEvents_", "cloudEvents:"];
/// What the specification says of an event. An extension, or a `subject`, may be anybody's data.
const CONTEXT: [&str; 7] = ["specversion", "id", "type", "source", "time", "datacontenttype", "dataschema"];

/// Whether a header is one that tells of the event, and not of whom it is about.
pub fn is_context_header(header: &str) -> bool {
    attribute(header).is_some_and(|name| CONTEXT.contains(&name))
}

/// The attribute that a header carries, if it carries one.
fn attribute(header: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|prefix| header.strip_prefix(prefix))
}

/// Opens a CloudEvent; `text` is the body, already known to be UTF-8 and within size.
pub fn open<'a>(message: &Message<'a>, text: &'a str, limits: Limits) -> Result<Notice<'a>, DecodeError> {
    let content_type = message.content_type.unwrap_or_default().to_ascii_lowercase();
    if content_type.starts_with(BATCH) {
        return Err(DecodeError::new(
            Reason::NotJson,
            "a batch of CloudEvents is not accepted, send them singly",
        ));
    }
    if content_type.starts_with(STRUCTURED) {
        structured(text, limits)
    } else {
        binary(message, text, limits)
    }
}

fn structured(text: &str, limits: Limits) -> Result<Notice<'_>, DecodeError> {
    let Members(members) = serde_json::from_str(text).map_err(|error| broken(&error))?;
    let mut data = None;
    let mut attributes: Vec<(Cow<'_, str>, Cow<'_, RawValue>)> = Vec::with_capacity(members.len());
    let names: BTreeSet<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
    if names.len() < members.len() {
        return Err(DecodeError::new(Reason::DuplicateKey, "an attribute stands twice"));
    }
    for (name, raw) in members {
        if name == "data" {
            data = Some(raw);
        } else {
            attributes.push((name, Cow::Borrowed(raw)));
        }
    }
    let has = |wanted: &str| attributes.iter().any(|(name, _)| name == wanted);
    if data.is_none() && has("data_base64") {
        return Err(DecodeError::new(Reason::NotJson, "the data is binary (data_base64), JSON is needed"));
    }
    if !has("specversion") {
        return Err(DecodeError::new(
            Reason::NoType,
            "the event has no `specversion`, so it is no CloudEvent",
        ));
    }
    Notice::new(attributes, data, Some(text), limits)
}

fn binary<'a>(message: &Message<'a>, text: &'a str, limits: Limits) -> Result<Notice<'a>, DecodeError> {
    let mut attributes = Vec::new();
    for (header, value) in message.headers {
        let Some(name) = attribute(header) else { continue };
        if attributes.iter().any(|(known, _)| *known == name) {
            return Err(DecodeError::new(Reason::DuplicateKey, "an attribute stands under both prefixes"));
        }
        let raw = serde_json::value::to_raw_value(value).map_err(|error| broken(&error))?;
        attributes.push((Cow::Borrowed(name), Cow::Owned(raw)));
    }
    if !attributes.iter().any(|(name, _)| name == "specversion") {
        let why = "neither `application/cloudevents` nor a `cloudEvents_specversion` header: no CloudEvent";
        return Err(DecodeError::new(Reason::NoType, why));
    }
    let data: Option<&RawValue> = match text.trim() {
        "" => None,
        json => Some(serde_json::from_str(json).map_err(|error| broken(&error))?),
    };
    Notice::new(attributes, data, data.map(RawValue::get), limits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Envelope, Headers, WireFormat};

    fn open<'a>(
        content_type: Option<&'a str>,
        headers: &'a Headers,
        body: &'a str,
    ) -> Result<Notice<'a>, Reason> {
        let message = Message { body: body.as_bytes(), content_type, headers };
        Envelope::new(WireFormat::CloudEvents, Limits::default()).open(&message).map_err(|error| error.reason)
    }

    #[test]
    fn both_modes_and_both_prefixes_say_the_same() {
        let structured = r#"{"specversion": "1.0", "type": "user.updated", "id": "e1", "sequence": "007", "data": {"id": "42"}}"#;
        let none = Headers::new();
        let prefixed = |prefix: &str| -> Headers {
            [("specversion", "1.0"), ("type", "user.updated"), ("id", "e1"), ("sequence", "007")]
                .map(|(name, value)| (format!("{prefix}{name}"), value.to_owned()))
                .into()
        };
        let (underscore, colon) = (prefixed("cloudEvents_"), prefixed("cloudEvents:"));
        let body = r#"{"id": "42"}"#;
        let notices = [
            open(Some("application/cloudevents+json; charset=utf-8"), &none, structured),
            open(Some("application/json"), &underscore, body),
            open(None, &colon, body),
        ];
        for notice in notices {
            let notice = notice.unwrap();
            assert_eq!(notice.kind, "user.updated");
            assert_eq!(notice.event_id().unwrap().as_str(), "e1");
            assert_eq!(notice.attribute("sequence").unwrap().get(), r#""007""#);
            assert_eq!(notice.data().unwrap().get(), body);
        }
    }

    #[test]
    fn what_is_no_cloudevent_is_refused_with_its_reason() {
        let none = Headers::new();
        let structured = Some("application/cloudevents+json");
        let cases = [
            (structured, "{", Reason::NotJson),
            (structured, r#"{"type": "x"}"#, Reason::NoType),
            (structured, r#"{"specversion": "1.0"}"#, Reason::NoType),
            (structured, r#"{"specversion": "1.0", "type": "x", "type": "y"}"#, Reason::DuplicateKey),
            (
                structured,
                r#"{"specversion": "1.0", "type": "x", "data": 1, "data": 2}"#,
                Reason::DuplicateKey,
            ),
            (structured, r#"{"specversion": "1.0", "type": "x", "data_base64": "AA=="}"#, Reason::NotJson),
            (Some("application/cloudevents-batch+json"), "[]", Reason::NotJson),
            (Some("application/json"), "{}", Reason::NoType),
        ];
        for (content_type, body, expected) in cases {
            assert_eq!(open(content_type, &none, body).unwrap_err(), expected, "{body}");
        }
    }
}
