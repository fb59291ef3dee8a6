//! Declarations for tests, written as a team would write them.

use std::sync::Arc;

use nearcopy::event::{EntityId, Headers, Message};
use nearcopy::manifest;
use nearcopy::replication::{Declaration, Embed, Misread, Subscription};

/// Asks the owner; answers carry a version, and are stale for 400 ms at most.
pub(crate) const ASKED: &str = "fetch:
      url: http://owner/users/{id}
      timeout: 1s
      settle: 400ms
      from: { version: version }";

/// As [`ASKED`], of an owner whose answers carry no version.
pub(crate) const ASKED_UNVERSIONED: &str = "fetch:
      url: http://owner/users/{id}
      timeout: 1s
      settle: 400ms";

/// Products that show their user.
pub(crate) const PRODUCTS: &str = "product-user:
    in: products
    ref: userId
    from: users
    into: user
    fields: [username, email]";

/// When events are read, in microseconds since 1970: at the beginning of 2026.
pub(crate) const NOW: i64 = 1_767_225_600_000_000;

/// What a shop keeps of users: `keep`, what stands beside it in the replica, and the embeds.
pub(crate) fn shop(keep: &str, fetch: &str, embeds: &[&str]) -> Arc<Declaration> {
    shop_with("", "", keep, fetch, embeds)
}

/// As [`shop`], of an owner who publishes partial events, too.
pub(crate) fn patched_shop(keep: &str, fetch: &str, embeds: &[&str]) -> Arc<Declaration> {
    shop_with("user.patched: patch", "", keep, fetch, embeds)
}

/// As [`patched_shop`], where nothing may be missing between two versions.
pub(crate) fn gapless_shop(keep: &str, fetch: &str, embeds: &[&str]) -> Arc<Declaration> {
    shop_with("user.patched: patch", "gaps: ask", keep, fetch, embeds)
}

fn shop_with(patch: &str, gaps: &str, keep: &str, fetch: &str, embeds: &[&str]) -> Arc<Declaration> {
    let refresh = if fetch.is_empty() { "" } else { "user.changed: refresh" };
    let embeds: String = embeds.iter().map(|embed| format!("\n  {}", embed.trim())).collect();
    let embeds = if embeds.is_empty() { String::new() } else { format!("embeds:{embeds}") };
    let text = format!(
        "service: shop
sources:
  users:
    rabbitmq: {{ exchange: users, queue: shop.users, bindings: [\"user.#\"] }}
    limits: {{ body: 16MiB, depth: 64 }}
replicas:
  users:
    owner: user-service
    source: users
    keep: {keep}
    id: data.id
    version: data.version
    {gaps}
    fields: {{ username: data.username, email: data.email, extra: data.extra }}
    on:
      user.saved: upsert
      user.deleted: delete
      {refresh}
      {patch}
    {fetch}
{embeds}
"
    );
    declared(&text)
}

/// The declaration that a manifest makes.
pub(crate) fn declared(text: &str) -> Arc<Declaration> {
    let read = manifest::parse("nearcopy.yaml", text, &|_| None);
    Arc::new(read.unwrap_or_else(|findings| panic!("{findings}\n{text}")))
}

/// The only replica of a declaration.
pub(crate) fn users(declaration: &Declaration) -> &Arc<Subscription> {
    declaration.replica("users").unwrap()
}

/// The only embed of a declaration.
pub(crate) fn embed(declaration: &Declaration) -> &Arc<Embed> {
    let [embed] = declaration.embeds.as_slice() else { panic!("one embed is expected") };
    embed
}

/// The id of a user.
pub(crate) fn id(text: &str) -> EntityId {
    EntityId::String(text.into())
}

/// The event that says how a user is now.
pub(crate) fn saved(id: &str, version: i64, username: &str) -> serde_json::Value {
    event("user.saved", serde_json::json!({ "id": id, "version": version, "username": username }))
}

/// The event that says that a user is no more.
pub(crate) fn deleted(id: &str, version: i64) -> serde_json::Value {
    event("user.deleted", serde_json::json!({ "id": id, "version": version }))
}

/// The event that says that a user has changed, and not how.
pub(crate) fn changed(id: &str, version: Option<i64>) -> serde_json::Value {
    event("user.changed", serde_json::json!({ "id": id, "version": version }))
}

/// The event that says what has changed of a user: a mapping of fields.
pub(crate) fn patched(id: &str, version: i64, fields: serde_json::Value) -> serde_json::Value {
    let mut data = fields;
    data["id"] = id.into();
    data["version"] = version.into();
    event("user.patched", data)
}

/// An event of that type about that.
pub(crate) fn event(kind: &str, data: serde_json::Value) -> serde_json::Value {
    let mut event = serde_json::json!({ "id": "e1", "type": kind, "time": "2026-01-01T00:00:00Z" });
    event["data"] = data;
    event
}

/// What an event means to the replica.
pub(crate) fn interpret(
    declaration: &Declaration,
    event: &serde_json::Value,
) -> Result<Option<nearcopy::event::ChangeEvent>, Misread> {
    let body = event.to_string();
    let message = Message { body: body.as_bytes(), content_type: None, headers: &Headers::new() };
    let notice = declaration.sources[0].envelope.open(&message).unwrap();
    users(declaration).interpret(&notice, NOW)
}
