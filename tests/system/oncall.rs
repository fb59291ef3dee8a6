//! What the person on call is told: how everything stands, and why a value is there or is not.

use std::process::Output;

use bson::doc;
use serde_json::{Value, json};

use crate::rabbitmq::eventually;
use crate::sidecar::{Plan, Sidecar};
use crate::stage::{QUEUE, Stage, event};

/// A sidecar is at work, and a product shows what the owner has.
async fn one_shown() -> (Stage, Plan, Sidecar) {
    let stage = Stage::new().await;
    stage.owner.has("ann", 1, "CANARY-ann");
    stage.consumer.sells("p1", "ann").await;
    let plan = stage.plan();
    let sidecar = plan.start().await;
    stage.consumer.shows("p1", "CANARY-ann").await;
    (stage, plan, sidecar)
}

const STATUS: [&str; 4] = ["status", "{manifest}", "--output", "json"];

/// What a command says to a program, and how it ended.
fn told(ended: &Output) -> (Value, i32) {
    let error = String::from_utf8_lossy(&ended.stderr);
    let said = serde_json::from_slice(&ended.stdout);
    (said.unwrap_or_else(|_| panic!("{error}")), ended.status.code().unwrap())
}

fn text(ended: &Output) -> String {
    String::from_utf8(ended.stdout.clone()).unwrap()
}

fn needs(status: &Value) -> Vec<String> {
    let of = |need: &Value| format!("{} {}", need["text"].as_str().unwrap(), need["command"]);
    status["needs"].as_array().unwrap().iter().map(of).collect()
}

fn explained(plan: &Plan, of: &[&str]) -> Vec<Value> {
    let more: &[&str] = &["--manifest", "{manifest}", "--output", "json"];
    let (said, code) = told(&plan.run(&[&["explain"], of, more].concat()));
    assert_eq!(code, 0, "{said}");
    said.as_array().unwrap().clone()
}

fn reasons(account: &Value) -> String {
    account["why"].to_string()
}

/// One look says that all is well, or what is not, with the command that helps and an exit code for a script; and it
/// changes nothing.
#[tokio::test]
async fn status_says_what_needs_a_person() {
    let stage = Stage::new().await;
    stage.owner.has("ann", 1, "CANARY-ann");
    stage.consumer.sells("p1", "ann").await;
    let plan = stage.plan();
    let (before, code) = told(&plan.run(&STATUS));
    assert_eq!(code, 1, "{before}");
    assert!(needs(&before)[0].contains("no pod is at work"), "{before}");

    let sidecar = plan.start().await;
    stage.consumer.shows("p1", "CANARY-ann").await;
    eventually("all is well", async || plan.run(&STATUS).status.code() == Some(0)).await;
    let (status, _) = told(&plan.run(&STATUS));
    let users = &status["replicas"][0];
    assert_eq!(
        (&users["live"], &users["pending"], &users["gone"]),
        (&json!(1), &json!(0), &json!(0)),
        "{status}"
    );
    assert_eq!(status["pods"].as_array().unwrap().len(), 1);
    let queue = &status["sources"][0];
    assert_eq!(
        (&queue["name"], &queue["messages"], &queue["readers"]),
        (&json!(QUEUE), &json!(0), &json!(1))
    );
    let leases = status["leases"].as_array().unwrap();
    let pod = &status["pods"][0]["id"];
    assert!(leases.iter().any(|lease| lease["name"] == "rounds:users" && lease["pod"] == *pod), "{status}");
    let positions = status["positions"].as_array().unwrap();
    assert!(positions.iter().any(|position| position["name"] == "follow:products"), "{status}");
    let table = text(&plan.run(&["status", "{manifest}"]));
    assert!(table.contains("all is well") && !table.contains("CANARY"), "{table}");

    let quiet = plan.clone().without("rabbitmq.url");
    let ended = quiet.run(&["status", "{manifest}"]);
    assert_eq!(ended.status.code(), Some(0));
    assert!(text(&ended).contains("rabbitmq.url is not set"), "{}", text(&ended));
    sidecar.stop().await;
    stage.clear().await;
}

/// What is put aside or away is wrong, and the command that helps is named.
#[tokio::test]
async fn status_names_the_command_that_helps() {
    let (stage, plan, sidecar) = one_shown().await;
    let mut broken = event("user.updated", "ann", 7, "x");
    broken["data"]["name"] = json!({ "no": "text" });
    stage.owner.forgets("ann");
    stage.owner.answers(|_, _| crate::owner_service::Reply::status(503));
    stage.events([broken]).await;
    eventually("it is put aside", async || stage.consumer.parked().await.len() == 1).await;
    let (status, code) = told(&plan.run(&STATUS));
    assert_eq!((code, &status["replicas"][0]["parked"]), (1, &json!(1)), "{status}");
    assert!(
        needs(&status).iter().any(|need| need.contains("nearcopy parked list --replica users")),
        "{status}"
    );
    let parked = plan.run(&["parked", "list", "--output", "yaml"]);
    assert!(
        text(&parked).starts_with("- bytes: ") && text(&parked).contains("\n  reason: bad_field"),
        "{}",
        text(&parked)
    );
    sidecar.stop().await;
    stage.broker.delete_queue(QUEUE).await;
    let (status, _) = told(&plan.run(&STATUS));
    assert_eq!(status["sources"][0]["messages"], Value::Null);
    let nowhere = plan.clone().set("mongodb.url", "mongodb://127.0.0.1:1/shop?serverSelectionTimeoutMS=200");
    assert_eq!(nowhere.run(&STATUS).status.code(), Some(5));
    stage.clear().await;
}

/// Of an entity: what is held, which event or answer brought it, what is still to come, who shows it; and no value of it
/// unless that is asked for.
#[tokio::test]
async fn an_entity_is_explained() {
    let stage = Stage::new().await;
    stage.owner.has("ann", 1, "CANARY-ann");
    stage.consumer.sells("p1", "ann").await;
    stage.consumer.sells("p2", "ann").await;
    let plan = stage.plan();
    let sidecar = plan.start().await;
    stage.consumer.shows("p2", "CANARY-ann").await;
    let [account] = explained(&plan, &["users", "ann"]).try_into().unwrap();
    let record = &account["record"];
    assert_eq!(
        (&record["state"], &record["version"], &record["origin"]),
        (&json!("live"), &json!(1), &json!("fetch"))
    );
    assert_eq!(record["fields"], json!(["name"]));
    assert!(!account.to_string().contains("CANARY"), "{account}");
    assert!(reasons(&account).contains("what the owner answered"), "{account}");

    stage.user("ann", 2, "CANARY-anna").await;
    stage.consumer.shows("p1", "CANARY-anna").await;
    stage.consumer.shows("p2", "CANARY-anna").await;
    let [account] = explained(&plan, &["users", "ann", "name"]).try_into().unwrap();
    assert_eq!(account["record"]["event"], "user.updated/ann/2");
    assert_eq!(account["record"]["changedAt"], "2026-01-01T00:00:00Z");
    let embed = &account["embeds"][0];
    assert_eq!(
        (&embed["refer"], &embed["show"], &embed["older"]),
        (&json!(2), &json!(2), &json!(0)),
        "{account}"
    );
    assert!(reasons(&account).contains("read from `data.name`"), "{account}");
    let shown = plan.run(&["explain", "users", "ann", "--values", "--manifest", "{manifest}"]);
    assert!(text(&shown).contains("CANARY-anna"), "{}", text(&shown));

    let [nobody] = explained(&plan, &["users", "zoe"]).try_into().unwrap();
    assert_eq!(nobody["record"], Value::Null);
    assert!(reasons(&nobody).contains("none refers to it"), "{nobody}");
    stage.owner.answers(|_, _| crate::owner_service::Reply::status(503));
    stage.consumer.sells("p3", "bob").await;
    stage.consumer.until("users", "bob", "it is wanted", |_| true).await;
    let [pending] = explained(&plan, &["users", "bob"]).try_into().unwrap();
    assert_eq!(pending["record"]["state"], "pending");
    assert!(reasons(&pending).contains("the owner has not said yet"), "{pending}");
    sidecar.stop().await;
    stage.clear().await;
}

/// Of a document: which embed writes at a path, whom it refers to, and whether both agree, and if not, why not.
#[tokio::test]
async fn a_document_is_explained() {
    let (stage, plan, sidecar) = one_shown().await;
    let is = |path: &str| explained(&plan, &["products", "p1", path]).remove(0);
    let account = is("user.name");
    assert_eq!(
        (&account["is"], &account["entity"], &account["embed"]),
        (&json!("same"), &json!("ann"), &json!("product-user"))
    );
    assert_eq!(
        (&account["stamp"]["version"], &account["record"]["version"]),
        (&json!(1), &json!(1)),
        "{account}"
    );
    assert!(!account.to_string().contains("CANARY"), "{account}");
    let own = is("price");
    assert!(own["is"] == "own" && reasons(&own).contains("`user` (product-user)"), "{own}");
    sidecar.stop().await;

    let change = async |change: bson::Document| {
        stage.consumer.products().update_one(doc! { "_id": "p1" }, change).await.unwrap();
    };
    change(doc! { "$set": { "user.name": "Eve" } }).await;
    let account = is("user.name");
    assert!(
        account["is"] == "overwritten" && reasons(&account).contains("somebody else has changed"),
        "{account}"
    );
    change(doc! { "$set": { "userId": "bob" } }).await;
    let account = is("user");
    assert!(
        account["is"] == "unknown" && reasons(&account).contains("nearcopy explain users bob"),
        "{account}"
    );
    change(doc! { "$set": { "userId": 7 } }).await;
    assert_eq!(is("user")["is"], "noId");
    change(doc! { "$unset": { "userId": "" } }).await;
    assert_eq!(is("user")["is"], "noReference");
    stage.consumer.sells("p2", "ann").await;
    let unseen = explained(&plan, &["products", "p2"]).remove(0);
    assert!(unseen["is"] == "unstamped" && reasons(&unseen).contains("never shown here"), "{unseen}");
    let missing = plan.run(&["explain", "products", "p9", "--manifest", "{manifest}"]);
    assert_eq!(missing.status.code(), Some(1));
    stage.clear().await;
}

/// What one pod remembers, as `explain` has it, without a value.
fn lately(plan: &Plan, of: &[&str], pod: &str) -> Value {
    let [account] = explained(plan, &[of, &["--pod", pod]].concat()).try_into().unwrap();
    assert!(!account.to_string().contains("CANARY"), "{account}");
    let [told] = account["lately"].as_array().unwrap().clone().try_into().unwrap();
    told
}

/// A note in few words.
fn noted(note: &Value) -> String {
    let text = |name: &str| note[name].as_str().unwrap_or_default().to_owned();
    let more = [text("said"), text("outcome"), text("reason"), text("embed")].concat();
    format!("{} {} {more}", text("what"), note["version"])
}

/// What the database does not tell of any more, a pod remembers: events that changed nothing, with why, questions and their
/// answers, fan-outs. Ids and versions, and never a value; and it says since when it remembers, and that it is one of several.
#[tokio::test]
async fn a_pod_remembers_what_it_did_lately() {
    let (stage, plan, sidecar) = one_shown().await;
    stage.user("ann", 3, "CANARY-anna").await;
    stage.consumer.shows("p1", "CANARY-anna").await;
    stage.user("ann", 2, "CANARY-late").await;
    stage.user("bob", 1, "CANARY-bob").await;
    let mut broken = event("user.updated", "ann", 4, "x");
    broken["data"]["version"] = json!("CANARY");
    stage.events([broken]).await;
    sidecar.books_close_at(4).await;

    let admin = sidecar.admin();
    let told_lately = |of: &[&str]| lately(&plan, of, &admin);
    let pod = told_lately(&["users", "ann"]);
    assert_eq!((&pod["remembers"], &pod["pod"]), (&json!(4000), &json!(admin)));
    assert_eq!(pod["eventsSince"], pod["othersSince"]);
    let notes: Vec<String> = pod["notes"].as_array().unwrap().iter().map(noted).collect();
    for wanted in [
        "wanted null ",
        "asked 1 found",
        "fannedOut null product-user",
        "event 3 applied",
        "event 2 stale",
        "parked null bad_version",
    ] {
        assert!(notes.iter().any(|note| note == wanted), "{wanted}: {notes:?}");
    }
    let bob = told_lately(&["users", "bob"]);
    let ignored = json!({
        "what": "event", "event": "user.updated/bob/1", "version": 1, "outcome": "ignored", "at": bob["notes"][0]["at"],
    });
    assert_eq!(bob["notes"], json!([ignored]));
    stage.consumer.sells("p2", "ann").await;
    stage.consumer.shows("p2", "CANARY-anna").await;
    let product = told_lately(&["products", "p2", "user.name"]);
    assert_eq!(product["notes"][0]["what"], "hydrated", "{product}");

    let pods = ["--pod", &admin, "--pod", "http://127.0.0.1:1"];
    let table =
        text(&plan.run(&[&["explain", "users", "ann", "--manifest", "{manifest}"], &pods[..]].concat()));
    for line in
        ["version 2: nothing, since something newer was held", "other pods may know more", "cannot be asked"]
    {
        assert!(table.contains(line), "{line}: {table}");
    }
    sidecar.stop().await;
    stage.clear().await;
}

/// Where nothing is to be remembered, a pod says so.
#[tokio::test]
async fn a_pod_that_remembers_nothing_says_so() {
    let stage = Stage::new().await;
    let plan = stage.plan();
    let forgetful = plan.clone().set("explain.remember", "0").start().await;
    let told = lately(&plan, &["users", "ann"], &forgetful.admin());
    assert_eq!((&told["remembers"], &told["notes"]), (&json!(0), &json!([])));
    forgetful.stop().await;
    stage.clear().await;
}
