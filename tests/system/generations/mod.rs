//! A declaration changes: records and documents follow, whoever else is at work, and nothing is left behind.

mod documents;
mod pods;
mod program;
mod records;

use std::sync::Arc;

use nearcopy::pipeline::Rhythm;
use nearcopy::replication::{Declaration, Record};

use crate::declared::declared;
use crate::mongodb::Database;
use crate::pod::QUICK;

/// Looks often enough for what only a comparison finds.
const BRISK: Rhythm = Rhythm { drift_every: std::time::Duration::from_millis(500), ..QUICK };

/// Products that show these fields of their user as one object.
fn into(path: &str, fields: &str) -> String {
    format!("product-user: {{ in: products, ref: userId, from: users, into: {path}, fields: [{fields}] }}")
}

/// Keeps these fields of every user, and shows them so.
fn manifest(fields: &str, fetch: &str, embeds: &[&str]) -> Arc<Declaration> {
    declared(&written(fields, fetch, embeds))
}

fn written(fields: &str, fetch: &str, embeds: &[&str]) -> String {
    let embeds: String = embeds.iter().map(|embed| format!("\n  {embed}")).collect();
    let embeds = if embeds.is_empty() { String::new() } else { format!("embeds:{embeds}") };
    format!(
        "service: shop
sources:
  users:
    rabbitmq: {{ exchange: users, queue: shop.users, bindings: [\"user.#\"] }}
replicas:
  users:
    owner: user-service
    source: users
    keep: all
    id: data.id
    version: data.version
    fields: {{ {fields} }}
    on: {{ user.saved: upsert, user.deleted: delete }}
    {fetch}
{embeds}
"
    )
}

const NAME: &str = "username: data.username";
const NAME_AND_MAIL: &str = "username: data.username, email: data.email";

/// The event that says how a user is, mail and all.
fn saved(user: &str, version: i64, name: &str) -> serde_json::Value {
    let mail = format!("{name}@example.org");
    let data = serde_json::json!({ "id": user, "version": version, "username": name, "email": mail });
    crate::declared::event("user.saved", data)
}

impl Database {
    /// How many records are of earlier generations, and how many lack fields of this one.
    async fn behind(&self) -> (u64, u64) {
        use nearcopy::store::RecordStore;
        let backlog = self.store.backlog(self.of()).await.unwrap();
        (backlog.outdated, backlog.lacking)
    }

    /// What the inspection says, all in one.
    async fn inspected(&self, declaration: &Declaration) -> String {
        let findings = self.store.inspect(declaration).await.unwrap();
        findings.into_iter().map(|finding| finding.text + "\n").collect()
    }
}

/// A field of a record, as text.
fn text<'r>(record: &'r Record, field: &str) -> Option<&'r str> {
    record.fields.get_str(field).ok()
}
