//! Page tokens: where a list is taken up again, opaque and signed.

use bson::{Document, doc};
use ring::hmac;

use super::problem::Problem;
use crate::event::EntityId;
use crate::replication::{Place, Query, Subscription};

/// How long a token can be; longer ones are none of ours.
const LONGEST: usize = 8 * 1024;

/// Makes tokens and takes them apart again: every pod of a service those of every other one.
pub(super) struct Tokens(hmac::Key);

impl Tokens {
    pub(super) fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// A token for this place in the answer to this query.
    pub(super) fn make(&self, of: &Subscription, query: &Query, place: &Place) -> String {
        let mut content = doc! { "q": asked(of, query), "i": place.id.to_bson() };
        if let Some(value) = &place.value {
            content.insert("v", value.clone());
        }
        let content = content.to_vec().unwrap_or_default();
        let signature = hmac::sign(&self.0, &content);
        signature.as_ref().iter().chain(&content).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The place that a token of ours names, in the answer to the same query.
    pub(super) fn read(&self, of: &Subscription, query: &Query, token: &str) -> Result<Place, Problem> {
        let not_ours =
            || Problem::bad("`page_token` is none of ours; send back the `next_page_token` as it came");
        let bytes = bytes(token).ok_or_else(not_ours)?;
        let (signature, content) =
            bytes.split_at_checked(hmac::HMAC_SHA256.digest_algorithm().output_len()).ok_or_else(not_ours)?;
        hmac::verify(&self.0, content, signature).map_err(|_| not_ours())?;
        let mut content = Document::from_reader(content).map_err(|_| not_ours())?;
        if content.get_str("q").ok() != Some(asked(of, query).as_str()) {
            return Err(Problem::bad("`page_token` belongs to another query; repeat the one it came from"));
        }
        let id = content.get("i").and_then(|id| EntityId::from_bson(id, of.selection.id_kind()));
        Ok(Place { id: id.ok_or_else(not_ours)?, value: content.remove("v") })
    }
}

/// What a token belongs to.
fn asked(of: &Subscription, query: &Query) -> String {
    let digest = xxhash_rust::xxh3::xxh3_64(format!("{}?{query}", of.name).as_bytes());
    format!("{digest:016x}")
}

fn bytes(token: &str) -> Option<Vec<u8>> {
    if token.len() > LONGEST || !token.len().is_multiple_of(2) || !token.is_ascii() {
        return None;
    }
    let digits = |at: usize| u8::from_str_radix(token.get(at..at + 2)?, 16).ok();
    (0..token.len()).step_by(2).map(digits).collect()
}
