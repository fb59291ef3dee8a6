//! Replicas by gRPC, as any client sees them: by the published file, by reflection, and by health.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use serde_json::json;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt;

use crate::read::{Read, TOKEN};

/// What a client has made of the published file, as far as it is needed here.
#[derive(Clone, PartialEq, Message)]
struct Wish {
    #[prost(int64, optional, tag = "1")]
    min_version: Option<i64>,
    #[prost(bool, tag = "4")]
    local: bool,
}

#[derive(Clone, PartialEq, Message)]
struct GetRequest {
    #[prost(string, tag = "1")]
    replica: String,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(message, optional, tag = "3")]
    wish: Option<Wish>,
}

#[derive(Clone, PartialEq, Message)]
struct Entity {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bytes = "vec", tag = "2")]
    fields: Vec<u8>,
    #[prost(int64, optional, tag = "3")]
    version: Option<i64>,
    #[prost(string, tag = "5")]
    origin: String,
    #[prost(string, tag = "6")]
    event: String,
    #[prost(bool, tag = "9")]
    stale: bool,
}

#[derive(Clone, PartialEq, Message)]
struct BatchGetRequest {
    #[prost(string, tag = "1")]
    replica: String,
    #[prost(string, repeated, tag = "2")]
    ids: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Missing {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    state: String,
}

#[derive(Clone, PartialEq, Message)]
struct BatchGetResponse {
    #[prost(message, repeated, tag = "1")]
    found: Vec<Entity>,
    #[prost(message, repeated, tag = "2")]
    missing: Vec<Missing>,
}

#[derive(Clone, PartialEq, Message)]
struct ListRequest {
    #[prost(string, tag = "1")]
    replica: String,
    #[prost(map = "string, string", tag = "2")]
    conditions: HashMap<String, String>,
    #[prost(int32, tag = "3")]
    page_size: i32,
    #[prost(string, tag = "4")]
    page_token: String,
}

#[derive(Clone, PartialEq, Message)]
struct ListResponse {
    #[prost(message, repeated, tag = "1")]
    items: Vec<Entity>,
    #[prost(string, tag = "2")]
    next_page_token: String,
}

#[derive(Clone, PartialEq, Message)]
struct ExistsRequest {
    #[prost(string, tag = "1")]
    replica: String,
    #[prost(map = "string, string", tag = "2")]
    conditions: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct ExistsResponse {
    #[prost(bool, tag = "1")]
    exists: bool,
    #[prost(string, repeated, tag = "2")]
    ids: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct WatchRequest {
    #[prost(string, tag = "1")]
    replica: String,
    #[prost(string, repeated, tag = "2")]
    ids: Vec<String>,
    #[prost(string, tag = "3")]
    position: String,
}

#[derive(Clone, PartialEq, Message)]
struct WatchResponse {
    #[prost(message, repeated, tag = "1")]
    changed: Vec<Entity>,
    #[prost(message, repeated, tag = "2")]
    gone: Vec<Missing>,
    #[prost(string, tag = "3")]
    position: String,
}

async fn channel(read: &Read) -> Channel {
    Endpoint::from_shared(read.base.clone()).unwrap().connect().await.unwrap()
}

async fn call<I, O>(channel: &Channel, method: &str, request: Request<I>) -> Result<O, Status>
where
    I: Message + Send + Sync + 'static,
    O: Message + Default + Send + Sync + 'static,
{
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path = format!("/nearcopy.v1.Replicas/{method}").parse().unwrap();
    let codec: ProstCodec<I, O> = ProstCodec::default();
    grpc.unary(request, path, codec).await.map(tonic::Response::into_inner)
}

fn get(id: &str, wish: Option<Wish>) -> GetRequest {
    GetRequest { replica: "users".into(), id: id.into(), wish }
}

fn conditions(conditions: &[(&str, &str)]) -> HashMap<String, String> {
    conditions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn every_method_answers_as_rest_does() {
    let read = Read::start("all", |plan| plan).await;
    for at in 0..3 {
        let fields = json!({ "name": "Ann", "email": "a@example.org", "age": 30 + at });
        read.user(&format!("u{at}"), 1, fields).await;
        read.is_read(&format!("u{at}"), 1).await;
    }
    let channel = channel(&read).await;
    let entity: Entity = call(&channel, "Get", Request::new(get("u0", None))).await.unwrap();
    assert_eq!((entity.id.as_str(), entity.version, entity.stale), ("u0", Some(1), false));
    assert_eq!((entity.origin.as_str(), entity.event.as_str()), ("event", "u0/1"));
    assert!(String::from_utf8_lossy(&entity.fields).contains("a@example.org"));

    let ids = vec!["u1".to_owned(), "nobody".to_owned()];
    let mut request = Request::new(BatchGetRequest { replica: "users".into(), ids });
    request.set_timeout(Duration::from_secs(10));
    let batch: BatchGetResponse = call(&channel, "BatchGet", request).await.unwrap();
    assert_eq!((batch.found.len(), batch.found[0].id.as_str()), (1, "u1"));
    assert_eq!(batch.missing, [Missing { id: "nobody".into(), state: "absent".into() }]);

    let mut list = ListRequest { replica: "users".into(), page_size: 2, ..ListRequest::default() };
    list.conditions = conditions(&[("age.gte", "30")]);
    let first: ListResponse = call(&channel, "List", Request::new(list.clone())).await.unwrap();
    list.page_token.clone_from(&first.next_page_token);
    let second: ListResponse = call(&channel, "List", Request::new(list)).await.unwrap();
    let ids = first.items.iter().chain(&second.items).map(|entity| entity.id.as_str());
    assert_eq!(ids.collect::<Vec<_>>(), ["u0", "u1", "u2"]);

    let exists =
        |email| ExistsRequest { replica: "users".into(), conditions: conditions(&[("email", email)]) };
    let taken: ExistsResponse =
        call(&channel, "Exists", Request::new(exists("a@example.org"))).await.unwrap();
    assert_eq!((taken.exists, taken.ids.len()), (true, 3));
    let free: ExistsResponse = call(&channel, "Exists", Request::new(exists("b@example.org"))).await.unwrap();
    assert!(!free.exists && free.ids.is_empty());
    read.end().await;
}

async fn watch(channel: &Channel, position: &str) -> Result<Streaming<WatchResponse>, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec: ProstCodec<WatchRequest, WatchResponse> = ProstCodec::default();
    let request = WatchRequest { replica: "users".into(), ids: vec![], position: position.into() };
    let path = "/nearcopy.v1.Replicas/Watch".parse().unwrap();
    grpc.server_streaming(Request::new(request), path, codec).await.map(tonic::Response::into_inner)
}

/// Changes come as a stream, which is taken up where it was broken off.
#[tokio::test]
async fn changes_come_as_a_stream() {
    let read = Read::start("all", |plan| plan).await;
    let channel = channel(&read).await;
    let mut changes = watch(&channel, "").await.unwrap();
    let open = changes.message().await.unwrap().unwrap();
    assert!(open.changed.is_empty() && !open.position.is_empty(), "{open:?}");
    read.user("ann", 1, json!({ "name": "Ann" })).await;
    let told = changes.message().await.unwrap().unwrap();
    assert_eq!((told.changed[0].id.as_str(), told.changed[0].version), ("ann", Some(1)));
    drop(changes);
    read.stage.user_deleted("ann", 2).await;
    let mut changes = watch(&channel, &told.position).await.unwrap();
    let mut gone = Vec::new();
    while gone.is_empty() {
        gone = changes.message().await.unwrap().unwrap().gone;
    }
    assert_eq!(gone, [Missing { id: "ann".into(), state: "gone".into() }]);
    let status = watch(&channel, "nowhere").await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    drop(changes);
    read.end().await;
}

/// A deadline is kept, and what went wrong is said in words and in details.
#[tokio::test]
async fn what_cannot_be_told_has_a_status_that_says_why() {
    let mut read = Read::start("all", |plan| plan).await;
    read.user("ann", 1, json!({ "name": "Ann" })).await;
    read.is_read("ann", 1).await;
    read.stage.owner.dies().await;
    let channel = channel(&read).await;
    let newer = Wish { min_version: Some(9), local: false };
    let mut late = Request::new(get("ann", Some(newer)));
    late.set_timeout(Duration::from_secs(2));
    let status = call::<_, Entity>(&channel, "Get", late).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("not-in-time", "nearcopy"));
    assert!(info.metadata["held"].contains("\"version\":1"), "{info:?}");

    let local = Wish { min_version: None, local: true };
    for (replica, id, wish, code) in [
        ("users", "nobody", Some(local), Code::NotFound),
        ("people", "ann", None, Code::NotFound),
        ("users", "", None, Code::InvalidArgument),
    ] {
        let request = GetRequest { replica: replica.into(), id: id.into(), wish };
        let status = call::<_, Entity>(&channel, "Get", Request::new(request)).await.unwrap_err();
        assert_eq!(status.code(), code, "{replica} {id}: {status}");
    }
    let status = call::<_, Entity>(&channel, "Put", Request::new(get("ann", None))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    let huge = Request::new(get(&"x".repeat(300_000), None));
    let status = call::<_, Entity>(&channel, "Get", huge).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    read.end().await;
}

/// Tools that know nothing find out what there is, and whether it is served.
#[tokio::test]
async fn reflection_and_health_are_there() {
    let read = Read::start("all", |plan| plan).await;
    let channel = channel(&read).await;
    let request = |message_request| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message_request),
    };
    let questions = [
        request(MessageRequest::ListServices(String::new())),
        request(MessageRequest::FileContainingSymbol("nearcopy.v1.Replicas".into())),
    ];
    let mut client = ServerReflectionClient::new(channel.clone());
    let asked = futures::stream::iter(questions);
    let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
    let mut next = async || answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(services) = next().await else { panic!() };
    let names: Vec<String> = services.service.into_iter().map(|service| service.name).collect();
    assert!(names.contains(&"nearcopy.v1.Replicas".into()), "{names:?}");
    let MessageResponse::FileDescriptorResponse(files) = next().await else { panic!() };
    assert!(!files.file_descriptor_proto.is_empty());

    let service = "nearcopy.v1.Replicas".to_owned();
    let health = HealthClient::new(channel).check(HealthCheckRequest { service }).await.unwrap();
    assert_eq!(health.into_inner().status, 1, "serving");
    read.end().await;
}

#[tokio::test]
async fn the_token_is_asked_for_here_too() {
    let read = Read::start("all", |plan| plan.set("read.token", TOKEN)).await;
    let channel = channel(&read).await;
    let with = |token: &str| {
        let wish = Some(Wish { min_version: None, local: true });
        let mut request = Request::new(get("ann", wish));
        request.metadata_mut().insert("authorization", token.parse().unwrap());
        request
    };
    let status = call::<_, Entity>(&channel, "Get", with("Bearer nobody")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    let status = call::<_, Entity>(&channel, "Get", with(&format!("Bearer {TOKEN}"))).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status}");
    read.end().await;
}
