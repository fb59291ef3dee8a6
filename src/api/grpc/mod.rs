//! Replicas by gRPC: the same answers as by REST, put into messages by their descriptors.

mod codec;
mod contract;
mod message;
mod messages;
mod method;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::post;
use prost::Message;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::server::Grpc;

use super::read::Answers;
use codec::Own;
use messages::{BatchGetRequest, ExistsRequest, GetRequest, ListRequest, WatchRequest};
use method::{Asks, Call};

/// What is served, as its clients read it.
const SOURCE: &str = include_str!("replicas.proto");
/// Where it lies for those who import it.
const FILE: &str = "nearcopy/v1/replicas.proto";
/// The name of the service.
const SERVICE: &str = "nearcopy.v1.Replicas";
/// The name of the service that says how the others are.
const HEALTH: &str = "grpc.health.v1.Health";
/// How large a request may be.
const LARGEST: usize = 256 * 1024;

/// The service cannot be described; a defect of ours, which every start would show.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC service cannot be described: {0}")]
pub struct GrpcError(String);

/// What a handler needs.
struct Served {
    answers: Arc<Answers>,
    stop: CancellationToken,
}

/// The service, with health and reflection beside it.
pub(super) async fn router(answers: Arc<Answers>, stop: &CancellationToken) -> Result<Router, GrpcError> {
    let failed = |error: &dyn std::fmt::Display| GrpcError(error.to_string());
    let described = described().map_err(|error| failed(&error))?;
    let served = Arc::new(Served { answers: answers.clone(), stop: stop.clone() });
    let own = answers.contract().cloned();
    let names: Vec<&str> = own.iter().flat_map(|own| own.services()).chain([SERVICE]).collect();
    let (reporter, health) = tonic_health::server::health_reporter();
    for name in &names {
        reporter.set_service_status(*name, tonic_health::ServingStatus::Serving).await;
    }
    let files = own.as_ref().map(|own| own.files.encode_to_vec()).unwrap_or_default();
    let reflection = |itself: &str| {
        let all = tonic_reflection::server::Builder::configure()
            // The first file of a name is told, and a team may have a `health.proto`, too.
            .register_encoded_file_descriptor_set(&files)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(&described);
        // Files may declare more services than are answered.
        let names = names.iter().copied().chain([HEALTH, itself]);
        names.fold(all, tonic_reflection::server::Builder::with_service_name)
    };
    let v1 = reflection("grpc.reflection.v1.ServerReflection").build_v1();
    let alpha = reflection("grpc.reflection.v1alpha.ServerReflection").build_v1alpha();
    let own = own.as_ref().map(|own| contract::router(&answers, own)).unwrap_or_default();
    Ok(Router::new()
        .route(&format!("/{SERVICE}/{{method}}"), post(call))
        .with_state(served)
        .route_service("/grpc.health.v1.Health/{*method}", health)
        .route_service("/grpc.reflection.v1.ServerReflection/{*method}", v1.map_err(|error| failed(&error))?)
        .route_service(
            "/grpc.reflection.v1alpha.ServerReflection/{*method}",
            alpha.map_err(|error| failed(&error))?,
        )
        .merge(own))
}

/// Says in gRPC's own way what is refused before a method is found.
pub(super) async fn as_status(request: Request, next: Next) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_grpc = kind.is_some_and(|kind| kind.starts_with("application/grpc"));
    let response = next.run(request).await;
    match response.status() {
        StatusCode::OK => response,
        _ if !is_grpc => response,
        StatusCode::UNAUTHORIZED => Status::unauthenticated("send the token of `read.token`").into_http(),
        StatusCode::NOT_FOUND => {
            Status::unimplemented("there is no such service; reflection says which there are").into_http()
        }
        status => Status::internal(status.to_string()).into_http(),
    }
}

/// The descriptors of the service, as clients are sent them.
fn described() -> Result<Vec<u8>, protox::Error> {
    let mut compiler = Compiler::with_file_resolver(resolver());
    compiler.include_imports(true).open_file(FILE)?;
    Ok(compiler.encode_file_descriptor_set())
}

async fn call(State(served): State<Arc<Served>>, Path(name): Path<String>, request: Request) -> Response {
    let (answers, stop) = (served.answers.clone(), served.stop.clone());
    let call = Call { answers, within: method::deadline(request.headers()), stop };
    match name.as_str() {
        "Get" => once::<GetRequest>(call, request).await,
        "BatchGet" => once::<BatchGetRequest>(call, request).await,
        "List" => once::<ListRequest>(call, request).await,
        "Exists" => once::<ExistsRequest>(call, request).await,
        "Watch" => {
            let mut grpc = answering::<WatchRequest, _>();
            grpc.server_streaming(call, request).await.map(Body::new)
        }
        _ => Status::unimplemented(format!("`{SERVICE}` has no method `{name}`")).into_http(),
    }
}

/// What is answered once.
async fn once<Q: Asks>(call: Call, request: Request) -> Response {
    answering::<Q, Q::Answer>().unary(call, request).await.map(Body::new)
}

fn answering<Q: Message + Default + 'static, A: Message + 'static>() -> Grpc<Own<Q, A>> {
    Grpc::new(Own::default()).apply_max_message_size_config(Some(LARGEST), None)
}

/// Our own file, and those of Google's that everybody has.
fn resolver() -> impl FileResolver {
    struct Own;
    impl FileResolver for Own {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            if name == FILE {
                File::from_source(name, SOURCE)
            } else {
                Err(protox::Error::file_not_found(name))
            }
        }
    }
    let mut chain = ChainFileResolver::new();
    chain.add(GoogleFileResolver::new());
    chain.add(Own);
    chain
}
