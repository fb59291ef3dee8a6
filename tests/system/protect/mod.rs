//! Fields that are protected, by the program itself: what is kept, shown, told and logged of them, and what their readers and
//! their keys can do.

mod begun;
mod keys;
mod nowhere;
mod readers;

use serde_json::{Value, json};

use crate::owner_service::Reply;
use crate::read::{Read, TOKEN, answer};
use crate::sidecar::Plan;
use crate::stage::{EXCHANGE, QUEUE, Stage};

/// Stands in every field that is protected; it may be nowhere.
const CANARY: &str = "canary";
/// Another token of readers, who see nothing in clear.
const OTHER: &str = "another-token-of-readers-42";
/// A key, and another one.
const KEYS: [&str; 2] =
    ["SGVyZSBhcmUgdGhpcnR5LXR3byByYW5kb20gYnl0ZXM=", "T3RoZXIgdGhpcnR5LXR3byByYW5kb20gYnl0ZXMsICE="];

/// Every field of a user in the way that it is protected.
const PROTECTED: &str = "name: { from: data.name, type: string }
      email: { from: data.email, type: string, protect: hash }
      phone: { from: data.phone, type: string, protect: encrypt }
      street: { from: data.street, type: string, protect: mask }
      tax: { from: data.tax, protect: drop }";

/// The same in clear.
const CLEAR: &str = "name: { from: data.name, type: string }
      email: { from: data.email, type: string }
      phone: { from: data.phone, type: string }
      street: { from: data.street, type: string }
      tax: data.tax";

/// Users with these fields, of whom products show all.
fn manifest(fields: &str, fetch: &str, reads: &str) -> String {
    format!(
        r#"
service: product-service
sources:
  users:
    rabbitmq: {{ exchange: {EXCHANGE}, queue: {QUEUE}, bindings: ["user.#"] }}
    event: {{ id: id, type: type, time: occurredAt, data: data }}
replicas:
  users:
    owner: user-service
    source: users
    keep: all
    id: data.id
    version: data.version
    fields:
      {fields}
    on: {{ user.created: upsert, user.updated: upsert, user.patched: patch, user.deleted: delete }}
    {fetch}
    {reads}
embeds:
  product-user: {{ in: products, ref: userId, from: users, into: user }}
"#
    )
}

/// How that owner is asked.
fn fetch(owner: &str) -> String {
    format!(
        "fetch: {{ url: \"{owner}/users/{{id}}\", by: {{ email: \"{owner}/users?ids={{email}}\" }}, timeout: 1s, settle: 1s, \
         from: {{ version: version, items: \"\" }} }}"
    )
}

const READS: &str = "reads: { filters: [email], unique: [email] }";

/// The settings that protection takes.
fn keyed(plan: Plan) -> Plan {
    plan.set("protect.hash_key", KEYS[0]).set("protect.encrypt_keys", format!("k1 {}", KEYS[1]))
}

/// A user of whom each protected field holds a canary.
fn user(id: &str, version: impl Into<Value>) -> Value {
    json!({
        "id": id,
        "version": version.into(),
        "name": format!("Name of {id}"),
        "email": format!("{CANARY}-{id}@example.org"),
        "phone": format!("+49 {CANARY} {id}"),
        "street": format!("{CANARY} street {id}"),
        "tax": { "number": format!("{CANARY}-{id}") },
    })
}

fn event(kind: &str, data: &Value) -> Value {
    json!({ "id": "e", "type": kind, "occurredAt": "2026-01-01T00:00:00Z", "data": data })
}

/// The owner knows every user, and says nothing of bad ones.
fn owner_knows_all(stage: &Stage) {
    stage.owner.answers(|asked, _| match asked.ids[0].as_str() {
        id if id.starts_with("bad") => Reply::status(500),
        id => Reply::json(&user(id, 1)),
    });
}

/// A sidecar that protects, with readers who see in clear and others.
async fn protecting() -> Read {
    let tokens = format!("{TOKEN} users:clear\n{OTHER} users");
    let read = Read::start_with(
        |owner| manifest(PROTECTED, &fetch(owner), READS),
        |plan| keyed(plan).set("read.token", tokens),
    );
    let read = read.await;
    owner_knows_all(&read.stage);
    read
}

/// What a reader with this token is told.
async fn told(read: &Read, token: &str, target: &str) -> (u16, Value) {
    let url = format!("{}{target}", read.url);
    answer(read.http.get(url).header("authorization", format!("Bearer {token}"))).await
}
