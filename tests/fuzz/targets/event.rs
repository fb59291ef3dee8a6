//! Bodies of events, as plain JSON and as structured CloudEvents.

use nearcopy::event::{Headers, Message};

use super::declared;

/// The input is the body.
pub(super) fn run(body: &[u8]) {
    let headers = Headers::new();
    declared::read("users", &Message { body, content_type: None, headers: &headers });
    let content_type = Some("application/cloudevents+json");
    declared::read("partners", &Message { body, content_type, headers: &headers });
}
