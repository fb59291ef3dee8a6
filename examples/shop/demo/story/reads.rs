//! Somebody asks who does not read the database: by REST, and by gRPC.

use anyhow::{Context, Result, ensure};
use prost::Message;
use reqwest::StatusCode;
use reqwest::header::{ETAG, IF_NONE_MATCH};
use serde_json::Value;
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

use super::{ADA, SOON};
use crate::report::Report;
use crate::shop::embedded;
use crate::stage::Stage;

/// No product is hers.
const JOAN: &str = "45";

/// As a client has it from the published file.
#[derive(Clone, PartialEq, Message)]
struct GetRequest {
    #[prost(string, tag = "1")]
    replica: String,
    #[prost(string, tag = "2")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Entity {
    #[prost(int64, optional, tag = "3")]
    version: Option<i64>,
}

pub(super) async fn somebody_asks(stage: &mut Stage, report: &Report) -> Result<()> {
    report.chapter("Somebody asks who does not read the database");
    let url = format!("{}/v1/users/{ADA}", stage.reads);
    let since = Instant::now();
    let answer = stage.http.get(&url).send().await?.error_for_status()?;
    let tag = answer.headers().get(ETAG).context("an answer without a tag")?.clone();
    let text = answer.text().await?;
    let told: Value = serde_json::from_str(&text)?;
    let held = stage.users.get(ADA).await?;
    ensure!(told["fields"]["username"] == held["username"], "it is told {told}, UserService has {held}");
    ensure!(told["version"] == held["version"] && told["stale"] == false, "{told}");
    report.note(&format!("GET /v1/users/{ADA} → {text}"));
    report.kept("a user is told by REST, with version, age and origin", Some(since.elapsed()));

    let again = stage.http.get(&url).header(IF_NONE_MATCH, tag).send().await?;
    ensure!(again.status() == StatusCode::NOT_MODIFIED, "unchanged, and answered with {}", again.status());
    report.kept("what has not changed is not sent again", None);

    let since = Instant::now();
    let entity = by_grpc(&stage.reads, ADA).await?;
    ensure!(entity.version == held["version"].as_i64(), "{entity:?} by gRPC, and by REST {told}");
    report.kept("gRPC tells the same", Some(since.elapsed()));

    stage.users.create(JOAN, "joan").await?;
    report.note("a user is created to whom no product refers");
    let url = format!("{}/v1/users/{JOAN}?within=10s", stage.reads);
    let told = async || {
        let told: Value = serde_json::from_str(&stage.http.get(&url).send().await?.text().await?)?;
        ensure!(told["fields"]["username"] == "joan", "{told}");
        Ok(())
    };
    report.eventually("whoever is missing is fetched for the reader", Instant::now(), SOON, told).await?;
    let since = Instant::now();
    stage.products.create("p-joan", JOAN).await?;
    let shown = async || stage.replica.expect_products(JOAN, 1, &embedded("joan")).await;
    report.eventually("a product that comes to be hers shows her", since, SOON, shown).await
}

async fn by_grpc(address: &str, id: &str) -> Result<Entity> {
    let channel = Endpoint::from_shared(address.to_owned())?.connect().await?;
    let mut grpc = Grpc::new(channel);
    grpc.ready().await?;
    let request = tonic::Request::new(GetRequest { replica: "users".into(), id: id.into() });
    let codec: ProstCodec<GetRequest, Entity> = ProstCodec::default();
    Ok(grpc.unary(request, "/nearcopy.v1.Replicas/Get".parse()?, codec).await?.into_inner())
}
