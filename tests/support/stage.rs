//! The whole stage of a test: broker, owner, consumer, and the plan by which the sidecar between them is started.

use lapin::BasicProperties;
use serde_json::{Value, json};

use crate::consumer::Consumer;
use crate::owner_service::Owner;
use crate::rabbitmq::Broker;
use crate::sidecar::Plan;

/// The owner's exchange.
pub(crate) const EXCHANGE: &str = "users";
/// The queue that the sidecar reads.
pub(crate) const QUEUE: &str = "product-service.users";

/// Everything around the sidecar, for one test alone.
pub(crate) struct Stage {
    pub(crate) broker: Broker,
    pub(crate) consumer: Consumer,
    pub(crate) owner: Owner,
}

impl Stage {
    /// Sets it up, with the owner's exchange declared.
    pub(crate) async fn new() -> Self {
        let (broker, consumer, owner) = tokio::join!(Broker::new(), Consumer::new(), Owner::start());
        broker.declare_exchange(EXCHANGE).await;
        Self { broker, consumer, owner }
    }

    /// The usual plan: products show the names of the users they refer to.
    pub(crate) fn plan(&self) -> Plan {
        self.plan_of(products(&self.owner.url()))
    }

    /// A plan with another manifest.
    pub(crate) fn plan_of(&self, manifest: String) -> Plan {
        Plan::new(manifest, &self.broker.url(), self.consumer.url())
    }

    /// The owner publishes that a user is so.
    pub(crate) async fn user(&self, id: &str, version: u64, name: &str) {
        self.events([event("user.updated", id, version, name)]).await;
    }

    /// The owner publishes that a user is deleted.
    pub(crate) async fn user_deleted(&self, id: &str, version: u64) {
        self.events([event("user.deleted", id, version, "")]).await;
    }

    /// The owner publishes these, in this order.
    pub(crate) async fn events(&self, events: impl IntoIterator<Item = Value>) {
        let bodies = events.into_iter().map(|event| event.to_string());
        self.broker.publish_with(EXCHANGE, "user.updated", bodies, BasicProperties::default()).await;
    }

    /// Takes it all away.
    pub(crate) async fn clear(self) {
        self.consumer.remove().await;
        self.broker.remove().await;
    }
}

/// An event of a user, with something that nobody wants.
pub(crate) fn event(kind: &str, id: &str, version: u64, name: &str) -> Value {
    json!({
        "id": format!("{kind}/{id}/{version}"),
        "type": kind,
        "occurredAt": "2026-01-01T00:00:00Z",
        "data": { "id": id, "version": version, "name": name, "secret": "CANARY-unwanted" },
    })
}

/// A manifest: products show the names of the users they refer to, from this owner.
pub(crate) fn products(owner: &str) -> String {
    format!(
        r#"
service: product-service
sources:
  users:
    rabbitmq: {{ exchange: {EXCHANGE}, queue: {QUEUE}, bindings: ["user.#"] }}
    format: json
    event: {{ id: id, type: type, time: occurredAt, data: data }}
replicas:
  users:
    owner: user-service
    source: users
    keep: referenced
    id: data.id
    version: data.version
    fields: {{ name: {{ from: data.name, type: string }} }}
    on: {{ user.created: upsert, user.updated: upsert, user.deleted: delete }}
    fetch:
      url: "{owner}/users/{{id}}"
      batch: "{owner}/users?ids={{ids}}"
      timeout: 1s
      settle: 1s
      from: {{ id: id, version: version, data: "" }}
embeds:
  product-user: {{ in: products, ref: userId, from: users, into: user, fields: [name], when_deleted: keep }}
"#
    )
}
