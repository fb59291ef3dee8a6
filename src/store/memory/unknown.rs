//! What the store does not know. It refuses that and names it, because a store that guesses proves nothing.

use crate::store::StoreError;

/// Something that MongoDB may know and this store does not, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unknown(String);

/// What is known, or what is not.
pub(super) type Known<T> = Result<T, Unknown>;

/// It does not know this.
pub(super) fn unknown<T>(what: impl Into<String>) -> Known<T> {
    Err(Unknown(what.into()))
}

impl From<Unknown> for StoreError {
    fn from(Unknown(what): Unknown) -> Self {
        let detail = format!("it does not know {what}");
        Self::Unsuitable { action: "asking the store in memory".into(), detail }
    }
}

#[cfg(test)]
mod tests {
    use bson::raw::CString;
    use bson::{Bson, Document, Regex, doc};

    use super::super::{filter, update};
    use super::*;

    /// The simulation and tests of manifests rest on this: what would be a guess is none.
    #[test]
    fn what_is_not_known_is_refused_by_its_name() {
        let document = doc! { "a": [{ "b": 1 }] };
        let text = |text: &str| CString::try_from(text).unwrap();
        let regex = Bson::RegularExpression(Regex { pattern: text("x"), options: text("") });
        let filters: [(Document, &str); 7] = [
            (doc! { "$where": "true" }, "`$where`"),
            (doc! { "$or": { "a": 1 } }, "a list of filters"),
            (doc! { "a": { "$regex": "x" } }, "`$regex: "),
            (doc! { "a": regex }, "regular expressions"),
            (doc! { "a": { "$gte": Bson::Null } }, "`$gte` of `null`"),
            (doc! { "a": { "$type": "string" } }, "`$type: "),
            (doc! { "a.0.b": 1 }, "the number 0 in a path"),
        ];
        for (filter, named) in filters {
            let refused = StoreError::from(filter::matches(&document, &filter).unwrap_err()).to_string();
            assert!(refused.contains(named), "{filter}: {refused}");
        }
        let updates: [(Document, &str); 5] = [
            (doc! { "$inc": { "a": 1 } }, "`$inc` in an update"),
            (doc! { "$set": { "a.0": 1 } }, "`0` in a path"),
            (doc! { "$set": { "a.$[].b": 1 } }, "`$[]`"),
            (doc! { "$set": { "a.$[x].b": 1 } }, "the elements `x`"),
            (doc! { "$set": { "a": 1, "a.b": 1 } }, "two steps for `a`"),
        ];
        for (changes, named) in updates {
            let refused = StoreError::from(update::apply(&document, &changes, &[]).unwrap_err()).to_string();
            assert!(refused.contains(named), "{changes}: {refused}");
        }
    }
}
