//! Why a document shows what it shows: what an embed would have there, compared with what is there.

use bson::{Bson, Document};

use super::{Embed, Record, RefPath, Rendering};
use crate::event::{EntityId, IdKind};

/// A place of a document at which an embed shows an entity: the document itself, or an element of its arrays.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot<'d> {
    /// Where it is: empty, or such as `contributors.1`.
    pub at: String,
    /// What is there.
    pub element: &'d Document,
}

/// What an embed has noted beside what it shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Noted {
    /// Whom it shows.
    pub reference: Bson,
    /// At which revision of the record.
    pub rev: i64,
    /// At which version of the owner's.
    pub version: Option<i64>,
    /// The generation of the embed.
    pub shape: i32,
}

/// Whether a spot shows what the record says, and if not, why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It refers to nobody.
    NoReference,
    /// What it refers by is no id of the replica's type.
    NoId,
    /// Nothing is held of whom it refers to.
    Unknown,
    /// Whom it refers to is wanted, and not known yet.
    Pending,
    /// It refers to somebody, and nothing was ever shown there.
    Unstamped,
    /// What stands there is of another entity: it has come to refer to this one since.
    Another,
    /// It was written for an earlier generation of the embed.
    Earlier,
    /// It shows an older revision of the record.
    Older,
    /// It was written for a later revision than that of the record, which was removed and came back, or has just changed.
    Later,
    /// It was written for this very revision, and then somebody changed these paths.
    Overwritten(Vec<String>),
    /// The entity is deleted, and with it the document is to go.
    Leaving,
    /// The entity is gone, and it shows what is declared for that.
    Declared,
    /// It shows what the record says.
    Same,
}

impl Embed {
    /// The places of a document where it shows somebody.
    pub fn spots<'d>(&self, document: &'d Document) -> Vec<Spot<'d>> {
        let mut spots = vec![Spot { at: String::new(), element: document }];
        for array in self.reference.arrays() {
            let inner = |spot: &Spot<'d>| {
                let items = lookup(spot.element, array).and_then(Bson::as_array);
                let prefix = joined(&spot.at, array);
                let elements = items.into_iter().flatten().enumerate();
                let spots = elements.filter_map(|(number, item)| {
                    Some(Spot { at: format!("{prefix}.{number}"), element: item.as_document()? })
                });
                spots.collect::<Vec<_>>()
            };
            spots = spots.iter().flat_map(inner).collect();
        }
        spots
    }

    /// Whether it writes at, above or below a path of a document; arrays may be written as `a[].b`, `a.0.b` or `a.b`.
    pub fn writes_at(&self, path: &str) -> bool {
        let wanted = plain(path);
        let under = |path: &str, other: &str| {
            other.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let stamp = self.stamp_path();
        let owned = self.owned_paths().into_iter().chain([stamp.as_str()]);
        let mut written = owned.map(|path| joined(&self.reference.arrays().join("."), path));
        written.any(|path| under(&path, &wanted) || under(&wanted, &path))
    }

    /// What it has noted at a spot.
    pub fn noted(&self, element: &Document) -> Option<Noted> {
        let stamp = lookup(element, &self.stamp_path())?.as_document()?;
        Some(Noted {
            reference: stamp.get("ref").cloned().unwrap_or(Bson::Null),
            rev: stamp.get_i64("rev").ok()?,
            version: stamp.get_i64("version").ok(),
            shape: stamp.get_i32("s").unwrap_or(1),
        })
    }

    /// Whom a spot refers to, if it does, and by an id of this type.
    pub fn refers_to(&self, element: &Document, kind: IdKind) -> Result<EntityId, Sight> {
        match lookup(element, self.reference.leaf()) {
            None | Some(Bson::Null) => Err(Sight::NoReference),
            Some(value) => EntityId::from_bson(value, kind).ok_or(Sight::NoId),
        }
    }

    /// Compares a spot with the record that it refers to.
    pub fn sight(&self, element: &Document, record: Option<&Record>) -> Sight {
        let Some(record) = record else { return Sight::Unknown };
        let rendering = self.render(record);
        match (self.noted(element), &rendering) {
            (Some(noted), _) if noted.reference != record.id.to_bson() => Sight::Another,
            (_, Rendering::Wait) => Sight::Pending,
            (_, Rendering::Remove) => Sight::Leaving,
            (None, _) => Sight::Unstamped,
            (Some(noted), _) if noted.shape < self.shape => Sight::Earlier,
            (Some(noted), _) if noted.rev < record.rev => Sight::Older,
            (Some(noted), _) if noted.rev > record.rev => Sight::Later,
            (Some(_), rendering) => self.compare(element, rendering),
        }
    }

    /// Compares what stands there under the stamp of the record's own revision.
    fn compare(&self, element: &Document, rendering: &Rendering) -> Sight {
        let differing: Vec<String> = match rendering {
            Rendering::Show(values) => {
                let differ = values.iter().filter(|(path, value)| lookup(element, path) != Some(value));
                differ.map(|(path, _)| path.clone()).collect()
            }
            Rendering::Nothing => {
                let shown = self.owned_paths().into_iter().filter(|path| lookup(element, path).is_some());
                shown.map(str::to_owned).collect()
            }
            Rendering::Mark(path) if lookup(element, path) != Some(&Bson::Boolean(true)) => {
                vec![path.clone()]
            }
            Rendering::Mark(_) | Rendering::Leave | Rendering::Remove | Rendering::Wait => Vec::new(),
        };
        match rendering {
            _ if !differing.is_empty() => Sight::Overwritten(differing),
            Rendering::Show(_) => Sight::Same,
            _ => Sight::Declared,
        }
    }
}

/// The value at a dotted path of a document, where a number leads into an array.
pub fn value_at<'d>(document: &'d Document, path: &str) -> Option<&'d Bson> {
    let mut names = path.split('.');
    let first = document.get(names.next()?)?;
    names.try_fold(first, |value, name| match value {
        Bson::Document(inner) => inner.get(name),
        Bson::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The value at a dotted path through documents only.
fn lookup<'d>(document: &'d Document, path: &str) -> Option<&'d Bson> {
    match path.split_once('.') {
        None => document.get(path),
        Some((head, tail)) => lookup(document.get(head)?.as_document()?, tail),
    }
}

fn joined(one: &str, other: &str) -> String {
    if one.is_empty() { other.to_owned() } else { format!("{one}.{other}") }
}

/// A path without what says which element of an array is meant.
fn plain(path: &str) -> String {
    let names = path.split('.').map(|name| name.trim_end_matches("[]"));
    let names = names.filter(|name| !name.is_empty() && name.parse::<usize>().is_err());
    names.collect::<Vec<_>>().join(".")
}

impl RefPath {
    /// Whether a path of a document leads to the element at this spot, or names no element at all.
    pub fn leads_to(&self, path: &str, spot: &str) -> bool {
        let numbers =
            |path: &str| -> Vec<usize> { path.split('.').filter_map(|name| name.parse().ok()).collect() };
        let (wanted, there) = (numbers(path), numbers(spot));
        self.arrays().is_empty() || there.starts_with(&wanted)
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;
    use crate::event::{EntityType, Version};
    use crate::replication::{Key, Shows, State, WhenDeleted, Why};

    fn embed(reference: &str, when_deleted: WhenDeleted) -> Embed {
        Embed {
            name: "order-user".into(),
            collection: "orders".into(),
            reference: RefPath::parse(reference).unwrap(),
            from: EntityType::new("users"),
            shows: Shows::Into { path: "user".into(), fields: vec!["name".into()] },
            when_deleted,
            shape: 1,
            former: None,
        }
    }

    fn record(state: State) -> Record {
        Record {
            key: Some(Key::floor(0, Version::new(7))),
            rev: 100,
            fields: doc! { "name": "Ada" },
            ..Record::blank(EntityId::String("42".into()), state)
        }
    }

    fn order(reference: &str, rev: i64, user: Document) -> Document {
        let stamp = doc! { "ref": reference, "rev": rev, "version": 7_i64 };
        doc! { "_id": 1, "userId": "42", "user": user, "_nearcopy": { "order-user": stamp } }
    }

    #[test]
    fn what_is_there_is_compared_with_what_the_record_says() {
        let of = embed("userId", WhenDeleted::Keep);
        let live = record(State::Live);
        let ada = || doc! { "name": "Ada" };
        let overwritten = Sight::Overwritten(vec!["user".into()]);
        for (document, expected) in [
            (order("42", 100, ada()), Sight::Same),
            (order("42", 99, ada()), Sight::Older),
            (order("42", 101, ada()), Sight::Later),
            (order("41", 100, ada()), Sight::Another),
            (order("42", 100, doc! { "name": "Eve" }), overwritten),
            (doc! { "_id": 1, "userId": "42" }, Sight::Unstamped),
        ] {
            assert_eq!(of.sight(&document, Some(&live)), expected, "{document}");
        }
        let document = order("42", 100, ada());
        assert_eq!(of.sight(&document, None), Sight::Unknown);
        assert_eq!(of.sight(&document, Some(&record(State::Pending))), Sight::Pending);
        assert_eq!(Embed { shape: 2, ..of.clone() }.sight(&document, Some(&live)), Sight::Earlier);
        for (bad, expected) in [(Bson::Null, Sight::NoReference), (Bson::Int32(42), Sight::NoId)] {
            let document = doc! { "userId": bad };
            assert_eq!(of.refers_to(&document, IdKind::String), Err(expected));
        }
    }

    #[test]
    fn what_is_shown_of_the_gone_goes_by_what_is_declared() {
        let document = order("42", 100, doc! { "name": "Ada" });
        let sight = |policy, why| embed("userId", policy).sight(&document, Some(&record(State::Gone(why))));
        assert_eq!(sight(WhenDeleted::Keep, Why::Deleted), Sight::Declared);
        assert_eq!(sight(WhenDeleted::Clear, Why::NotFound), Sight::Overwritten(vec!["user".into()]));
        assert_eq!(sight(WhenDeleted::Keep, Why::Erased), Sight::Overwritten(vec!["user".into()]));
        assert_eq!(sight(WhenDeleted::Mark, Why::Deleted), Sight::Overwritten(vec!["user.deleted".into()]));
        assert_eq!(sight(WhenDeleted::Delete, Why::Deleted), Sight::Leaving);
    }

    #[test]
    fn every_element_of_arrays_is_a_spot_of_its_own() {
        let of = embed("slots[].boxes[].userId", WhenDeleted::Keep);
        let document = doc! { "slots": [
            { "boxes": [{ "userId": "1" }, { "userId": "2" }] },
            { "boxes": [7, { "userId": "3" }] },
        ] };
        let spots: Vec<String> = of.spots(&document).into_iter().map(|spot| spot.at).collect();
        assert_eq!(spots, ["slots.0.boxes.0", "slots.0.boxes.1", "slots.1.boxes.1"]);
        for (path, expected) in [
            ("slots[].boxes[].user.name", true),
            ("slots.0.boxes.1.user", true),
            ("slots.boxes.user.name", true),
            ("slots", true),
            ("slots.0.boxes.1._nearcopy.order-user.rev", true),
            ("slots.boxes.userId", false),
            ("user", false),
            ("slots.boxes.username", false),
        ] {
            assert_eq!(of.writes_at(path), expected, "{path}");
        }
        let leads = |path| of.reference.leads_to(path, "slots.0.boxes.1");
        assert_eq!(
            [leads("slots.0.boxes.1.user"), leads("slots.0"), leads("slots.user"), leads("slots.1")],
            [true, true, true, false]
        );
    }

    #[test]
    fn a_path_leads_into_documents_and_arrays() {
        let document = doc! { "a": [{ "b": 1 }], "c": { "d": 2 } };
        assert_eq!(value_at(&document, "a.0.b"), Some(&Bson::Int32(1)));
        assert_eq!(value_at(&document, "c.d"), Some(&Bson::Int32(2)));
        assert_eq!(value_at(&document, "a.b"), None);
    }
}
