//! `nearcopy explain`: why is this value here, or not here?

mod document;
mod entity;
mod folded;
mod held;
mod lately;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::table::{lines, visible};
use super::{Exit, Failure, Outcome, Output, print, wiring};
use crate::event::{EntityId, EntityType, IdKind};
use crate::replication::Declaration;
use crate::settings::Settings;
use crate::store::mongo::Mongo;
use crate::store::{Parked, ParkedStore, StoreError};

/// At most so many parked events are told of one by one.
const MOST_PARKED: usize = 20;

/// What is asked about.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A replica, a read model, or a collection of yours in which an embed writes.
    #[arg(value_name = "REPLICA|COLLECTION")]
    of: String,
    /// The id of an entity or a document there.
    id: String,
    /// Where in a document of yours, such as user.name or contributors.0.user; all that embeds write, where it is left out.
    path: Option<String>,
    /// Shows values, too; without it, only the names of fields.
    #[arg(long)]
    values: bool,
    /// Asks this pod what it remembers, by the address of its probes; more than once for several. Where none is given, the
    /// one at admin.listen is asked.
    #[arg(long, value_name = "URL")]
    pod: Vec<String>,
    /// A file or a folder; where none is given, the setting manifest.paths names them.
    #[arg(long, value_name = "MANIFEST")]
    manifest: Vec<PathBuf>,
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What is asked about, once it is known where.
pub(super) struct Subject<'s> {
    pub(super) of: &'s str,
    pub(super) id: &'s str,
    pub(super) path: Option<&'s str>,
}

/// What is known, for a person and for a program.
struct Account {
    rows: Vec<(&'static str, String)>,
    /// In words, the nearest reason first.
    why: Vec<String>,
    value: Value,
}

impl Account {
    /// Much in it was written by others.
    fn table(&self) -> String {
        let why = self.why.iter().map(|why| ("why", visible(why)));
        let rows = self.rows.iter().map(|(name, value)| (*name, visible(value)));
        lines(&rows.chain(why).collect::<Vec<_>>())
    }

    fn into_value(self) -> Value {
        let mut value = self.value;
        value["why"] = self.why.into();
        value
    }
}

/// Runs the command. It changes nothing.
pub(super) fn explain(settings: &Settings, arguments: &Arguments) -> Outcome {
    settings.mongodb.url()?;
    let declared = wiring::manifest(settings, &arguments.manifest)?;
    let (accounts, lately) = wiring::block_on(|_| async {
        let Arguments { of, id, pod, .. } = arguments;
        tokio::join!(look(settings, &declared, arguments), lately::ask(settings, pod, of, id))
    })?;
    let accounts = accounts?;
    let table = || {
        let accounts = accounts.iter().map(Account::table);
        accounts.chain([lately.table()]).collect::<Vec<_>>().join("\n\n")
    };
    let text = match arguments.output {
        Output::Table => table(),
        other => {
            let with_lately = |account: Account| {
                let mut value = account.into_value();
                value["lately"] = lately.value();
                value
            };
            other.say(String::new, || accounts.into_iter().map(with_lately).collect())
        }
    };
    print(&text)
}

async fn look(
    settings: &Settings,
    declared: &Declaration,
    arguments: &Arguments,
) -> Result<Vec<Account>, Failure> {
    let Arguments { of, id, path, values, .. } = arguments;
    is_known(declared, of)?;
    let store = wiring::mongodb(settings).await?;
    let placed = store.placed(declared).await?;
    accounts(&store, &placed, &Subject { of, id, path: path.as_deref() }, *values).await
}

/// For a program, beside a sidecar at work: what a person would be told, and the same as a value. There are no values of
/// fields in it.
pub(super) async fn values(
    store: &Mongo,
    placed: &Declaration,
    subject: &Subject<'_>,
) -> Result<Vec<Value>, Failure> {
    is_known(placed, subject.of)?;
    let accounts = accounts(store, placed, subject, false).await?;
    Ok(accounts
        .into_iter()
        .map(|account| json!({ "rows": account.rows, "why": account.why, "value": account.value }))
        .collect())
}

async fn accounts(
    store: &Mongo,
    placed: &Declaration,
    subject: &Subject<'_>,
    values: bool,
) -> Result<Vec<Account>, Failure> {
    let Subject { of: name, id, path } = *subject;
    if let Some(model) = placed.read_models.iter().find(|model| model.name.as_str() == name) {
        let key = parse(id, model.key)?;
        return Ok(vec![folded::account(store, placed, model, &key, path, values).await?]);
    }
    if let Ok(of) = placed.replica(name) {
        let id = parse(id, of.selection.id_kind())?;
        return Ok(vec![entity::account(store, placed, of, &id, path, values).await?]);
    }
    document::accounts(store, placed, name, id, path, values).await
}

fn parse(id: &str, kind: IdKind) -> Result<EntityId, Failure> {
    EntityId::parse(id, kind).map_err(|error| Failure::new(Exit::Failed, &error))
}

/// Whether there is such a replica, read model or collection.
fn is_known(declared: &Declaration, name: &str) -> Result<(), Failure> {
    let is_kept = declared.readable().any(|of| of.name.as_str() == name);
    if is_kept || declared.embeds.iter().any(|embed| embed.collection == name) {
        return Ok(());
    }
    let names = declared.readable().map(|of| of.name.to_string());
    let collections = declared.embeds.iter().map(|embed| embed.collection.clone());
    let mut known: Vec<String> = names.chain(collections).map(|name| format!("`{name}`")).collect();
    known.sort_unstable();
    known.dedup();
    let text =
        format!("`{name}` is neither a replica nor a read model, nor a collection in which an embed writes");
    Err(Failure::saying(Exit::Failed, text).hint(format!("the manifest has {}", known.join(", "))))
}

/// The parked events about an entity, or about a document of a read model.
async fn parked(store: &Mongo, of: &EntityType, id: &EntityId) -> Result<(usize, Vec<Parked>), StoreError> {
    let about = store.parked_about(of, Some(id)).await?;
    let mut told = Vec::new();
    for id in about.iter().take(MOST_PARKED) {
        told.extend(store.parked_one(*id).await?);
    }
    Ok((about.len(), told))
}

fn parked_row(parked: &Parked) -> String {
    let version = parked.version.map(|version| format!(", version {version}")).unwrap_or_default();
    let kind = parked.kind.as_deref().unwrap_or("an event");
    let at = super::table::time_or_none(parked.at);
    format!("{}: {kind}{version}, {at}, {}: {}", parked.id, parked.reason, parked.detail)
}

fn parked_value(parked: &Parked) -> Value {
    json!({
        "id": parked.id.to_string(),
        "parkedAt": parked.at.and_then(super::table::time),
        "type": parked.kind,
        "event": parked.event,
        "version": parked.version,
        "reason": parked.reason,
        "detail": parked.detail,
    })
}

/// A stored value as a program reads it, and as a person does.
fn shown(value: &bson::Bson) -> Value {
    value.clone().into_relaxed_extjson()
}
