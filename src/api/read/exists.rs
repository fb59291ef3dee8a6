//! Whether anybody has a value: by what is held here, or, for whoever must be certain, by the owner's word.

use serde::Serialize;

use super::answer::Answers;
use super::problem::Problem;
use super::shown::Id;
use super::wish::Asked;
use crate::event::EntityId;
use crate::pipeline::Reader;
use crate::replication::{Comparison, Query};
use crate::telemetry::metric;

/// How many of those who have the value are named.
const NAMED: usize = 100;

/// Whether anybody has a value, and who.
#[derive(Serialize)]
pub(in crate::api) struct Exists {
    pub exists: bool,
    pub ids: Vec<Id>,
}

impl Answers {
    /// Who has these values; `consistency` and `within` stand among them.
    pub(in crate::api) async fn exists(
        &self,
        replica: &str,
        parameters: &[(String, String)],
    ) -> Result<Exists, Problem> {
        let reader = self.reader(replica)?;
        let (of, mut query) = (reader.of(), Query::default());
        let is_wish = |name: &str| matches!(name, "consistency" | "within");
        let (wishes, values): (Vec<_>, Vec<_>) =
            parameters.iter().cloned().partition(|(name, _)| is_wish(name));
        for (name, text) in &values {
            if Comparison::of(name).1 != Comparison::Equal {
                return Err(Problem::bad("`exists` looks for one value, as in `email=…`"));
            }
            query.add(of, &of.reads.unique, name, text)?;
        }
        let asked = Asked::read(&wishes)?;
        let at_owner = wishes.iter().any(|(name, text)| name == "consistency" && text == "owner");
        let found = match values.as_slice() {
            [] => {
                return Err(Problem::bad("`exists` needs the value that is looked for, as in `email=…`"));
            }
            [(field, value)] if at_owner => at_owner_of(reader, &query, field, value, &asked).await?,
            _ if at_owner => {
                return Err(Problem::bad("the owner is asked for one value at a time, as in `email=…`"));
            }
            _ => held(reader, &query).await?,
        };
        metric::reads(of.name.as_str(), "exists", if found.is_empty() { "missing" } else { "found" });
        Ok(told(&found))
    }
}

/// What is held here.
async fn held(reader: &Reader, query: &Query) -> Result<Vec<EntityId>, Problem> {
    let (found, _) = reader.list(query, None, NAMED).await?;
    Ok(found.into_iter().map(|reading| reading.record.id.clone()).collect())
}

/// What the owner says. Where it says nothing, so is said, beside what is held here.
async fn at_owner_of(
    reader: &Reader,
    query: &Query,
    field: &str,
    value: &str,
    asked: &Asked,
) -> Result<Vec<EntityId>, Problem> {
    let is_declared = reader.of().fetch.as_ref().is_some_and(|fetch| fetch.by.contains_key(field));
    if !is_declared {
        let detail =
            format!("the owner cannot be asked by `{field}`; declare `fetch: {{ by: {{ {field}: … }} }}`");
        return Err(Problem::bad(detail));
    }
    match reader.find(field, value, asked.within).await {
        Some(found) => Ok(found),
        None => {
            let known = told(&held(reader, query).await?);
            Err(Problem::late("the owner has not answered; see `held` for what is known here")
                .with("held", known))
        }
    }
}

fn told(found: &[EntityId]) -> Exists {
    Exists { exists: !found.is_empty(), ids: found.iter().take(NAMED).cloned().map(Id).collect() }
}
