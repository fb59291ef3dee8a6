//! The history of what was declared on this database: read, compared, and appended to by whoever comes first.

use bson::{Bson, doc};

use super::Mongo;
use crate::replication::{Declaration, Finding, History, Plan, Shape, Standing, Subscription};
use crate::store::{Backlog, RecordStore, StoreError};

const SHAPES: &str = "nearcopy.shapes";
/// How often a generation is tried to be appended: only other pods that start at this moment stand in the way.
const ATTEMPTS: usize = 50;

/// A declaration with its place in the history.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The declaration as that generation.
    pub declaration: Declaration,
    /// Where it stands.
    pub standing: Standing,
    /// The newest generation there is.
    pub newest: i32,
}

impl Mongo {
    /// Finds a declaration's place in the history. One that was never seen is appended, if nobody else has appended
    /// anything meanwhile, so that pods that start at once agree.
    pub(super) async fn place(
        &self,
        declaration: &Declaration,
        downgrade_from: Option<i32>,
    ) -> Result<Placed, StoreError> {
        let shape = Shape::of(declaration);
        for _ in 0..ATTEMPTS {
            let history = self.history().await?;
            let newest = history.newest();
            match history.standing(&shape, downgrade_from) {
                standing @ (Standing::Newest(number) | Standing::Older(number)) => {
                    let declaration = declaration.as_generation(number, &history);
                    return Ok(Placed { declaration, standing, newest });
                }
                standing @ Standing::New(number) => {
                    if self.append(&shape, newest).await? {
                        let mut history = history;
                        history.append(shape);
                        let declaration = declaration.as_generation(number, &history);
                        return Ok(Placed { declaration, standing, newest: number });
                    }
                }
            }
        }
        let action = "finding the declaration's generation".into();
        let detail = "other pods append theirs all the time; do they have different manifests?".into();
        Err(StoreError::Unavailable { action, detail })
    }

    /// The declaration as the generation that it is, for a command that runs beside pods. One that no pod has declared
    /// yet counts as the first, so that pods bring to their own generation what it writes.
    pub async fn placed(&self, declaration: &Declaration) -> Result<Declaration, StoreError> {
        let history = self.history().await?;
        Ok(match history.standing(&Shape::of(declaration), None) {
            Standing::Newest(number) | Standing::Older(number) => declaration.as_generation(number, &history),
            Standing::New(_) => declaration.clone(),
        })
    }

    /// Which generation a declaration is or would be, and what earlier ones left to do.
    pub(super) async fn generation_findings(
        &self,
        declaration: &Declaration,
    ) -> Result<Vec<Finding>, StoreError> {
        let (mut history, shape) = (self.history().await?, Shape::of(declaration));
        let newest = history.newest();
        let standing = history.standing(&shape, None);
        if let Standing::New(_) = standing {
            history.append(shape);
        }
        let (Standing::Newest(number) | Standing::Older(number) | Standing::New(number)) = standing;
        let mut findings = vec![standing_finding(standing, newest)];
        for replica in &declaration.as_generation(number, &history).replicas {
            findings.extend(self.backlog_finding(replica, standing).await?);
        }
        for orphan in history.orphans(number) {
            if !self.indexes(&orphan).await?.is_empty() {
                findings.push(Finding::advice(format!(
                    "replica `{orphan}` is not declared any more, and its collection is left as it is; to be rid of \
                     it: db.{orphan}.drop(), and db.getCollection(\"{orphan}.live\").drop()"
                )));
            }
        }
        Ok(findings)
    }

    async fn backlog_finding(
        &self,
        of: &Subscription,
        standing: Standing,
    ) -> Result<Option<Finding>, StoreError> {
        let Backlog { outdated, lacking, .. } = self.backlog(of).await?;
        let (name, brought) = (&of.name, of.lineage.since(of.shape - 1).brought.join("`, `"));
        let says = match (standing, of.fetch.is_some()) {
            (Standing::Older(_), _) => return Ok(None),
            (Standing::New(_), false) if outdated > 0 && !brought.is_empty() => format!(
                "replica `{name}` has no `fetch`: the {outdated} records that are held get `{brought}` only with their \
                 next events"
            ),
            (_, false) if lacking > 0 => format!(
                "replica `{name}`: {lacking} records have no values yet for fields that were added, and get them only \
                 with their next events, since there is no `fetch`"
            ),
            _ if outdated + lacking > 0 => format!(
                "replica `{name}`: {} records are still to be brought to this generation",
                outdated + lacking
            ),
            _ => return Ok(None),
        };
        Ok(Some(Finding::advice(says)))
    }

    /// What a declaration would change here. Nothing is written.
    pub async fn plan(&self, declaration: &Declaration) -> Result<Plan, StoreError> {
        Ok(Plan::of(&self.history().await?, declaration))
    }

    /// The generations so far.
    pub(super) async fn history(&self) -> Result<History, StoreError> {
        let action = "reading the declarations so far";
        let command = doc! {
            "find": SHAPES,
            "filter": { "_id": "declaration" },
            "limit": 1,
            "readConcern": self.read_concern(None),
        };
        let found = self.fetch_all(action, command).await?;
        let Some(stored) = found.first() else { return Ok(History::default()) };
        let generations = stored.get_array("generations").map(Vec::as_slice).unwrap_or_default();
        let read = generations.iter().map(|shape| Shape::from_document(shape.as_document()?));
        let history = read.collect::<Option<Vec<Shape>>>().map(History::new);
        history.ok_or_else(|| StoreError::Unsuitable {
            action: action.into(),
            detail: "`nearcopy.shapes` was written by a newer nearcopy; run that one".into(),
        })
    }

    /// Appends a generation, if there are still just so many.
    async fn append(&self, shape: &Shape, known: i32) -> Result<bool, StoreError> {
        let ensure = doc! {
            "q": { "_id": "declaration" },
            "u": { "$setOnInsert": { "generations": Bson::Array(Vec::new()) } },
            "upsert": true,
        };
        self.update(SHAPES, vec![ensure], true).await?;
        let generation =
            doc! { "$mergeObjects": [{ "$literal": shape.to_document() }, { "since": "$$NOW" }] };
        let append = doc! {
            "q": { "_id": "declaration", "generations": { "$size": known } },
            "u": [{ "$set": { "generations": { "$concatArrays": ["$generations", [generation]] } } }],
        };
        Ok(self.update(SHAPES, vec![append], true).await?.changed > 0)
    }
}

fn standing_finding(standing: Standing, newest: i32) -> Finding {
    match standing {
        Standing::Newest(number) => Finding::fine(format!("the manifest is generation {number}, the newest")),
        Standing::New(1) => Finding::fine("the manifest will be the first generation on this database"),
        Standing::New(number) => Finding::fine(format!(
            "the manifest keeps or shows something else than generation {newest}: it will be generation {number}, and \
             records and documents will follow"
        )),
        Standing::Older(number) => Finding::advice(format!(
            "the manifest is generation {number}, and the newest is {newest}: what is of a newer one will be left \
             alone; to go back for good, set manifest.downgrade_from={newest}"
        )),
    }
}
