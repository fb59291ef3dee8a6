//! Bodies become statements.

use std::borrow::Cow;
use std::collections::HashMap;

use anyhow::Result;
use bson::{RawArrayBuf, RawDocumentBuf, rawdoc};
use serde::Deserialize;

/// Events that are written together, the newest of each user.
pub(super) struct Batch {
    most: usize,
    last: u64,
    statements: Vec<(i64, RawDocumentBuf)>,
    places: HashMap<String, usize>,
}

#[derive(Deserialize)]
struct Event<'b> {
    #[serde(borrow)]
    data: User<'b>,
}

#[derive(Deserialize)]
struct User<'b> {
    #[serde(borrow)]
    id: Cow<'b, str>,
    version: i64,
    #[serde(borrow)]
    username: Cow<'b, str>,
    #[serde(borrow)]
    email: Cow<'b, str>,
    #[serde(borrow)]
    address: Address<'b>,
}

#[derive(Deserialize)]
struct Address<'b> {
    #[serde(borrow)]
    city: Cow<'b, str>,
}

impl Batch {
    pub(super) fn new(most: usize) -> Self {
        Self { most, last: 0, statements: Vec::new(), places: HashMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.statements.len() >= self.most
    }

    pub(super) fn push(&mut self, tag: u64, body: &[u8]) -> Result<()> {
        let Event { data: user } = serde_json::from_slice(body)?;
        self.last = tag;
        if let Some(place) = self.places.get(user.id.as_ref()) {
            if self.statements[*place].0 < user.version {
                self.statements[*place] = (user.version, statement(&user));
            }
            return Ok(());
        }
        self.places.insert(user.id.as_ref().to_owned(), self.statements.len());
        self.statements.push((user.version, statement(&user)));
        Ok(())
    }

    /// The tag of the last event, and all statements; the batch is empty then.
    pub(super) fn take(&mut self) -> (u64, RawArrayBuf) {
        self.places.clear();
        let mut all = RawArrayBuf::new();
        for (_, statement) in self.statements.drain(..) {
            all.push(statement);
        }
        (self.last, all)
    }
}

fn statement(user: &User<'_>) -> RawDocumentBuf {
    let id = user.id.as_ref();
    let whole = rawdoc! {
        "_id": id,
        "username": user.username.as_ref(),
        "email": user.email.as_ref(),
        "city": user.address.city.as_ref(),
        "v": user.version,
    };
    let guarded = rawdoc! { "$cond": [{ "$lt": ["$v", user.version] }, { "$literal": whole }, "$$ROOT"] };
    rawdoc! { "q": { "_id": id }, "u": [{ "$replaceWith": guarded }], "upsert": true }
}
