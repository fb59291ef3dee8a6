//! ProductService: owns the products, and lists them with their users' names from its own database, and from nothing else.
//!
//! It knows nothing of nearcopy, of RabbitMQ or of UserService: the `user` inside a product is simply there.

mod web;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use mongodb::options::ReturnDocument;
use mongodb::{Collection, IndexModel};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use web::{Failure, to_its_end};

type Products = Collection<Document>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false).init();
    let products: Products = web::database("product_service").await?.collection("products");
    products.create_index(IndexModel::builder().keys(doc! { "userId": 1, "_id": 1 }).build()).await?;
    let listen: String = web::setting("LISTEN", "127.0.0.1:8082")?;
    web::serve("product-service", &listen, routes(products)).await
}

fn routes(products: Products) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/products", post(create).get(list))
        .route("/products/{id}", get(read).put(change).delete(remove))
        .with_state(products)
}

/// What a caller may say about a product; what is left out stays as it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Input {
    id: Option<String>,
    name: Option<String>,
    user_id: Option<String>,
}

impl Input {
    fn fields(self) -> Document {
        let mut fields = Document::new();
        for (name, text) in [("name", self.name), ("userId", self.user_id)] {
            if let Some(text) = text {
                fields.insert(name, text);
            }
        }
        fields
    }
}

async fn create(
    State(products): State<Products>,
    Json(mut input): Json<Input>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let id = input.id.take().unwrap_or_else(|| Uuid::new_v4().to_string());
    let mut product = doc! { "_id": id };
    product.extend(input.fields());
    let stored = product.clone();
    to_its_end(async move { Ok(products.insert_one(stored).await?) }).await?;
    Ok((StatusCode::CREATED, Json(answer(product))))
}

async fn change(
    State(products): State<Products>,
    Path(id): Path<String>,
    Json(input): Json<Input>,
) -> Result<Json<Value>, Failure> {
    let fields = input.fields();
    let changed = to_its_end(async move {
        let change = products.find_one_and_update(doc! { "_id": id }, doc! { "$set": fields });
        Ok(change.projection(shown()).return_document(ReturnDocument::After).await?)
    });
    Ok(Json(answer(changed.await?.ok_or(Failure::NotFound)?)))
}

async fn remove(State(products): State<Products>, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    let removed = to_its_end(async move { Ok(products.delete_one(doc! { "_id": id }).await?) }).await?;
    if removed.deleted_count == 0 { Err(Failure::NotFound) } else { Ok(StatusCode::NO_CONTENT) }
}

async fn read(State(products): State<Products>, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    let found = products.find_one(doc! { "_id": id }).projection(shown()).await?;
    Ok(Json(answer(found.ok_or(Failure::NotFound)?)))
}

async fn list(State(products): State<Products>) -> Result<Json<Vec<Value>>, Failure> {
    let found = products.find(doc! {}).projection(shown()).sort(doc! { "_id": 1 }).await?;
    let products: Vec<Document> = found.try_collect().await?;
    Ok(Json(products.into_iter().map(answer).collect()))
}

fn shown() -> Document {
    doc! { "name": 1, "userId": 1, "user": 1 }
}

fn answer(mut product: Document) -> Value {
    let id = product.remove("_id").unwrap_or(Bson::Null);
    let mut named = doc! { "id": id };
    named.extend(product);
    serde_json::to_value(named).unwrap_or_default() // a document is always JSON
}
