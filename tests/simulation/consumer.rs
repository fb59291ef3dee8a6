//! The app: it writes its own documents, knows nothing of nearcopy, and treats what nearcopy put there as apps do.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bson::{Bson, Document, doc};
use nearcopy::store::memory::Memory;

use crate::chance::Chance;
use crate::journal::Journal;
use crate::plan::{Plan, Shape, Shown};

/// A value that only the app writes where an embed stands.
pub(crate) const MINE: &str = "written by the app";

/// The app.
#[derive(Clone)]
pub(crate) struct Consumer {
    plan: Arc<Plan>,
    memory: Memory,
    chance: Chance,
    journal: Journal,
    memories: Arc<Mutex<Memories>>,
}

/// What the app holds in memory.
#[derive(Default)]
struct Memories {
    made: u64,
    /// Documents as the app read them some time ago.
    read: Vec<(Shown, Document)>,
    /// Documents from which the app dropped the stamps, or that it copied from such.
    stampless: BTreeSet<(String, String)>,
}

impl Consumer {
    pub(crate) fn new(plan: Arc<Plan>, memory: Memory, chance: Chance, journal: Journal) -> Self {
        Self { plan, memory, chance, journal, memories: Arc::default() }
    }

    /// Whether the app dropped what tells whose data a document shows.
    pub(crate) fn is_stampless(&self, collection: &str, id: &str) -> bool {
        self.with(|memories| memories.stampless.contains(&(collection.to_owned(), id.to_owned())))
    }

    /// Does something with a document.
    pub(crate) fn act(&self) {
        let shown = self.chance.pick(&self.plan.shown);
        let collection = Plan::collection(shown);
        let all = self.memory.all(collection);
        if all.is_empty() || (all.len() as u64) < self.plan.documents && self.chance.happens(350) {
            return self.insert(shown);
        }
        let document = all[self.chance.index(all.len())].clone();
        self.with(|memories| {
            memories.read.push((shown, document.clone()));
            if memories.read.len() > 12 {
                memories.read.remove(0);
            }
        });
        match self.chance.below(12) {
            0..=2 => self.edit(shown, &document, "refers to somebody else", |place| {
                place.insert("userId", self.reference());
            }),
            3 => self.edit(shown, &document, "refers to nobody", |place| {
                if self.chance.happens(500) {
                    place.remove("userId");
                } else {
                    place.insert("userId", Bson::Null);
                }
            }),
            4 => self.edit(shown, &document, "writes where an embed stands", |place| {
                if shown.shape == Shape::Flat {
                    place.insert("userName", MINE);
                } else {
                    place.insert("user", doc! { "name": MINE });
                }
            }),
            5 => self.drop_stamps(shown, document),
            6 => self.copy(shown, document),
            7 | 8 => self.write_back(),
            9 => {
                self.note(collection, &document, "is deleted");
                self.memory.delete(collection, key(&document));
            }
            10 if shown.shape == Shape::Elements => self.rearrange(&document),
            _ => self.edit(shown, &document, "has another title", |place| {
                place.insert("title", format!("t{}", self.chance.below(100)));
            }),
        }
    }

    fn insert(&self, shown: Shown) {
        let id = self.new_id();
        let mut document = doc! { "_id": &id, "title": "new" };
        if shown.shape == Shape::Elements {
            let people = (0..=self.chance.below(2)).map(|_| self.element());
            document.insert("people", people.map(Bson::from).collect::<Vec<_>>());
        } else if self.chance.happens(900) {
            document.insert("userId", self.reference());
        }
        self.note(Plan::collection(shown), &document, "is inserted");
        assert!(self.memory.insert(Plan::collection(shown), document));
    }

    fn element(&self) -> Document {
        doc! { "role": "author", "userId": self.reference() }
    }

    /// Somebody; now and then one whom the owner does not have.
    fn reference(&self) -> String {
        format!("u{}", self.chance.below(self.plan.users + 1))
    }

    /// Changes a document, or one of its elements, as it is now.
    fn edit(&self, shown: Shown, document: &Document, what: &str, edit: impl Fn(&mut Document)) {
        let collection = Plan::collection(shown);
        self.note(collection, document, what);
        let at = self.chance.index(4);
        self.memory.update(collection, key(document), |held| {
            if shown.shape != Shape::Elements {
                return edit(held);
            }
            // As an app does it that has read the document: the whole array is written.
            if let Ok(people) = held.get_array_mut("people") {
                let count = people.len().max(1);
                if let Some(Bson::Document(element)) = people.get_mut(at % count) {
                    edit(element);
                }
            }
        });
    }

    /// Adds an element, takes one away, or turns them round.
    fn rearrange(&self, document: &Document) {
        let (what, element) = (self.chance.below(3), self.element());
        self.note("articles", document, "has its people rearranged");
        self.memory.update("articles", key(document), |held| {
            let Ok(people) = held.get_array_mut("people") else { return };
            match what {
                0 => people.push(element.into()),
                1 => people.reverse(),
                _ => drop(people.pop()),
            }
        });
    }

    /// Writes a document back without what the app's own model does not have.
    fn drop_stamps(&self, shown: Shown, mut document: Document) {
        document.remove("_nearcopy");
        if let Ok(people) = document.get_array_mut("people") {
            for element in people.iter_mut().filter_map(Bson::as_document_mut) {
                element.remove("_nearcopy");
            }
        }
        self.note(Plan::collection(shown), &document, "is written back without stamps");
        self.remember_stampless(shown, &document);
        self.memory.replace(Plan::collection(shown), key(&document), document);
    }

    fn copy(&self, shown: Shown, mut document: Document) {
        let (from, id) = (key(&document), self.new_id());
        document.insert("_id", &id);
        if self.chance.happens(300) && shown.shape != Shape::Elements {
            document.insert("userId", self.reference());
        }
        if self.is_stampless(Plan::collection(shown), &from) {
            self.remember_stampless(shown, &document);
        }
        self.note(Plan::collection(shown), &document, &format!("is a copy of {from}"));
        assert!(self.memory.insert(Plan::collection(shown), document));
    }

    /// Writes back a document as the app read it some time ago; if it is gone, inserts it again.
    fn write_back(&self) {
        let read = self.with(|memories| {
            (!memories.read.is_empty()).then(|| memories.read[self.chance.index(memories.read.len())].clone())
        });
        let Some((shown, document)) = read else { return };
        let collection = Plan::collection(shown);
        if self.memory.replace(collection, key(&document), document.clone()) {
            self.note(collection, &document, "is written back as it was read");
        } else if (self.memory.all(collection).len() as u64) < self.plan.documents {
            self.note(collection, &document, "is inserted again");
            assert!(self.memory.insert(collection, document));
        }
    }

    fn remember_stampless(&self, shown: Shown, document: &Document) {
        let known = (Plan::collection(shown).to_owned(), key(document));
        self.with(|memories| memories.stampless.insert(known));
    }

    fn new_id(&self) -> String {
        self.with(|memories| {
            memories.made += 1;
            format!("d{}", memories.made)
        })
    }

    fn note(&self, collection: &str, document: &Document, what: &str) {
        self.journal.count("writes of the app");
        self.journal.note(|| format!("app: {collection} {} {what}: {document}", key(document)));
    }

    fn with<T>(&self, what: impl FnOnce(&mut Memories) -> T) -> T {
        what(&mut self.memories.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The id of a document.
pub(crate) fn key(document: &Document) -> String {
    document.get_str("_id").unwrap_or_default().to_owned()
}
