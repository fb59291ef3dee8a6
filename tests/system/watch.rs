//! Changes as readers are told of them: by server-sent events and by gRPC, taken up where they were broken off; and what
//! is held in memory, which changes with them.

use std::time::Duration;

use bson::doc;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::read::Read;

/// One event: its name, its id, and what it tells.
type Event = (String, Option<String>, Value);

/// Somebody who watches.
struct Watcher {
    response: Response,
    received: String,
    position: String,
}

impl Watcher {
    /// Begins to watch, and waits until that is so.
    async fn begin(read: &Read, target: &str, last: Option<&str>) -> Self {
        let mut request = read.http.get(format!("{}{target}", read.url));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut watcher = Self { response, received: String::new(), position: String::new() };
        assert_eq!(watcher.next().await.0, "open");
        watcher
    }

    async fn next(&mut self) -> Event {
        loop {
            if let Some(end) = self.received.find("\n\n") {
                let event = parse(&self.received[..end]);
                self.received.drain(..end + 2);
                if let Some(id) = &event.1 {
                    self.position.clone_from(id);
                }
                if !event.0.is_empty() {
                    return event;
                }
                continue;
            }
            let chunk = timeout(Duration::from_secs(60), self.response.chunk()).await;
            let chunk = chunk.expect("a change in time").unwrap().expect("the watch goes on");
            self.received += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// What is told of one entity, until that is so.
    async fn until(&mut self, id: &str, is_so: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut told = Vec::new();
        loop {
            let event = self.next().await;
            if event.2["id"] == id {
                told.push(event.clone());
                if is_so(&event) {
                    return told;
                }
            }
        }
    }

    async fn version_is(&mut self, id: &str, version: u64) -> Vec<u64> {
        let told = self.until(id, |(_, _, data)| data["version"] == version).await;
        told.iter().filter_map(|(_, _, data)| data["version"].as_u64()).collect()
    }
}

fn parse(event: &str) -> Event {
    let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let data = line("data: ").map_or(Value::Null, |data| serde_json::from_str(&data).unwrap());
    (line("event: ").unwrap_or_default(), line("id: "), data)
}

#[tokio::test]
async fn who_watches_is_told_of_each_change_and_takes_it_up_again() {
    let mut read = Read::start("all", |plan| plan).await;
    let mut watcher = Watcher::begin(&read, "users:watch", None).await;
    read.user("ann", 1, json!({ "name": "Ann" })).await;
    let told = watcher.until("ann", |(name, ..)| name == "changed").await;
    let data = &told[0].2;
    assert_eq!(
        (&data["fields"]["name"], &data["version"], &data["stale"]),
        (&json!("Ann"), &json!(1), &json!(false))
    );
    read.user("ann", 2, json!({ "name": "Anna" })).await;
    assert_eq!(watcher.version_is("ann", 2).await.last(), Some(&2));
    let position = watcher.position.clone();
    drop(watcher);

    // What happens while nobody watches is told to whoever takes it up, whichever pod that is.
    read.user("bob", 1, json!({ "name": "Bob" })).await;
    read.user("ann", 3, json!({ "name": "Annie" })).await;
    read.is_read("ann", 3).await;
    read.is_read("bob", 1).await;
    read.sidecar.terminate().await;
    read.sidecar = read.plan.start().await;
    let mut watcher = Watcher::begin(&read, "users:watch", Some(&position)).await;
    let mut missed = [watcher.next().await.2, watcher.next().await.2];
    missed.sort_by_key(|data| data["id"].to_string());
    let versions: Vec<_> =
        missed.iter().map(|data| (data["id"].as_str(), data["version"].as_u64())).collect();
    assert_eq!(versions, [(Some("ann"), Some(3)), (Some("bob"), Some(1))]);

    read.stage.user_deleted("ann", 4).await;
    let told = watcher.until("ann", |(name, ..)| name == "gone").await;
    let (_, _, data) = told.last().unwrap();
    assert_eq!((&data["state"], &data["why"]), (&json!("gone"), &json!("deleted")));
    read.stage.consumer.collection("users").delete_one(doc! { "_id": "bob" }).await.unwrap();
    let told = watcher.until("bob", |(name, ..)| name == "gone").await;
    assert_eq!(told.last().unwrap().2["state"], "absent");
    drop(watcher);
    read.end().await;
}

#[tokio::test]
async fn who_watches_one_is_told_of_that_one_only() {
    let read = Read::start("all", |plan| plan).await;
    let mut watcher = Watcher::begin(&read, "users:watch?id=ann,eve", None).await;
    for (id, version) in [("bob", 1), ("ann", 1), ("bob", 2), ("eve", 1)] {
        read.user(id, version, json!({ "name": id })).await;
        read.is_read(id, version).await;
    }
    assert_eq!(watcher.next().await.2["id"], "ann");
    assert_eq!(watcher.next().await.2["id"], "eve");
    drop(watcher);
    for (target, status) in [
        ("users:watch?from=nothing", 410),
        ("users:watch?from=82", 410),
        ("users:watch?id=", 400),
        ("users:watch?name=ann", 400),
        ("people:watch", 404),
    ] {
        let (found, told) = read.get(target).await;
        assert_eq!(found, status, "{target}: {told}");
    }
    read.end().await;
}

/// A stop does not wait for those who watch, and they are not kept waiting either.
#[tokio::test]
async fn a_stop_ends_every_watch() {
    let mut read = Read::start("all", |plan| plan).await;
    let mut watcher = Watcher::begin(&read, "users:watch", None).await;
    let begun = std::time::Instant::now();
    read.sidecar.terminate().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let rest = timeout(Duration::from_secs(10), watcher.response.chunk()).await.unwrap();
    assert!(rest.is_ok_and(|chunk| chunk.is_none()), "it ends as it should");
    read.stage.clear().await;
}

/// What is held in memory is never told once anything later was, whichever pod has brought that, and in the end it is
/// the latest.
#[tokio::test]
async fn what_is_held_in_memory_follows_what_other_pods_write() {
    let read = Read::start("all", |plan| plan).await;
    let other = read.plan.clone().set("read.listen", "").start().await;
    read.user("ann", 1, json!({ "name": "Ann" })).await;
    read.is_read("ann", 1).await;
    let (last, mut seen, mut sent) = (60, 0, 1);
    while seen < last {
        if sent < last && sent <= seen + 2 {
            sent += 1;
            read.user("ann", sent, json!({ "name": "Ann" })).await;
        }
        for target in ["users/ann", "users?name=Ann", "users/ann?max_staleness=10m"] {
            let (status, told) = read.get(target).await;
            assert_eq!(status, 200, "{told}");
            let version = told["items"][0]["version"].as_u64().or(told["version"].as_u64()).unwrap();
            assert!(version >= seen, "{target}: {version} after {seen}");
            seen = version;
        }
    }
    let metrics = read.sidecar.metrics().await;
    let hits = metrics.sum("nearcopy_read_cache_total", &[("replica", "users"), ("outcome", "hit")]);
    assert!(hits > 0, "nothing was told from memory");
    other.stop().await;
    read.end().await;
}
