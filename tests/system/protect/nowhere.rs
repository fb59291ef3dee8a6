//! A canary stands in every protected field of events and answers, good and bad; then it is sought everywhere.

use std::process::Output;

use lapin::BasicProperties;
use serde_json::{Value, json};

use super::{CANARY, OTHER, PROTECTED, READS, event, fetch, keyed, manifest, protecting, told, user};
use crate::owner_service::Reply;
use crate::rabbitmq::eventually;
use crate::read::Read;
use crate::stage::{EXCHANGE, Stage};

/// S14, S8: in the whole database, in the log of every level, in metrics, in what readers are told, and in what commands say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_protected_is_in_clear_nowhere() {
    let read = protecting().await;
    let consumer = &read.stage.consumer;
    for asked in ["asked", "u1"] {
        consumer.sells(asked, asked).await;
    }
    let sent = sent();
    let count = sent.len() as u64;
    read.stage.broker.publish_with(EXCHANGE, "user.updated", sent, BasicProperties::default()).await;
    let metrics = read.sidecar.books_close_from(count).await;
    assert!(metrics.outcome("parked") >= 7, "{}", metrics.text());
    for product in ["asked", "u1"] {
        let shown = |product: &bson::Document| {
            let user = product.get_document("user").ok();
            let text = |name| user.and_then(|user| user.get_str(name).ok()).unwrap_or_default().to_owned();
            text("email").starts_with("h1:")
                && text("phone").starts_with("e1:k1:")
                && text("street") == "c•••"
        };
        let product = consumer.until("products", product, "it shows what is kept", shown).await;
        assert!(!product.get_document("user").unwrap().contains_key("tax"), "{product}");
    }
    assert_eq!(consumer.holding(CANARY).await, [""; 0]);
    let parked = consumer.parked().await;
    assert!(parked.iter().any(|parked| parked.to_string().contains("Name of bad-age")), "{parked:?}");

    let mut said = vec![metrics.text().to_owned()];
    for target in ["users/u1", "users/asked", "users?email.in=a,b", "users?email.gte=a", "users?phone=a"] {
        said.push(told(&read, OTHER, target).await.1.to_string());
    }
    said.extend(commands(&read, &parked));
    said.push(read.sidecar.log());
    for text in &said {
        assert!(!text.contains(CANARY), "{text}");
    }
    read.end().await;
}

/// S14: what the owner lists is protected like what it answers.
#[tokio::test]
async fn what_is_listed_is_in_clear_nowhere() {
    let stage = Stage::new().await;
    stage.owner.answers(|asked, _| match asked.page {
        Some(_) => Reply::json(&json!({ "items": [user("listed", 1), user("odd", "one")] })),
        None => Reply::json(&user(&asked.ids[0], 1)),
    });
    let owner = stage.owner.url();
    let list = format!(
        "list: {{ url: \"{owner}/users?limit=2&after={{after}}\", next: {{ cursor: next }}, items: items }}"
    );
    let fetch = fetch(&owner).replace("timeout: 1s", &format!("timeout: 1s, {list}"));
    let sidecar = keyed(stage.plan_of(manifest(PROTECTED, &fetch, READS))).start().await;
    let is_hidden = |user: &bson::Document| {
        let text = |name| user.get_str(name).unwrap_or_default();
        text("email").starts_with("h1:") && text("phone").starts_with("e1:k1:") && text("street") == "c•••"
    };
    stage.consumer.until("users", "listed", "it is kept as declared", is_hidden).await;
    eventually("the list is at its end", async || !sidecar.logged("backfill.ended").is_empty()).await;
    assert_eq!(stage.consumer.holding(CANARY).await, [""; 0]);
    assert!(!sidecar.log().contains(CANARY), "{}", sidecar.log());
    sidecar.stop().await;
    stage.clear().await;
}

/// Good events and bad ones.
fn sent() -> Vec<String> {
    let with = |id: &str, key: &str, value: Value| {
        let mut user = user(id, 3);
        user[key] = value;
        event("user.updated", &user).to_string()
    };
    let patch = json!({ "id": "u3", "version": 4, "phone": CANARY, "email": CANARY, "street": CANARY, "tax": CANARY });
    let good = event("user.updated", &user("u1", 2)).to_string();
    vec![
        event("user.created", &user("u1", 1)).to_string(),
        good.clone(),
        event("user.patched", &patch).to_string(),
        event("user.deleted", &user("u4", 2)).to_string(),
        event("user.greeted", &user("u5", 2)).to_string(),
        with("bad-age", "version", json!("seven")),
        with("bad-email", "email", json!([CANARY])),
        with("bad-phone", "phone", json!({ CANARY: CANARY })),
        with("bad-street", "street", json!(7)),
        with("bad-name", "name", json!({})),
        with("", "name", json!("Nobody")),
        good.replace("\"email\":", "\"email\":\"canary\",\"email\":"),
        good[..good.len() - 4].to_owned(),
        format!("{CANARY}, not JSON"),
    ]
}

/// What commands say of all that.
fn commands(read: &Read, parked: &[bson::Document]) -> Vec<String> {
    let ids = parked.iter().map(|parked| parked.get_str("_id").unwrap());
    let explain = ["explain", "users"];
    let lines = [
        [&explain[..], &["u1", "email", "--values", "--manifest", "{manifest}"]].concat(),
        [&explain[..], &["u1", "--values", "--manifest", "{manifest}", "--output", "json"]].concat(),
        vec!["explain", "products", "u1", "--values", "--manifest", "{manifest}"],
        vec!["parked", "list", "--output", "json"],
        vec!["parked", "retry", "--manifest", "{manifest}"],
        vec!["status", "{manifest}"],
        vec!["plan", "{manifest}"],
        vec!["diff", "users", "u1", "--manifest", "{manifest}"],
        vec!["check", "{manifest}"],
        vec!["settings"],
    ];
    let shows = ids.map(|id| vec!["parked", "show", id]);
    let text = |Output { stdout, stderr, .. }| {
        let text = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert!(!text.contains("panicked"), "{text}");
        text
    };
    let said: Vec<String> = lines.into_iter().chain(shows).map(|line| text(read.plan.run(&line))).collect();
    assert!(said[0].contains("h1:") && said[0].contains("kept by `hash`"), "{}", said[0]);
    assert!(said.iter().any(|text| text.contains("`users.tax` is dropped")), "{said:?}");
    said
}
