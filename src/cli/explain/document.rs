//! A document of the consumer's: which embed writes at a path, whom it refers to, and whether both agree.

use std::sync::Arc;

use bson::{Bson, Document};
use serde_json::{Value, json};

use super::super::table::time_or_none;
use super::super::{Exit, Failure};
use super::{Account, shown};
use crate::event::EntityId;
use crate::replication::{
    Declaration, Embed, Noted, Record, Sight, Spot, State, Subscription, WhenDeleted, value_at,
};
use crate::store::mongo::Mongo;
use crate::store::{ReadStore, StoreError};

/// One spot of a document, and what the record says that it refers to.
struct Seen<'s> {
    id: &'s str,
    embed: &'s Embed,
    of: &'s Subscription,
    spot: &'s Spot<'s>,
    refers: Result<EntityId, Sight>,
    record: Option<Arc<Record>>,
}

pub(super) async fn accounts(
    store: &Mongo,
    placed: &Declaration,
    collection: &str,
    id: &str,
    path: Option<&str>,
    values: bool,
) -> Result<Vec<Account>, Failure> {
    let embeds = placed.embeds.iter().map(|embed| &**embed).filter(|embed| embed.collection == collection);
    let writing: Vec<&Embed> =
        embeds.clone().filter(|embed| path.is_none_or(|path| embed.writes_at(path))).collect();
    let documents = store.found_by_text(collection, id).await?;
    if documents.is_empty() {
        let text = format!("`{collection}` has no document with the id `{id}`");
        return Err(
            Failure::saying(Exit::Failed, text).hint("an id is text, a number, an ObjectId or a UUID")
        );
    }
    let mut accounts = Vec::new();
    for document in &documents {
        if let (Some(path), true) = (path, writing.is_empty()) {
            accounts.push(of_nobody(collection, id, path, embeds.clone(), document, values));
        }
        for embed in &writing {
            let of =
                placed.replica(embed.from.as_str()).map_err(|error| Failure::new(Exit::Failed, &error))?;
            let spots = embed.spots(document);
            let chosen: Vec<&Spot<'_>> = spots
                .iter()
                .filter(|spot| path.is_none_or(|path| embed.reference.leads_to(path, &spot.at)))
                .collect();
            if chosen.is_empty() {
                accounts.push(without_spots(id, embed));
            }
            for spot in chosen {
                accounts.push(look(store, id, embed, of, spot).await?.account(values));
            }
        }
    }
    Ok(accounts)
}

async fn look<'s>(
    store: &Mongo,
    id: &'s str,
    embed: &'s Embed,
    of: &'s Subscription,
    spot: &'s Spot<'s>,
) -> Result<Seen<'s>, StoreError> {
    let refers = embed.refers_to(spot.element, of.selection.id_kind());
    let record = match &refers {
        Ok(entity) => store.look_up(of, std::slice::from_ref(entity), None).await?.pop(),
        Err(_) => None,
    };
    Ok(Seen { id, embed, of, spot, refers, record: record.map(|reading| reading.record) })
}

/// No embed writes there.
fn of_nobody<'e>(
    collection: &str,
    id: &str,
    path: &str,
    embeds: impl Iterator<Item = &'e Embed>,
    document: &Document,
    values: bool,
) -> Account {
    let written: Vec<String> =
        embeds.map(|embed| format!("`{}` ({})", embed.owned_paths().join("`, `"), embed.name)).collect();
    let value = value_at(document, path);
    let told = match value {
        None => "nothing".to_owned(),
        Some(value) if values => shown(value).to_string(),
        Some(_) => "a value of your own".to_owned(),
    };
    let why = format!(
        "no embed writes at `{path}`, so nearcopy never does: what is there, your service wrote; embeds write {}",
        written.join(", ")
    );
    Account {
        rows: vec![("document", format!("{collection} {id}")), ("at", path.to_owned()), ("there is", told)],
        why: vec![why],
        value: json!({ "collection": collection, "document": id, "at": path, "embed": null, "is": "own" }),
    }
}

/// The arrays in which references would stand have no elements.
fn without_spots(id: &str, embed: &Embed) -> Account {
    let why = format!("there is no element at `{}` to show anything in", embed.reference);
    Account {
        rows: vec![("document", format!("{} {id}", embed.collection)), ("embed", embed.name.clone())],
        why: vec![why],
        value: json!({ "collection": embed.collection, "document": id, "embed": embed.name, "is": "noReference" }),
    }
}

impl Seen<'_> {
    fn sight(&self) -> Sight {
        match &self.refers {
            Err(sight) => sight.clone(),
            Ok(_) => self.embed.sight(self.spot.element, self.record.as_deref()),
        }
    }

    fn account(&self, values: bool) -> Account {
        let (sight, noted) = (self.sight(), self.embed.noted(self.spot.element));
        Account {
            rows: self.rows(noted.as_ref(), values),
            why: vec![self.why(&sight, noted.as_ref())],
            value: self.value(&sight, noted.as_ref(), values),
        }
    }

    fn rows(&self, noted: Option<&Noted>, values: bool) -> Vec<(&'static str, String)> {
        let embed = self.embed;
        let place = if self.spot.at.is_empty() { String::new() } else { format!(", {}", self.spot.at) };
        let refers = self.refers.as_ref().map_or("nobody".to_owned(), |id| format!("{} {id}", self.of.name));
        let mut rows = vec![
            ("document", format!("{} {}{place}", embed.collection, self.id)),
            ("written by", format!("embed {}, at {}", embed.name, embed.owned_paths().join(", "))),
            ("refers to", format!("{refers}, by {}", embed.reference)),
            ("shows", noted.map_or("nothing yet".to_owned(), shows)),
            ("the record is", self.record.as_deref().map_or("not held".to_owned(), record_row)),
        ];
        if values {
            let there = |path: &&str| {
                let value = value_at(self.spot.element, path);
                format!("{path}: {}", value.map_or("nothing".into(), |value| shown(value).to_string()))
            };
            let there: Vec<String> = embed.owned_paths().iter().map(there).collect();
            rows.push(("there is", there.join(", ")));
        }
        rows
    }

    fn value(&self, sight: &Sight, noted: Option<&Noted>, values: bool) -> Value {
        let stamp = noted.map(|noted| {
            json!({ "reference": shown(&noted.reference), "rev": noted.rev, "version": noted.version, "generation": noted.shape })
        });
        let record = self.record.as_ref().map(|record| {
            let version = record.version().map(crate::event::Version::get);
            json!({ "state": record.state.as_str(), "version": version, "rev": record.rev, "owes": record.owes })
        });
        let mut value = json!({
            "collection": self.embed.collection,
            "document": self.id,
            "at": self.spot.at,
            "embed": self.embed.name,
            "writes": self.embed.owned_paths(),
            "replica": self.of.name.as_str(),
            "entity": self.refers.as_ref().ok().map(ToString::to_string),
            "stamp": stamp,
            "record": record,
            "is": word(sight),
        });
        if values {
            let there = |path: &str| (path.to_owned(), value_at(self.spot.element, path).map(shown).into());
            let there: serde_json::Map<String, Value> =
                self.embed.owned_paths().into_iter().map(there).collect();
            value["values"] = there.into();
        }
        value
    }

    /// Whether both agree, and if not, why not.
    fn why(&self, sight: &Sight, noted: Option<&Noted>) -> String {
        let who = self.refers.as_ref().map_or(String::new(), |id| format!("{} {id}", self.of.name));
        let explain = format!("`nearcopy explain {who}`");
        let record = self.record.as_ref();
        match sight {
            Sight::Same => "it shows what the record says".to_owned(),
            Sight::Declared => {
                format!("{who} is gone, and it shows what `when_deleted: {}` leaves", policy(self.embed))
            }
            Sight::NoReference => {
                format!("it refers to nobody: there is nothing at `{}`", self.embed.reference)
            }
            Sight::NoId => format!(
                "what stands at `{}` is no {}, so it refers to nobody; `nearcopy parked list --replica {}`",
                self.embed.reference,
                self.of.selection.id_kind(),
                self.of.name
            ),
            Sight::Unknown => format!("nothing is held of {who}: {explain} says why"),
            Sight::Pending => format!("{who} is wanted, and not known yet: {explain} says what it waits for"),
            Sight::Unstamped => "it was never shown here: no pod has seen the document yet, or the database refuses it; \
                                 `nearcopy parked list`"
                .to_owned(),
            Sight::Another => format!(
                "what stands there is of {}: the reference has changed since, and no pod has seen that yet",
                noted.map_or(String::new(), |noted| plain(&noted.reference))
            ),
            Sight::Earlier => "it was written for an earlier generation of the embed, and its walk has not come here yet".to_owned(),
            Sight::Older if record.is_some_and(|record| record.owes) => {
                "it shows an older revision: the record's fan-out has not come here yet".to_owned()
            }
            Sight::Older => "it shows an older revision, and nothing is owed: the next comparison (`sweep.drift_every`) \
                             brings it in line, unless the database refuses the document; `nearcopy parked list`"
                .to_owned(),
            Sight::Later => "it shows a later revision than the record's, which was removed and came back, or has just \
                             changed"
                .to_owned(),
            Sight::Overwritten(paths) => format!(
                "somebody else has changed `{}` since it was written; it is written over again, at the latest by the next \
                 comparison (`sweep.drift_every`)",
                paths.join("`, `")
            ),
            Sight::Leaving => format!("{who} is deleted, and `when_deleted: delete` has the document go with it"),
        }
    }
}

fn shows(noted: &Noted) -> String {
    let version = noted.version.map(|version| format!(", version {version}")).unwrap_or_default();
    let at = time_or_none(Some(noted.rev / 1000));
    format!("{}{version}, as it was written at {at}", plain(&noted.reference))
}

/// An id as a person writes it.
fn plain(id: &Bson) -> String {
    if let Bson::String(text) = id { text.clone() } else { shown(id).to_string() }
}

fn record_row(record: &Record) -> String {
    let version = record.version().map(|version| format!(", version {version}")).unwrap_or_default();
    let reason =
        if let State::Gone(why) = record.state { format!(" ({})", why.as_str()) } else { String::new() };
    format!(
        "{}{reason}{version}, written at {}",
        record.state.as_str(),
        time_or_none(Some(record.rev / 1000))
    )
}

fn policy(embed: &Embed) -> &'static str {
    match embed.when_deleted {
        WhenDeleted::Keep => "keep",
        WhenDeleted::Clear => "clear",
        WhenDeleted::Mark => "mark",
        WhenDeleted::Delete => "delete",
    }
}

/// What it is, in a word for a program.
fn word(sight: &Sight) -> &'static str {
    match sight {
        Sight::NoReference => "noReference",
        Sight::NoId => "noId",
        Sight::Unknown => "unknown",
        Sight::Pending => "pending",
        Sight::Unstamped => "unstamped",
        Sight::Another => "another",
        Sight::Earlier => "earlier",
        Sight::Older => "older",
        Sight::Later => "later",
        Sight::Overwritten(_) => "overwritten",
        Sight::Leaving => "leaving",
        Sight::Declared => "declared",
        Sight::Same => "same",
    }
}
