//! The consumer's documents, as far as they embed a replica's fields.

use std::collections::VecDeque;

use async_trait::async_trait;
use bson::{Bson, Document, doc};

use super::order::Id;
use super::unknown::Known;
use super::update::{self, Fault};
use super::{Contents, Database, Pod, changed, filter, first};
use crate::event::EntityId;
use crate::replication::{Embed, EmbedWrite, Record, State, Subscription, Why};
use crate::store::{EmbedStore, Moment, Pages, Referring, Refusal, StoreError, Written};

#[async_trait]
impl EmbedStore for Pod {
    async fn count(
        &self,
        embed: &Embed,
        references: &[EntityId],
        many: u64,
        after: Option<Moment>,
    ) -> Result<Referring, StoreError> {
        let database = self.lock();
        let contents = database.seen(&self.name, after);
        let mut referring = Referring::default();
        for id in references {
            let refers = doc! { embed.reference.dotted(): { "$eq": id.to_bson() } };
            let count = matching(contents, embed, &refers)?.len() as u64;
            referring.any |= count > 0;
            if count >= many {
                referring.many.insert(id.clone());
            }
        }
        Ok(referring)
    }

    async fn embed(&self, embed: &Embed, writes: &[EmbedWrite]) -> Result<Written, StoreError> {
        let mut database = self.lock();
        let (mut total, mut refused) = (0, Vec::new());
        for (index, write) in writes.iter().enumerate() {
            match database.embed(embed, write) {
                Ok(changed) => total += changed,
                Err(Fault::Refused(code)) => {
                    refused.push(Refusal { index, code, reason: update::reason(code).into() });
                }
                Err(fault @ Fault::Unknown(_)) => return Err(fault.into()),
            }
        }
        self.tell();
        Ok(database.written(writes.len(), total, refused))
    }

    async fn matching(&self, embed: &Embed, filter: Document) -> Result<Box<dyn Pages>, StoreError> {
        let database = self.lock();
        let found = matching(database.seen(&self.name, None), embed, &filter)?;
        let left = found.into_iter().map(|(id, _)| id.clone()).collect();
        Ok(Box::new(Walk { pod: self.clone(), embed: embed.clone(), filter, left }))
    }

    async fn matching_in_order(
        &self,
        embed: &Embed,
        filter: Document,
        after: Option<&Bson>,
    ) -> Result<Option<Box<dyn Pages>>, StoreError> {
        let database = self.lock();
        let after = after.cloned().map(Id);
        let found = matching(database.seen(&self.name, None), embed, &filter)?.into_iter();
        let left = found.map(|(id, _)| id).filter(|id| after.as_ref().is_none_or(|after| *id > after));
        let left = left.cloned().collect();
        Ok(Some(Box::new(Walk { pod: self.clone(), embed: embed.clone(), filter, left })))
    }

    async fn documents(
        &self,
        embed: &Embed,
        ids: &[Bson],
        after: Option<Moment>,
    ) -> Result<Vec<Document>, StoreError> {
        let database = self.lock();
        let named = doc! { "_id": { "$in": ids } };
        let found = matching(database.seen(&self.name, after), embed, &named)?;
        Ok(found.into_iter().map(|(_, document)| projected(embed, document)).collect())
    }

    async fn scan(
        &self,
        embed: &Embed,
        from: Option<&Bson>,
        most: usize,
        after: Option<Moment>,
    ) -> Result<Vec<Document>, StoreError> {
        let database = self.lock();
        let (from, everything) = (from.cloned().map(Id), Document::new());
        let found = matching(database.seen(&self.name, after), embed, &everything)?;
        let found = found.into_iter().filter(|(id, _)| from.as_ref().is_none_or(|from| *id > from));
        Ok(first(found.map(|(_, document)| projected(embed, document)), most))
    }

    async fn referenced(
        &self,
        embed: &Embed,
        ids: &[EntityId],
        after: Option<Moment>,
    ) -> Result<Vec<EntityId>, StoreError> {
        let database = self.lock();
        let contents = database.seen(&self.name, after);
        let mut referenced = Vec::new();
        for id in ids {
            let refers = doc! { embed.reference.dotted(): { "$eq": id.to_bson() } };
            if !matching(contents, embed, &refers)?.is_empty() {
                referenced.push(id.clone());
            }
        }
        Ok(referenced)
    }

    async fn remove(
        &self,
        embed: &Embed,
        of: &Subscription,
        record: &Record,
        ids: &[Bson],
    ) -> Result<u64, StoreError> {
        let mut database = self.lock();
        let held = database.held(of, &record.id).map(|held| (held.record.rev, held.record.state));
        if held != Some((record.rev, State::Gone(Why::Deleted))) {
            return Ok(0);
        }
        let (reference, stamp) = (record.id.to_bson(), embed.stamp_path());
        let shown = doc! {
            format!("{stamp}.ref"): { "$eq": &reference },
            format!("{stamp}.rev"): { "$lt": record.rev },
        };
        let theirs = doc! {
            "_id": { "$in": ids },
            embed.reference.dotted(): { "$eq": &reference, "$not": { "$type": "array" } },
            "$or": [shown, { stamp: { "$exists": false } }],
        };
        let found = matching(&database.contents, embed, &theirs)?;
        let ids: Vec<Id> = found.into_iter().map(|(id, _)| id.clone()).collect();
        let removed = ids.iter().filter(|id| database.delete(&embed.collection, id)).count();
        self.tell();
        Ok(removed as u64)
    }
}

impl Database {
    /// Runs one statement; it ends at the first document that cannot take it.
    fn embed(&mut self, embed: &Embed, write: &EmbedWrite) -> Result<u64, Fault> {
        let found = matching(&self.contents, embed, &write.filter)?.into_iter();
        let found: Vec<(Id, Document)> = found.map(|(id, found)| (id.clone(), found.clone())).collect();
        let mut total = 0;
        for (id, document) in found {
            let updated = update::apply(&document, &write.update, &write.array_filters)?;
            if let Some((next, what)) = changed(updated) {
                self.put(&embed.collection, &id, next, what);
                total += 1;
            }
        }
        Ok(total)
    }
}

fn matching<'c>(
    contents: &'c Contents,
    embed: &Embed,
    filter: &Document,
) -> Known<Vec<(&'c Id, &'c Document)>> {
    let documents = contents.collections.get(&embed.collection).into_iter().flatten();
    let met =
        documents.map(|(id, document)| Ok(filter::matches(document, filter)?.then_some((id, document))));
    met.filter_map(Result::transpose).collect()
}

/// A document with its `_id` and its references only.
fn projected(embed: &Embed, document: &Document) -> Document {
    let path = embed.reference.dotted();
    let names: Vec<&str> = path.split('.').collect();
    let mut shown = doc! { "_id": document.get("_id") };
    shown.extend(included(document, &names));
    shown
}

/// What lies on a path. Arrays on the way are gone through; what has no names is left out of them.
fn included(document: &Document, names: &[&str]) -> Document {
    let mut shown = Document::new();
    let Some((name, rest)) = names.split_first() else { return shown };
    if let Some(value) = document.get(name).and_then(|value| included_value(value, rest)) {
        shown.insert(*name, value);
    }
    shown
}

fn included_value(value: &Bson, rest: &[&str]) -> Option<Bson> {
    match value {
        whole if rest.is_empty() => Some(whole.clone()),
        Bson::Document(inner) => Some(included(inner, rest).into()),
        Bson::Array(list) => {
            Some(list.iter().filter_map(|element| included_value(element, rest)).collect::<Vec<_>>().into())
        }
        _ => None,
    }
}

/// A walk through the documents that matched at its beginning, as far as they match when it comes to them.
struct Walk {
    pod: Pod,
    embed: Embed,
    filter: Document,
    left: VecDeque<Id>,
}

#[async_trait]
impl Pages for Walk {
    async fn next(&mut self, most: usize) -> Result<Vec<Bson>, StoreError> {
        let database = self.pod.lock();
        let documents = database.seen(&self.pod.name, None).collections.get(&self.embed.collection);
        let mut page = Vec::new();
        while page.len() < most.max(1) {
            let Some(id) = self.left.pop_front() else { break };
            let Some(document) = documents.and_then(|documents| documents.get(&id)) else { continue };
            if filter::matches(document, &self.filter)? {
                page.push(id.0);
            }
        }
        Ok(page)
    }
}
