//! A team's own services: their messages are read and written by their descriptors, their answers are those that every
//! face gives.

mod asked;
mod say;
mod spelling;
mod told;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::post;
use prost_reflect::DynamicMessage;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};

use super::super::read::{Answers, Asked, MOST, Page};
use super::LARGEST;
use super::codec::Messages;
use super::method;
use crate::replication::{Asks, Contract, ContractMethod};

/// One service, and what its methods are answered from.
struct Served {
    name: String,
    answers: Arc<Answers>,
    methods: BTreeMap<String, Arc<ContractMethod>>,
}

/// One call.
struct Call {
    answers: Arc<Answers>,
    method: Arc<ContractMethod>,
    within: Option<Duration>,
}

/// All services that are declared, each at its own address.
pub(super) fn router(answers: &Arc<Answers>, contract: &Contract) -> Router {
    let mut router = Router::new();
    for name in contract.services() {
        let own = contract.methods.iter().filter(|method| method.service() == name);
        let methods = own.map(|method| (method.method.name().to_owned(), Arc::new(method.clone())));
        let served = Served { name: name.to_owned(), answers: answers.clone(), methods: methods.collect() };
        router = router.merge(
            Router::new().route(&format!("/{name}/{{method}}"), post(call)).with_state(Arc::new(served)),
        );
    }
    router
}

async fn call(State(served): State<Arc<Served>>, Path(name): Path<String>, request: Request) -> Response {
    let Some(method) = served.methods.get(&name) else {
        return Status::unimplemented(format!("`{}` does not answer `{name}`", served.name)).into_http();
    };
    let within = method::deadline(request.headers());
    let messages = Messages::read_as(method.method.input());
    let call = Call { answers: served.answers.clone(), method: method.clone(), within };
    let mut grpc = Grpc::new(messages).apply_max_message_size_config(Some(LARGEST), None);
    grpc.unary(call, request).await.map(Body::new)
}

impl UnaryService<DynamicMessage> for Call {
    type Response = DynamicMessage;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<DynamicMessage>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<DynamicMessage>) -> Self::Future {
        let (answers, method, within) = (self.answers.clone(), self.method.clone(), self.within);
        Box::pin(async move {
            let answer = answer(&answers, &method, request.get_ref(), within).await?;
            Ok(tonic::Response::new(answer))
        })
    }
}

async fn answer(
    answers: &Answers,
    of: &ContractMethod,
    request: &DynamicMessage,
    within: Option<Duration>,
) -> Result<DynamicMessage, Status> {
    match &of.asks {
        Asks::One(id) => {
            let asked = Asked::read(&[]).map_err(method::status)?;
            let asked = within.map_or(asked.clone(), |within| asked.within(within));
            let id = asked::text(request, id)?.unwrap_or_default();
            let one = answers.one(&of.from, &id, &asked).await.map_err(method::status)?;
            told::one(of, &one)
        }
        Asks::Many { conditions, size, paging } => {
            let mut parameters = asked::conditions(request, conditions)?;
            let size = size.as_ref().map(|size| asked::text(request, size)).transpose()?.flatten();
            if size.is_none() && paging.is_none() {
                let list = whole(answers, of, parameters).await?;
                return told::many(of, &list, None);
            }
            parameters.extend(size.map(|size| parameter("page_size", size)));
            if let Some(paging) = paging {
                let token = asked::text(request, &paging.token)?;
                parameters.extend(token.map(|token| parameter("page_token", token)));
            }
            let list = answers.list(&of.from, &parameters).await.map_err(method::status)?;
            told::many(of, &list, paging.as_ref())
        }
    }
}

/// All that meet these conditions. A part of them is never passed off as the whole.
async fn whole(
    answers: &Answers,
    of: &ContractMethod,
    mut parameters: Vec<(String, String)>,
) -> Result<Page, Status> {
    let size = parameters.len();
    parameters.push(parameter("page_size", MOST.to_string()));
    let list = answers.list(&of.from, &parameters).await.map_err(method::status)?;
    let Some(token) = &list.next_page_token else { return Ok(list) };
    parameters.truncate(size);
    parameters.extend([parameter("page_size", "1".into()), parameter("page_token", token.clone())]);
    let more = answers.list(&of.from, &parameters).await.map_err(method::status)?;
    if more.items.is_empty() {
        return Ok(list);
    }
    let text =
        format!("more than {MOST} of `{}` meet this; ask for fewer, or give the method page tokens", of.from);
    Err(method::refused(Code::ResourceExhausted, "too-many", [("replica", of.from.clone())], text))
}

fn parameter(name: &str, value: String) -> (String, String) {
    (name.to_owned(), value)
}

/// Messages with a field of each kind, for the tests beside this.
#[cfg(test)]
mod testing {
    use prost_reflect::DescriptorPool;
    use protox::Compiler;
    use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

    const PROTO: &str = r#"
        syntax = "proto3";
        import "google/protobuf/any.proto";
        import "google/protobuf/duration.proto";
        import "google/protobuf/struct.proto";
        import "google/protobuf/timestamp.proto";
        import "google/protobuf/wrappers.proto";
        enum Size { SIZE_UNSPECIFIED = 0; SIZE_VERY_LARGE = 1; }
        message Part { string part_id = 1; repeated Part parts = 2; oneof at { string shelf = 3; int32 box = 4; } }
        message All {
            bool truth = 1; int32 small = 2; int64 large = 3; uint64 natural = 4; double real = 5; string text = 6;
            bytes raw = 7; Size size = 8; repeated Size sizes = 9; Part part = 10; map<string, Part> by_name = 11;
            map<int32, string> by_number = 12; google.protobuf.Any any = 13; google.protobuf.Duration span = 14;
            google.protobuf.Struct object = 15; google.protobuf.Value value = 16; google.protobuf.Timestamp time = 17;
            google.protobuf.Int64Value maybe = 18; google.protobuf.ListValue list = 19; repeated string texts = 20;
            google.protobuf.StringValue maybe_text = 21; repeated google.protobuf.Any anys = 22; float single = 23;
            optional int32 least = 24; optional Size maybe_size = 25;
        }"#;

    struct Own;

    impl FileResolver for Own {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            if name == "all.proto" {
                File::from_source(name, PROTO)
            } else {
                Err(protox::Error::file_not_found(name))
            }
        }
    }

    /// All of them.
    pub(super) fn pool() -> DescriptorPool {
        let mut chain = ChainFileResolver::new();
        chain.add(GoogleFileResolver::new());
        chain.add(Own);
        Compiler::with_file_resolver(chain).open_file("all.proto").unwrap().descriptor_pool()
    }
}
