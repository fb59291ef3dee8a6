//! The two services as a caller sees them: HTTP and JSON, nothing else.

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// A field no manifest declares; its value must never be seen in the consumer's database.
pub(crate) const SECRET: &str = "never-to-be-copied";

/// Calls UserService.
#[derive(Clone)]
pub(crate) struct Users {
    pub(crate) http: Client,
    pub(crate) url: String,
}

impl Users {
    pub(crate) async fn create(&self, id: &str, name: &str) -> Result<()> {
        let user = json!({
            "id": id,
            "username": name,
            "email": email(name),
            "address": { "city": "London" },
            "passwordHash": SECRET,
        });
        call(&self.http, Method::POST, format!("{}/users", self.url), Some(user)).await.map(drop)
    }

    /// Answers with the user's new state.
    pub(crate) async fn rename(&self, id: &str, name: &str) -> Result<Value> {
        let change = json!({ "username": name, "email": email(name) });
        call(&self.http, Method::PUT, format!("{}/users/{id}", self.url), Some(change)).await
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Value> {
        call(&self.http, Method::GET, format!("{}/users/{id}", self.url), None).await
    }

    /// Those of the ids that exist.
    pub(crate) async fn get_many(&self, ids: &[String]) -> Result<Vec<Value>> {
        let mut users = Vec::new();
        for page in ids.chunks(50) {
            let answer =
                call(&self.http, Method::GET, format!("{}/users?ids={}", self.url, page.join(",")), None);
            users.extend(answer.await?.as_array().context("no list of users")?.iter().cloned());
        }
        Ok(users)
    }

    pub(crate) async fn delete(&self, id: &str) -> Result<()> {
        call(&self.http, Method::DELETE, format!("{}/users/{id}", self.url), None).await.map(drop)
    }
}

/// Calls ProductService.
#[derive(Clone)]
pub(crate) struct Products {
    pub(crate) http: Client,
    pub(crate) url: String,
}

impl Products {
    pub(crate) async fn create(&self, id: &str, user: &str) -> Result<()> {
        let product = json!({ "id": id, "name": format!("Lamp {id}"), "userId": user });
        call(&self.http, Method::POST, format!("{}/products", self.url), Some(product)).await.map(drop)
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Value> {
        call(&self.http, Method::GET, format!("{}/products/{id}", self.url), None).await
    }

    pub(crate) async fn list(&self) -> Result<Vec<Value>> {
        let answer = call(&self.http, Method::GET, format!("{}/products", self.url), None).await?;
        Ok(answer.as_array().context("no list of products")?.clone())
    }
}

/// What a product shows of its user, for comparing.
pub(crate) fn embedded(name: &str) -> Value {
    json!({ "username": name, "email": email(name) })
}

/// The event UserService tells for this state of a user, in its own words.
pub(crate) fn event(kind: &str, user: &Value) -> Value {
    let name = format!("users/{}/{}", user["id"].as_str().unwrap_or_default(), user["version"]);
    let mut data = user.clone();
    data["passwordHash"] = json!(SECRET);
    json!({
        "id": uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, name.as_bytes()),
        "type": kind,
        "occurredAt": jiff::Timestamp::now().to_string(),
        "data": data,
    })
}

fn email(name: &str) -> String {
    format!("{name}@example.org")
}

async fn call(http: &Client, method: Method, url: String, body: Option<Value>) -> Result<Value> {
    let mut request = http.request(method.clone(), &url);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let answer = request.send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "{method} {url}: {status} {text}");
    if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
}
