//! Updates, as MongoDB carries them out: `$set` and `$unset`, with dotted paths and filtered array elements.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};

use super::filter;
use super::order::identical;
use super::unknown::{Known, Unknown, unknown};
use crate::store::StoreError;

/// The names that an update changed, as an entry of the log has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) set: Vec<String>,
    pub(super) removed: Vec<String>,
}

impl Touched {
    /// Of an array of which several elements were picked, the log has the changed one, or all of it.
    fn with(mut self, array: &str, changed: &[usize]) -> Self {
        match changed {
            [] => {}
            [only] => self.set.push(format!("{array}.{only}")),
            _ => self.set.push(array.to_owned()),
        }
        self
    }
}

/// Why an update was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The document cannot take it: MongoDB's code for that.
    Refused(i32),
    /// It is none that the store knows.
    Unknown(Unknown),
}

impl From<Unknown> for Fault {
    fn from(what: Unknown) -> Self {
        Self::Unknown(what)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unknown(what) => what.into(),
            Fault::Refused(code) => {
                let (action, detail) = ("changing a document", reason(code).to_owned());
                Self::Refused { action: action.into(), code, detail }
            }
        }
    }
}

/// Why a document cannot take an update, by MongoDB's code for that.
pub(super) fn reason(code: i32) -> &'static str {
    match code {
        28 => "a parent of the path is no object",
        _ => "the path is of another type than declared",
    }
}

/// A parent on the path is no document.
const NO_PARENT: Fault = Fault::Refused(28);
/// What must be an array is none.
const NO_ARRAY: Fault = Fault::Refused(2);

/// Changes a document; `None` where there was nothing to change.
pub(super) fn apply(
    document: &Document,
    update: &Document,
    array_filters: &[Document],
) -> Result<Option<(Document, Touched)>, Fault> {
    let (plan, mut changed) = (plan(update)?, document.clone());
    let mut run = Run { array_filters, touched: Touched::default() };
    run.fields(&plan, &mut changed, "")?;
    let is_touched = run.touched != Touched::default();
    Ok(is_touched.then_some((changed, run.touched)))
}

/// What is done at a place. Names are in their order, because MongoDB goes by it and not by the update's own.
enum Step {
    Set(Bson),
    Unset,
    Fields(Steps),
    Elements { filter: String, steps: Steps },
}

/// Steps by the names of fields.
type Steps = BTreeMap<String, Step>;

/// The statement as a tree of steps.
fn plan(update: &Document) -> Known<Steps> {
    let mut plan = Steps::new();
    for (operator, fields) in update {
        let Bson::Document(fields) = fields else {
            return unknown(format!("`{operator}` of `{fields}` in an update"));
        };
        for (path, value) in fields {
            let step = match operator.as_str() {
                "$set" => Step::Set(value.clone()),
                "$unset" => Step::Unset,
                other => return unknown(format!("the operator `{other}` in an update")),
            };
            let names: Vec<&str> = path.split('.').collect();
            place(&mut plan, &names, step)?;
        }
    }
    Ok(plan)
}

fn place(fields: &mut Steps, names: &[&str], step: Step) -> Known<()> {
    let Some((name, rest)) = names.split_first() else { return Ok(()) };
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    if name.starts_with('$') || is_number {
        return unknown(format!("`{name}` in a path"));
    }
    let twice = || unknown(format!("two steps for `{name}` in one update"));
    let (next, rest) = match rest {
        [] => return if fields.insert((*name).to_owned(), step).is_none() { Ok(()) } else { twice() },
        [element, rest @ ..] if element.starts_with("$[") => {
            let filter = element.trim_start_matches("$[").trim_end_matches(']').to_owned();
            if filter.is_empty() || rest.is_empty() {
                return unknown(format!("`{element}` at this place of a path"));
            }
            (Step::Elements { filter, steps: Steps::new() }, rest)
        }
        rest => (Step::Fields(Steps::new()), rest),
    };
    let is_same = |known: &Step| match (known, &next) {
        (Step::Fields(_), Step::Fields(_)) => true,
        (Step::Elements { filter: known, .. }, Step::Elements { filter, .. }) => known == filter,
        _ => false,
    };
    if fields.get(*name).is_some_and(|known| !is_same(known)) {
        return twice();
    }
    match fields.entry((*name).to_owned()).or_insert(next) {
        Step::Fields(steps) | Step::Elements { steps, .. } => place(steps, rest, step),
        Step::Set(_) | Step::Unset => twice(),
    }
}

/// Why none of these steps can be taken in what is no document: the first of them that needs one says it. There is
/// nothing to unset in it.
fn without_parent(steps: &Steps) -> Result<(), Fault> {
    steps.values().try_for_each(|step| match step {
        Step::Set(_) => Err(NO_PARENT),
        Step::Unset => Ok(()),
        Step::Fields(inner) => without_parent(inner),
        Step::Elements { .. } => Err(NO_ARRAY),
    })
}

/// One document's update under way.
struct Run<'a> {
    array_filters: &'a [Document],
    touched: Touched,
}

impl Run<'_> {
    fn fields(&mut self, steps: &Steps, document: &mut Document, prefix: &str) -> Result<(), Fault> {
        for (name, step) in steps {
            let path = format!("{prefix}{name}");
            match step {
                Step::Set(value) => self.set(document, name, path, value),
                Step::Unset => {
                    if document.remove(name).is_some() {
                        self.touched.removed.push(path);
                    }
                }
                Step::Fields(inner) => self.within(document, name, &path, inner)?,
                Step::Elements { filter, steps } => self.elements(document, name, &path, filter, steps)?,
            }
        }
        Ok(())
    }

    fn set(&mut self, document: &mut Document, name: &str, path: String, value: &Bson) {
        if document.get(name).is_none_or(|held| !identical(held, value)) {
            document.insert(name, value.clone());
            self.touched.set.push(path);
        }
    }

    fn within(
        &mut self,
        document: &mut Document,
        name: &str,
        path: &str,
        steps: &Steps,
    ) -> Result<(), Fault> {
        let within = format!("{path}.");
        match document.get_mut(name) {
            Some(Bson::Document(inner)) => self.fields(steps, inner, &within),
            Some(_) => without_parent(steps),
            None => {
                let mut made = Document::new();
                self.fields(steps, &mut made, &within)?;
                if !made.is_empty() {
                    document.insert(name, made);
                }
                Ok(())
            }
        }
    }

    fn elements(
        &mut self,
        document: &mut Document,
        name: &str,
        path: &str,
        filter: &str,
        steps: &Steps,
    ) -> Result<(), Fault> {
        let Some(Bson::Array(elements)) = document.get_mut(name) else { return Err(NO_ARRAY) };
        let (before, mut picked, mut changed) = (self.touched.clone(), 0, Vec::new());
        for (at, element) in elements.iter_mut().enumerate() {
            if !self.picks(filter, element)? {
                continue;
            }
            let so_far = self.touched.clone();
            match element {
                Bson::Document(inner) => self.fields(steps, inner, &format!("{path}.{at}."))?,
                _ => without_parent(steps)?,
            }
            picked += 1;
            changed.extend((self.touched != so_far).then_some(at));
        }
        if picked > 1 {
            self.touched = before.with(path, &changed);
        }
        Ok(())
    }

    /// Whether the filter of that name picks an element.
    fn picks(&self, name: &str, element: &Bson) -> Known<bool> {
        let is_of = |path: &String| path.split('.').next() == Some(name);
        match self.array_filters.iter().find(|filter| filter.keys().any(is_of)) {
            Some(filter) => filter::matches(&doc! { name: element }, filter),
            None => unknown(format!("a filter for the elements `{name}`")),
        }
    }
}
