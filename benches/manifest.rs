//! What nearcopy is told: to keep the fields that the others keep, too.

pub(crate) const EXCHANGE: &str = "users";
pub(crate) const QUEUE: &str = "bench.users";
pub(crate) const USERS: &str = "users";

/// A manifest with these embeds.
pub(crate) fn manifest(embeds: &str) -> String {
    format!(
        r#"
service: bench
sources:
  users:
    rabbitmq: {{ exchange: {EXCHANGE}, queue: {QUEUE}, bindings: ["user.#"] }}
    event: {{ id: id, type: type, time: occurredAt, data: data }}
replicas:
  {USERS}:
    owner: user-service
    source: users
    keep: all
    id: data.id
    version: data.version
    fields:
      username: {{ from: data.username, type: string }}
      email: {{ from: data.email, type: string }}
      city: {{ from: data.address.city, type: string }}
    on: {{ user.updated: upsert }}
{embeds}"#
    )
}
