//! How things stand, read at one look and changing nothing.

use bson::{Bson, Document, doc};

use super::checkpoint::{self, CHECKPOINTS};
use super::outbox::OUTBOX;
use super::{Mongo, command};
use crate::event::EntityType;
use crate::replication::{Declaration, Level, ReadModel, Shape, Standing, Subscription, Timeline};
use crate::store::{
    EpochStore, Lease, Outbox, Overview, ParkedStore, Position, ReadModelOverview, ReadModelStore,
    RecordStore, ReplicaOverview, States, StoreError,
};

/// How long the server may count: a person waits for it.
const COUNTING_MS: i64 = 5_000;
/// After so many vain questions something is wrong that does not pass by itself.
const MANY_TRIES: i64 = 5;

impl Mongo {
    /// Looks how everything stands that a declaration is about.
    pub async fn overview(&self, declared: &Declaration) -> Result<Overview, StoreError> {
        self.is_not_anothers(&declared.service).await?;
        let history = self.history().await?;
        let standing = history.standing(&Shape::of(declared), None);
        let placed = match standing {
            Standing::Newest(number) | Standing::Older(number) => declared.as_generation(number, &history),
            Standing::New(_) => declared.clone(),
        };
        let parked = self.count_parked().await?;
        let parked_of = |name: &EntityType| parked.get(name.as_str()).copied().unwrap_or_default();
        let timelines = self.timelines(None).await?;
        let mut replicas = Vec::new();
        for of in &placed.replicas {
            let epoch = timelines.get(&of.name).map_or(0, Timeline::current);
            replicas.push(self.replica_overview(of, parked_of(&of.name), epoch).await?);
        }
        let mut read_models = Vec::new();
        for of in &placed.read_models {
            read_models.push(self.read_model_overview(of, parked_of(&of.name)).await?);
        }
        Ok(Overview {
            standing,
            newest: history.newest(),
            pods: self.present().await?,
            replicas,
            read_models,
            leases: self.leases().await?,
            positions: self.positions().await?,
            parked_of_nobody: parked.get("").copied().unwrap_or_default(),
            outbox: self.outbox().await?,
        })
    }

    async fn is_not_anothers(&self, service: &str) -> Result<(), StoreError> {
        match self.fence_finding(service).await? {
            Some(found) if found.level == Level::Wrong => {
                Err(StoreError::Unsuitable { action: "looking at the database".into(), detail: found.text })
            }
            _ => Ok(()),
        }
    }

    async fn replica_overview(
        &self,
        of: &Subscription,
        parked: u64,
        epoch: i64,
    ) -> Result<ReplicaOverview, StoreError> {
        let vain = doc! { "_nearcopy.state": "pending", "_nearcopy.tries": { "$gte": MANY_TRIES } };
        Ok(ReplicaOverview {
            name: of.name.clone(),
            records: self.about_how_many(of.name.as_str()).await?,
            states: self.states(of).await?,
            backlog: self.backlog(of).await?,
            unanswered: self.count_within(of.name.as_str(), vain).await?.unwrap_or_default(),
            parked,
            epoch,
        })
    }

    /// Records by state; no index has those that are not pending, so all are looked at.
    async fn states(&self, of: &Subscription) -> Result<Option<States>, StoreError> {
        let group = doc! { "$group": { "_id": "$_nearcopy.state", "n": { "$sum": 1_i64 } } };
        let command = doc! {
            "aggregate": of.name.as_str(),
            "pipeline": [group],
            "cursor": {},
            "maxTimeMS": COUNTING_MS,
            "readConcern": self.read_concern(None),
        };
        let action = format!("counting records of `{}` by state", of.name);
        let Some(found) = unless_late(self.fetch_all(&action, command).await)? else { return Ok(None) };
        let of_state = |state: &str| {
            let group = found.iter().find(|group| group.get_str("_id").is_ok_and(|of| of == state));
            group.map_or(0, |group| command::count(group, "n"))
        };
        Ok(Some(States { live: of_state("live"), gone: of_state("gone") }))
    }

    async fn read_model_overview(
        &self,
        of: &ReadModel,
        parked: u64,
    ) -> Result<ReadModelOverview, StoreError> {
        let name = &of.name;
        let held = doc! { "_nearcopy.held": { "$gt": 0 } };
        // What is folded anew lies there until it takes its place, or is given up.
        let next = EntityType::new(&format!("{name}.next"));
        // The checkpoint of a standalone server cannot be read as others are, and there is none.
        let (at, rebuilt) = if self.is_replica_set() {
            (self.checkpoints(name).await?, self.checkpoints(&next).await?)
        } else {
            (Vec::new(), Vec::new())
        };
        Ok(ReadModelOverview {
            name: name.clone(),
            at,
            turned: self.turned(name).await?,
            folded_by: self.folded_by(name).await?,
            documents: self.about_how_many(name.as_str()).await?,
            held: self.count_within(name.as_str(), held).await?.unwrap_or_default(),
            parked,
            rebuilt,
        })
    }

    async fn turned(&self, of: &EntityType) -> Result<Option<i64>, StoreError> {
        let command = doc! {
            "find": CHECKPOINTS,
            "filter": checkpoint::any_of(of),
            "projection": { "at": 1 },
            "readConcern": self.read_concern(None),
        };
        let found = self.fetch_all(&format!("reading when `{of}` was folded"), command).await?;
        Ok(found.iter().filter_map(at).max())
    }

    async fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        let command = doc! {
            "find": "nearcopy.leases",
            "filter": { "holder": { "$exists": true }, "$expr": { "$gt": ["$until", "$$NOW"] } },
            "sort": { "_id": 1 },
            "readConcern": self.read_concern(None),
        };
        let found = self.fetch_all("looking who is at what", command).await?;
        let lease = |lease: &Document| {
            let [name, holder] = ["_id", "holder"].map(|name| lease.get_str(name).ok().map(str::to_owned));
            Some(Lease { name: name?, holder: holder? })
        };
        Ok(found.iter().filter_map(lease).collect())
    }

    async fn positions(&self) -> Result<Vec<Position>, StoreError> {
        let command = doc! {
            "find": "nearcopy.cursors",
            // Which queues are read is no position.
            "filter": { "_id": { "$not": { "$regex": "^queue:" } } },
            "sort": { "_id": 1 },
            "readConcern": self.read_concern(None),
        };
        let found = self.fetch_all("looking how far walks have come", command).await?;
        let position = |stored: &Document| {
            let position = stored.get_document("position").ok()?.clone();
            Some(Position { name: stored.get_str("_id").ok()?.to_owned(), at: at(stored), position })
        };
        Ok(found.iter().filter_map(position).collect())
    }

    async fn outbox(&self) -> Result<Outbox, StoreError> {
        let waited = doc! { "$max": { "$subtract": ["$$NOW", "$at"] } };
        let group = doc! { "$group": { "_id": Bson::Null, "n": { "$sum": 1_i64 }, "oldest": waited } };
        let command = doc! {
            "aggregate": OUTBOX,
            "pipeline": [group],
            "cursor": {},
            "readConcern": self.read_concern(None),
        };
        let found = self.fetch_all("counting what is to be told", command).await?;
        Ok(found.first().map_or_else(Outbox::default, |all| Outbox {
            waiting: command::count(all, "n"),
            oldest: all.get_i64("oldest").ok(),
        }))
    }

    /// How many documents match; nothing, where that would take too long.
    pub(super) async fn count_within(
        &self,
        collection: &str,
        filter: Document,
    ) -> Result<Option<u64>, StoreError> {
        let command = doc! {
            "count": collection,
            "query": filter,
            "maxTimeMS": COUNTING_MS,
            "readConcern": self.read_concern(None),
        };
        let counted = unless_late(self.run(&format!("counting in `{collection}`"), command).await)?;
        Ok(counted.map(|counted| command::count(&counted, "n")))
    }
}

/// What the server found, or nothing, where it was not done in time. A server that is away is told of by the next look.
fn unless_late<T>(found: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::Unavailable { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

fn at(stored: &Document) -> Option<i64> {
    stored.get_datetime("at").ok().map(|time| time.timestamp_millis())
}
