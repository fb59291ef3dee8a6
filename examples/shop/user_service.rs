//! UserService: owns the users, answers for them over HTTP, and tells the world about every change on RabbitMQ.
//!
//! It knows nothing of nearcopy. A change is stored together with the note that it is yet to be told, so that a crash
//! between the two is made good at the next start: the same event, with the same id, perhaps twice.

#![expect(clippy::disallowed_methods, reason = "a service of its own, with a clock of its own")]

mod web;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use bson::{Document, doc};
use futures::TryStreamExt;
use jiff::Timestamp;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use mongodb::options::{IndexOptions, ReturnDocument};
use mongodb::{Collection, IndexModel};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use web::{Failure, to_its_end};

const EXCHANGE: &str = "users";
/// How long a change may stay untold before it is told again: longer than any publish in progress.
const OVERDUE: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false).init();
    let service = Arc::new(UserService {
        users: web::database("user_service").await?.collection("users"),
        publisher: Publisher {
            url: web::setting("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/%2f")?,
            channel: Mutex::new(None),
        },
    });
    service.prepare().await?;
    tokio::spawn(tell_what_is_overdue(Arc::clone(&service)));
    let listen: String = web::setting("LISTEN", "127.0.0.1:8081")?;
    web::serve("user-service", &listen, routes(service)).await
}

fn routes(service: Arc<UserService>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/users", post(create).get(read_many))
        .route("/users/{id}", get(read).put(change).delete(remove))
        .with_state(service)
}

async fn create(
    State(service): State<Arc<UserService>>,
    Json(input): Json<Input>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let id = input.id.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    let user = to_its_end(async move { service.create(&id, input).await }).await?;
    Ok((StatusCode::CREATED, Json(user.answer())))
}

async fn change(
    State(service): State<Arc<UserService>>,
    Path(id): Path<String>,
    Json(input): Json<Input>,
) -> Result<Json<Value>, Failure> {
    let user = to_its_end(async move { service.change(&id, input.fields()).await }).await?;
    Ok(Json(user.answer()))
}

async fn remove(
    State(service): State<Arc<UserService>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    to_its_end(async move { service.change(&id, doc! { "deleted": true }).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn read(
    State(service): State<Arc<UserService>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failure> {
    let user = service.users.find_one(doc! { "_id": id, "deleted": false }).await?;
    Ok(Json(user.ok_or(Failure::NotFound)?.answer()))
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    ids: String,
}

async fn read_many(
    State(service): State<Arc<UserService>>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Vec<Value>>, Failure> {
    let ids: Vec<&str> = wanted.ids.split(',').collect();
    let found = service.users.find(doc! { "_id": { "$in": ids }, "deleted": false }).await?;
    let users: Vec<User> = found.try_collect().await?;
    Ok(Json(users.iter().map(User::answer).collect()))
}

/// What a caller may say about a user; what is left out stays as it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Input {
    id: Option<String>,
    username: Option<String>,
    email: Option<String>,
    address: Option<Address>,
    password_hash: Option<String>,
}

impl Input {
    fn fields(self) -> Document {
        let mut fields = Document::new();
        let texts =
            [("username", self.username), ("email", self.email), ("passwordHash", self.password_hash)];
        for (name, text) in texts {
            if let Some(text) = text {
                fields.insert(name, text);
            }
        }
        if let Some(address) = self.address {
            fields.insert("address", doc! { "city": address.city });
        }
        fields
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Address {
    city: String,
}

/// A user as stored. A deleted one is kept, so that its version goes on rising if it is created again.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    #[serde(rename = "_id")]
    id: String,
    version: i64,
    #[serde(default)]
    username: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    address: Address,
    #[serde(default)]
    password_hash: String,
    deleted: bool,
    changed_at: String,
}

impl User {
    fn answer(&self) -> Value {
        json!({
            "id": self.id,
            "version": self.version,
            "username": self.username,
            "email": self.email,
            "address": self.address,
        })
    }

    fn event_type(&self) -> &'static str {
        match (self.deleted, self.version) {
            (true, _) => "user.deleted",
            (false, 1) => "user.created",
            (false, _) => "user.updated",
        }
    }

    /// The full state. The event's id follows from the change, so telling a change twice is the same event twice.
    fn event(&self) -> Value {
        let mut data = self.answer();
        data["passwordHash"] = json!(self.password_hash);
        json!({
            "id": Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("users/{}/{}", self.id, self.version).as_bytes()),
            "type": self.event_type(),
            "occurredAt": self.changed_at,
            "data": data,
        })
    }
}

struct UserService {
    users: Collection<User>,
    publisher: Publisher,
}

impl UserService {
    async fn prepare(&self) -> anyhow::Result<()> {
        let sparse = IndexOptions::builder().sparse(true).build();
        self.users
            .create_index(IndexModel::builder().keys(doc! { "untold": 1 }).options(sparse).build())
            .await?;
        self.publisher.channel().await?; // the exchange is there before anyone binds to it
        Ok(())
    }

    async fn create(&self, id: &str, input: Input) -> Result<User, Failure> {
        let mut fields = input.fields();
        fields.insert("deleted", false);
        // A living user does not match, and its id then forbids the insert.
        let user = self
            .users
            .find_one_and_update(doc! { "_id": id, "deleted": true }, changed(fields))
            .upsert(true)
            .return_document(ReturnDocument::After)
            .await?;
        self.tell(user).await
    }

    async fn change(&self, id: &str, fields: Document) -> Result<User, Failure> {
        let user = self
            .users
            .find_one_and_update(doc! { "_id": id, "deleted": false }, changed(fields))
            .return_document(ReturnDocument::After)
            .await?;
        self.tell(user).await
    }

    /// Publishes the user's state. If that fails the change stays noted as untold, and is told later.
    async fn tell(&self, user: Option<User>) -> Result<User, Failure> {
        let user = user.ok_or(Failure::NotFound)?;
        match self.publisher.publish(user.event_type(), &user.event()).await {
            Ok(()) => {
                let told = doc! { "_id": &user.id, "version": user.version };
                self.users.update_one(told, doc! { "$unset": { "untold": "" } }).await?;
            }
            Err(error) => tracing::warn!(user.id, user.version, %error, "not told yet"),
        }
        Ok(user)
    }
}

fn changed(mut fields: Document) -> Document {
    fields.insert("changedAt", Timestamp::now().to_string());
    fields.insert("untold", true);
    doc! { "$set": fields, "$inc": { "version": 1_i64 } }
}

async fn tell_what_is_overdue(service: Arc<UserService>) {
    loop {
        let overdue = (Timestamp::now() - OVERDUE).to_string();
        let untold = service.users.find(doc! { "untold": true, "changedAt": { "$lt": overdue } }).await;
        let users: Vec<User> = match untold {
            Ok(cursor) => cursor.try_collect().await.unwrap_or_default(),
            Err(_) => Vec::new(), // asked again in a second
        };
        for user in users {
            if let Err(error) = service.tell(Some(user)).await {
                tracing::warn!(%error, "not noted as told");
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Publishes with confirms, dialling again after a failure.
struct Publisher {
    url: String,
    channel: Mutex<Option<(Connection, Channel)>>,
}

impl Publisher {
    async fn publish(&self, routing_key: &str, event: &Value) -> anyhow::Result<()> {
        let properties = BasicProperties::default()
            .with_delivery_mode(2) // persistent
            .with_content_type("application/json".into());
        let confirmation = self
            .channel()
            .await?
            .basic_publish(
                EXCHANGE.into(),
                routing_key.into(),
                BasicPublishOptions::default(),
                event.to_string().as_bytes(),
                properties,
            )
            .await?
            .await?;
        anyhow::ensure!(matches!(confirmation, Confirmation::Ack(_)), "the broker did not take it");
        Ok(())
    }

    async fn channel(&self) -> anyhow::Result<Channel> {
        let mut held = self.channel.lock().await;
        if let Some((_, channel)) = held.as_ref().filter(|(_, channel)| channel.status().connected()) {
            return Ok(channel.clone());
        }
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, FieldTable::default())
            .await?;
        *held = Some((connection, channel.clone()));
        Ok(channel)
    }
}
