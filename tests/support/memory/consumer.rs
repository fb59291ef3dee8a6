//! The consumer, who writes its own documents and knows nothing of nearcopy.

use bson::{Bson, Document, doc};

use super::change::What;
use super::order::{Id, identical};
use super::update::{self, Touched};
use super::{Database, Memory, changed};

impl Memory {
    /// Inserts a document, which has an `_id` that nobody has.
    pub(crate) fn insert(&self, collection: &str, document: Document) {
        let id = Id(document.get("_id").unwrap().clone());
        let mut database = self.lock();
        let before = database.collection(collection).insert(id.clone(), document);
        assert!(before.is_none(), "there are two documents with one `_id`");
        database.log(collection, &id, What::Inserted);
        drop(database);
        self.written.notify_waiters();
    }

    /// Puts another document in the place of one; says whether there was one.
    pub(crate) fn replace(&self, collection: &str, id: impl Into<Bson>, mut document: Document) -> bool {
        let mut whole = doc! { "_id": id };
        document.remove("_id");
        whole.extend(document);
        self.change(collection, whole.get("_id").unwrap().clone(), |held| {
            let is_same = identical(&Bson::Document(held.clone()), &Bson::Document(whole.clone()));
            (!is_same).then_some((whole, What::Replaced))
        })
    }

    /// Changes fields of a document, as `$set` and `$unset` of whole fields do; says whether there is one.
    pub(crate) fn update(
        &self,
        collection: &str,
        id: impl Into<Bson>,
        edit: impl FnOnce(&mut Document),
    ) -> bool {
        self.change(collection, id.into(), |held| {
            let mut edited = held.clone();
            edit(&mut edited);
            let is_new = |(name, value): &(&String, &Bson)| {
                held.get(name).is_none_or(|before| !identical(before, value))
            };
            let set = edited.iter().filter(is_new).map(|(name, _)| name.clone()).collect();
            let removed = held.keys().filter(|name| !edited.contains_key(name)).cloned().collect();
            let touched = Touched { set, removed };
            (touched != Touched::default()).then_some((edited, What::Updated(touched)))
        })
    }

    /// Changes a document by `$set` and `$unset` with paths; says whether there is one.
    pub(crate) fn update_by(&self, collection: &str, id: impl Into<Bson>, operators: &Document) -> bool {
        let updated = |held: &Document| update::apply(held, operators, &[]);
        self.change(collection, id.into(), |held| changed(updated(held).expect("an update that fits")))
    }

    /// Deletes a document; says whether there was one.
    pub(crate) fn delete(&self, collection: &str, id: impl Into<Bson>) -> bool {
        let deleted = self.lock().delete(collection, &Id(id.into()));
        self.written.notify_waiters();
        deleted
    }

    /// Drops a collection with all that is in it.
    pub(crate) fn drop_collection(&self, collection: &str) {
        let mut database = self.lock();
        database.contents.collections.remove(collection);
        database.log(collection, &Id(Bson::Null), What::Dropped);
        drop(database);
        self.written.notify_waiters();
    }

    /// A document.
    pub(crate) fn find(&self, collection: &str, id: impl Into<Bson>) -> Option<Document> {
        self.lock().collection(collection).get(&Id(id.into())).cloned()
    }

    /// All documents of a collection, in the order of `_id`.
    pub(crate) fn all(&self, collection: &str) -> Vec<Document> {
        self.lock().collection(collection).values().cloned().collect()
    }

    fn change(
        &self,
        collection: &str,
        id: Bson,
        edit: impl FnOnce(&Document) -> Option<(Document, What)>,
    ) -> bool {
        let (mut database, id) = (self.lock(), Id(id));
        let Some(held) = database.collection(collection).get(&id).cloned() else { return false };
        if let Some((document, what)) = edit(&held) {
            database.put(collection, &id, document, what);
        }
        drop(database);
        self.written.notify_waiters();
        true
    }
}

impl Database {
    pub(super) fn collection(&mut self, name: &str) -> &mut super::Collection {
        self.contents.collections.entry(name.to_owned()).or_default()
    }

    /// Changes a document, and writes that down.
    pub(super) fn put(&mut self, collection: &str, id: &Id, document: Document, what: What) {
        self.collection(collection).insert(id.clone(), document);
        self.log(collection, id, what);
    }

    /// Deletes a document, and writes that down.
    pub(super) fn delete(&mut self, collection: &str, id: &Id) -> bool {
        let deleted = self.collection(collection).remove(id).is_some();
        if deleted {
            self.log(collection, id, What::Deleted);
        }
        deleted
    }
}
