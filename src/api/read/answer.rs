//! What readers ask for, answered as JSON: the same for every face.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::access::{may_read, sees_clear};
use super::page::Tokens;
use super::problem::Problem;
use super::shown;
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

/// An entity that is told.
pub(in crate::api) struct One {
    /// What is told of it.
    pub entity: Value,
    /// What tells this state of it from any other.
    pub tag: String,
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
        let clear = sees_clear(replica);
        Ok(One { entity: shown::entity(of, reading, clear), tag: shown::tag(reading, clear) })
    }

    pub(in crate::api) async fn batch(
        &self,
        replica: &str,
        ids: &[String],
        asked: &Asked,
    ) -> Result<Value, Problem> {
        let reader = self.reader(replica)?;
        let of = reader.of();
        if ids.len() > MOST {
            return Err(Problem::bad(format!("at most {MOST} ids are asked for at once")));
        }
        let ids: Vec<EntityId> = ids.iter().map(|id| entity(of, id)).collect::<Result<_, _>>()?;
        let (clear, mut found, mut missing) = (sees_clear(replica), Vec::new(), Vec::new());
        for told in &reader.read(ids, &asked.wish, asked.within).await? {
            metric::reads(of.name.as_str(), "batch_get", outcome(told));
            match live(told) {
                Ok(reading) => found.push(shown::entity(of, reading, clear)),
                Err(_) => missing.push(absent(told)),
            }
        }
        Ok(json!({ "found": found, "missing": missing }))
    }

    /// A page of those that meet these conditions; `page_size` and `page_token` stand among them.
    pub(in crate::api) async fn list(
        &self,
        replica: &str,
        parameters: &[(String, String)],
    ) -> Result<Value, Problem> {
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
        let items: Vec<Value> = found.iter().map(|reading| shown::entity(of, reading, clear)).collect();
        let mut answer = json!({ "items": items });
        if let Some(more) = more {
            answer["next_page_token"] = self.tokens.make(of, &query, &more).into();
        }
        Ok(answer)
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
    let state = shown::state(told.reading.as_ref());
    match &told.reading {
        Some(reading) if reading.record.state == State::Live && !told.late => Ok(reading),
        Some(reading) if told.late && reading.record.state != State::Pending => {
            let detail = "what is held is not yet what you wished for; see `held`";
            Err(Problem::late(detail).with("held", shown::freshness(reading)))
        }
        _ if told.late => Err(Problem::late("the owner has not answered yet").with("known", state)),
        _ => Err(Problem::missing("see `known`").with("known", state)),
    }
}

pub(super) fn absent(told: &Told) -> Value {
    let mut absent = shown::state(told.reading.as_ref());
    absent["id"] = shown::id(&told.id);
    absent["late"] = told.late.into();
    absent
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
