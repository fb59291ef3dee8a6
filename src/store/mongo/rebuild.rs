//! Read models that are folded anew, and put in the place of those that are served.

use std::time::Duration;

use async_trait::async_trait;
use bson::{Document, doc};
use mongodb::error::Error;
use mongodb::options::WriteConcern;

use super::checkpoint::{self, CHECKPOINTS, name_of, still_frozen};
use super::{Mongo, command, record_statement};
use crate::event::EntityType;
use crate::replication::ReadModel;
use crate::store::{Checkpoint, Comparison, ReadModelStore, RebuildStore, StoreError};

/// How long all documents may take to be read or copied.
pub(super) const LONG: Duration = Duration::from_mins(60);
/// How long a turn that is under way may go on when nobody may have one.
const TURN_MS: i64 = 3_000;

#[async_trait]
impl RebuildStore for Mongo {
    async fn begin_anew(&self, of: &ReadModel, next: &EntityType) -> Result<(), StoreError> {
        self.give_up(next).await?;
        self.take_over(next, None).await?;
        self.index_read_model(of, next.as_str()).await
    }

    async fn freeze(&self, of: &EntityType, hold: Duration) -> Result<Vec<Checkpoint>, StoreError> {
        let frozen = doc! {
            "frozen": record_statement::from_now(hold),
            "turn": { "$add": ["$turn", 1_i64] },
        };
        let action = format!("freezing `{of}`");
        let command = doc! {
            "update": CHECKPOINTS,
            "updates": [{ "q": checkpoint::any_of(of), "u": [{ "$set": frozen }], "multi": true }],
            "writeConcern": command::write_concern(),
            "maxTimeMS": TURN_MS,
        };
        if self.run(&action, command.clone()).await.is_err() {
            // What a pod had under way that died stays under way for a minute, and nobody else can write there.
            self.end_turns_of(of).await?;
            self.run(&action, command).await?;
        }
        self.checkpoints_of(of).await
    }

    async fn keep_frozen(
        &self,
        of: &EntityType,
        at: &[Checkpoint],
        hold: Duration,
    ) -> Result<bool, StoreError> {
        let held = doc! { "$set": { "frozen": record_statement::from_now(hold) } };
        let one = |at: &Checkpoint| doc! { "q": still_frozen(of, at), "u": [&held] };
        self.all_found(at.iter().map(one).collect()).await
    }

    async fn thaw(&self, of: &EntityType, at: &[Checkpoint]) -> Result<(), StoreError> {
        let thawed = doc! { "$unset": { "frozen": true }, "$inc": { "turn": 1_i64 } };
        let one = |at: &Checkpoint| {
            let held = doc! { "_id": name_of(of, at.partition), "turn": at.turn };
            doc! { "q": held, "u": &thawed }
        };
        self.update(CHECKPOINTS, at.iter().map(one).collect(), true).await.map(|_| ())
    }

    async fn give_up(&self, next: &EntityType) -> Result<(), StoreError> {
        let command = doc! { "drop": next.as_str(), "writeConcern": command::write_concern() };
        match self.run(&format!("dropping `{next}`"), command).await {
            Err(error) if !is_missing(&error) => Err(error),
            _ => self.forget_checkpoints(next).await,
        }
    }

    async fn compare(&self, of: &EntityType, next: &EntityType) -> Result<Comparison, StoreError> {
        let served = self.count_of(of).await?;
        let rebuilt = self.count_of(next).await?;
        let theirs = doc! { "$lookup": {
            "from": next.as_str(),
            "localField": "_id",
            "foreignField": "_id",
            "pipeline": [{ "$unset": "_nearcopy" }],
            "as": "_nearcopy",
        } };
        let own = doc! { "$unsetField": { "field": "_nearcopy", "input": "$$ROOT" } };
        let same = doc! { "$expr": { "$eq": [{ "$first": "$_nearcopy" }, own] } };
        let pipeline = vec![theirs, doc! { "$match": same }, doc! { "$count": "n" }];
        let command = doc! { "aggregate": of.as_str(), "pipeline": pipeline, "cursor": {} };
        let found = self.fetch_all_within(LONG, &format!("comparing `{of}` with `{next}`"), command).await?;
        let same = found.first().map_or(0, |found| command::count(found, "n"));
        Ok(Comparison { served, rebuilt, different: served.max(rebuilt).saturating_sub(same) })
    }

    async fn take_over_deadlines(&self, of: &EntityType, next: &EntityType) -> Result<(), StoreError> {
        self.take_over_deadlines_of(of, next).await
    }

    async fn set_aside(&self, of: &EntityType, before: &EntityType) -> Result<(), StoreError> {
        let action = format!("copying `{of}` to `{before}`");
        let command = doc! {
            "aggregate": of.as_str(),
            "pipeline": [{ "$out": before.as_str() }],
            "cursor": {},
            "writeConcern": command::write_concern(),
        };
        self.fetch_all_within(LONG, &action, command).await?;
        self.copy_checkpoints(of, before).await
    }

    async fn remember_like(
        &self,
        of: &EntityType,
        others: &EntityType,
        at: &[Checkpoint],
    ) -> Result<bool, StoreError> {
        let others = self.checkpoints_of(others).await?;
        let Some(Checkpoint { memory, .. }) = others.first() else { return Ok(false) };
        let one = |at: &Checkpoint| doc! { "q": still_frozen(of, at), "u": { "$set": { "memory": memory } } };
        self.all_found(at.iter().map(one).collect()).await
    }

    async fn replace(&self, of: &EntityType, by: &EntityType) -> Result<bool, StoreError> {
        let name = |of: &EntityType| format!("{}.{of}", self.database.name());
        let rename = doc! {
            "renameCollection": name(by),
            "to": name(of),
            "dropTarget": true,
            "writeConcern": command::write_concern(),
        };
        let admin = self.database.client().database("admin");
        let action = format!("putting `{by}` in the place of `{of}`");
        match command::run_on(admin, &action, rename).await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn stand_at(
        &self,
        of: &EntityType,
        at: &[Checkpoint],
        others: &EntityType,
    ) -> Result<(), StoreError> {
        let action = format!("having `{of}` stand where `{others}` does");
        // Above whatever anybody expects who was at it before.
        let turn = self.checkpoints_of(of).await?.iter().map(|at| at.turn).max().unwrap_or_default() + 1;
        let one = |at: &Checkpoint| {
            let to = Checkpoint { turn, frozen: None, ..at.clone() };
            let named = doc! { "_id": name_of(of, at.partition) };
            doc! { "q": named, "u": [{ "$replaceWith": checkpoint::moved(of, &to) }], "upsert": true }
        };
        let gone = [of, others].map(|of| doc! { "q": checkpoint::any_of(of), "limit": 0 });
        let mut commands = vec![doc! { "delete": CHECKPOINTS, "deletes": gone.to_vec() }];
        if !at.is_empty() {
            let updates: Vec<Document> = at.iter().map(one).collect();
            commands.push(doc! { "update": CHECKPOINTS, "updates": updates });
        }
        let (mongo, named) = (self.clone(), action.clone());
        let stopped = |_| StoreError::Unavailable { action: named, detail: "the task was stopped".into() };
        let moving = tokio::spawn(async move { mongo.run_together(commands).await });
        moving.await.map_err(stopped)?.map_err(|error| command::classify(&action, &error))
    }
}

impl Mongo {
    /// Ends whatever turns of a read model are under way, in the sessions that are noted.
    async fn end_turns_of(&self, of: &EntityType) -> Result<(), StoreError> {
        let action = format!("ending the turns of `{of}`");
        let notes = doc! { "find": CHECKPOINTS, "filter": checkpoint::notes_of(of) };
        let notes = self.fetch_all(&action, notes).await?;
        let noted = notes.iter().filter_map(|note| note.get_document("session").ok());
        let sessions: Vec<&Document> = noted.collect();
        if !sessions.is_empty() {
            self.run(&action, doc! { "killSessions": sessions }).await?;
        }
        Ok(())
    }

    async fn count_of(&self, of: &EntityType) -> Result<u64, StoreError> {
        let command = doc! { "count": of.as_str() };
        Ok(command::count(&self.run(&format!("counting `{of}`"), command).await?, "n"))
    }

    /// Runs commands in one transaction.
    async fn run_together(&self, commands: Vec<Document>) -> Result<(), Error> {
        let mut session = self.database.client().start_session().await?;
        session.start_transaction().write_concern(WriteConcern::majority()).await?;
        for command in commands {
            let reply = self.database.run_command(command).session(&mut session).await?;
            if reply.get_array("writeErrors").is_ok_and(|errors| !errors.is_empty()) {
                return Err(Error::custom("a statement was refused"));
            }
        }
        session.commit_transaction().await
    }
}

/// Whether a command failed because there is no such collection.
fn is_missing(error: &StoreError) -> bool {
    matches!(error, StoreError::Unsuitable { detail, .. } if detail.ends_with("(26)"))
}
