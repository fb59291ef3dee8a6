//! The consumer, who writes its own documents and knows nothing of nearcopy.

use bson::{Bson, Document, doc};

use super::change::What;
use super::order::{Id, identical};
use super::update::{self, Touched};
use super::{Database, Memory, changed};
use crate::store::StoreError;

impl Memory {
    /// Inserts a document; says whether that was done. It must have an `_id` that nobody has.
    pub fn insert(&self, collection: &str, document: Document) -> bool {
        let Some(id) = document.get("_id").cloned().map(Id) else { return false };
        let mut database = self.lock();
        if database.collection(collection).contains_key(&id) {
            return false;
        }
        database.put(collection, &id, document, What::Inserted);
        drop(database);
        self.written.notify_waiters();
        true
    }

    /// Puts another document in the place of one; says whether there was one.
    pub fn replace(&self, collection: &str, id: impl Into<Bson>, mut document: Document) -> bool {
        let id = id.into();
        let mut whole = doc! { "_id": &id };
        document.remove("_id");
        whole.extend(document);
        self.change(collection, id, |held| {
            let is_same = identical(&Bson::Document(held.clone()), &Bson::Document(whole.clone()));
            (!is_same).then_some((whole, What::Replaced))
        })
    }

    /// Changes fields of a document, as `$set` and `$unset` of whole fields do; says whether there is one.
    pub fn update(&self, collection: &str, id: impl Into<Bson>, edit: impl FnOnce(&mut Document)) -> bool {
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
    pub fn update_by(
        &self,
        collection: &str,
        id: impl Into<Bson>,
        operators: &Document,
    ) -> Result<bool, StoreError> {
        let mut fault = None;
        let is_there = self.change(collection, id.into(), |held| match update::apply(held, operators, &[]) {
            Ok(updated) => changed(updated),
            Err(error) => {
                fault = Some(error);
                None
            }
        });
        fault.map_or(Ok(is_there), |fault| Err(fault.into()))
    }

    /// Deletes a document; says whether there was one.
    pub fn delete(&self, collection: &str, id: impl Into<Bson>) -> bool {
        let deleted = self.lock().delete(collection, &Id(id.into()));
        self.written.notify_waiters();
        deleted
    }

    /// Drops a collection with all that is in it.
    pub fn drop_collection(&self, collection: &str) {
        let mut database = self.lock();
        database.contents.collections.remove(collection);
        database.log(collection, &Id(Bson::Null), What::Dropped);
        drop(database);
        self.written.notify_waiters();
    }

    /// A document.
    pub fn find(&self, collection: &str, id: impl Into<Bson>) -> Option<Document> {
        self.lock().contents.collections.get(collection)?.get(&Id(id.into())).cloned()
    }

    /// All documents of a collection, in the order of `_id`.
    pub fn all(&self, collection: &str) -> Vec<Document> {
        let database = self.lock();
        database
            .contents
            .collections
            .get(collection)
            .into_iter()
            .flat_map(|held| held.values().cloned())
            .collect()
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
        let held = self.contents.collections.get_mut(collection);
        let deleted = held.is_some_and(|held| held.remove(id).is_some());
        if deleted {
            self.log(collection, id, What::Deleted);
        }
        deleted
    }
}
