//! A team's own gRPC contract, served from a replica: the example `foos`, called by a client that knows its contract only.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1alpha;
use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient as Alpha;
use tonic_reflection::pb::v1alpha::server_reflection_response::MessageResponse as AlphaResponse;
use tonic_types::StatusExt;

use crate::grpc_client::{Client, reflect};
use crate::owner_service::Reply;
use crate::port::free_address;
use crate::read::TOKEN;
use crate::sidecar::{Plan, Sidecar};
use crate::stage::{EXCHANGE, QUEUE, Stage};

const SERVICE: &str = "acme.v1.Foos";

/// The example at work, and its client.
struct Foos {
    stage: Stage,
    sidecar: Sidecar,
    base: String,
    client: Client,
}

impl Foos {
    async fn start() -> Self {
        let (stage, sidecar, base) = started(|plan| plan).await;
        let client = Client::of(&base, SERVICE).await;
        Self { stage, sidecar, base, client }
    }

    /// The owner publishes a foo, and it is there.
    async fn is(&self, id: &str, version: u64, fields: Value) {
        self.stage.events([event(id, version, &fields)]).await;
        let url = format!("{}/v1/foos/{id}?min_version={version}&within=20s", self.base);
        let answer = reqwest::get(url).await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{id}: {}", answer.text().await.unwrap());
    }

    async fn get(&self, id: &str) -> Result<Value, tonic::Status> {
        self.client.call("GetFoo", json!({ "fooId": id })).await
    }

    /// The ids of all pages, and how many pages there were.
    async fn list(&self, mut request: Value) -> (Vec<String>, usize) {
        let (mut ids, mut pages) = (Vec::new(), 0);
        loop {
            let page = self.client.call("GetFoos", request.clone()).await.unwrap();
            let foos = page["foos"].as_array().cloned().unwrap_or_default();
            ids.extend(foos.iter().map(|told| told["id"].as_str().unwrap().to_owned()));
            pages += 1;
            match page["nextPageToken"].as_str() {
                Some(token) if !token.is_empty() => request["pageToken"] = token.into(),
                _ => return (ids, pages),
            }
        }
    }

    async fn end(self) {
        self.sidecar.stop().await;
        self.stage.clear().await;
    }
}

/// A method whose messages have others inside, beside those of the example.
const FIND: &str = "    acme.v1.Foos/FindFoo: { from: foos, get: { id: key.id, into: foo }, fields: *foo }\n";

/// The example's contract with that method, and one that nobody has mapped.
fn proto() -> String {
    let more =
        "rpc FindFoo(FindRequest) returns (Found);\n  rpc DropFoo(FooRequest) returns (Foo);\n  rpc GetFoos(";
    let proto = include_str!("../../config/examples/proto/foos.proto").replace("rpc GetFoos(", more);
    proto
        + "message FindRequest { message Key { string id = 1; } Key key = 1; }\nmessage Found { Foo foo = 1; }\n"
}

/// Starts the example upon a stage of its own.
async fn started(adapt: impl FnOnce(Plan) -> Plan) -> (Stage, Sidecar, String) {
    let (stage, address) = (Stage::new().await, free_address());
    let manifest = include_str!("../../config/examples/foos.yaml");
    let ours = format!("{{ exchange: {EXCHANGE}, queue: {QUEUE}, bindings: [\"user.#\"] }}");
    let manifest =
        manifest.replace("{ exchange: foos, queue: foos-gateway.foos, bindings: [\"foo.#\"] }", &ours);
    let plan = stage.plan_of(manifest + FIND).beside("proto/foos.proto", proto());
    let plan = plan.variable("FOO_SERVICE_URL", &stage.owner.url()).set("read.listen", &address);
    let sidecar = adapt(plan).start().await;
    (stage, sidecar, format!("http://{address}"))
}

fn event(id: &str, version: u64, fields: &Value) -> Value {
    let mut data = json!({ "id": id, "version": version });
    data.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({ "id": format!("{id}/{version}"), "type": "foo.updated", "data": data })
}

#[tokio::test]
async fn a_message_says_what_the_replica_holds() {
    let foos = Foos::start().await;
    let history = json!([
        { "type": "created", "at": "2026-01-01T00:00:00Z", "by": "ann" },
        { "type": "reviewed", "at": "2026-01-02T03:04:05.678+01:00" },
    ]);
    let detail = json!({ "barId": "b1", "weight": 9_007_199_254_740_993_i64, "colour": "red" });
    let fields = json!({
        "title": "One", "status": "inReview", "createdAt": "2026-01-01T12:00:00.5Z", "detail": detail, "history": history,
    });
    foos.is("f1", 3, fields).await;
    let told = foos.get("f1").await.unwrap();
    let expected = json!({
        "id": "f1",
        "title": "One",
        "status": "FOO_STATUS_IN_REVIEW",
        "created": "2026-01-01T12:00:00.500Z",
        "detail": { "@type": "type.googleapis.com/acme.v1.Detail", "barId": "b1", "weight": "9007199254740993" },
        "history": [
            { "type": "created", "at": "2026-01-01T00:00:00Z" },
            { "type": "reviewed", "at": "2026-01-02T02:04:05.678Z" },
        ],
        "revision": "3",
    });
    assert_eq!(told, expected);
    let told = foos.client.call("FindFoo", json!({ "key": { "id": "f1" } })).await.unwrap();
    assert_eq!(told, json!({ "foo": expected }));
    let status = foos.client.call("FindFoo", json!({})).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");

    let own = json!({ "@type": "acme.v1.Entry", "type": "x" });
    foos.is("f2", 1, json!({ "title": null, "detail": own })).await;
    let told = foos.get("f2").await.unwrap();
    let detail = json!({ "@type": "type.googleapis.com/acme.v1.Entry", "type": "x" });
    assert_eq!(told, json!({ "id": "f2", "detail": detail, "revision": "1" }));
    foos.end().await;
}

#[tokio::test]
async fn a_list_is_asked_for_by_an_enum_and_told_page_by_page() {
    let foos = Foos::start().await;
    let spellings = ["active", "ACTIVE", "FOO_STATUS_ACTIVE", "Active", "in_review", "inReview"];
    for (at, status) in spellings.into_iter().enumerate() {
        foos.is(&format!("f{at}"), 1, json!({ "title": "t", "status": status })).await;
    }
    foos.is("f9", 1, json!({ "title": "without a status" })).await;
    let active = json!({ "status": "FOO_STATUS_ACTIVE", "pageSize": 2 });
    let (ids, pages) = foos.list(active.clone()).await;
    assert_eq!(ids, ["f0", "f1", "f2", "f3"]);
    assert!((2..=3).contains(&pages), "{pages} pages");
    assert_eq!(foos.list(json!({ "status": "FOO_STATUS_IN_REVIEW" })).await.0, ["f4", "f5"]);
    assert_eq!(foos.list(json!({})).await.0.len(), 7, "unspecified is no condition");

    let first = foos.client.call("GetFoos", active).await.unwrap();
    let other = json!({ "status": "FOO_STATUS_IN_REVIEW", "pageToken": first["nextPageToken"] });
    for (request, code) in [
        (other, Code::InvalidArgument),
        (json!({ "pageSize": 1_001 }), Code::InvalidArgument),
        (json!({ "status": 77 }), Code::InvalidArgument),
    ] {
        let status = foos.client.call("GetFoos", request.clone()).await.unwrap_err();
        assert_eq!(status.code(), code, "{request}: {status}");
        assert_eq!(status.get_details_error_info().unwrap().reason, "bad-request");
    }
    foos.end().await;
}

#[tokio::test]
async fn a_miss_is_fetched_from_the_owner_within_the_deadline() {
    let foos = Foos::start().await;
    foos.stage.owner.answers(|asked, _| match asked.ids[0].as_str() {
        "known" => Reply::json(&json!({ "id": "known", "version": 4, "title": "T", "status": "ACTIVE" })),
        "slow" => Reply::json(&json!({ "id": "slow", "version": 1 })).after(Duration::from_secs(5)),
        _ => Reply::status(404),
    });
    let mut request = foos.client.request("GetFoo", json!({ "fooId": "known" }));
    request.set_timeout(Duration::from_secs(20));
    let told = foos.client.send("GetFoo", request).await.unwrap();
    assert_eq!(told, json!({ "id": "known", "title": "T", "status": "FOO_STATUS_ACTIVE", "revision": "4" }));

    let began = Instant::now();
    let status = foos.client.refused(&foos.base, "GetFoo", json!({ "fooId": "slow" }), "400m").await;
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(began.elapsed() < Duration::from_secs(4), "the owner was waited for: {:?}", began.elapsed());
    assert_eq!(status.get_details_error_info().unwrap().reason, "not-in-time");

    for (id, code) in [("nobody", Code::NotFound), ("", Code::InvalidArgument)] {
        let status = foos.get(id).await.unwrap_err();
        assert_eq!(status.code(), code, "{id}: {status}");
    }
    foos.end().await;
}

/// A part of a list is never passed off as the whole.
#[tokio::test]
async fn a_list_without_page_tokens_is_told_whole_or_not_at_all() {
    let (stage, sidecar, base) = started(|plan| {
        let proto = proto();
        let kept = proto.lines().filter(|line| !line.contains("page_"));
        plan.beside("proto/foos.proto", kept.collect::<Vec<_>>().join("\n"))
    })
    .await;
    let client = Client::of(&base, SERVICE).await;
    let publish = async |from: u64, to: u64| {
        stage.events((from..to).map(|at| event(&format!("f{at}"), 1, &json!({ "status": "active" })))).await;
        sidecar.books_close_at(to).await;
    };
    publish(0, 1_000).await;
    let all = client.call("GetFoos", json!({ "status": "FOO_STATUS_ACTIVE" })).await.unwrap();
    assert_eq!(all["foos"].as_array().unwrap().len(), 1_000);
    publish(1_000, 1_001).await;
    let status = client.call("GetFoos", json!({})).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "too-many");
    sidecar.stop().await;
    stage.clear().await;
}

/// What does not fit into its message is refused by name, and its value is told to nobody.
#[tokio::test]
async fn what_a_message_cannot_say_is_refused_by_name_only() {
    let foos = Foos::start().await;
    foos.is("f1", 1, json!({ "title": "t", "status": "CANARY-status" })).await;
    foos.is("f2", 1, json!({ "title": "t", "history": [{ "at": "CANARY-time" }] })).await;
    let mut lines = 0;
    for (id, field, message_field) in
        [("f1", "status", "acme.v1.Foo.status"), ("f2", "history", "acme.v1.Entry.at")]
    {
        let status = foos.get(id).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{status}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["field"].as_str()), ("unsayable", field));
        assert_eq!(info.metadata["message_field"], message_field);
        assert!(!format!("{status:?}").contains("CANARY"), "{status:?}");
        lines += 1;
        let logged = foos.sidecar.logged("contract.unsayable");
        assert_eq!((logged.len(), &logged[lines - 1]["field"]), (lines, &json!(field)));
    }
    assert!(!foos.sidecar.log().contains("CANARY"));
    let status = foos.client.call("DropFoo", json!({ "fooId": "f1" })).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    foos.end().await;
}

#[tokio::test]
async fn reflection_and_health_know_it_and_the_token_guards_it() {
    let foos = Foos::start().await;
    let channel = foos.client.channel.clone();
    let listed = reflect(&channel, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(listed) = listed else { panic!("{listed:?}") };
    let names: Vec<&str> = listed.service.iter().map(|service| service.name.as_str()).collect();
    let ours =
        [SERVICE, "nearcopy.v1.Replicas", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];
    assert_eq!(names, ours);
    let question = v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(SERVICE.into());
    let question = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let answers = Alpha::new(channel.clone()).server_reflection_info(futures::stream::iter([question])).await;
    let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap().message_response.unwrap();
    assert!(
        matches!(answer, AlphaResponse::FileDescriptorResponse(files) if files.file_descriptor_proto.len() == 1)
    );
    let request = HealthCheckRequest { service: SERVICE.to_owned() };
    assert_eq!(HealthClient::new(channel).check(request).await.unwrap().into_inner().status, 1, "serving");

    let (stage, sidecar, base) = started(|plan| plan.set("read.token", TOKEN)).await;
    let guarded = foos.client.at(&base).await;
    let status = guarded.call("GetFoo", json!({ "fooId": "f1" })).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    let mut request = guarded.request("GetFoo", json!({ "fooId": "f1" }));
    request.metadata_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    let status = guarded.send("GetFoo", request).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status}");
    sidecar.stop().await;
    stage.clear().await;
    foos.end().await;
}
