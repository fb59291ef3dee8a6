//! What the indexes of a collection are good for.

use bson::{Bson, Document, doc};

use super::Mongo;
use crate::store::StoreError;

/// How well those who refer to an entity are found by an index; the better, the higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Serves {
    /// It does not help.
    Nothing,
    /// They are found without a look at the others.
    Finding,
    /// They are found in the order of their ids, too.
    FindingInOrder,
}

impl Mongo {
    /// The indexes of a collection; none where there is no collection.
    pub(super) async fn indexes(&self, collection: &str) -> Result<Vec<Document>, StoreError> {
        let command = doc! { "listIndexes": collection };
        match self.fetch_all(&format!("listing the indexes of `{collection}`"), command).await {
            Err(StoreError::Unsuitable { .. }) => Ok(Vec::new()),
            other => other,
        }
    }

    /// How well the best index serves those who look for a value at this path.
    pub(super) async fn best_index(&self, collection: &str, path: &str) -> Result<Serves, StoreError> {
        let indexes = self.indexes(collection).await?;
        Ok(indexes.iter().map(|index| serves(index, path)).max().unwrap_or(Serves::Nothing))
    }
}

/// One with a collation, or of a part of the documents, is passed over by queries that do not ask for the same.
fn serves(index: &Document, path: &str) -> Serves {
    let is_limited = ["partialFilterExpression", "collation"].iter().any(|limit| index.contains_key(limit));
    let Ok(keys) = index.get_document("key") else { return Serves::Nothing };
    let mut names = keys.keys();
    match (names.next(), names.next().map(String::as_str)) {
        (Some(first), _) if is_limited || first != path => Serves::Nothing,
        // Where it says no number, it is of another kind: hashed values are found, and lie in no order.
        (Some(first), Some("_id")) if keys.get(first).and_then(number).is_some() && rises(keys) => {
            Serves::FindingInOrder
        }
        (Some(_), _) => Serves::Finding,
        (None, _) => Serves::Nothing,
    }
}

fn rises(keys: &Document) -> bool {
    keys.get("_id").and_then(number).is_some_and(|order| order > 0.0)
}

/// Shells say a whole number as any of these.
fn number(order: &Bson) -> Option<f64> {
    match order {
        Bson::Int32(order) => Some(f64::from(*order)),
        Bson::Int64(order) => i32::try_from(*order).ok().map(f64::from),
        Bson::Double(order) => Some(*order),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_good_for_what_it_begins_with() {
        let cases = [
            (doc! { "key": { "userId": 1, "_id": 1 } }, Serves::FindingInOrder),
            (doc! { "key": { "userId": -1, "_id": 1.0 } }, Serves::FindingInOrder),
            (doc! { "key": { "userId": 1, "_id": -1 } }, Serves::Finding),
            (doc! { "key": { "userId": -1, "_id": 1_i64 } }, Serves::FindingInOrder),
            (doc! { "key": { "userId": 1, "at": 1, "_id": 1 } }, Serves::Finding),
            (doc! { "key": { "userId": "hashed" } }, Serves::Finding),
            (doc! { "key": { "userId": "hashed", "_id": 1 } }, Serves::Finding),
            (doc! { "key": { "_id": 1, "userId": 1 } }, Serves::Nothing),
            (doc! { "key": { "userId": 1 }, "partialFilterExpression": {} }, Serves::Nothing),
            (doc! { "key": { "userId": 1 }, "collation": { "locale": "de" } }, Serves::Nothing),
            (doc! { "name": "text" }, Serves::Nothing),
        ];
        for (index, expected) in cases {
            assert_eq!(serves(&index, "userId"), expected, "{index}");
        }
    }
}
