//! Updates, as MongoDB carries them out: `$set` and `$unset`, with dotted paths and filtered array elements.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};

use super::filter;
use super::order::identical;

/// The names that an update changed, as an entry of the log has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Touched {
    pub(crate) set: Vec<String>,
    pub(crate) removed: Vec<String>,
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

/// An update that a document cannot take: MongoDB's code for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused(pub(super) i32);

/// A parent on the path is no document.
const NO_PARENT: Refused = Refused(28);
/// What must be an array is none.
const NO_ARRAY: Refused = Refused(2);

/// Changes a document; `None` where there was nothing to change.
pub(super) fn apply(
    document: &Document,
    update: &Document,
    array_filters: &[Document],
) -> Result<Option<(Document, Touched)>, Refused> {
    let (plan, mut changed) = (plan(update), document.clone());
    let mut run = Run { array_filters, touched: Touched::default() };
    run.fields(&plan, &mut changed, "")?;
    let is_touched = run.touched != Touched::default();
    Ok(is_touched.then_some((changed, run.touched)))
}

/// What is done at a place. Names are in their order, because MongoDB goes by it and not by the update's own.
enum Step {
    Set(Bson),
    Unset,
    Fields(BTreeMap<String, Step>),
    Elements { filter: String, steps: BTreeMap<String, Step> },
}

/// The statement as a tree of steps.
fn plan(update: &Document) -> BTreeMap<String, Step> {
    let mut plan = BTreeMap::new();
    for (operator, fields) in update {
        for (path, value) in fields.as_document().unwrap() {
            let step = match operator.as_str() {
                "$set" => Step::Set(value.clone()),
                "$unset" => Step::Unset,
                other => panic!("the double does not know the operator `{other}` in an update"),
            };
            let names: Vec<&str> = path.split('.').collect();
            place(&mut plan, &names, step);
        }
    }
    plan
}

fn place(fields: &mut BTreeMap<String, Step>, names: &[&str], step: Step) {
    let (name, rest) = names.split_first().unwrap();
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    assert!(!name.starts_with('$') && !is_number, "the double does not know `{name}` in a path");
    match rest {
        [] => assert!(fields.insert((*name).to_owned(), step).is_none(), "two steps for `{name}`"),
        [element, rest @ ..] if element.starts_with("$[") => {
            let filter = element.trim_start_matches("$[").trim_end_matches(']').to_owned();
            assert!(!filter.is_empty() && !rest.is_empty(), "the double does not know `{element}` here");
            let new = || Step::Elements { filter: filter.clone(), steps: BTreeMap::new() };
            match fields.entry((*name).to_owned()).or_insert_with(new) {
                Step::Elements { filter: known, steps } if *known == filter => place(steps, rest, step),
                _ => panic!("two steps for `{name}`"),
            }
        }
        rest => match fields.entry((*name).to_owned()).or_insert_with(|| Step::Fields(BTreeMap::new())) {
            Step::Fields(fields) => place(fields, rest, step),
            _ => panic!("two steps for `{name}`"),
        },
    }
}

/// Why none of these steps can be taken in what is no document: the first of them that needs one says it. There is
/// nothing to unset in it.
fn without_parent(steps: &BTreeMap<String, Step>) -> Result<(), Refused> {
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
    fn fields(
        &mut self,
        steps: &BTreeMap<String, Step>,
        document: &mut Document,
        prefix: &str,
    ) -> Result<(), Refused> {
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
        steps: &BTreeMap<String, Step>,
    ) -> Result<(), Refused> {
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
        steps: &BTreeMap<String, Step>,
    ) -> Result<(), Refused> {
        let Some(Bson::Array(elements)) = document.get_mut(name) else { return Err(NO_ARRAY) };
        let (before, mut picked, mut changed) = (self.touched.clone(), 0, Vec::new());
        for (at, element) in elements.iter_mut().enumerate() {
            if !self.picks(filter, element) {
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
    fn picks(&self, name: &str, element: &Bson) -> bool {
        let is_of = |path: &String| path.split('.').next() == Some(name);
        let filter = self.array_filters.iter().find(|filter| filter.keys().any(is_of));
        let filter = filter.unwrap_or_else(|| panic!("there is no filter for `{name}`"));
        filter::matches(&doc! { name: element }, filter)
    }
}
