//! What is held is compared with its owner, and what documents show with what is held; and put right. And who is missing is
//! fetched.

use std::process::Output;

use bson::doc;
use serde_json::{Value, json};

use crate::sidecar::Plan;
use crate::stage::Stage;

fn run(plan: &Plan, arguments: &[&str]) -> (Option<i32>, Value) {
    let Output { status, stdout, stderr } =
        plan.run(&[arguments, &["--manifest", "{manifest}", "--output", "json"]].concat());
    let said = serde_json::from_slice(&stdout);
    (status.code(), said.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&stderr))))
}

/// What events have passed by, and what the consumer has written over, is found, named without a value, and put right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_differs_is_found_and_put_right() {
    let stage = Stage::new().await;
    for (user, name) in [("ann", "CANARY-ann"), ("bob", "Bob"), ("carl", "Carl")] {
        stage.owner.has(user, 1, name);
        stage.consumer.sells(&format!("of-{user}"), user).await;
    }
    let plan = stage.plan();
    let sidecar = plan.start().await;
    stage.consumer.shows("of-ann", "CANARY-ann").await;
    stage.consumer.shows("of-bob", "Bob").await;
    stage.consumer.shows("of-carl", "Carl").await;
    let (code, found) = run(&plan, &["diff", "users"]);
    assert_eq!((code, &found["entities"], &found["documents"]), (Some(0), &json!(3), &json!(3)), "{found}");

    sidecar.stop().await;
    stage.owner.has("ann", 7, "CANARY-anna");
    stage.owner.forgets("carl");
    let copy = doc! { "$set": { "user.name": "somebody" } };
    stage.consumer.products().update_one(doc! { "_id": "of-bob" }, copy).await.unwrap();
    stage.consumer.sells("of-dora", "dora").await;
    let (code, found) = run(&plan, &["diff", "users"]);
    assert_eq!(code, Some(3), "{found}");
    assert_eq!(found["differing"], json!({ "behind": 1, "surplus": 1 }), "{found}");
    assert_eq!(
        (&found["outdated"], &found["unknown"]),
        (&json!({ "product-user": 1 }), &json!({ "product-user": 1 })),
        "{found}"
    );
    assert!(!found.to_string().contains("CANARY"), "{found}");
    let (code, found) = run(&plan, &["diff", "users", "bob"]);
    assert_eq!(
        (code, &found["differing"]),
        (Some(3), &json!({})),
        "of him only what documents show: {found}"
    );
    let (code, found) = run(&plan, &["reconcile", "users", "--dry-run"]);
    assert_eq!((code, &found["repaired"]), (Some(3), &json!(false)), "{found}");
    assert_eq!(stage.consumer.one("users", "dora").await, None, "it was only looked");

    let (code, found) = run(&plan, &["reconcile", "users"]);
    assert_eq!((code, &found["repaired"]), (Some(0), &json!(true)), "{found}");
    stage.consumer.shows("of-bob", "Bob").await;
    stage.owner.has("dora", 1, "Dora");
    let sidecar = plan.start().await;
    stage.consumer.shows("of-ann", "CANARY-anna").await;
    stage.consumer.shows("of-dora", "Dora").await;
    stage
        .consumer
        .until("users", "carl", "is gone", |record| crate::consumer::is_at(record, "gone", 1))
        .await;
    let (code, found) = run(&plan, &["diff", "users"]);
    assert_eq!((code, &found["differing"]), (Some(0), &json!({})), "{found}");
    let table = plan.run(&["diff", "users", "--manifest", "{manifest}", "--sample", "100"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("all is the same"), "{table:?}");
    sidecar.stop().await;
    stage.clear().await;
}

/// Who is named, or referred to, is fetched; who is held already is not asked about again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_missing_is_fetched() {
    let stage = Stage::new().await;
    for (user, name) in [("ann", "Ann"), ("bob", "Bob"), ("carl", "Carl")] {
        stage.owner.has(user, 1, name);
    }
    let plan = stage.plan().beside("ids.txt", "ann\n\n  bob\n");
    let sidecar = plan.start().await;
    let ids = "{folder}/ids.txt";
    let (code, done) = run(&plan, &["backfill", "users", "--ids", ids, "--dry-run"]);
    assert_eq!((code, &done["entities"], &done["wanted"]), (Some(0), &json!(2), &json!(2)), "{done}");
    assert_eq!(stage.consumer.one("users", "ann").await, None, "it was only looked");
    let (code, done) = run(&plan, &["backfill", "users", "--ids", ids]);
    assert_eq!((code, &done["wanted"]), (Some(0), &json!(2)), "{done}");
    stage.consumer.record_is("users", "ann", "live", 1).await;
    stage.consumer.record_is("users", "bob", "live", 1).await;
    let (_, again) = run(&plan, &["backfill", "users", "--ids", ids]);
    assert_eq!(again["wanted"], json!(0), "{again}");
    sidecar.stop().await;

    stage.consumer.sells("p1", "carl").await;
    stage.consumer.sells("p2", "ann").await;
    let (_, done) = run(&plan, &["backfill", "users", "--references"]);
    assert_eq!((&done["entities"], &done["wanted"]), (&json!(2), &json!(1)), "{done}");
    let sidecar = plan.start().await;
    stage.consumer.shows("p1", "Carl").await;
    stage.consumer.shows("p2", "Ann").await;
    sidecar.stop().await;
    stage.clear().await;
}
