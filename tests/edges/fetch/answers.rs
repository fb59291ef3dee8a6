//! What one answer of an owner means.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, header};
use axum::response::IntoResponse;
use nearcopy::clock;
use nearcopy::event::{EntityId, EntityType, Reason};
use nearcopy::fetch::{Fetch, FetchError, HttpFetch};
use nearcopy::replication::{Answer, Class, Content};
use nearcopy::telemetry::trace::{self, TraceContext};
use secrecy::SecretString;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::owner::{Asked, TestOwner, asking, endless, honest, id, ok, outcomes, replica, status, user};

/// Asks a fresh owner for one user and says what came of it, in one word, and after how many requests.
async fn outcome_of(
    answer: impl Fn(Asked) -> axum::response::Response + Clone + Send + Sync + 'static,
) -> (String, usize) {
    let owner = TestOwner::start(move |asked| {
        let response = answer(asked);
        async move { response }
    })
    .await;
    let replica = replica(owner.address, |_| {});
    let outcome = outcomes(&asking(&replica), &replica, &[id("42")]).await.remove(0);
    (word(outcome), owner.count())
}

fn word(outcome: Result<Answer, FetchError>) -> String {
    match outcome {
        Ok(Answer::Found { version, content: Content::Live(fields) }) => {
            format!("found {} at {}", fields.to_document(), version.unwrap())
        }
        Ok(answer) => format!("{answer:?}"),
        Err(FetchError::Unreadable(error)) => format!("unreadable: {}", error.reason),
        Err(error) => format!("{} ({})", error, error.class()),
    }
}

/// F4, F5, F7: only a plain 404 or 410 is an answer that the owner does not know it; trouble is tried again,
/// refusals and nonsense are not.
#[tokio::test]
async fn each_status_means_what_it_says() {
    let failed = |code: u16| format!("the owner answered with status {code} (transient)");
    let refused = |code: u16| format!("the owner refused to answer with status {code} (misconfigured)");
    let cases = [
        (404, "NotFound".to_owned(), 1),
        (410, "NotFound".to_owned(), 1),
        (401, refused(401), 1),
        (403, refused(403), 1),
        (400, failed(400), 1),
        (204, failed(204), 1),
        (408, failed(408), 3),
        (429, failed(429), 3),
        (500, failed(500), 3),
        (503, failed(503), 3),
    ];
    for (code, expected, requests) in cases {
        assert_eq!(outcome_of(move |_| status(code)).await, (expected, requests), "{code}");
    }
}

/// F5: what is no answer about this entity is never taken for one.
#[tokio::test]
async fn an_answer_of_another_form_is_unreadable() {
    let check = async |response: fn() -> axum::response::Response, reason: Reason| {
        let expected = format!("unreadable: {reason}");
        assert_eq!(outcome_of(move |_| response()).await, (expected, 1), "{reason}");
    };
    check(|| axum::response::Html("<h1>Sign in</h1>").into_response(), Reason::NotJson).await;
    check(|| ok(&user("43")), Reason::OtherEntity).await;
    check(|| r#"{"id": "42", "version": 7, "na"#.into_response(), Reason::NotJson).await;
    check(|| b"{\"id\": \"42\", \"name\": \"\xff\"}".into_response(), Reason::NotJson).await;
    check(|| ok(&json!([user("42")])), Reason::NoId).await;
    check(|| ok(&json!({"id": "42", "version": 7, "name": 1})), Reason::BadField).await;
    check(|| ok(&json!({"id": "42", "version": "x", "name": "n"})), Reason::BadVersion).await;
}

#[tokio::test]
async fn only_declared_fields_are_taken_out_of_an_answer() {
    let (outcome, _) = outcome_of(|asked| honest(&asked)).await;
    assert_eq!(outcome, r#"found { "name": "user 42" } at 7"#);
}

/// F7: passing trouble is waited out within the same question.
#[tokio::test]
async fn two_failures_and_then_an_answer_are_an_answer() {
    let (outcome, requests) =
        outcome_of(|asked| if asked.before < 2 { status(502) } else { honest(&asked) }).await;
    assert!(outcome.starts_with("found"), "{outcome}");
    assert_eq!(requests, 3);
}

/// S4: a redirect could lead anywhere, so none is followed.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = TestOwner::start(|asked| async move { honest(&asked) }).await;
    let target = format!("http://{}/users/42", elsewhere.address);
    let (outcome, requests) = outcome_of(move |_| {
        Response::builder().status(302).header(header::LOCATION, &target).body(Body::empty()).unwrap()
    })
    .await;
    assert_eq!((outcome.as_str(), requests), ("the owner answered with status 302 (transient)", 1));
    assert_eq!(elsewhere.count(), 0);
}

/// S3, S4: an id cannot leave its slot in the URL, and compressed answers are not asked for.
#[tokio::test]
async fn a_request_asks_for_exactly_what_was_declared() {
    let owner = TestOwner::start(|_| async { status(404) }).await;
    let replica = replica(owner.address, |_| {});
    let hostile = ["../admin", "a/b?c=d#e", "%2e%2e", "...", "..", "."];
    let ids: Vec<EntityId> = hostile.iter().map(|text| id(text)).collect();
    let outcomes = outcomes(&asking(&replica), &replica, &ids).await;
    let words: Vec<String> = outcomes.into_iter().map(word).collect();
    let (not_found, refused) = ("NotFound", "unreadable: bad_id");
    assert_eq!(words, [not_found, not_found, not_found, not_found, refused, refused]);
    let mut paths: Vec<String> = owner.asked().into_iter().map(|asked| asked.path).collect();
    paths.sort();
    assert_eq!(paths, ["/users/%252e%252e", "/users/..%2Fadmin", "/users/...", "/users/a%2Fb%3Fc%3Dd%23e"]);
    let headers = &owner.asked()[0].headers;
    assert_eq!(headers["accept"], "application/json");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("nearcopy/"));
    assert!(!headers.contains_key("accept-encoding"));
}

/// S3: an answer larger than the bound is not read to its end.
#[tokio::test]
async fn an_endless_answer_is_cut_off_by_size() {
    static MEGABYTE: [u8; 1 << 20] = [b' '; 1 << 20];
    let started = clock::now();
    let (outcome, requests) = outcome_of(|_| endless(&MEGABYTE, Duration::ZERO)).await;
    assert_eq!((outcome.as_str(), requests), ("unreadable: too_large", 1));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let announced = |_| {
        let body = Body::from_stream(futures::stream::pending::<Result<&[u8], std::io::Error>>());
        Response::builder().header(header::CONTENT_LENGTH, 9 << 20).body(body).unwrap()
    };
    assert_eq!(outcome_of(announced).await, ("unreadable: too_large".to_owned(), 1));
}

/// F7: an owner that drips, or says nothing, does not hold anybody longer than declared.
#[tokio::test]
async fn a_question_ends_within_its_deadline_however_slow_the_owner_is() {
    for every in [Duration::from_millis(20), Duration::from_mins(1)] {
        let owner = TestOwner::start(move |_| async move { endless(b" ", every) }).await;
        let replica = replica(owner.address, |spec| spec.timeout = Duration::from_millis(300));
        let started = clock::now();
        let outcome = outcomes(&asking(&replica), &replica, &[id("42")]).await.remove(0);
        assert!(matches!(&outcome, Err(FetchError::Unreachable(why)) if why.contains("no whole answer")));
        let took = started.elapsed();
        assert!((300..900).contains(&took.as_millis()), "{took:?}");
    }
}

/// F5: a connection cut in the middle of an answer is trouble on the way, not an answer.
#[tokio::test]
async fn an_answer_cut_off_on_the_way_is_asked_for_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let replica = replica(listener.local_addr().unwrap(), |_| {});
    let server = tokio::spawn(async move {
        for whole in [false, false, true] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            let body = user("42").to_string();
            let sent = if whole { body.as_str() } else { &body[..10] };
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(format!("{head}{sent}").as_bytes()).await.unwrap();
        }
    });
    let outcome = outcomes(&asking(&replica), &replica, &[id("42")]).await.remove(0);
    assert!(word(outcome).starts_with("found"));
    server.await.unwrap();
}

#[tokio::test]
async fn an_owner_that_is_not_there_is_unreachable_and_no_id_is_told() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let replica = replica(address, |_| {});
    let error = outcomes(&asking(&replica), &replica, &[id("secret-id")]).await.remove(0).unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(!error.to_string().contains("secret-id"), "{error}");
}

#[tokio::test]
async fn the_trace_of_an_event_goes_on_to_the_owner() {
    let owner = TestOwner::start(|asked| async move { honest(&asked) }).await;
    let replica = replica(owner.address, |_| {});
    let fetch = asking(&replica);
    let context = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    trace::within(Some(context), outcomes(&fetch, &replica, &[id("1")])).await.remove(0).unwrap();
    outcomes(&fetch, &replica, &[id("2")]).await.remove(0).unwrap();
    let [with, without] = owner.asked().try_into().unwrap();
    let told = TraceContext::parse(with.headers[trace::HEADER].to_str().unwrap()).unwrap();
    assert_eq!(told.trace_id(), context.trace_id());
    assert_ne!(told, context, "it is a step of its own");
    assert!(!without.headers.contains_key(trace::HEADER));
}

/// A token goes to the owner that it is for, and is not written where the client is shown.
#[tokio::test]
async fn an_owner_is_sent_the_token_of_its_replica() {
    let owner = TestOwner::start(|asked| async move { honest(&asked) }).await;
    let replica = replica(owner.address, |_| {});
    let tokens =
        |of: &str| BTreeMap::from([(EntityType::new(of), SecretString::from("a-token-of-some-length"))]);
    for (of, sent) in [("users", Some("Bearer a-token-of-some-length")), ("others", None)] {
        let fetch = Arc::new(HttpFetch::new([&replica], &tokens(of)).unwrap());
        outcomes(&fetch, &replica, &[id("7")]).await.remove(0).unwrap();
        let asked = owner.asked().pop().unwrap();
        let header = asked.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header.as_deref(), sent);
    }
}

#[tokio::test]
async fn a_replica_without_a_way_to_ask_is_never_asked_for() {
    let replica = replica("127.0.0.1:9".parse().unwrap(), |_| {});
    let fetch = HttpFetch::new([], &BTreeMap::new()).unwrap();
    let outcome = outcomes(&fetch, &replica, &[id("1"), id("2")]).await;
    assert!(matches!(outcome[..], [Err(FetchError::NotDeclared), Err(FetchError::NotDeclared)]));
    assert!(!fetch.is_resting(&EntityType::new("users")));
}
