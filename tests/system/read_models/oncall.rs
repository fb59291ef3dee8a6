//! What the person on call is told of read models.

use serde_json::{Value, json};

use super::{Scene, THINGS, event};
use crate::rabbitmq::eventually;
use crate::sidecar::Plan;

fn told(plan: &Plan, arguments: &[&str]) -> (Value, i32) {
    let ended = plan.run(arguments);
    let said = serde_json::from_slice(&ended.stdout);
    (
        said.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&ended.stderr))),
        ended.status.code().unwrap(),
    )
}

/// Where it stands, how many documents wait, and of one of them for what.
#[tokio::test]
async fn a_document_that_waits_says_for_what() {
    let scene = Scene::new().await;
    let plan = scene.plan(THINGS);
    let sized = |number: u64, id: &str, by: Value| {
        event(number, "Grown", &json!({ "id": id, "by": by, "member": 1 }))
    };
    scene.events([sized(1, "t", json!(5)), sized(2, "t", json!("five")), sized(3, "u", json!(2))]).await;
    let sidecar = plan.start().await;
    scene.consumer.until("things", "u", "it has grown", |found| found.contains_key("size")).await;
    eventually("one waits", async || scene.consumer.parked().await.len() == 1).await;
    let (status, code) = told(&plan, &["status", "{manifest}", "--output", "json"]);
    let things = &status["readModels"][0];
    assert_eq!((code, &things["documents"], &things["waiting"]), (1, &json!(2), &json!(1)), "{status}");
    assert_eq!((&things["standsAt"], &things["frozen"]), (&json!("offset 2"), &json!(false)), "{status}");
    assert_eq!(status["sources"][0]["kind"], "stream", "{status}");
    // The broker counts what lies in a stream only now and then.
    let lies =
        || told(&plan, &["status", "{manifest}", "--output", "json"]).0["sources"][0]["messages"].clone();
    eventually("three events lie in it", async || lies() == 3).await;

    let explain = |more: &[&str]| {
        let arguments =
            [&["explain", "things"], more, &["--manifest", "{manifest}", "--output", "json"]].concat();
        told(&plan, &arguments).0[0].clone()
    };
    let waiting = explain(&["t", "size"]);
    assert_eq!(
        (&waiting["event"], &waiting["waitsFor"], &waiting["standsAt"]),
        (&json!("e1"), &json!(1), &json!(2))
    );
    assert_eq!(waiting["parked"][0]["reason"], "bad_field", "{waiting}");
    let why = waiting["why"].to_string();
    assert!(
        why.contains("it waits for 1 parked events") && why.contains("written by Emptied (set), Grown (inc)"),
        "{why}"
    );
    assert_eq!(explain(&["u"])["waitsFor"], 0);
    assert_eq!(explain(&["nobody"])["exists"], false);
    sidecar.stop().await;
    scene.clear().await;
}
