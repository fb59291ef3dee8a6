//! Replicas as readers see them, by REST, from the real program.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::rabbitmq::eventually;
use crate::read::{Read, TOKEN, answer, manifest};
use crate::sidecar::Plan;

/// A read is the second way to become interested: what is missing is fetched, and stays wanted for a while.
#[tokio::test]
async fn what_is_missing_is_fetched_for_its_reader_and_let_go_later() {
    let hurry = |plan: Plan| plan.set("sweep.retire_grace", "300ms").set("sweep.retire_every", "100ms");
    let mut read = Read::start("referenced", hurry).await;
    read.stage.owner.has("ann", 3, "Ann");
    let (status, told) = read.get("users/ann?within=10s").await;
    assert_eq!(
        (status, &told["fields"]["name"], &told["version"]),
        (200, &json!("Ann"), &json!(3)),
        "{told}"
    );
    assert_eq!(
        (&told["id"], &told["origin"], &told["stale"]),
        (&json!("ann"), &json!("fetch"), &json!(false))
    );
    assert!(told["fields"].get("secret").is_none(), "{told}");

    let (status, told) = read.get("users/nobody?within=10s").await;
    assert_eq!((status, &told["known"]), (404, &json!({ "state": "gone", "why": "404" })), "{told}");
    read.stage.owner.dies().await;
    let (status, told) = read.get("users/bob?within=300ms").await;
    assert_eq!((status, &told["known"]["state"]), (504, &json!("pending")), "{told}");
    let (status, _) = read.get("users/bob?consistency=local").await;
    assert_eq!(status, 404, "whoever does not want the owner asked is told at once");

    let users = read.stage.consumer.collection("users");
    eventually("nobody wants them any more", async || {
        users.count_documents(bson::doc! {}).await.unwrap() == 0
    })
    .await;
    read.end().await;
}

/// Nobody is told that something is fresh that is not.
#[tokio::test]
async fn a_wish_comes_true_or_is_refused_in_time() {
    let read = Read::start("all", |plan| plan).await;
    read.user("ann", 1, json!({ "name": "Ann" })).await;
    read.is_read("ann", 1).await;
    let (_, told) = read.get("users/ann?wait_for=ann/1").await;
    assert_eq!((&told["event"], &told["origin"]), (&json!("ann/1"), &json!("event")), "{told}");

    let begun = Instant::now();
    let (status, told) = read.get("users/ann?wait_for=ann/2&within=200ms&consistency=local").await;
    assert_eq!((status, &told["held"]["version"]), (504, &json!(1)), "{told}");
    assert!(begun.elapsed() >= Duration::from_millis(200));

    // An event that was overtaken is waited for no longer than one that was not; nor is one that came twice.
    read.user("bob", 1, json!({ "name": "Bob" })).await;
    read.user("bob", 2, json!({ "name": "Rob" })).await;
    read.user("bob", 1, json!({ "name": "Bob" })).await;
    for event in ["bob/2", "bob/1"] {
        let (status, told) =
            read.get(&format!("users/bob?wait_for={event}&within=20s&consistency=local")).await;
        assert_eq!((status, &told["version"]), (200, &json!(2)), "{told}");
    }

    // The owner has a newer one, of which no event has told.
    read.stage.owner.has("ann", 2, "Anna");
    let (_, told) = read.get("users/ann").await;
    assert_eq!(told["version"], 1, "what is held will do for whoever wishes nothing");
    let (status, told) = read.get("users/ann?min_version=2&within=10s").await;
    assert_eq!((status, &told["fields"]["name"]), (200, &json!("Anna")), "{told}");

    let asked = read.stage.owner.asked().len();
    let (status, told) = read.get("users/ann?max_staleness=1ms&within=500ms").await;
    assert!(read.stage.owner.asked().len() > asked, "{status} {told}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let asked = read.stage.owner.asked().len();
    let (status, _) = read.get("users/ann?max_staleness=10m").await;
    assert_eq!((status, read.stage.owner.asked().len()), (200, asked), "it is known well enough");
    read.end().await;
}

/// A copy that a reader has is sent again only when it has changed.
#[tokio::test]
async fn an_unchanged_entity_is_not_sent_again() {
    let read = Read::start("all", |plan| plan).await;
    read.user("ann", 1, json!({ "name": "Ann" })).await;
    read.is_read("ann", 1).await;
    let url = format!("{}users/ann", read.url);
    let tag = read.http.get(&url).send().await.unwrap().headers()["etag"].clone();
    let again = async || read.http.get(&url).header("if-none-match", tag.clone()).send().await.unwrap();
    let same = again().await;
    assert_eq!((same.status(), &same.headers()["etag"]), (StatusCode::NOT_MODIFIED, &tag));
    read.user("ann", 2, json!({ "name": "Anna" })).await;
    read.is_read("ann", 2).await;
    assert_eq!(again().await.status(), StatusCode::OK);
    read.end().await;
}

#[tokio::test]
async fn several_are_read_at_once() {
    let read = Read::start("all", |plan| plan).await;
    read.user("ann", 1, json!({ "name": "Ann" })).await;
    read.is_read("ann", 1).await;
    let (status, told) = read.post("users:batchGet?within=10s", r#"{"ids": ["ann", "nobody", "ann"]}"#).await;
    assert_eq!((status, told["found"].as_array().unwrap().len()), (200, 1), "{told}");
    assert_eq!(told["missing"], json!([{ "id": "nobody", "state": "absent", "late": false }]));
    let users = read.stage.consumer.collection("users");
    assert_eq!(users.count_documents(bson::doc! {}).await.unwrap(), 1, "whoever is unknown leaves nothing");
    read.stage.owner.has("eve", 4, "Eve");
    let (status, told) = read.get("users/eve?within=10s").await;
    assert_eq!(
        (status, &told["version"]),
        (200, &json!(4)),
        "who was there before the first event is found: {told}"
    );
    for body in ["", "[]", r#"{"ids": "ann"}"#, r#"{"ids": [""]}"#, r#"{"ids": [], "more": 1}"#] {
        assert_eq!(read.post("users:batchGet", body).await.0, 400, "{body}");
    }
    for id in ["{}", r#"["ann"]"#, "null", "true"] {
        let (status, told) = read.post("users:batchGet", format!(r#"{{"ids": [{id}]}}"#)).await;
        assert_eq!((status, &told["detail"]), (400, &json!("an id is a text or a number")), "{id}");
    }
    let many: Vec<String> = (0..1_001).map(|id| id.to_string()).collect();
    let many = json!({ "ids": many }).to_string();
    assert_eq!(read.post("users:batchGet", many).await.0, 400);
    read.end().await;
}

/// Whoever asks while others are being read for is read for together with them, and told only what he asked for.
#[tokio::test]
async fn many_who_read_at_once_are_each_told_whom_they_asked_for() {
    let read = Read::start("all", |plan| plan.set("read.cache", "0")).await;
    for number in 0..20 {
        read.user(&format!("user-{number}"), 1, json!({ "name": format!("name-{number}") })).await;
    }
    for number in 0..20 {
        read.is_read(&format!("user-{number}"), 1).await;
    }
    let profile = read.stage.consumer.collection("system.profile");
    let database = profile.client().database(&profile.namespace().db);
    database.run_command(bson::doc! { "profile": 2 }).await.unwrap();
    let targets: Vec<String> =
        (0..200).map(|at| format!("users/user-{}?consistency=local", at % 22)).collect();
    let asked = futures::future::join_all(targets.iter().map(|target| read.get(target)));
    // Those who ask with them and are gone at once hold up nobody.
    let gone: Vec<_> =
        targets.iter().map(|target| read.http.get(format!("{}{target}", read.url)).send()).collect();
    let gone = tokio::time::timeout(Duration::from_millis(2), futures::future::join_all(gone));
    let (told, _) = futures::join!(asked, gone);
    database.run_command(bson::doc! { "profile": 0 }).await.unwrap();
    for (at, (status, told)) in told.iter().enumerate() {
        let number = at % 22;
        let expected = if number < 20 { (200, json!(format!("name-{number}"))) } else { (404, Value::Null) };
        assert_eq!((*status, told["fields"]["name"].clone()), expected, "user-{number}: {told}");
    }
    let finds = profile.count_documents(bson::doc! { "command.find": "users" }).await.unwrap();
    assert!((1..150).contains(&finds), "{finds} reads for 200 who asked at once");
    read.end().await;
}

/// S6: lists go page by page, in an order that holds still, by declared fields only, each of which has an index.
#[tokio::test]
async fn lists_are_asked_for_by_declared_fields_and_come_in_pages() {
    let read = Read::start("all", |plan| plan).await;
    for at in 0..25_u64 {
        let fields = json!({
            "name": if at % 2 == 0 { "even" } else { "odd" },
            "age": 100 - at,
            "born": format!("2000-01-{:02}T00:00:00Z", at + 1),
            "any": if at < 5 { json!(7) } else { json!("7") },
        });
        read.user(&format!("u{at:02}"), 1, fields).await;
    }
    for at in 0..25 {
        read.is_read(&format!("u{at:02}"), 1).await;
    }
    assert_eq!(pages(&read, "users?page_size=10").await, (0..25).collect::<Vec<_>>());
    assert_eq!(pages(&read, "users?name=even&page_size=5").await, (0..25).step_by(2).collect::<Vec<_>>());
    assert_eq!(pages(&read, "users?name.in=even,odd").await.len(), 25);
    // By age, which falls where ids rise.
    assert_eq!(pages(&read, "users?age.gte=90&page_size=4").await, (0..=10).rev().collect::<Vec<_>>());
    assert_eq!(pages(&read, "users?age.gt=90&age.lte=95").await, [9, 8, 7, 6, 5]);
    assert_eq!(pages(&read, "users?name=odd&born.lt=2000-01-05T00:00:00Z").await, [1, 3]);
    assert_eq!(pages(&read, "users?any=7").await.len(), 25, "a number, and the text that looks like one");
    assert_eq!(pages(&read, "users?any.gte=6&any.lte=8").await.len(), 5, "a range of numbers");
    read.end().await;
}

/// All pages of a list, by the numbers in the ids.
async fn pages(read: &Read, target: &str) -> Vec<u64> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let (status, told) = read.get(&format!("{target}{token}")).await;
        assert_eq!(status, 200, "{told}");
        let items = told["items"].as_array().unwrap();
        found.extend(items.iter().map(|item| item["id"].as_str().unwrap()[1..].parse::<u64>().unwrap()));
        match told["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={next}"),
            None => return found,
        }
    }
}

/// S5, S6: what is looked for may be anything, and is never more than a value; nobody asks for too much at once.
#[tokio::test]
async fn what_makes_no_sense_is_refused_and_says_why() {
    let read = Read::start("all", |plan| plan).await;
    for at in 0..3 {
        read.user(&format!("u{at}"), 1, json!({ "name": "same", "email": "same@example.org" })).await;
        read.is_read(&format!("u{at}"), 1).await;
    }
    let (_, told) = read.get("users?name=same&page_size=1").await;
    let token = told["next_page_token"].as_str().unwrap();
    let forged = format!("{}{}", if token.starts_with('0') { '1' } else { '0' }, &token[1..]);
    for (target, status, says) in [
        ("users?email=x".to_owned(), 400, "it can by `name`, `age`, `born`, `any`"),
        ("users?secret=x".into(), 400, "cannot be asked for by `secret`"),
        ("users?_nearcopy.state=gone".into(), 400, "_nearcopy"),
        ("users?$where=1".into(), 400, "$where"),
        ("users?name[$ne]=x".into(), 400, "name[$ne]"),
        ("users?age=old".into(), 400, "int"),
        ("users?born=yesterday".into(), 400, "date"),
        ("users?age.gt=1&born.gt=2".into(), 400, "only one field"),
        ("users?age.gt=1&age.gte=2".into(), 400, "twice"),
        ("users?page_size=0".into(), 400, "page_size"),
        ("users?page_size=1001".into(), 400, "page_size"),
        (format!("users?page_token={token}"), 400, "another query"),
        (format!("users?name=same&page_token={forged}"), 400, "none of ours"),
        ("users?name=same&page_token=zz".into(), 400, "none of ours"),
        (format!("users?name.in={}", ["x"; 101].join(",")), 400, "more than 100"),
        ("users/u0?within=1h".into(), 400, "at most 30 s"),
        ("users/u0?min_version=new".into(), 400, "whole number"),
        ("users/u0?max_stalenes=1s".into(), 400, "max_staleness"),
        ("users/u0?consistency=strong".into(), 400, "consistency"),
        (format!("users/{}", "x".repeat(1_025)), 400, "bytes"),
        ("people/u0".into(), 404, "there are users"),
        ("users/u0/name".into(), 404, "/v1/"),
        ("users:exists".into(), 400, "email"),
        ("users:exists?name=same".into(), 400, "`email`"),
        ("users:exists?email.in=a,b".into(), 400, "one value"),
    ] {
        let (found, told) = read.get(&target).await;
        assert_eq!(found, status, "{target}: {told}");
        assert!(told["detail"].as_str().unwrap().contains(says), "{target}: {told}");
        assert_eq!(told["status"], status);
    }
    for (request, allowed) in [
        (read.http.get(format!("{}users:batchGet", read.url)), "POST"),
        (read.http.post(format!("{}users", read.url)), "GET,HEAD"),
        (read.http.delete(format!("{}users/u0", read.url)), "GET,HEAD"),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &allowed.parse().unwrap())
        );
    }
    let (status, told) = read.get(r#"users?name={"$ne":null}"#).await;
    assert_eq!((status, &told["items"]), (200, &json!([])), "an operator is a text like any other");
    let (_, told) = read.get("users:exists?email=same@example.org").await;
    assert_eq!(told, json!({ "exists": true, "ids": ["u0", "u1", "u2"] }));
    let (_, told) = read.get("users:exists?email=other@example.org").await;
    assert_eq!(told, json!({ "exists": false, "ids": [] }));
    read.end().await;
}

/// S11: beyond loopback nobody reads without the token; and where there is one, it is asked for everywhere.
#[tokio::test]
async fn whoever_has_no_token_reads_nothing() {
    let read = Read::start("all", |plan| plan.set("read.token", TOKEN)).await;
    read.user("ann", 1, json!({ "name": "Ann" })).await;
    let url = format!("{}users/ann?min_version=1&within=20s", read.url);
    let with = |token: &str| answer(read.http.get(&url).header("authorization", token.to_owned()));
    assert_eq!(with(&format!("Bearer {TOKEN}")).await.0, 200);
    let shorter = &TOKEN[..TOKEN.len() - 1];
    for token in ["", "Bearer", "Bearer x", TOKEN, &format!("Bearer {shorter}"), &format!("Basic {TOKEN}")] {
        let (status, told) = with(token).await;
        assert_eq!((status, &told["fields"]), (401, &Value::Null), "{token}");
    }
    assert_eq!(read.get("users/ann").await.0, 401);
    assert_eq!(read.get("nothing/here/at/all").await.0, 401);
    assert!(!read.sidecar.log().contains(TOKEN));

    let plan = read.stage.plan_of(manifest("all", &read.stage.owner.url())).set("read.listen", "0.0.0.0:0");
    let mut open = plan.spawn();
    assert_eq!(open.ended().await.code(), Some(4));
    assert!(open.log().contains("`read.token` is not set"), "{}", open.log());
    read.end().await;
}

/// Sends bytes as they are, and waits for the end of the connection: what came back, and after how long.
async fn raw(read: &Read, parts: &[&[u8]]) -> (String, Duration) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = read.base.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let begun = Instant::now();
    for part in parts {
        // It may be cut off while it still sends.
        if stream.write_all(part).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "it is still open after {:?}", begun.elapsed());
    (String::from_utf8_lossy(&answer).into_owned(), begun.elapsed())
}

/// Thousands of requests by HTTP/2, each taken back at once: whoever asks so is sent away.
fn resets() -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    // GET / of http://x, in the static table's words.
    let request = [0x82, 0x86, 0x84, 0x41, 1, b'x'];
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(4, 0, 0, &[]));
    for stream in (1..20_000).step_by(2) {
        sent.extend(frame(1, 5, stream, &request));
        sent.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    sent
}

/// Whoever means no good is refused or cut off, and everybody else is served as before.
#[tokio::test]
async fn nobody_holds_up_the_others() {
    let read = Read::start("all", |plan| plan).await;
    read.user("ann", 1, json!({ "name": "Ann" })).await;
    read.is_read("ann", 1).await;
    let many_headers: String = (0..200).map(|at| format!("x-{at}: y\r\n")).collect();
    let long_header = format!("x: {}\r\n", "y".repeat(1 << 20));
    let post = "POST /v1/users:batchGet HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    let chunk = format!("{:x}\r\n{}\r\n", 64 << 10, "x".repeat(64 << 10));
    let chunks = [post, "transfer-encoding: chunked\r\n\r\n", &chunk.repeat(8), "0\r\n\r\n"].concat();
    // What is squeezed is not unpacked here.
    let bomb = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x33\x30\x18\x05\xa3\x60\x14\x0c\x77\0";
    let squeezed = format!("{post}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let squeezed = [squeezed.as_bytes(), bomb].concat();
    let get =
        |more: &str| format!("GET /v1/users/ann HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n");
    for (sent, status) in [
        (get("").into_bytes(), "200"),
        (get(&many_headers).into_bytes(), "431"),
        (get(&long_header).into_bytes(), "431"),
        (chunks.into_bytes(), "413"),
        (squeezed, "400"),
        (b"NONSENSE\r\n\r\n".to_vec(), "400"),
        (b"GET /v1/%ff/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec(), "400"),
        (b"DELETE /v1/users/ann HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec(), "405"),
        (b"GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec(), "404"),
    ] {
        let (answer, _) = raw(&read, &[&sent]).await;
        let told = answer.split_whitespace().nth(1).unwrap_or_default();
        assert_eq!(told, status, "{:?}: {answer}", String::from_utf8_lossy(&sent[..sent.len().min(80)]));
    }
    let slow = [&b""[..], b"G", b"GET /v1/users/ann HTTP/1.1\r\nhost:", b"PRI * HTTP/2.0\r\n"];
    let slow = slow.map(|begun| async { raw(&read, &[begun]).await.1 });
    for after in futures::future::join_all(slow).await {
        assert!(after < Duration::from_secs(15), "{after:?}");
    }
    raw(&read, &[&resets()]).await;
    let idle: Vec<_> = futures::future::join_all(
        (0..200).map(|_| tokio::net::TcpStream::connect(read.base.strip_prefix("http://").unwrap())),
    )
    .await;
    assert_eq!(read.get("users/ann").await.0, 200, "with {} idle connections", idle.len());
    read.end().await;
}
