//! The consumer's documents: the product's own statements run against them.

use std::cell::RefCell;
use std::collections::HashMap;

use bson::{Bson, Document, doc};
use nearcopy::event::IdKind;
use nearcopy::replication::{EmbedWrite, Rendering, Scope};

use super::guard::Guard;
use super::held::{self, Held, Knows, NOT_A_TIME, Time};
use super::protocol::Protocol;
use super::statement;
use super::world::{Doc, World};

/// The stamp's place.
const STAMP: &str = "product-user";

/// A statement, the record it shows, and the document it meets.
type Meeting = (Guarded, u8, Held, u8, Doc);
/// Which statements a memory is of: hydration's or the fan-out's, and with which rule taken out.
type Guarded = (bool, Option<u8>, &'static str);

thread_local! {
    /// The same few statements meet the same few documents over and over.
    static MET: RefCell<HashMap<Meeting, Doc>> = RefCell::default();
}

impl Protocol {
    /// How many statements show this record.
    pub(crate) fn statements(&self, entity: u8, held: &Held) -> u8 {
        match self.embed().render(&held.record(entity)) {
            Rendering::Leave | Rendering::Mark(_) => 2,
            _ => 1,
        }
    }

    /// Runs one of the statements that show a record, for one document.
    pub(crate) fn show(&self, world: &mut World, at: u8, entity: u8, held: &Held, exactly: bool, which: u8) {
        let Some(document) = world.docs[usize::from(at)] else { return };
        let evicts = matches!(self.embed().render(&held.record(entity)), Rendering::Wait | Rendering::Leave);
        if evicts && which == 0 && !self.keeps(Guard::Evict)
            || document.stamp.is_none() && !self.keeps(Guard::Unstamped)
        {
            return;
        }
        let guarded = (exactly, self.without.map(|guard| guard as u8), self.setting.deleted);
        let met = (guarded, entity, *held, which, document);
        let known = MET.with_borrow(|known| known.get(&met).copied());
        let shown = known.unwrap_or_else(|| self.run(at, document, entity, held, exactly, which));
        if known.is_none() {
            MET.with_borrow_mut(|known| known.insert(met, shown));
        }
        world.docs[usize::from(at)] = Some(shown);
    }

    /// Runs the statement that clears a document without a reference.
    pub(crate) fn clear(&self, world: &mut World, at: u8) {
        if let Some(document) = &mut world.docs[usize::from(at)]
            && document.refers.is_none()
            && self.keeps(Guard::ClearUnreferenced)
        {
            let ids = [name(at)];
            let write = self.embed().clear_unreferenced(&ids, &Bson::Null);
            *document = meet(&write, at, *document, *document);
        }
    }

    fn run(&self, at: u8, document: Doc, entity: u8, held: &Held, exactly: bool, which: u8) -> Doc {
        let mut record = held.record(entity);
        if !self.keeps(Guard::StampRev) {
            let version = held.key.map_or(0, |key| key.version);
            record.rev = Time::new(NOT_A_TIME, version).micros();
        }
        let ids = [name(at)];
        let scope = match (exactly, self.keeps(Guard::SameStamp)) {
            (true, true) => Scope::Exactly(&ids),
            (true, false) => Scope::Page(&ids),
            (false, _) => Scope::Everywhere,
        };
        let mut matched = document;
        if !self.keeps(Guard::OlderStamp) && matches!(held.knows, Knows::Live(_)) {
            matched.stamp = None;
        }
        if !self.keeps(Guard::Refers) {
            matched.refers = Some(entity);
        }
        let writes = self.embed().writes(&record, scope);
        writes.get(usize::from(which)).map_or(document, |write| meet(write, at, matched, document))
    }
}

fn meet(write: &EmbedWrite, at: u8, matched: Doc, document: Doc) -> Doc {
    let mut stored = stored(at, document);
    statement::run(write, &self::stored(at, matched), &mut stored);
    read(&stored)
}

fn name(at: u8) -> Bson {
    Bson::String(format!("d{at}"))
}

fn stored(at: u8, document: Doc) -> Document {
    let mut stored = doc! { "_id": name(at) };
    if let Some(entity) = document.refers {
        stored.insert("userId", held::id(entity).to_bson());
    }
    if let Some(content) = document.shows {
        stored.insert("user", held::fields(content));
    }
    if let Some((entity, rev)) = document.stamp {
        let stamp = doc! { "ref": held::id(entity).to_bson(), "rev": rev.micros() };
        stored.insert("_nearcopy", doc! { STAMP: stamp });
    }
    stored
}

fn read(stored: &Document) -> Doc {
    let entity =
        |value: &Bson| held::entity(&nearcopy::event::EntityId::from_bson(value, IdKind::String).unwrap());
    let stamp = stored.get_document("_nearcopy").ok().and_then(|ours| ours.get_document(STAMP).ok());
    Doc {
        refers: stored.get("userId").map(entity),
        shows: stored.get_document("user").ok().and_then(|user| user.get_str("username").ok()?.parse().ok()),
        stamp: stamp.map(|stamp| {
            (entity(stamp.get("ref").unwrap()), Time::from_micros(stamp.get_i64("rev").unwrap()))
        }),
    }
}
