//! Read models: one transaction holds what is read, what is written, and the checkpoint that fences both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bson::raw::cstr;
use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use futures::TryStreamExt;
use mongodb::ClientSession;
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{ReadConcern, WriteConcern};

use super::checkpoint::{self, CHECKPOINTS};
use super::command::{self, Chunk};
use super::parked::{self, any_id};
use super::writer::Writer;
use super::{Mongo, outbox, seen};
use crate::event::{EntityId, EntityType, FieldPath};
use crate::store::{Checkpoint, Encoded, Fold, Folded, Found, Lapsed, Needs, ReadModelStore, StoreError};

/// Commands, with the name under which they have their statements.
const UPDATE: (&str, &str) = ("update", "updates");
const DELETE: (&str, &str) = ("delete", "deletes");
const INSERT: (&str, &str) = ("insert", "documents");
/// What stands beside a document and its key in a statement that replaces it.
const BESIDE_A_DOCUMENT: usize = 32;

#[async_trait]
impl ReadModelStore for Mongo {
    async fn checkpoints(&self, of: &EntityType) -> Result<Vec<Checkpoint>, StoreError> {
        self.checkpoints_of(of).await
    }

    async fn take_over(&self, of: &EntityType, partition: Option<u16>) -> Result<(), StoreError> {
        let name = checkpoint::name_of(of, partition);
        let action = format!("taking `{name}` over");
        let session = self.database.client().start_session().await;
        let session = session.map_err(|error| command::classify(&action, &error))?;
        // Noted before it is used, so that whoever comes next knows what to end.
        let note = doc! {
            "findAndModify": CHECKPOINTS,
            "query": { "_id": checkpoint::note_of(of, partition) },
            "update": { "$set": { "session": session.id() } },
            "upsert": true,
            "writeConcern": command::write_concern(),
        };
        let before = self.run(&action, note).await?;
        let before = before.get_document("value").and_then(|before| before.get_document("session"));
        if let Ok(before) = before {
            self.run(&action, doc! { "killSessions": [before] }).await?;
        }
        self.folding.put(&name, session);
        Ok(())
    }

    async fn folded_by(&self, of: &EntityType) -> Result<Option<String>, StoreError> {
        let command = doc! {
            "find": CHECKPOINTS,
            "filter": { "_id": checkpoint::note_of(of, None) },
            "readConcern": self.read_concern(None),
        };
        let found = self.fetch_all(&format!("reading how `{of}` was folded"), command).await?;
        Ok(found.first().and_then(|note| note.get_str("declared").ok()).map(str::to_owned))
    }

    async fn note_folded_by(&self, of: &EntityType, declaration: &str) -> Result<(), StoreError> {
        let note = doc! { "$set": { "declared": declaration } };
        let statement = doc! { "q": { "_id": checkpoint::note_of(of, None) }, "u": note, "upsert": true };
        self.update(CHECKPOINTS, vec![statement], true).await.map(|_| ())
    }

    async fn lapsed(
        &self,
        of: &EntityType,
        before: Option<DateTime>,
        most: usize,
    ) -> Result<Option<Lapsed>, StoreError> {
        self.lapsed_of(of, before, most).await
    }

    async fn turn(
        &self,
        of: &EntityType,
        expected: Option<&Checkpoint>,
        next: &Checkpoint,
        needs: &Needs,
        fold: Fold,
    ) -> Result<bool, StoreError> {
        let action = format!("folding events into `{of}`");
        let (mongo, of) = (self.clone(), of.clone());
        let (expected, next, needs) = (expected.cloned(), next.clone(), needs.clone());
        // The driver's futures must not be dropped half-way, so all of it is a task of its own.
        let turn = tokio::spawn(async move {
            let name = checkpoint::name_of(&of, next.partition);
            let turn = Turn { mongo: &mongo, of: &of, name: &name, expected: expected.as_ref(), next: &next };
            turn.take(&needs, fold).await
        });
        let stopped =
            |_| StoreError::Unavailable { action: action.clone(), detail: "the task was stopped".into() };
        turn.await.map_err(stopped)?.map_err(|error| {
            if is_conflict(&error) {
                StoreError::Conflict { action: action.clone() }
            } else {
                command::classify(&action, &error)
            }
        })
    }
}

/// The sessions in which read models are folded, by their names: whoever takes one over ends what is under way there.
#[derive(Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<BTreeMap<String, ClientSession>>>);

impl Sessions {
    fn put(&self, of: &str, session: ClientSession) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(of.to_owned(), session);
    }

    /// Unless the read model has been taken over meanwhile: then another one is noted.
    fn put_back(&self, of: &str, session: ClientSession) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(of.to_owned()).or_insert(session);
    }

    fn take(&self, of: &str) -> Option<ClientSession> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(of)
    }
}

struct Turn<'t> {
    mongo: &'t Mongo,
    of: &'t EntityType,
    /// The checkpoint's.
    name: &'t str,
    expected: Option<&'t Checkpoint>,
    next: &'t Checkpoint,
}

impl Turn<'_> {
    async fn take(&self, needs: &Needs, fold: Fold) -> Result<bool, Error> {
        let mut session = match self.mongo.folding.take(self.name) {
            Some(session) => session,
            None => self.mongo.database.client().start_session().await?,
        };
        session
            .start_transaction()
            .read_concern(ReadConcern::snapshot())
            .write_concern(WriteConcern::majority())
            .await?;
        match self.write(&mut session, needs, fold).await {
            Ok(true) => {
                session.commit_transaction().await?;
                self.mongo.folding.put_back(self.name, session);
                Ok(true)
            }
            other => {
                // An abort that fails changes nothing: the server ends the transaction by itself.
                let is_over = session.abort_transaction().await.is_ok();
                if is_over && other.as_ref().is_err_and(is_conflict) {
                    // The turn will be taken again, in the session that is noted.
                    self.mongo.folding.put_back(self.name, session);
                }
                other
            }
        }
    }

    /// The checkpoint goes first: who is overtaken has nothing to read or to fold.
    async fn write(&self, session: &mut ClientSession, needs: &Needs, fold: Fold) -> Result<bool, Error> {
        let Some(now) = self.advance(session).await? else { return Ok(false) };
        let documents = self.load(session, needs).await?;
        let events = seen::known(&self.mongo.database, session, &self.next.memory, &needs.events).await?;
        self.store(session, fold(Found { documents, events }), now).await?;
        Ok(true)
    }

    /// Moves the checkpoint, if it is where it was; says when that is by the database's clock.
    async fn advance(&self, session: &mut ClientSession) -> Result<Option<DateTime>, Error> {
        // Whoever froze it may have a turn, and ends that by it.
        let is_frozen = self.expected.is_some_and(|expected| expected.frozen.is_some());
        let frozen = if is_frozen { doc! { "$ne": null }.into() } else { Bson::Null };
        let expected = self.expected.map_or(Bson::Null, |expected| expected.turn.into());
        let command = doc! {
            "findAndModify": CHECKPOINTS,
            "query": { "_id": self.name, "turn": expected, "frozen": frozen },
            "update": [{ "$replaceWith": checkpoint::moved(self.of, self.next) }],
            "upsert": self.expected.is_none(),
            "new": true,
        };
        match self.mongo.database.run_command(command).session(&mut *session).await {
            Ok(reply) => {
                let moved = reply.get_document("value").ok();
                Ok(moved.and_then(|moved| moved.get_datetime("at").ok().copied()))
            }
            Err(error) if is_there(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn load(
        &self,
        session: &mut ClientSession,
        needs: &Needs,
    ) -> Result<Vec<(EntityId, Document)>, Error> {
        let mut filters: Vec<Document> = needs.matching.iter().map(|fields| matching(fields)).collect();
        if !needs.keys.is_empty() {
            let keys: Vec<Bson> = needs.keys.iter().map(EntityId::to_bson).collect();
            filters.push(doc! { "_id": { "$in": keys } });
        }
        let mut documents = Vec::new();
        for filter in filters {
            // Read raw: the driver's own way takes an object such as `{"$date": …}` for a date written in JSON.
            let collection = self.mongo.database.collection::<RawDocumentBuf>(self.of.as_str());
            let mut cursor = collection.find(filter).session(&mut *session).await?;
            let found: Vec<RawDocumentBuf> = cursor.stream(&mut *session).try_collect().await?;
            for raw in found {
                let document = Document::try_from(raw).map_err(Error::custom)?;
                let key = document.get("_id").and_then(any_id);
                documents.extend(key.map(|key| (key, document)));
            }
        }
        Ok(documents)
    }

    async fn store(&self, session: &mut ClientSession, folded: Folded, now: DateTime) -> Result<(), Error> {
        let Folded { stored, deleted, parked, unparked, alerts, noted } = folded;
        let replaced = stored.into_iter().map(|document| replace(&document?)).collect();
        self.send(session, UPDATE, self.of.as_str(), replaced).await?;
        let gone = deleted.iter().map(|key| doc! { "q": { "_id": key.to_bson() }, "limit": 1 });
        self.run(session, DELETE, self.of.as_str(), gone.collect()).await?;
        // A document waits for them: they stay until somebody sees to them.
        let parked = parked.iter().map(|parked| parked::statement(parked, None)).collect();
        self.run(session, UPDATE, parked::PARKED, parked).await?;
        let unparked = unparked.iter().map(|id| doc! { "q": { "_id": id.to_string() }, "limit": 1 });
        self.run(session, DELETE, parked::PARKED, unparked.collect()).await?;
        let alerts = alerts.iter().map(outbox::statement).collect();
        self.run(session, UPDATE, outbox::OUTBOX, alerts).await?;
        self.run(session, INSERT, seen::SEEN, seen::notes(&self.next.memory, &noted, now)).await
    }

    async fn run(
        &self,
        session: &mut ClientSession,
        command: (&str, &str),
        collection: &str,
        all: Vec<Document>,
    ) -> Result<(), Error> {
        self.send(session, command, collection, all.iter().map(RawDocumentBuf::try_from).collect()).await
    }

    /// Runs statements, in as few commands as the server's limits allow. One that fails fails the whole turn.
    async fn send(
        &self,
        session: &mut ClientSession,
        (command, statements): (&str, &str),
        collection: &str,
        encoded: Vec<Encoded>,
    ) -> Result<(), Error> {
        for chunk in command::chunks(encoded) {
            let Chunk::Fitting { statements: some, .. } = chunk else {
                return Err(Error::custom("a document would exceed 16 MB"));
            };
            let sent = command::many((command, collection), true, None, (statements, &some));
            drop(some);
            let reply = self.mongo.database.run_raw_command(sent).session(&mut *session).await?;
            if let Ok([first, ..]) = reply.get_array("writeErrors").map(Vec::as_slice) {
                let code = first.as_document().and_then(|error| error.get_i32("code").ok());
                let code = code.unwrap_or_default();
                return Err(Error::custom(format!("a statement was refused (code {code})")));
            }
        }
        Ok(())
    }
}

/// What puts a document in the place of the one with its key.
fn replace(document: &RawDocumentBuf) -> Encoded {
    let mut key = RawDocumentBuf::new();
    if let Some(id) = document.get("_id")? {
        key.append(cstr!("_id"), id);
    }
    let size = key.as_bytes().len() + document.as_bytes().len();
    let mut statement = Writer::with_room(size + BESIDE_A_DOCUMENT);
    statement.document("q", &key);
    statement.document("u", document);
    statement.truth("upsert", true);
    Ok(statement.finish())
}

fn matching(fields: &[(FieldPath, Bson)]) -> Document {
    fields.iter().map(|(path, value)| (path.names().join("."), doc! { "$eq": value }.into())).collect()
}

/// Whether a checkpoint could not be made because there is one.
fn is_there(error: &Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Command(error) if error.code == 11_000)
}

/// Whether a transaction was ended because another one has changed the same documents.
fn is_conflict(error: &Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Command(error) if error.code == 112)
}
