//! What `check --online` finds out about the database, changing nothing.

use bson::{Document, doc};

use super::index::Serves;
use super::{Mongo, Topology, command};
use crate::replication::{
    Declaration, Embed, Finding, Inflow, ReadModel, Subscription, Timeline, WhenDeleted,
};
use crate::store::{Checkpoint, EpochStore, Misfit, Presence, ReadModelStore, StoreError};

impl Mongo {
    /// Looks at the server, its concerns, the fence, and the indexes that fan-out needs.
    pub async fn inspect(&self, declaration: &Declaration) -> Result<Vec<Finding>, StoreError> {
        let build = self.run("asking for the version", doc! { "buildInfo": 1 }).await?;
        let version = build.get_str("version").unwrap_or("unknown");
        let mut findings = vec![self.topology_finding(version, declaration)];
        findings.push(self.concern_finding().await);
        findings.extend(self.fence_finding(&declaration.service).await?);
        findings.extend(self.generation_findings(declaration).await?);
        findings.push(pods_finding(&self.present().await?));
        let timelines = self.timelines(None).await?;
        for replica in &declaration.replicas {
            findings.extend(timelines.get(&replica.name).map(|timeline| epoch_finding(replica, timeline)));
            findings.extend(self.unique_findings(replica.name.as_str()).await?);
        }
        for embed in &declaration.embeds {
            findings.push(self.reference_finding(embed).await?);
        }
        for feed in &declaration.feeds {
            let Some(followed) = feed.collection() else { continue };
            let with_before = declaration.reads_before(&feed.name);
            findings.push(self.collection_finding(&feed.name, &followed.name, with_before).await?);
        }
        for model in &declaration.read_models {
            let inflow = declaration.inflow(model).ok();
            findings.push(self.read_model_finding(model, inflow.as_ref()).await?);
        }
        Ok(findings)
    }

    /// About how many documents a collection has: the server's own count, which costs nothing.
    pub async fn about_how_many(&self, collection: &str) -> Result<u64, StoreError> {
        let reply = self.run(&format!("counting `{collection}`"), doc! { "count": collection }).await?;
        Ok(command::count(&reply, "n"))
    }

    /// How far a read model is folded, and by which declaration.
    async fn read_model_finding(
        &self,
        model: &ReadModel,
        inflow: Option<&Inflow>,
    ) -> Result<Finding, StoreError> {
        let (name, is_stream) = (&model.name, matches!(inflow, Some(Inflow::Stream(_))));
        if !self.is_replica_set() {
            let text =
                format!("read model `{name}` needs transactions, which a standalone server does not have");
            return Ok(Finding::wrong(text));
        }
        let all = self.checkpoints_of(name).await?;
        if all.is_empty() {
            return Ok(Finding::fine(format!("read model `{name}`: nothing is folded yet")));
        }
        if let Err(misfit) = Misfit::look(&all, inflow.and_then(Inflow::partitions)) {
            return Ok(Finding::wrong(format!("read model `{name}`: {misfit}")));
        }
        let held = doc! { "count": name.as_str(), "query": { "_nearcopy.held": { "$gt": 0 } } };
        let held = command::count(&self.run("counting documents that wait", held).await?, "n");
        let how_far = if is_stream {
            format!("is folded up to {}", all.iter().map(how_far).collect::<Vec<_>>().join(", "))
        } else {
            "is folded as events come".to_owned()
        };
        Ok(match self.folded_by(name).await? {
            _ if held > 0 => Finding::advice(format!(
                "read model `{name}` {how_far}; {held} documents wait for parked events"
            )),
            Some(by) if by != model.hash && !is_stream => Finding::advice(format!(
                "read model `{name}` was folded by another declaration, and what made it is not read again: old documents \
                 stay as they are"
            )),
            Some(by) if by != model.hash => Finding::advice(format!(
                "read model `{name}` was folded by another declaration; `nearcopy read-model rebuild {name}` brings this \
                 one to all documents"
            )),
            _ => Finding::fine(format!("read model `{name}` {how_far}")),
        })
    }

    /// Whether a collection can be followed, and whether that tells all that is read.
    async fn collection_finding(
        &self,
        source: &str,
        name: &str,
        with_before: bool,
    ) -> Result<Finding, StoreError> {
        let of = format!("source `{source}`: `{name}`");
        let images = "changeStreamPreAndPostImages: { enabled: true }";
        if !self.is_replica_set() {
            return Ok(Finding::wrong(format!(
                "{of} cannot be followed: a standalone server has no change streams"
            )));
        }
        let Some(options) = self.collection_options(name).await? else {
            let create = format!("db.createCollection(\"{name}\", {{ {images} }})");
            return Ok(Finding::advice(format!(
                "{of} does not exist yet, which is fine; that documents are told as they were at each change, have it \
                 created by {create}"
            )));
        };
        if options.get_str("type").ok() != Some("collection") {
            return Ok(Finding::wrong(format!(
                "{of} is no plain collection, and nothing else can be followed"
            )));
        }
        let enable = format!("db.runCommand({{ collMod: \"{name}\", {images} }})");
        Ok(match (self.records_images(name).await?, with_before) {
            (true, _) => {
                Finding::fine(format!("{of} records how documents are before and after each change"))
            }
            (false, true) => Finding::advice(format!(
                "{of} does not record how documents were before a change, so `before` is never there; enable it: {enable}"
            )),
            (false, false) => Finding::fine(format!(
                "{of} is followed; a change is told with the document as it is when it is told, or, after {enable}, as it \
                 was then"
            )),
        })
    }

    fn topology_finding(&self, version: &str, declaration: &Declaration) -> Finding {
        let destroys = declaration.embeds.iter().any(|embed| embed.when_deleted == WhenDeleted::Delete);
        match (self.topology, destroys) {
            (Topology::ReplicaSet, _) => {
                Finding::fine(format!("MongoDB {version}, a replica set or sharded cluster"))
            }
            (Topology::Standalone, false) => Finding::advice(format!(
                "MongoDB {version}, standalone: no change streams, so new documents are found by sweeps; make it a \
                 replica set of one member for immediate embeds"
            )),
            (Topology::Standalone, true) => Finding::wrong(format!(
                "MongoDB {version}, standalone: `when_deleted: delete` needs transactions; make it a replica set"
            )),
        }
    }

    /// Writes name their concern themselves; what readers get by default is worth a word.
    async fn concern_finding(&self) -> Finding {
        let read = "reading the default concerns";
        let command = doc! { "getDefaultRWConcern": 1 };
        let admin = self.database.client().database("admin");
        let asking = tokio::spawn(async move { admin.run_command(command).await });
        let Ok(Ok(reply)) = asking.await else {
            return Finding::fine(format!(
                "{read}: not permitted or not supported; ours are explicit anyway"
            ));
        };
        let write = reply.get_document("defaultWriteConcern").map(ToString::to_string).unwrap_or_default();
        Finding::fine(format!(
            "writes are confirmed by the majority and journaled, whatever the default ({})",
            if write.is_empty() { "implicit".into() } else { write }
        ))
    }

    pub(super) async fn fence_finding(&self, service: &str) -> Result<Option<Finding>, StoreError> {
        let command = doc! { "find": "nearcopy.shapes", "filter": { "_id": "service" } };
        let found = self.fetch_all("reading the fence", command).await?;
        let holder = found.first().and_then(|fence| fence.get_str("service").ok());
        Ok(match holder {
            Some(holder) if holder != service => Some(Finding::wrong(format!(
                "database `{}` belongs to service `{holder}`, the manifest declares `{service}`",
                self.database.name()
            ))),
            Some(_) | None => {
                Some(Finding::fine(format!("database `{}` is free or ours", self.database.name())))
            }
        })
    }

    /// A unique index on a replica makes valid events fail: two owners' rows may share a value for a moment.
    async fn unique_findings(&self, collection: &str) -> Result<Vec<Finding>, StoreError> {
        let unique = |index: &Document| index.get_bool("unique").unwrap_or_default();
        let found = self.indexes(collection).await?;
        let names = found.iter().filter(|index| unique(index)).filter_map(|index| index.get_str("name").ok());
        let text = |name: &str| {
            Finding::wrong(format!(
                "replica `{collection}` has the unique index `{name}`: two entities may share a value for a moment \
                 while events are under way; drop it"
            ))
        };
        Ok(names.map(text).collect())
    }

    /// Whether an index finds the documents that refer to a record.
    pub async fn is_indexed(&self, embed: &Embed) -> Result<bool, StoreError> {
        let serves = self.best_index(&embed.collection, &embed.reference.dotted()).await?;
        Ok(serves != Serves::Nothing)
    }

    async fn reference_finding(&self, embed: &Embed) -> Result<Finding, StoreError> {
        let path = embed.reference.dotted();
        let (name, collection) = (&embed.name, &embed.collection);
        let create = format!("create it: db.{collection}.createIndex({{ \"{path}\": 1, \"_id\": 1 }})");
        Ok(match self.best_index(collection, &path).await? {
            Serves::FindingInOrder => Finding::fine(format!(
                "embed `{name}`: `{path}` of `{collection}` is indexed, with `_id` behind it"
            )),
            Serves::Finding => Finding::advice(format!(
                "embed `{name}`: `{path}` of `{collection}` is indexed, without `_id` behind it, so after a crash a large \
                 fan-out begins anew instead of going on; {create}"
            )),
            Serves::Nothing => Finding::wrong(format!(
                "embed `{name}`: `{path}` of `{collection}` is not indexed, so every change would read the whole \
                 collection; {create}"
            )),
        })
    }
}

fn how_far(at: &Checkpoint) -> String {
    let offset = at.last().map_or_else(|| "no event yet".to_owned(), |place| format!("offset {place}"));
    match at.partition {
        None => offset,
        Some(number) => format!("{offset} of partition {number}"),
    }
}

/// Who is at work now, and with which version.
fn pods_finding(pods: &[Presence]) -> Finding {
    let pod = |pod: &Presence| format!("{} ({})", pod.host, pod.version);
    match pods {
        [] => Finding::fine("no pod is at work"),
        pods => {
            let named = pods.iter().map(pod).collect::<Vec<_>>().join(", ");
            Finding::fine(format!("pods at work: {}: {named}", pods.len()))
        }
    }
}

fn epoch_finding(replica: &Subscription, timeline: &Timeline) -> Finding {
    let since = timeline.restored().last().map(|micros| bson::DateTime::from_millis(micros / 1000));
    let since = since.and_then(|time| time.try_to_rfc3339_string().ok()).unwrap_or_default();
    Finding::fine(format!("replica `{}` is in epoch {}, since {since}", replica.name, timeline.current()))
}
