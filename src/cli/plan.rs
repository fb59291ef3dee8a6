//! `nearcopy plan`: what a manifest would change on the database that it is meant for.

use serde_json::{Value, json};

use super::init::is_personal;
use super::{Exit, Manifest, Outcome, Output, print, wiring};
use crate::replication::{Declaration, EmbedChange, EmbedTurn, Plan, ReplicaChange, Standing};
use crate::settings::Settings;
use crate::store::mongo::Mongo;
use crate::store::{ReadModelStore, StoreError};

/// What is to be done, with numbers.
struct Priced {
    plan: Plan,
    replicas: Vec<PricedReplica>,
    embeds: Vec<PricedEmbed>,
    /// The read models that were folded by another declaration.
    read_models: Vec<String>,
}

struct PricedReplica {
    change: ReplicaChange,
    /// About how many records there are.
    records: u64,
    /// About how many requests the owner gets; none where it cannot be asked.
    requests: Option<u64>,
}

struct PricedEmbed {
    change: EmbedChange,
    /// About how many documents there are.
    documents: u64,
    is_indexed: bool,
}

/// Runs the command, which ends with 3 where anything would change.
pub(super) fn plan(settings: &Settings, manifest: &Manifest, output: Output) -> Outcome {
    settings.mongodb.url()?;
    wiring::block_on(|_| carry_out(settings, manifest, output))?
}

async fn carry_out(settings: &Settings, manifest: &Manifest, output: Output) -> Outcome {
    let declared = wiring::manifest(settings, &manifest.paths)?;
    let store = wiring::mongodb(settings).await?;
    let priced = price(&store, &declared).await?;
    print(&output.say(|| table(&priced), || object(&priced)))?;
    let nothing = priced.plan.is_empty() && priced.read_models.is_empty();
    Ok(if nothing { Exit::Done } else { Exit::Different })
}

async fn price(store: &Mongo, declared: &Declaration) -> Result<Priced, StoreError> {
    let plan = store.plan(declared).await?;
    let (mut replicas, mut embeds, mut read_models) = (Vec::new(), Vec::new(), Vec::new());
    for change in &plan.replicas {
        let records = if change.is_new { 0 } else { store.about_how_many(change.name.as_str()).await? };
        let fetch = declared.replica(change.name.as_str()).ok().and_then(|of| of.fetch.as_ref());
        let together = fetch.map(|fetch| if fetch.batch.is_some() { fetch.batch_size as u64 } else { 1 });
        let is_asked = !change.brought.is_empty();
        let requests = together.map(|together| if is_asked { records.div_ceil(together.max(1)) } else { 0 });
        replicas.push(PricedReplica { change: change.clone(), records, requests });
    }
    for change in &plan.embeds {
        let documents = store.about_how_many(&change.collection).await?;
        let embed = declared.embeds.iter().find(|embed| embed.name == change.name);
        let is_indexed = match embed {
            Some(embed) => store.is_indexed(embed).await?,
            None => true,
        };
        embeds.push(PricedEmbed { change: change.clone(), documents, is_indexed });
    }
    for model in &declared.read_models {
        let by = store.folded_by(&model.name).await?;
        if by.is_some_and(|by| by != model.hash) {
            read_models.push(model.name.to_string());
        }
    }
    Ok(Priced { plan, replicas, embeds, read_models })
}

fn table(priced: &Priced) -> String {
    let Priced { plan, replicas, embeds, read_models } = priced;
    let mut lines = vec![match plan.standing {
        Standing::Newest(number) => format!("the manifest is generation {number}, which is at work"),
        Standing::Older(number) => format!(
            "the manifest is generation {number}, and {} is at work: what is of a newer one would be left alone; to go \
             back for good, set manifest.downgrade_from={}",
            plan.newest, plan.newest
        ),
        Standing::New(1) => "the manifest would be the first generation on this database".to_owned(),
        Standing::New(number) => format!("the manifest would be generation {number}, after {}", plan.newest),
    }];
    lines.extend(replicas.iter().flat_map(PricedReplica::lines));
    lines.extend(embeds.iter().map(PricedEmbed::line));
    for embed in embeds.iter().filter(|embed| !embed.is_indexed) {
        let EmbedChange { name, collection, .. } = &embed.change;
        lines.push(format!(
            "  ! no index of {collection} finds who refers to a record of {name}; `nearcopy check --online` has the command"
        ));
    }
    for name in read_models {
        lines.push(format!(
            "read model {name}: folded by another declaration; `nearcopy read-model rebuild {name}` brings this one to \
             the documents there are"
        ));
    }
    for name in &plan.undeclared {
        lines.push(format!("replica {name}: not declared any more; its collection stays as it is"));
    }
    if plan.is_empty() && read_models.is_empty() {
        lines.push("nothing would change".to_owned());
    }
    lines.join("\n")
}

impl PricedReplica {
    /// The fields that come to be copied and look like a person's. That is a guess, so that somebody looks.
    fn personal(&self) -> Vec<String> {
        let fields = self.change.brought.iter();
        fields.filter(|name| is_personal(std::slice::from_ref(name))).cloned().collect()
    }

    fn lines(&self) -> Vec<String> {
        let ReplicaChange { name, is_new, brought, sealed, dropped } = &self.change;
        let personal = self.personal();
        let mut lines = vec![match is_new {
            true => format!("replica {name}: new, with {} fields", brought.len()),
            false => format!("replica {name}: about {} records", self.records),
        }];
        if !is_new && !brought.is_empty() {
            let how = match self.requests {
                Some(requests) => {
                    format!("the owner is asked about each record, in about {requests} requests")
                }
                None => "there is no `fetch`, so records get them with their next events".to_owned(),
            };
            lines.push(format!("  + {}: {how}", brought.join(", ")));
        }
        if !sealed.is_empty() {
            lines.push(format!(
                "  * {}: protected in every record, and in what documents show",
                sealed.join(", ")
            ));
        }
        if !dropped.is_empty() {
            lines.push(format!("  - {}: taken out of every record", dropped.join(", ")));
        }
        if !personal.is_empty() {
            lines.push(format!(
                "  ! looks personal, and is copied for the first time: {}",
                personal.join(", ")
            ));
        }
        lines
    }
}

impl PricedEmbed {
    fn line(&self) -> String {
        let EmbedChange { name, collection, turn } = &self.change;
        let what = match turn {
            EmbedTurn::New => "new; those that refer to a record come to show it",
            EmbedTurn::Changed => "changed; those that refer to a record are written anew",
            EmbedTurn::Gone => "gone; what it showed is taken out of them",
        };
        format!("embed {name} in {collection}, about {} documents: {what}", self.documents)
    }
}

fn object(priced: &Priced) -> Value {
    let Priced { plan, replicas, embeds, read_models } = priced;
    let (Standing::Newest(number) | Standing::Older(number) | Standing::New(number)) = plan.standing;
    let replica = |replica: &PricedReplica| {
        let ReplicaChange { name, is_new, brought, sealed, dropped } = &replica.change;
        json!({
            "name": name.as_str(),
            "new": is_new,
            "records": replica.records,
            "brought": brought,
            "protected": sealed,
            "dropped": dropped,
            "personal": replica.personal(),
            "requests": replica.requests,
        })
    };
    let embed = |embed: &PricedEmbed| {
        let EmbedChange { name, collection, turn } = &embed.change;
        json!({
            "name": name,
            "in": collection,
            "turn": turn.as_str(),
            "documents": embed.documents,
            "indexed": embed.is_indexed,
        })
    };
    json!({
        "generation": number,
        "newest": plan.newest,
        "replicas": replicas.iter().map(replica).collect::<Value>(),
        "embeds": embeds.iter().map(embed).collect::<Value>(),
        "readModels": read_models,
        "undeclared": plan.undeclared,
    })
}
