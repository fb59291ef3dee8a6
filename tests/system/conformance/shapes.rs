//! Documents of every shape that a consumer may leave where an embed reads or writes.

use bson::{Bson, Document, doc};
use fastrand::Rng;
use nearcopy::event::{EntityId, EntityType, Version};
use nearcopy::replication::{Embed, Key, Record, RefPath, Shows, State, WhenDeleted, Why};

use super::choose;
use crate::declared::id;

/// The revisions that records and stamps have.
const REVS: [i64; 3] = [100, 200, 300];

/// An embed of every form, under every policy.
pub(super) fn embed(dice: &mut Rng) -> Embed {
    let reference = choose(
        dice,
        &[
            "userId",
            "owner.id",
            "authors[].userId",
            "authors[].by.id",
            "parts.list[].userId",
            "parts[].authors[].id",
        ],
    );
    let into = |path: &str| Shows::Into { path: path.into(), fields: vec!["name".into(), "mail".into()] };
    let pair = |path: &str, field: &str| (path.to_owned(), field.to_owned());
    let flat = Shows::Set(vec![pair("user_name", "name"), pair("user.mail", "mail")]);
    let keeps = [WhenDeleted::Keep, WhenDeleted::Clear, WhenDeleted::Mark, WhenDeleted::Delete];
    Embed {
        name: "shown".into(),
        collection: "products".into(),
        reference: RefPath::parse(reference).unwrap(),
        from: EntityType::new("users"),
        shows: choose(dice, &[into("user"), into("shown.user"), flat.clone(), flat]),
        when_deleted: choose(dice, &keeps),
        shape: dice.i32(1..4),
        former: choose(dice, &[None, None, Some(vec![]), Some(vec!["old_name".into(), "old.user".into()])]),
    }
}

/// Who is referred to.
pub(super) fn entities() -> [EntityId; 3] {
    [id("ann"), id("bob"), EntityId::Int(42)]
}

/// A record in any state.
pub(super) fn record(dice: &mut Rng) -> Record {
    let states = [
        State::Live,
        State::Live,
        State::Live,
        State::Pending,
        State::Gone(Why::Deleted),
        State::Gone(Why::Out),
        State::Gone(Why::NotFound),
        State::Gone(Why::Erased),
    ];
    let state = choose(dice, &states);
    let mut fields = Document::new();
    for name in ["name", "mail"] {
        if let (State::Live, Some(value)) = (state, value(dice)) {
            fields.insert(name, value);
        }
    }
    let id = choose(dice, &entities());
    Record {
        key: dice.bool().then(|| Key::gone(Version::new(dice.i64(0..9)), Why::Deleted, 1)),
        rev: choose(dice, &REVS),
        owes: true,
        fields,
        ..Record::blank(id, state)
    }
}

/// A document that an embed reads and writes, in whatever state its owner left it.
pub(super) fn document(dice: &mut Rng, embed: &Embed, number: i32) -> Document {
    let mut document = doc! { "_id": number };
    document.extend(within(dice, embed, embed.reference.arrays()));
    if dice.u8(0..8) == 0 {
        document.insert("_nearcopy", choose(dice, &[Bson::Null, doc! { "other": 1 }.into()]));
    }
    document
}

/// What is in a document, or an element, as far as arrays go from there.
fn within(dice: &mut Rng, embed: &Embed, arrays: &[String]) -> Document {
    let mut document = Document::new();
    let Some((array, deeper)) = arrays.split_first() else {
        let parts = [reference(dice), stamp(dice, embed)];
        let paths = [embed.reference.leaf().to_owned(), embed.stamp_path()];
        for (path, part) in paths.iter().zip(parts) {
            put(dice, &mut document, path, part);
        }
        for path in embed.owned_paths().into_iter().chain(["old_name", "old.user"]) {
            let shown = shown(dice, &embed.shows);
            put(dice, &mut document, path, shown);
        }
        return document;
    };
    let list = match dice.u8(0..12) {
        0 => None,
        1 => Some(Bson::Null),
        2 => Some("none".into()),
        3 => Some(within(dice, embed, deeper).into()),
        _ => Some(elements(dice, embed, deeper).into()),
    };
    put(dice, &mut document, array, list);
    document
}

fn elements(dice: &mut Rng, embed: &Embed, deeper: &[String]) -> Vec<Bson> {
    let element = |dice: &mut Rng| match dice.u8(0..10) {
        0 => choose(dice, &[Bson::Null, 7.into(), "ann".into()]),
        1 => vec![Bson::from(within(dice, embed, deeper))].into(),
        _ => within(dice, embed, deeper).into(),
    };
    (0..dice.usize(0..4)).map(|_| element(dice)).collect()
}

/// Puts a value at a path, now and then with a parent that is no document.
fn put(dice: &mut Rng, document: &mut Document, path: &str, value: Option<Bson>) {
    let Some((head, tail)) = path.split_once('.') else {
        if let Some(value) = value {
            document.insert(path, value);
        }
        return;
    };
    let odd = [Bson::Null, 1.into(), "x".into(), Bson::Array(vec![]), vec![doc! { tail: "ann" }].into()];
    if dice.u8(0..12) == 0 {
        document.insert(head, choose(dice, &odd));
    } else if let Bson::Document(parent) =
        document.entry(head).or_insert_with(|| Bson::Document(Document::new()))
    {
        put(dice, parent, tail, value);
    }
}

fn reference(dice: &mut Rng) -> Option<Bson> {
    let numbers = [Bson::Int32(42), Bson::Int64(42), Bson::Double(42.0), Bson::Double(42.5)];
    let odd = [
        Bson::Null,
        "".into(),
        doc! { "id": "ann" }.into(),
        vec!["ann", "bob"].into(),
        Bson::Array(vec![vec!["ann"].into()]),
        Bson::Array(vec![]),
        vec![Bson::Null].into(),
    ];
    match dice.u8(0..12) {
        0 => None,
        1 | 2 => Some(choose(dice, &odd)),
        3 => Some(choose(dice, &numbers)),
        4..8 => Some("ann".into()),
        _ => Some("bob".into()),
    }
}

fn stamp(dice: &mut Rng, embed: &Embed) -> Option<Bson> {
    let odd =
        [Bson::Null, "x".into(), doc! {}.into(), Bson::Array(vec![]), vec![doc! { "rev": 200_i64 }].into()];
    let revs = [
        Bson::Int64(100),
        Bson::Int64(200),
        Bson::Int64(200),
        Bson::Int64(300),
        Bson::Int32(200),
        Bson::Double(200.0),
        Bson::Double(199.5),
        Bson::Double(f64::NAN),
        Bson::Null,
        "200".into(),
        vec![100_i64, 300].into(),
    ];
    match dice.u8(0..10) {
        0..4 => None,
        4 => Some(choose(dice, &odd)),
        5 => embed.stamp_path().split('.').next().map(Bson::from),
        _ => {
            let mut stamp = Document::new();
            if let Some(reference) = reference(dice) {
                stamp.insert("ref", reference);
            }
            stamp.insert("rev", choose(dice, &revs));
            if dice.bool() {
                stamp.insert("version", choose(dice, &[Bson::Int64(3), Bson::Null]));
            }
            if dice.bool() {
                stamp
                    .insert("s", choose(dice, &[Bson::Int32(1), Bson::Int32(2), Bson::Int64(3), "x".into()]));
            }
            if dice.u8(0..5) == 0 {
                stamp.insert("deleted", true);
            }
            Some(stamp.into())
        }
    }
}

/// What stands where an embed shows something.
fn shown(dice: &mut Rng, shows: &Shows) -> Option<Bson> {
    if matches!(shows, Shows::Set(_)) || dice.u8(0..4) == 0 {
        return value(dice);
    }
    let mut object = Document::new();
    for name in choose(dice, &[["name", "mail"], ["mail", "name"]]) {
        if let Some(value) = value(dice) {
            object.insert(name, value);
        }
    }
    if dice.u8(0..6) == 0 {
        object.insert("deleted", true);
    }
    Some(object.into())
}

/// Values that are equal, or nearly so.
fn value(dice: &mut Rng) -> Option<Bson> {
    let values = [
        Bson::Null,
        "ann".into(),
        1_i32.into(),
        1_i64.into(),
        1.0.into(),
        doc! { "a": 1, "b": 2 }.into(),
        doc! { "b": 2, "a": 1 }.into(),
        doc! { "a": 1.0, "b": 2_i64 }.into(),
        vec![1, 2].into(),
        Bson::Array(vec![]),
        vec![Bson::from(vec![1, 2]), Bson::Null].into(),
    ];
    (dice.u8(0..5) > 0).then(|| choose(dice, &values))
}
