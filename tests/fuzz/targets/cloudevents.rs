//! CloudEvents in binary mode, which are read from headers.

use nearcopy::event::{Headers, Message};

use super::declared;

/// Headers as `name: value`, one a line, then an empty line and the body.
pub(super) fn run(input: &[u8]) {
    let at = input.windows(2).position(|two| two == b"\n\n").unwrap_or(input.len());
    let (head, body) = input.split_at(at);
    let Ok(head) = std::str::from_utf8(head) else { return };
    let mut headers: Headers = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let content_type = headers.remove("content-type");
    let content_type = content_type.as_deref();
    declared::read("partners", &Message { body, content_type, headers: &headers });
}
