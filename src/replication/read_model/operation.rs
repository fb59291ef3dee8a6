//! The ways in which an event changes a document.

use std::cmp::Ordering;

use bson::{Bson, DateTime, Document, bson};

use super::META;
use crate::event::{DecodeError, FieldPath, Reason};

/// What is done with a value at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It stands there from now on.
    Set,
    /// Nothing stands there any more.
    Unset,
    /// It is added to the number there; nothing counts as zero.
    Inc,
    /// It stands there if it is less.
    Min,
    /// It stands there if it is more.
    Max,
    /// The array there has it once.
    AddToSet,
    /// The array there does not have it.
    Pull,
    /// The array there ends with it, and keeps so many at most: the newest.
    Append(usize),
    /// It is one of those that are counted there, however often that is said.
    Count,
    /// It is none of those that are counted there.
    Uncount,
}

/// One change to a document, as an event has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Where.
    pub at: FieldPath,
    /// What is done there.
    pub how: How,
    /// With what.
    pub value: Bson,
}

impl Operation {
    /// Whether another one has to do with the same part of a document.
    pub fn meets(&self, other: &Self) -> bool {
        self.at.names().first() == other.at.names().first()
    }

    /// Says why it cannot be done to a document, without a copy of it. What can be is done by [`Self::apply`] to the end.
    pub fn check(&self, document: &Document) -> Result<(), DecodeError> {
        let Some((name, parents)) = self.at.names().split_last() else { return Ok(()) };
        let mut parent = Some(document);
        for name in parents {
            parent = match parent.and_then(|parent| parent.get(name)) {
                None => None,
                Some(Bson::Document(inner)) => Some(inner),
                Some(_) => return Err(self.bad("leads into what is no object")),
            };
        }
        let held = parent.and_then(|parent| parent.get(name));
        match self.how {
            How::Set | How::Unset => Ok(()),
            How::Inc => self.sum(held.unwrap_or(&Bson::Int64(0))).map(|_| ()),
            How::Min | How::Max => self.chosen(held.cloned(), Ordering::Less).map(|_| ()),
            How::AddToSet | How::Pull | How::Append(_) => self.is_list(held),
            How::Count | How::Uncount => {
                let meta =
                    document.get_document(META).ok().and_then(|meta| meta.get_document("members").ok());
                self.is_list(meta.and_then(|members| members.get(self.at.to_string())))
            }
        }
    }

    /// Changes the document. What cannot be done leaves it half-way, so it is checked before, or done to a copy.
    pub fn apply(&self, document: &mut Document) -> Result<(), DecodeError> {
        let Some((name, parents)) = self.at.names().split_last() else { return Ok(()) };
        if matches!(self.how, How::Count | How::Uncount) {
            let count = self.count(document)?;
            self.parent(document, parents)?.insert(name.clone(), count);
            return Ok(());
        }
        let parent = self.parent(document, parents)?;
        if self.how == How::Unset {
            parent.remove(name);
            return Ok(());
        }
        match parent.get_mut(name) {
            Some(held) => *held = self.next(Some(std::mem::replace(held, Bson::Null)))?,
            None => drop(parent.insert(name.clone(), self.next(None)?)),
        }
        Ok(())
    }

    /// The document that a path leads into; it is made where there is none.
    fn parent<'d>(
        &self,
        document: &'d mut Document,
        names: &[String],
    ) -> Result<&'d mut Document, DecodeError> {
        let mut parent = document;
        for name in names {
            let inner = parent.entry(name.clone()).or_insert_with(|| Bson::Document(Document::new()));
            parent = inner.as_document_mut().ok_or_else(|| self.bad("leads into what is no object"))?;
        }
        Ok(parent)
    }

    /// What stands at the path afterwards.
    fn next(&self, held: Option<Bson>) -> Result<Bson, DecodeError> {
        let value = &self.value;
        Ok(match self.how {
            How::Inc => self.sum(&held.unwrap_or(Bson::Int64(0)))?,
            How::Min => self.chosen(held, Ordering::Less)?,
            How::Max => self.chosen(held, Ordering::Greater)?,
            How::AddToSet => {
                let mut items = self.items(held)?;
                if !items.contains(value) {
                    items.push(value.clone());
                }
                Bson::Array(items)
            }
            How::Pull => {
                let mut items = self.items(held)?;
                items.retain(|item| item != value);
                Bson::Array(items)
            }
            How::Append(most) => {
                let mut items = self.items(held)?;
                items.push(value.clone());
                let surplus = items.len().saturating_sub(most);
                items.drain(..surplus);
                Bson::Array(items)
            }
            How::Set | How::Unset | How::Count | How::Uncount => value.clone(),
        })
    }

    /// How many are counted afterwards. Whom that counts stands beside what readers see.
    fn count(&self, document: &mut Document) -> Result<Bson, DecodeError> {
        let meta = document.entry(META).or_insert_with(|| bson!({}));
        let meta = meta.as_document_mut().ok_or_else(|| self.bad("cannot be counted"))?;
        let members = meta.entry("members").or_insert_with(|| bson!({}));
        let members = members.as_document_mut().ok_or_else(|| self.bad("cannot be counted"))?;
        let mut counted = self.items(members.remove(self.at.to_string()))?;
        match self.how {
            How::Count if !counted.contains(&self.value) => counted.push(self.value.clone()),
            How::Uncount => counted.retain(|member| *member != self.value),
            _ => {}
        }
        let count = i64::try_from(counted.len()).unwrap_or(i64::MAX);
        members.insert(self.at.to_string(), counted);
        Ok(Bson::Int64(count))
    }

    fn is_list(&self, held: Option<&Bson>) -> Result<(), DecodeError> {
        match held {
            None | Some(Bson::Null | Bson::Array(_)) => Ok(()),
            Some(_) => Err(self.bad("is no array")),
        }
    }

    fn items(&self, held: Option<Bson>) -> Result<Vec<Bson>, DecodeError> {
        match held {
            None | Some(Bson::Null) => Ok(Vec::new()),
            Some(Bson::Array(items)) => Ok(items),
            Some(_) => Err(self.bad("is no array")),
        }
    }

    fn sum(&self, held: &Bson) -> Result<Bson, DecodeError> {
        match (held, &self.value) {
            (Bson::Int64(held), Bson::Int64(more)) => {
                held.checked_add(*more).map(Bson::Int64).ok_or_else(|| self.bad("would exceed 64 bits"))
            }
            (held, more) => match (number(held), number(more)) {
                (Some(held), Some(more)) => Ok(Bson::Double(held + more)),
                (None, _) => Err(self.bad("is no number")),
                (_, None) => Err(self.bad("cannot be increased by what is no number")),
            },
        }
    }

    fn chosen(&self, held: Option<Bson>, wanted: Ordering) -> Result<Bson, DecodeError> {
        let Some(held) = held.filter(|held| *held != Bson::Null) else { return Ok(self.value.clone()) };
        let order =
            compare(&self.value, &held).ok_or_else(|| self.bad("cannot be compared with the value"))?;
        Ok(if order == wanted { self.value.clone() } else { held })
    }

    fn bad(&self, why: &str) -> DecodeError {
        DecodeError::new(Reason::BadField, format!("`{}` of the document {why}", self.at))
    }
}

fn number(value: &Bson) -> Option<f64> {
    match value {
        #[expect(
            clippy::cast_precision_loss,
            reason = "who adds a fraction to a whole number gets a fraction"
        )]
        Bson::Int64(number) => Some(*number as f64),
        Bson::Int32(number) => Some(f64::from(*number)),
        Bson::Double(number) => Some(*number),
        _ => None,
    }
}

fn compare(one: &Bson, other: &Bson) -> Option<Ordering> {
    match (one, other) {
        (Bson::Int64(one), Bson::Int64(other)) => Some(one.cmp(other)),
        (Bson::String(one), Bson::String(other)) => Some(one.cmp(other)),
        (Bson::DateTime(one), Bson::DateTime(other)) => Some(DateTime::cmp(one, other)),
        (Bson::Boolean(one), Bson::Boolean(other)) => Some(one.cmp(other)),
        _ => number(one)?.partial_cmp(&number(other)?),
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    fn done(how: How, at: &str, value: impl Into<Bson>, before: Document) -> Result<Document, Reason> {
        let mut document = before;
        let operation = Operation { at: FieldPath::parse(at).unwrap(), how, value: value.into() };
        operation.apply(&mut document).map_err(|error| error.reason)?;
        Ok(document)
    }

    #[test]
    fn each_does_what_it_says() {
        let cases = [
            (How::Set, "a.b", Bson::Int64(1), doc! {}, doc! { "a": { "b": 1_i64 } }),
            (How::Unset, "a", Bson::Null, doc! { "a": 1_i64, "b": 2_i64 }, doc! { "b": 2_i64 }),
            (How::Inc, "n", Bson::Int64(2), doc! {}, doc! { "n": 2_i64 }),
            (How::Inc, "n", Bson::Double(0.5), doc! { "n": 2_i64 }, doc! { "n": 2.5 }),
            (How::Min, "n", Bson::Int64(2), doc! { "n": 3_i64 }, doc! { "n": 2_i64 }),
            (How::Max, "n", Bson::Int64(2), doc! { "n": 3_i64 }, doc! { "n": 3_i64 }),
            (How::Max, "n", "b".into(), doc! { "n": "a" }, doc! { "n": "b" }),
            (How::AddToSet, "l", "x".into(), doc! { "l": ["x"] }, doc! { "l": ["x"] }),
            (How::AddToSet, "l", "y".into(), doc! { "l": ["x"] }, doc! { "l": ["x", "y"] }),
            (How::Pull, "l", "x".into(), doc! { "l": ["x", "y"] }, doc! { "l": ["y"] }),
            (How::Append(2), "l", "z".into(), doc! { "l": ["x", "y"] }, doc! { "l": ["y", "z"] }),
        ];
        for (how, at, value, before, after) in cases {
            assert_eq!(done(how, at, value, before), Ok(after), "{how:?}");
        }
    }

    #[test]
    fn who_is_counted_is_counted_once() {
        let mut document = doc! {};
        for (how, member) in [
            (How::Count, "a"),
            (How::Count, "b"),
            (How::Count, "a"),
            (How::Uncount, "b"),
            (How::Uncount, "b"),
        ] {
            document = done(how, "comments", member, document).unwrap();
        }
        assert_eq!(document.get_i64("comments").unwrap(), 1);
    }

    /// A check without a copy says just what the change itself would say.
    #[test]
    fn what_is_checked_is_what_is_done() {
        let held = [
            doc! {},
            doc! { "a": Bson::Null },
            doc! { "a": i64::MAX },
            doc! { "a": 1.5 },
            doc! { "a": "text" },
            doc! { "a": ["x"] },
            doc! { "a": { "b": [1_i64] } },
            doc! { "a": { "b": "text" } },
            doc! { META: { "members": { "a": "broken", "a.b": ["x"] } } },
        ];
        let values = [Bson::Int64(1), Bson::Double(0.5), Bson::from("x"), Bson::Null];
        let ways = [
            How::Set,
            How::Unset,
            How::Inc,
            How::Min,
            How::Max,
            How::AddToSet,
            How::Pull,
            How::Append(2),
            How::Count,
            How::Uncount,
        ];
        for document in &held {
            for value in &values {
                for how in ways {
                    for at in ["a", "a.b", "c"] {
                        let at = FieldPath::parse(at).unwrap();
                        let operation = Operation { at, how, value: value.clone() };
                        let done = operation.apply(&mut document.clone());
                        assert_eq!(operation.check(document), done, "{operation:?} on {document}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let bad = Err(Reason::BadField);
        assert_eq!(done(How::Inc, "n", 1_i64, doc! { "n": "text" }), bad);
        assert_eq!(done(How::Inc, "n", "text", doc! { "n": 1_i64 }), bad);
        assert_eq!(done(How::Inc, "n", i64::MAX, doc! { "n": 1_i64 }), bad);
        assert_eq!(done(How::AddToSet, "l", 1_i64, doc! { "l": 1_i64 }), bad);
        assert_eq!(done(How::Set, "a.b", 1_i64, doc! { "a": 1_i64 }), bad);
        assert_eq!(done(How::Max, "n", "text", doc! { "n": 1_i64 }), bad);
    }
}
