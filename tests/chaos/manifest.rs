//! What the sidecars are told to do.

use std::time::Duration;

use crate::machine::broker::{EXCHANGE, QUEUE};
use crate::machine::secret;

/// How long an answer of the owner may be behind, as declared; its API is less.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);

/// What is declared of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fields {
    /// Name, address and city.
    Three,
    /// Their language, too, which products show.
    Four,
}

/// One embed of each kind; the owner is asked again after that time, if it is given.
pub(crate) fn manifest(api: &str, reconcile: Option<Duration>, fields: Fields) -> String {
    let (more, shown) = match fields {
        Fields::Three => ("", ""),
        Fields::Four => ("\n      language: data.language", ", language"),
    };
    let token = secret("url");
    let settle = SETTLE.as_secs();
    let reconcile =
        reconcile.map(|every| format!("\n      reconcile: {}s", every.as_secs())).unwrap_or_default();
    format!(
        r#"
service: shop
sources:
  users:
    rabbitmq: {{ exchange: {EXCHANGE}, queue: {QUEUE}, bindings: ["user.#"] }}
    event: {{ id: id, type: type, time: occurredAt, data: data }}
replicas:
  users:
    owner: user-service
    source: users
    keep: referenced
    id: data.id
    version: data.version
    fields:
      username: {{ from: data.username, type: string }}
      email: data.email
      city: data.address.city{more}
    on: {{ user.created: upsert, user.updated: upsert, user.deleted: delete }}
    fetch:
      url: "{api}/{{id}}?token={token}"
      batch: "{api}?token={token}&ids={{ids}}"
      timeout: 1s
      settle: {settle}s{reconcile}
      from: {{ id: id, version: version }}
embeds:
  product-user: {{ in: products, ref: userId, from: users, into: user, fields: [username, email{shown}], when_deleted: clear }}
  contributor: {{ in: products, ref: "contributors[].userId", from: users, into: user, fields: [username], when_deleted: keep }}
  order-user: {{ in: orders, ref: customerId, from: users, set: {{ customer_name: username, customer_city: city }}, when_deleted: mark }}
"#
    )
}
