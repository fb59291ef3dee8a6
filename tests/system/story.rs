//! What the program promises, each promise told as a short story from end to end.

use std::time::Duration;

use bson::{Document, doc};
use futures::future::join_all;
use serde_json::Value;

use crate::consumer::is_at;
use crate::rabbitmq::eventually;
use crate::sidecar::{Plan, Sidecar};
use crate::stage::{QUEUE, Stage, event};

/// F6: who is referred to is fetched, together where that is possible; who is not leaves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_fetched_when_a_product_refers_to_it() {
    let stage = Stage::new().await;
    let sidecar = stage.plan().start().await;
    let products: Vec<Document> =
        (0..30).map(|at| doc! { "_id": format!("p{at}"), "userId": format!("u{at}") }).collect();
    (0..30).for_each(|at| stage.owner.has(&format!("u{at}"), 1, &format!("name {at}")));
    stage.consumer.products().insert_many(products).await.unwrap();
    for at in 0..30 {
        stage.consumer.shows(&format!("p{at}"), &format!("name {at}")).await;
    }
    assert!(stage.owner.asked().iter().any(|asked| asked.batch), "nobody was asked for together");

    stage.user("nobody", 1, "CANARY-nobody").await;
    let metrics = sidecar.books_close_at(1).await;
    assert_eq!(metrics.outcome("ignored"), 1);
    assert_eq!(stage.consumer.holding("CANARY").await, [""; 0]);
    end(stage, sidecar).await;
}

/// S4: an id cannot lead the question to another place of the owner's API.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_id_is_asked_for_as_it_is_or_not_at_all() {
    let stage = Stage::new().await;
    let sidecar = stage.plan().start().await;
    let odd = ["a/b?c=d#e", "../admin", "a,b", "Zoë 日本 🦀", "%2e%2e", "{id}", "a&ids=b", "42\r\nx: y"];
    for id in odd {
        stage.owner.has(id, 1, &format!("name of {id}"));
        stage.consumer.sells(&format!("product of {id}"), id).await;
    }
    for id in [".", ".."] {
        stage.consumer.sells(&format!("product of {id}"), id).await;
    }
    for id in odd {
        stage.consumer.shows(&format!("product of {id}"), &format!("name of {id}")).await;
    }
    for id in [".", ".."] {
        let pending = |record: &Document| {
            record.get_document("_nearcopy").unwrap().get_str("state").is_ok_and(|state| state == "pending")
        };
        stage.consumer.until("users", id, "it is pending", pending).await;
    }
    let asked = stage.owner.asked();
    assert!(asked.iter().all(|asked| asked.of == "users"), "{asked:?}");
    end(stage, sidecar).await;
}

/// N2, N4, N8: a rename reaches every product, few or many, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_reaches_every_product() {
    let stage = Stage::new().await;
    for (user, count) in [("many", 1_700), ("few", 3)] {
        stage.owner.has(user, 1, "before");
        let product = |at: i32| doc! { "_id": format!("{user}-{at}"), "userId": user };
        stage.consumer.products().insert_many((0..count).map(product)).await.unwrap();
    }
    let sidecar = stage.plan().start().await;
    stage.consumer.count_is("products", doc! { "user.name": "before" }, 1_703).await;
    stage.user("many", 2, "after").await;
    stage.consumer.count_is("products", doc! { "user.name": "after", "userId": "many" }, 1_700).await;
    stage.consumer.count_is("products", doc! { "user.name": "before", "userId": "few" }, 3).await;
    end(stage, sidecar).await;
}

/// F7: while the owner is dead events flow, what is known is shown, what is not is wanted; all completes after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_owner_stops_nothing_but_the_unknown() {
    let mut stage = Stage::new().await;
    stage.owner.has("known", 1, "Ada");
    stage.consumer.sells("old", "known").await;
    let sidecar = stage.plan().start().await;
    stage.consumer.shows("old", "Ada").await;

    stage.owner.dies().await;
    stage.consumer.sells("new", "unknown").await;
    stage.user("known", 2, "Ada King").await;
    stage.consumer.shows("old", "Ada King").await;
    let pending = |record: &Document| record.to_string().contains("pending");
    stage.consumer.until("users", "unknown", "it is pending", pending).await;
    stage.user("learnt", 1, "nobody asks").await;
    assert!(!stage.consumer.one("products", "new").await.unwrap().contains_key("user"));

    stage.owner.has("unknown", 4, "Grace");
    stage.owner.returns().await;
    stage.consumer.shows("new", "Grace").await;
    end(stage, sidecar).await;
}

/// D1, D2, V1: what comes again, or comes late, changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicates_and_late_events_change_nothing() {
    let stage = Stage::new().await;
    stage.owner.has("u", 1, "one");
    stage.consumer.sells("p", "u").await;
    let sidecar = stage.plan().start().await;
    stage.consumer.shows("p", "one").await;
    stage.owner.has("u", 5, "five");
    stage.user("u", 5, "five").await;
    stage.consumer.shows("p", "five").await;
    let state = async || {
        let record = stage.consumer.one("users", "u").await.unwrap();
        let rev = record.get_document("_nearcopy").unwrap().get_i64("rev").unwrap();
        (record.get_str("name").unwrap().to_owned(), rev, stage.consumer.one("products", "p").await.unwrap())
    };
    let before = state().await;
    stage
        .events((1..=5).chain(1..=5).map(|version| event("user.updated", "u", version, &name(version))))
        .await;
    let metrics = sidecar.books_close_at(11).await;
    assert_eq!((metrics.outcome("duplicate"), metrics.outcome("stale")), (2, 8));
    assert_eq!(state().await, before);
    end(stage, sidecar).await;
}

/// G1, G2: what is deleted stays so for whoever comes late, and comes back only with a higher version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deleted_do_not_rise_for_a_late_event() {
    let stage = Stage::new().await;
    stage.owner.has("u", 1, "one");
    stage.consumer.sells("p", "u").await;
    let sidecar = stage.plan().start().await;
    stage.consumer.shows("p", "one").await;
    stage.owner.forgets("u");
    stage.user_deleted("u", 7).await;
    stage.consumer.record_is("users", "u", "gone", 7).await;
    stage.user("u", 6, "six").await;
    let metrics = sidecar.books_close_at(2).await;
    assert_eq!(metrics.outcome("stale"), 1);
    stage.consumer.record_is("users", "u", "gone", 7).await;
    stage.consumer.shows("p", "one").await;
    stage.user("u", 8, "eight").await;
    stage.consumer.record_is("users", "u", "live", 8).await;
    stage.consumer.shows("p", "eight").await;
    end(stage, sidecar).await;
}

/// D4, C6: killed without a word three times amid two thousand updates, nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_sigkills_amid_two_thousand_updates_lose_nothing() {
    let stage = Stage::new().await;
    let plan = crowd(&stage).await;
    let first = plan.start().await;
    stage.consumer.count_is("products", doc! { "user.name": "name 1" }, 200).await;
    first.kill();
    stage.events(updates()).await;
    for round in 0..3 {
        let sidecar = slow(&plan).start().await;
        takes(&sidecar, 40).await;
        sidecar.kill();
        eventually(&format!("some are left after round {round}"), async || {
            stage.broker.waiting(QUEUE).await > Some(0)
        })
        .await;
    }
    let sidecar = plan.start().await;
    settled(&stage).await;
    sidecar.books_close_from(1).await;
    stage.broker.holds(&format!("{QUEUE}.dead"), 0).await;
    end(stage, sidecar).await;
}

/// C6: a stop that is asked for finishes what was taken: nothing is worked on a second time. What the broker sends
/// in the very instant of the stop is given back untouched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_clean_stop_nothing_is_done_twice() {
    let stage = Stage::new().await;
    let manifest = crate::stage::products(&stage.owner.url()).replace("keep: referenced", "keep: all");
    let plan = stage.plan_of(manifest);
    plan.start().await.stop().await;
    stage.events((0..2_000).map(|at| event("user.created", &format!("u{at}"), 1, "n"))).await;
    let sidecar = slow(&plan).start().await;
    takes(&sidecar, 40).await;
    sidecar.stop().await;
    let done = stage.consumer.all("users").await.len();
    assert!((40..2_000).contains(&done), "it was too late to stop it");

    let left = 2_000 - done as u64;
    let sidecar = plan.start().await;
    let metrics = sidecar.books_close_at(left).await;
    assert_eq!((metrics.outcome("applied"), metrics.outcome("duplicate")), (left, 0));
    stage.consumer.count_is("users", doc! { "_nearcopy.state": "live" }, 2_000).await;
    end(stage, sidecar).await;
}

/// G3, G4: a record goes after the last reference to it, and comes back with a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_nobody_refers_to_is_let_go_and_comes_back() {
    let stage = Stage::new().await;
    stage.owner.has("u", 1, "Ada");
    stage.owner.has("kept", 1, "Grace");
    for (product, user) in [("p1", "u"), ("p2", "u"), ("p3", "kept")] {
        stage.consumer.sells(product, user).await;
    }
    let hurry = stage.plan().set("sweep.retire_every", "100ms").set("sweep.retire_grace", "300ms");
    let sidecar = hurry.start().await;
    stage.consumer.shows("p2", "Ada").await;
    stage.consumer.products().delete_one(doc! { "_id": "p1" }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(stage.consumer.one("users", "u").await.is_some(), "it went while a product referred to it");

    stage.consumer.products().delete_one(doc! { "_id": "p2" }).await.unwrap();
    stage.consumer.count_is("users", doc! { "_id": "u" }, 0).await;
    assert!(stage.consumer.one("users", "kept").await.is_some());
    stage.owner.has("u", 2, "Ada King");
    stage.consumer.sells("p4", "u").await;
    stage.consumer.shows("p4", "Ada King").await;
    assert!(sidecar.metrics().await.sum("nearcopy_retired_records_total", &[]) >= 1);
    end(stage, sidecar).await;
}

/// D5: a parked event is made good by a newer full state, or by the owner's answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_event_is_closed_by_what_is_newer() {
    let stage = Stage::new().await;
    stage.owner.has("u", 1, "one");
    stage.consumer.sells("p", "u").await;
    let sidecar = stage.plan().start().await;
    stage.consumer.shows("p", "one").await;

    stage.events([unreadable("u", 2)]).await;
    stage.consumer.count_is("nearcopy.parked", doc! { "reason": "bad_field", "entity": "u" }, 1).await;
    stage.user("u", 3, "three").await;
    stage.consumer.shows("p", "three").await;
    stage.consumer.count_is("nearcopy.parked", doc! {}, 0).await;

    stage.owner.has("u", 5, "five");
    stage.events([unreadable("u", 5)]).await;
    let metrics = sidecar.books_close_at(3).await;
    assert_eq!(metrics.sum("nearcopy_parked_total", &[("reason", "bad_field")]), 2);
    stage.consumer.shows("p", "five").await;
    stage.consumer.count_is("nearcopy.parked", doc! {}, 0).await;
    end(stage, sidecar).await;
}

/// D5: parked events are listed, shown, retried and dropped by the command line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parked_events_are_seen_to_by_hand() {
    let stage = Stage::new().await;
    stage.owner.has("u", 1, "one");
    stage.consumer.sells("p", "u").await;
    let plan = stage.plan();
    let sidecar = plan.start().await;
    stage.consumer.shows("p", "one").await;
    stage.events([unreadable("u", 2), unreadable("u", 3)]).await;
    stage.consumer.count_is("nearcopy.parked", doc! {}, 2).await;
    sidecar.stop().await;

    let told = run(&plan, 0, &["parked", "list"]);
    assert!(told.contains("bad_field") && !told.contains("CANARY"), "{told}");
    let told = run(&plan, 0, &["parked", "list", "--output", "json", "--replica", "users"]);
    let listed: Vec<Value> = serde_json::from_str(&told).unwrap();
    let id = |version: i64| {
        let found = listed.iter().find(|parked| parked["version"] == version).unwrap();
        found["id"].as_str().unwrap().to_owned()
    };
    let shown = run(&plan, 0, &["parked", "show", &id(2)]);
    assert!(
        shown.contains("\"version\": 2") && shown.contains("a name") && !shown.contains("CANARY"),
        "{shown}"
    );

    run(&plan, 1, &["parked", "retry", &id(2), "--manifest", "{manifest}"]);
    assert_eq!(stage.consumer.parked().await.len(), 2, "a retry in vain has lost it");
    let mended = crate::stage::products(&stage.owner.url()).replace("type: string", "type: array");
    let told = run(&stage.plan_of(mended), 0, &["parked", "retry", &id(3), "--manifest", "{manifest}"]);
    assert!(told.contains("applied"), "{told}");
    assert!(is_at(&stage.consumer.one("users", "u").await.unwrap(), "live", 3));

    assert!(run(&plan, 0, &["parked", "drop", &id(2), "--dry-run"]).contains("would be dropped: 1"));
    assert!(run(&plan, 0, &["parked", "drop", &id(2)]).contains("dropped: 1"));
    assert_eq!(stage.consumer.parked().await, []);
    run(&plan, 1, &["parked", "drop", &id(2)]);
    stage.clear().await;
}

/// D3, M6, F6: two pods upon one queue and one database come to the same end as one, and ask no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pods_come_to_the_same_end() {
    let stage = Stage::new().await;
    let plan = crowd(&stage).await.set("rabbitmq.prefetch", "50");
    let pods = join_all([plan.start(), plan.start()]).await;
    stage.consumer.count_is("products", doc! { "user.name": "name 1" }, 200).await;
    stage.events(updates()).await;
    settled(&stage).await;
    // What is stale by now may still be on its way through one of them.
    eventually("each event is taken once", async || {
        let mut taken = 0;
        for pod in &pods {
            taken += pod.books_close_from(1).await.books().0;
        }
        taken == 2_000
    })
    .await;
    for pod in pods {
        pod.stop().await;
    }
    stage.clear().await;
}

/// Two hundred users, each with a product.
async fn crowd(stage: &Stage) -> Plan {
    (0..200).for_each(|at| stage.owner.has(&format!("u{at}"), 1, "name 1"));
    let product = |at: i32| doc! { "_id": format!("p{at}"), "userId": format!("u{at}") };
    stage.consumer.products().insert_many((0..200).map(product)).await.unwrap();
    stage.plan().set("pipeline.batch", "20").set("pipeline.in_flight", "2")
}

/// The same, with so little at once that a test has time to interrupt it.
fn slow(plan: &Plan) -> Plan {
    plan.clone().set("pipeline.batch", "4").set("pipeline.in_flight", "1").set("rabbitmq.prefetch", "100")
}

/// Ten updates of each of them, not in their order.
fn updates() -> impl Iterator<Item = Value> {
    (0..2_000_u64).map(|at| {
        let (user, version) = (at % 200, at / 200 * 7 % 10 + 2);
        event("user.updated", &format!("u{user}"), version, &format!("name {version}"))
    })
}

/// Waits until the last update of each is where it belongs, and nothing waits.
async fn settled(stage: &Stage) {
    stage.consumer.count_is("users", doc! { "_nearcopy.key.v": 11_i64, "name": "name 11" }, 200).await;
    stage.consumer.count_is("products", doc! { "user.name": "name 11" }, 200).await;
    stage.broker.holds(QUEUE, 0).await;
    stage.consumer.count_is("users", doc! { "_nearcopy.owes": true }, 0).await;
}

/// Waits until so many deliveries are taken.
async fn takes(sidecar: &Sidecar, count: u64) {
    for _ in 0..5_000 {
        if sidecar.metrics().await.books().0 >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("not {count} deliveries are taken:\n{}", sidecar.last_words());
}

fn name(version: u64) -> String {
    ["", "one", "two", "three", "four", "five"][usize::try_from(version).unwrap()].to_owned()
}

/// An event whose name is of another type than declared.
fn unreadable(id: &str, version: u64) -> Value {
    let mut event = event("user.updated", id, version, "");
    event["data"]["name"] = Value::from(vec!["a name"]);
    event
}

/// Runs a command that must end with this code; what it prints.
fn run(plan: &Plan, code: i32, arguments: &[&str]) -> String {
    let output = plan.run(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Nothing fell, nothing undeclared was said, and all is taken away.
async fn end(stage: Stage, sidecar: Sidecar) {
    assert!(!sidecar.metrics().await.text().contains("CANARY"));
    let log = sidecar.stop().await;
    assert!(!log.contains("CANARY"), "{log}");
    assert_eq!(stage.consumer.holding("CANARY").await, [""; 0]);
    stage.clear().await;
}
