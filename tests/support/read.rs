//! A sidecar that is read, and its reader.

use serde_json::{Value, json};

use crate::port::free_address;
use crate::sidecar::{Plan, Sidecar};
use crate::stage::{EXCHANGE, QUEUE, Stage};

/// A token that readers may have.
pub(crate) const TOKEN: &str = "a-token-of-readers-0123456789";

/// A sidecar that is read, and its reader.
pub(crate) struct Read {
    pub(crate) stage: Stage,
    pub(crate) sidecar: Sidecar,
    /// What it was started with, and others may be.
    pub(crate) plan: Plan,
    /// Where entities are read by REST.
    pub(crate) url: String,
    /// Where everything is.
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
}

/// Users with fields of several types, from this owner.
pub(crate) fn manifest(keep: &str, owner: &str) -> String {
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
    keep: {keep}
    id: data.id
    version: data.version
    fields:
      name: data.name
      email: {{ from: data.email, type: string }}
      age: {{ from: data.age, type: int }}
      born: {{ from: data.born, type: date }}
      any: data.any
    on: {{ user.updated: upsert, user.deleted: delete }}
    fetch:
      url: "{owner}/users/{{id}}"
      timeout: 1s
      settle: 1s
      from: {{ id: id, version: version, data: "" }}
    reads: {{ filters: [name, age, born, any], unique: [email], wanted: 1s }}
embeds:
  product-user: {{ in: products, ref: userId, from: users, into: user, fields: [name] }}
"#
    )
}

impl Read {
    /// Starts it, its plan adapted.
    pub(crate) async fn start(keep: &str, adapt: impl FnOnce(Plan) -> Plan) -> Self {
        Self::start_with(|owner| manifest(keep, owner), adapt).await
    }

    /// Starts it with the manifest for this owner.
    pub(crate) async fn start_with(
        manifest: impl FnOnce(&str) -> String,
        adapt: impl FnOnce(Plan) -> Plan,
    ) -> Self {
        let (stage, address) = (Stage::new().await, free_address());
        let plan = stage.plan_of(manifest(&stage.owner.url())).set("read.listen", &address);
        let plan = adapt(plan);
        let (sidecar, base) = (plan.start().await, format!("http://{address}"));
        Self { stage, sidecar, plan, url: format!("{base}/v1/"), base, http: reqwest::Client::new() }
    }

    /// The status, and the answer as JSON.
    pub(crate) async fn get(&self, target: &str) -> (u16, Value) {
        answer(self.http.get(format!("{}{target}", self.url))).await
    }

    /// The same of what is asked with a body.
    pub(crate) async fn post(&self, target: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        answer(self.http.post(format!("{}{target}", self.url)).body(body)).await
    }

    /// The owner publishes a user with these fields.
    pub(crate) async fn user(&self, id: &str, version: u64, fields: Value) {
        let mut data = json!({ "id": id, "version": version });
        data.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let event = json!({ "id": format!("{id}/{version}"), "type": "user.updated", "data": data });
        self.stage.events([event]).await;
    }

    /// Waits until a user is read at this version.
    pub(crate) async fn is_read(&self, id: &str, version: u64) {
        let (status, told) = self.get(&format!("users/{id}?min_version={version}&within=20s")).await;
        assert_eq!((status, &told["version"]), (200, &json!(version)), "{told}");
    }

    /// Ends all of it, and looks whether it was sound.
    pub(crate) async fn end(self) {
        self.sidecar.stop().await;
        self.stage.clear().await;
    }
}

/// The status of an answer, which is JSON of the right kind.
pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let wanted = if status == 200 { "application/json" } else { "application/problem+json" };
    assert_eq!(kind, wanted);
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}
