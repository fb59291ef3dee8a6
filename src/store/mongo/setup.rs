//! What must be in the database before work begins: the fence, our indexes, the views for readers.

use std::time::Duration;

use bson::{Document, doc};

use super::outbox::OUTBOX;
use super::seen::SEEN;
use super::shape::Placed;
use super::{Mongo, deadline};
use crate::replication::{Declaration, ReadModel, Subscription, Target, WhenDeleted};
use crate::store::StoreError;

/// The collection or view exists already, or with other options.
const EXISTS: i32 = 48;
/// An index of that name or those keys exists with other options.
const INDEX_DIFFERS: [i32; 2] = [85, 86];

impl Mongo {
    /// Prepares the database for a declaration, and says which generation of it the declaration is. Running it again
    /// changes nothing.
    pub async fn set_up(&self, declaration: &Declaration) -> Result<Placed, StoreError> {
        self.set_up_instead_of(declaration, None).await
    }

    /// The same for a declaration that may be an older one that is to be the newest again, in place of the one that
    /// is named.
    pub async fn set_up_instead_of(
        &self,
        declaration: &Declaration,
        downgrade_from: Option<i32>,
    ) -> Result<Placed, StoreError> {
        self.can_do(declaration)?;
        self.fence(&declaration.service).await?;
        self.index("nearcopy.parked", doc! { "expires": 1 }, doc! { "expireAfterSeconds": 0 }).await?;
        self.index("nearcopy.leases", doc! { "at": 1 }, doc! { "expireAfterSeconds": 3_600 }).await?;
        self.index("nearcopy.parked", doc! { "replica": 1, "entity": 1 }, Document::new()).await?;
        for replica in &declaration.replicas {
            self.set_up_replica(replica).await?;
        }
        if declaration.read_models.iter().any(|model| !model.rules.is_empty()) {
            self.index(OUTBOX, doc! { "at": 1 }, Document::new()).await?;
        }
        for model in &declaration.read_models {
            self.set_up_read_model(model).await?;
        }
        self.place(declaration, downgrade_from).await
    }

    async fn set_up_replica(&self, replica: &Subscription) -> Result<(), StoreError> {
        let name = replica.name.as_str();
        self.is_ours(name).await?;
        self.index(name, doc! { "_nearcopy.due": 1 }, doc! { "sparse": true }).await?;
        let owes = doc! { "partialFilterExpression": { "_nearcopy.owes": true } };
        self.index(name, doc! { "_nearcopy.owes": 1, "_id": 1 }, owes).await?;
        self.index(name, doc! { "_nearcopy.mark.at": 1 }, doc! { "sparse": true }).await?;
        self.index(name, doc! { "_nearcopy.s": 1 }, doc! { "sparse": true }).await?;
        self.index(name, doc! { "_nearcopy.lacks": 1 }, doc! { "sparse": true }).await?;
        let pending = doc! { "partialFilterExpression": { "_nearcopy.state": "pending" } };
        self.index(name, doc! { "_nearcopy.state": 1 }, pending).await?;
        self.index_reads(replica, name).await?;
        self.view(name).await
    }

    /// What readers may ask for has an index.
    async fn index_reads(&self, of: &Subscription, name: &str) -> Result<(), StoreError> {
        for field in of.reads.indexed() {
            let live = doc! { "partialFilterExpression": { "_nearcopy.state": "live" } };
            self.index(name, doc! { field: 1, "_id": 1 }, live).await?;
        }
        Ok(())
    }

    async fn set_up_read_model(&self, model: &ReadModel) -> Result<(), StoreError> {
        let name = model.name.as_str();
        self.is_ours(name).await?;
        self.index_read_model(model, name).await?;
        self.view(name).await
    }

    /// Prepares a collection to be folded into as a read model declares.
    pub(super) async fn index_read_model(&self, model: &ReadModel, name: &str) -> Result<(), StoreError> {
        if model.remember.is_some() {
            self.index(SEEN, doc! { "expires": 1 }, doc! { "expireAfterSeconds": 0 }).await?;
        }
        self.index(name, doc! { "_nearcopy.held": 1 }, doc! { "sparse": true }).await?;
        if model.has_deadlines() {
            self.index(name, doc! { deadline::NEXT: 1 }, doc! { "sparse": true }).await?;
        }
        for effect in model.reactions.values().flatten() {
            let Target::Where(fields) = &effect.target else { continue };
            let keys: Document =
                fields.iter().take(1).map(|(path, _)| (path.names().join("."), 1.into())).collect();
            self.index(name, keys, Document::new()).await?;
        }
        self.index_reads(&model.view, name).await
    }

    /// Some policies need what a standalone server does not have; that is said before any work begins.
    fn can_do(&self, declaration: &Declaration) -> Result<(), StoreError> {
        if let Some(model) = declaration.read_models.first().filter(|_| !self.is_replica_set()) {
            return Err(StoreError::Unsuitable {
                action: format!("preparing read model `{}`", model.name),
                detail: "documents and checkpoint are stored in one transaction, which a standalone server does not \
                         have; make it a replica set of one member"
                    .into(),
            });
        }
        if let Some(feed) =
            declaration.feeds.iter().find(|feed| feed.collection().is_some() && !self.is_replica_set())
        {
            return Err(StoreError::Unsuitable {
                action: format!("preparing the source `{}`", feed.name),
                detail: "a collection is followed by its change stream, which a standalone server does not have; make it \
                         a replica set of one member"
                    .into(),
            });
        }
        let destroys = declaration.embeds.iter().find(|embed| embed.when_deleted == WhenDeleted::Delete);
        match destroys {
            Some(embed) if !self.is_replica_set() => Err(StoreError::Unsuitable {
                action: format!("preparing embed `{}`", embed.name),
                detail: "`when_deleted: delete` needs transactions, which a standalone server does not have; make \
                         it a replica set of one member, or choose another policy"
                    .into(),
            }),
            _ => Ok(()),
        }
    }

    /// A replica's or a read model's collection belongs to nearcopy alone: it is not taken over from somebody who keeps
    /// other documents there.
    async fn is_ours(&self, replica: &str) -> Result<(), StoreError> {
        let ours = ["_nearcopy.due", "_nearcopy.held"];
        let known = |index: &Document| {
            index.get_document("key").is_ok_and(|keys| ours.iter().any(|key| keys.contains_key(*key)))
        };
        if self.indexes(replica).await?.iter().any(known) {
            return Ok(());
        }
        let foreign = doc! { "find": replica, "filter": { "_nearcopy": { "$exists": false } }, "limit": 1 };
        let action = format!("taking the collection `{replica}`");
        if self.fetch_all(&action, foreign).await?.is_empty() {
            return Ok(());
        }
        let detail =
            "it holds documents that are not nearcopy's; choose another name in the manifest, or empty it"
                .into();
        Err(StoreError::Unsuitable { action, detail })
    }

    /// Takes the database for this service, or finds that another has it.
    async fn fence(&self, service: &str) -> Result<(), StoreError> {
        let take = doc! { "q": { "_id": "service" }, "u": { "$setOnInsert": { "service": service } }, "upsert": true };
        self.update("nearcopy.shapes", vec![take], true).await?;
        let command = doc! {
            "find": "nearcopy.shapes",
            "filter": { "_id": "service" },
            "readConcern": self.read_concern(None),
        };
        let found = self.fetch_all("reading the fence", command).await?;
        let holder = found.first().and_then(|fence| fence.get_str("service").ok()).unwrap_or_default();
        if holder == service {
            return Ok(());
        }
        Err(StoreError::Unsuitable {
            action: "taking the database".into(),
            detail: format!(
                "`{}` belongs to service `{holder}`, the manifest declares `{service}`; give each service its own database",
                self.database.name(),
            ),
        })
    }

    async fn index(&self, collection: &str, keys: Document, options: Document) -> Result<(), StoreError> {
        let name: Vec<String> =
            keys.keys().map(|key| key.trim_start_matches('_').replace('.', "_")).collect();
        let mut index = doc! { "key": keys, "name": name.join("_") };
        index.extend(options);
        let command = doc! { "createIndexes": collection, "indexes": [index] };
        match self.run_patiently(&format!("creating an index on `{collection}`"), command).await {
            Err(StoreError::Refused { code, action, .. }) if INDEX_DIFFERS.contains(&code) => {
                let detail =
                    "an index of the same name is declared otherwise; drop it and start again".into();
                Err(StoreError::Unsuitable { action, detail })
            }
            other => other.map(|_| ()),
        }
    }

    /// The view of live records, without what is nobody's business.
    async fn view(&self, replica: &str) -> Result<(), StoreError> {
        let pipeline = vec![doc! { "$match": { "_nearcopy.state": "live" } }, doc! { "$unset": "_nearcopy" }];
        let command = doc! { "create": format!("{replica}.live"), "viewOn": replica, "pipeline": pipeline };
        match self.run(&format!("creating the view `{replica}.live`"), command).await {
            Err(StoreError::Refused { code: EXISTS, .. }) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Index builds may take long; that is no reason to give up on them.
    async fn run_patiently(&self, action: &str, command: Document) -> Result<Document, StoreError> {
        let mut patience = Duration::from_secs(1);
        loop {
            match self.run(action, command.clone()).await {
                Err(StoreError::Unavailable { detail, .. }) if patience < Duration::from_secs(60) => {
                    tracing::info!(event = "store.waiting", action, detail, "waiting for the database");
                    tokio::time::sleep(patience).await;
                    patience *= 2;
                }
                other => return other,
            }
        }
    }
}
