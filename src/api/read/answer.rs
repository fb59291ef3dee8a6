//! What readers ask for, and what they are answered: the same for every face.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::access::{may_read, sees_clear};
use super::page::Tokens;
use super::problem::Problem;
use super::shown::{self, Absent, Id, One};
use super::watch::Watched;
use super::wish::Asked;
use crate::event::EntityId;
use crate::pipeline::{Reader, Told};
use crate::replication::{Contract, Query, Reading, State, Subscription};
use crate::store::StoreError;
use crate::telemetry::metric;

/// How many entities are told at once, at most.
pub(in crate::api) const MOST: usize = 1_000;
/// How many are told on a page where nobody says.
pub(super) const PAGE: usize = 100;

/// The replicas, as any reader asks for them.
pub(in crate::api) struct Answers {
    readers: Vec<Reader>,
    contract: Option<Arc<Contract>>,
    tokens: Tokens,
}

/// Those that were asked for, each told or not.
#[derive(Serialize)]
pub(in crate::api) struct Batch {
    pub found: Vec<One>,
    pub missing: Vec<Absent>,
}

/// Some of those that meet a query.
#[derive(Serialize)]
pub(in crate::api) struct Page {
    pub items: Vec<One>,
    /// What the next page is asked for with, if there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

impl Answers {
    pub(in crate::api) fn new(readers: Vec<Reader>, contract: Option<Arc<Contract>>, secret: &str) -> Self {
        Self { readers, contract, tokens: Tokens::new(secret) }
    }

    /// Every replica there is.
    pub(in crate::api) fn replicas(&self) -> impl Iterator<Item = &Subscription> {
        self.readers.iter().map(|reader| &**reader.of())
    }

    /// The services of the team's own.
    pub(in crate::api) fn contract(&self) -> Option<&Arc<Contract>> {
        self.contract.as_ref()
    }

    pub(in crate::api) async fn one(&self, replica: &str, id: &str, asked: &Asked) -> Result<One, Problem> {
        let reader = self.reader(replica)?;
        let of = reader.of();
        let told = reader.read([entity(of, id)?], &asked.wish, asked.within).await?;
        let told = told.first().ok_or_else(|| Problem::missing("nothing was asked for"))?;
        metric::reads(of.name.as_str(), "get", outcome(told));
        let reading = live(told)?;
        Ok(One::new(of, reading, sees_clear(replica)))
    }

    pub(in crate::api) async fn batch(
        &self,
        replica: &str,
        ids: &[String],
        asked: &Asked,
    ) -> Result<Batch, Problem> {
        let reader = self.reader(replica)?;
        let of = reader.of();
        if ids.len() > MOST {
            return Err(Problem::bad(format!("at most {MOST} ids are asked for at once")));
        }
        let ids: Vec<EntityId> = ids.iter().map(|id| entity(of, id)).collect::<Result<_, _>>()?;
        let (clear, mut batch) = (sees_clear(replica), Batch { found: Vec::new(), missing: Vec::new() });
        for told in &reader.read(ids, &asked.wish, asked.within).await? {
            metric::reads(of.name.as_str(), "batch_get", outcome(told));
            match live(told) {
                Ok(reading) => batch.found.push(One::new(of, reading, clear)),
                Err(_) => batch.missing.push(absent(told)),
            }
        }
        Ok(batch)
    }

    /// A page of those that meet these conditions; `page_size` and `page_token` stand among them.
    pub(in crate::api) async fn list(
        &self,
        replica: &str,
        parameters: &[(String, String)],
    ) -> Result<Page, Problem> {
        let reader = self.reader(replica)?;
        let of = reader.of();
        let (mut query, mut size, mut token) = (Query::default(), PAGE, None);
        for (name, text) in parameters {
            match name.as_str() {
                "page_size" => size = page_size(text)?,
                "page_token" => token = Some(text),
                _ => query.add(of, &of.reads.filters, name, text)?,
            }
        }
        let after = token.map(|token| self.tokens.read(of, &query, token)).transpose()?;
        let (found, more) = reader.list(&query, after.as_ref(), size).await?;
        metric::reads(of.name.as_str(), "list", "found");
        let clear = sees_clear(replica);
        Ok(Page {
            items: found.iter().map(|reading| One::new(of, reading, clear)).collect(),
            next_page_token: more.map(|more| self.tokens.make(of, &query, &more)),
        })
    }

    pub(in crate::api) async fn watch(
        &self,
        replica: &str,
        ids: &[String],
        from: Option<&str>,
    ) -> Result<Watched, Problem> {
        let reader = self.reader(replica)?;
        let of = reader.of();
        if ids.len() > MOST {
            return Err(Problem::bad(format!("at most {MOST} ids are watched at once")));
        }
        let ids: BTreeSet<EntityId> = ids.iter().map(|id| entity(of, id)).collect::<Result<_, _>>()?;
        let watch = reader.watch(ids, from).await.map_err(|error| match error {
            StoreError::HistoryLost { .. } => Problem::lost(),
            other => other.into(),
        })?;
        Ok(Watched::new(of.clone(), watch, sees_clear(replica)))
    }

    pub(super) fn reader(&self, name: &str) -> Result<&Reader, Problem> {
        if !may_read(name) {
            return Err(Problem::forbidden(name));
        }
        self.readers.iter().find(|reader| reader.of().name.as_str() == name).ok_or_else(|| {
            let names: Vec<&str> = self.replicas().map(|of| of.name.as_str()).collect();
            Problem::unknown(format!("there is no such replica; there are {}", names.join(", ")))
        })
    }
}

/// What is told of an entity, if it is live and as wished.
pub(super) fn live(told: &Told) -> Result<&Reading, Problem> {
    let known = shown::known(told.reading.as_ref());
    match &told.reading {
        Some(reading) if reading.record.state == State::Live && !told.late => Ok(reading),
        Some(reading) if told.late && reading.record.state != State::Pending => {
            let detail = "what is held is not yet what you wished for; see `held`";
            Err(Problem::late(detail).with("held", shown::freshness(reading)))
        }
        _ if told.late => Err(Problem::late("the owner has not answered yet").with("known", known)),
        _ => Err(Problem::missing("see `known`").with("known", known)),
    }
}

pub(super) fn absent(told: &Told) -> Absent {
    Absent { id: Id(told.id.clone()), known: shown::known(told.reading.as_ref()), late: told.late }
}

fn outcome(told: &Told) -> &'static str {
    match live(told) {
        Ok(_) => "found",
        Err(_) if told.late => "late",
        Err(_) => "missing",
    }
}

fn entity(of: &Subscription, text: &str) -> Result<EntityId, Problem> {
    EntityId::parse(text, of.selection.id_kind()).map_err(|error| Problem::bad(error.detail))
}

fn page_size(text: &str) -> Result<usize, Problem> {
    let size = text.parse().ok().filter(|size| (1..=MOST).contains(size));
    size.ok_or_else(|| Problem::bad(format!("`page_size` is a whole number from 1 to {MOST}")))
}
