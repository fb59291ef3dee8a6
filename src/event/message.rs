//! A message as it came, before anybody understood it.

use std::collections::BTreeMap;

/// Header names and values, as text; values of other types are rendered, binary ones left out.
pub type Headers = BTreeMap<String, String>;

/// What a source hands over for decoding, free of any broker's types.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The bytes of the body.
    pub body: &'a [u8],
    /// The declared type of the body, if the publisher gave one.
    pub content_type: Option<&'a str>,
    /// Application headers; CloudEvents in binary mode live here.
    pub headers: &'a Headers,
}
