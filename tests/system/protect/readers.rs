//! Who reads what of protected fields, by both faces.

use serde_json::{Value, json};

use super::{CANARY, OTHER, event, protecting, told, user};
use crate::read::{Read, TOKEN};

async fn with_ann() -> Read {
    let read = protecting().await;
    read.stage.events([event("user.updated", &user("ann", 3))]).await;
    let (status, entity) = told(&read, OTHER, "users/ann?min_version=3&within=20s").await;
    assert_eq!(status, 200, "{entity}");
    read
}

/// S14: what is encrypted is seen in clear by those whose token says so, and is not there for all others; the rest is told to
/// everybody as it is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_what_is_encrypted() {
    let read = with_ann().await;
    let phone = user("ann", 3)["phone"].clone();
    for (token, expected) in [(TOKEN, phone.clone()), (OTHER, Value::Null)] {
        let (_, one) = told(&read, token, "users/ann").await;
        let (_, list) = told(&read, token, "users").await;
        let listed = list["items"].as_array().unwrap().iter().find(|item| item["id"] == "ann").unwrap();
        for fields in [&one["fields"], &listed["fields"]] {
            assert_eq!(fields["phone"], expected, "{fields}");
            assert_eq!(fields["street"], "c•••");
            assert!(fields["email"].as_str().unwrap().starts_with("h1:"));
            assert_eq!(fields.as_object().unwrap().contains_key("phone"), expected != Value::Null);
            assert_eq!(fields.get("tax"), None);
        }
    }
    let (clear, hidden) = tokio::join!(by_grpc(&read, TOKEN), by_grpc(&read, OTHER));
    assert!(clear.contains("c•••") && clear.contains(phone.as_str().unwrap()), "{clear}");
    assert!(hidden.contains("c•••") && !hidden.contains(CANARY), "{hidden}");
    let watched = |token: &'static str| watched(&read, token);
    let (clear, hidden) = tokio::join!(watched(TOKEN), watched(OTHER));
    assert!(clear.contains(CANARY) && clear.contains("\"phone\""), "{clear}");
    assert!(!hidden.contains(CANARY) && hidden.contains("\"email\":\"h1:"), "{hidden}");
    read.end().await;
}

/// What `Get` of the gRPC service says of her, as far as it is text.
async fn by_grpc(read: &Read, token: &str) -> String {
    // The replica, and the id.
    let message = b"\x0a\x05users\x12\x03ann";
    let body = [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()], &message[..]].concat();
    let http = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let request = http.post(format!("{}/nearcopy.v1.Replicas/Get", read.base)).body(body);
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    let response = request.header("authorization", format!("Bearer {token}")).send().await.unwrap();
    String::from_utf8_lossy(&response.bytes().await.unwrap()).into_owned()
}

/// What a watcher is told next of somebody who changes.
async fn watched(read: &Read, token: &str) -> String {
    let url = format!("{}users:watch?id={token}", read.url);
    let request = read.http.get(url).header("authorization", format!("Bearer {token}"));
    let mut response = request.send().await.unwrap();
    let mut received = String::new();
    while !received.contains("event: changed") || !received.ends_with("\n\n") {
        if received.contains("event: open") && !received.contains("event: changed") {
            read.stage.events([event("user.updated", &user(token, 1))]).await;
        }
        let chunk = tokio::time::timeout(std::time::Duration::from_secs(60), response.chunk()).await;
        received += std::str::from_utf8(&chunk.unwrap().unwrap().unwrap()).unwrap();
    }
    received
}

/// S14: one finds who has a value by the value, though only its hash is kept; what has no order, or cannot be found, is
/// refused with a reason that does not repeat it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_a_value_is_found_by_its_hash() {
    let read = with_ann().await;
    let email = format!("{CANARY}-ann@example.org");
    for target in [
        format!("users:exists?email={email}"),
        format!("users?email={email}"),
        format!("users?email.in=x,{email}"),
    ] {
        let (status, found) = told(&read, OTHER, &target).await;
        let id = if found["ids"].is_null() { &found["items"][0]["id"] } else { &found["ids"][0] };
        assert_eq!((status, id), (200, &json!("ann")), "{target}: {found}");
    }
    let (_, none) = told(&read, OTHER, "users:exists?email=nobody@example.org").await;
    assert_eq!(none["exists"], false);
    let hash = told(&read, OTHER, "users/ann").await.1["fields"]["email"].as_str().unwrap().to_owned();
    assert_eq!(
        told(&read, OTHER, &format!("users:exists?email={hash}")).await.1["exists"],
        false,
        "a hash is no value"
    );
    for target in [
        format!("users?email.gte={email}"),
        format!("users?phone={email}"),
        format!("users:exists?phone={email}"),
    ] {
        let (status, refused) = told(&read, OTHER, &target).await;
        assert_eq!(status, 400, "{refused}");
        assert!(!refused.to_string().contains(CANARY), "{refused}");
    }
    // The owner knows what it is asked for.
    let (status, found) = told(&read, OTHER, "users:exists?email=ann&consistency=owner").await;
    assert_eq!((status, &found["ids"]), (200, &json!(["ann"])), "{found}");
    read.end().await;
}
