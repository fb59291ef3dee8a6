//! Who may read what: by tokens, each for its replicas, and by certificates.

use reqwest::{Certificate, Identity};
use serde_json::{Value, json};

use crate::port::free_address;
use crate::read::{Read, TOKEN, answer, manifest};
use crate::sidecar::Plan;
use crate::stage::Stage;

const OTHER: &str = "another-token-of-readers-42";

/// Users, and under another name the same once more.
fn twice(owner: &str) -> String {
    let text = manifest("all", owner);
    let (before, rest) = text.split_once("replicas:\n").unwrap();
    let (users, after) = rest.split_once("embeds:\n").unwrap();
    let people = users.replacen("  users:\n", "  people:\n", 1);
    format!("{before}replicas:\n{users}{people}embeds:\n{after}")
}

/// A token opens the replicas that it is for, by either face, and says of no other whether there is one.
#[tokio::test]
async fn a_token_is_for_its_replicas() {
    let tokens = format!("{TOKEN}\n\n  {OTHER} people\n");
    let read = Read::start_with(twice, |plan| plan.set("read.token", tokens)).await;
    read.user("ann", 1, json!({ "name": "Ann", "email": "ann@example.org" })).await;
    let ask = |token: &str, target: &str| {
        let url = format!("{}{target}", read.url);
        answer(read.http.get(url).header("authorization", format!("Bearer {token}")))
    };
    let fresh = "min_version=1&within=20s";
    for replica in ["users", "people"] {
        assert_eq!(ask(TOKEN, &format!("{replica}/ann?{fresh}")).await.0, 200, "{replica}");
    }
    assert_eq!(ask(OTHER, &format!("people/ann?{fresh}")).await.0, 200);
    for target in ["users/ann", "users", "users:exists?email=ann@example.org", "users:watch", "nothing/ann"] {
        let (status, told) = ask(OTHER, target).await;
        assert_eq!((status, &told["fields"]), (403, &Value::Null), "{target}: {told}");
    }
    let url = format!("{}users:batchGet", read.url);
    let request = read.http.post(url).header("authorization", format!("Bearer {OTHER}"));
    assert_eq!(answer(request.body(r#"{"ids": ["ann"]}"#)).await.0, 403);
    assert_eq!(ask("neither-this-nor-that-one", "people/ann").await.0, 401);
    let log = read.sidecar.log();
    assert!(!log.contains(TOKEN) && !log.contains(OTHER), "{log}");

    let tokens = format!("{TOKEN} peple");
    let plan = read.stage.plan_of(twice(&read.stage.owner.url()));
    let mut wrong = plan.set("read.listen", free_address()).set("read.token", tokens).spawn();
    assert_eq!(wrong.ended().await.code(), Some(1));
    assert!(wrong.log().contains("`peple`"), "{}", wrong.log());
    read.end().await;
}

fn file(name: &str) -> String {
    format!("{}/tests/support/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn with_certificates(plan: Plan) -> Plan {
    plan.set("read.tls_certificate", file("impostor/certificate.pem"))
        .set("read.tls_key", file("impostor/key.pem"))
        .set("read.tls_client_ca", file("readers/authority.pem"))
}

/// Beyond loopback certificates will do instead of a token: whoever has none is not let in, and what is said is
/// encrypted.
#[tokio::test]
async fn a_reader_is_known_by_its_certificate() {
    let (stage, address) = (Stage::new().await, free_address());
    let port = address.rsplit(':').next().unwrap().to_owned();
    let plan =
        stage.plan_of(manifest("all", &stage.owner.url())).set("read.listen", format!("0.0.0.0:{port}"));
    let sidecar = with_certificates(plan).start().await;
    let read = |name: &str| std::fs::read(file(name)).unwrap();
    let server = Certificate::from_pem(&read("impostor/certificate.pem")).unwrap();
    let builder = || reqwest::Client::builder().no_proxy().tls_certs_only([server.clone()]);
    let identity = [read("readers/reader.pem"), read("readers/reader.key")].concat();
    let known = builder().identity(Identity::from_pem(&identity).unwrap()).build().unwrap();
    let url = format!("https://localhost:{port}/v1/users");
    let (status, told) = answer(known.get(&url)).await;
    assert_eq!((status, told), (200, json!({ "items": [] })));
    let stranger = builder().build().unwrap();
    assert!(stranger.get(&url).send().await.is_err(), "without a certificate");
    let plain = format!("http://localhost:{port}/v1/users");
    assert!(stranger.get(plain).send().await.is_err(), "without encryption");
    assert_eq!(answer(known.get(&url)).await.0, 200, "and others are served on");
    sidecar.stop().await;
    stage.clear().await;
}

/// What cannot be used is named.
#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let stage = Stage::new().await;
    let plan = stage.plan_of(manifest("all", &stage.owner.url())).set("read.listen", free_address());
    let plan = with_certificates(plan);
    for (key, value, code, says) in [
        ("read.tls_key", file("nothing.pem"), 1, "nothing.pem"),
        ("read.tls_certificate", file("impostor/key.pem"), 1, "holds no certificate"),
        ("read.tls_key", file("readers/reader.key"), 1, "cannot be used together"),
        ("read.tls_client_ca", file("readers/reader.key"), 1, "holds no certificate"),
        ("read.tls_key", String::new(), 4, "`read.tls_key` is not set"),
        ("read.tls_certificate", String::new(), 4, "`read.tls_certificate` is not set"),
    ] {
        let mut wrong = plan.clone().set(key, value).spawn();
        let ended = wrong.ended().await.code();
        assert_eq!(ended, Some(code), "{key}: {}", wrong.log());
        assert!(wrong.log().contains(says), "{key}: {}", wrong.log());
    }
    stage.clear().await;
}
