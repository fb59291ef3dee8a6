//! What nobody declared, and what opens doors, is planted wherever it can stand; then everything that a sidecar leaves
//! behind is searched for it.

use bson::doc;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

use crate::owner_service::{Reply, honest};
use crate::sidecar::Plan;
use crate::stage::Stage;

/// Stands in what nobody declared; it may be nowhere.
const UNDECLARED: &str = "CANARY";
/// Stands in declared fields; it may be in the database and in what `parked show` tells of it.
const DECLARED: &str = "PARROT";
/// Stands in passwords and tokens; it may be nowhere.
const SECRET: &str = "c4nary";
/// How many messages are sent to each exchange.
const MESSAGES: usize = 24;

/// S8, S10: in logs of every level and both formats, metrics, probes, the database, and each command's output.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_declared_and_no_secret_is_left_anywhere() {
    for format in ["json", "text"] {
        let stage = stage().await;
        let user = format!("canary-{}", uuid::Uuid::new_v4().simple());
        let plan = plan(&stage, &user).await.set("log.format", format).set("log.filter", "trace");
        let mut sidecar = plan.start().await;
        let refusing =
            doc! { "collMod": "partners", "validator": { "name": { "$ne": format!("{DECLARED} refused") } } };
        stage.consumer.run(refusing).await;
        for (product, user) in [
            ("p1", json!("u1")),
            ("p2", json!("bad")),
            ("p3", json!("broken")),
            ("p4", json!({ "name": DECLARED })),
        ] {
            let product = doc! { "_id": product, "userId": bson::serialize_to_bson(&user).unwrap() };
            stage.consumer.products().insert_one(product).await.unwrap();
        }
        stage.consumer.shows("p1", DECLARED).await;
        publish(&stage).await;
        let metrics = sidecar.books_close_from(MESSAGES as u64 * 2).await;
        assert!(metrics.outcome("parked") >= 12, "{}", metrics.text());
        stage.consumer.count_is("nearcopy.parked", doc! { "reason": "embed_refused" }, 1).await;

        for parked in stage.consumer.parked().await {
            assert!(!parked.to_string().contains(UNDECLARED), "{parked}");
        }
        assert_eq!(stage.consumer.holding(UNDECLARED).await, [""; 0]);
        assert_eq!(stage.consumer.holding(SECRET).await, [""; 0]);
        let held = stage.consumer.holding(DECLARED).await;
        assert!(
            ["users", "germans", "partners", "products", "nearcopy.parked"]
                .iter()
                .all(|name| held.contains(&(*name).to_owned())),
            "{held:?}"
        );

        let mut told = vec![metrics.text().to_owned(), sidecar.ready().await.unwrap().1.to_string()];
        if format == "json" {
            told.extend(commands(&plan, &stage).await);
        }
        let log = sidecar.terminate().await;
        assert!(log.contains("event.parked"), "{log}");
        told.push(log);
        for text in &told {
            for word in [UNDECLARED, SECRET, DECLARED] {
                let lines: Vec<&str> = text.lines().filter(|line| line.contains(word)).take(5).collect();
                assert!(lines.is_empty(), "{format}: {word} is told:\n{}", lines.join("\n"));
            }
        }
        stage.broker.remove_user(&user).await;
        stage.consumer.run(doc! { "dropAllUsersFromDatabase": 1 }).await;
        stage.clear().await;
    }
}

/// What each command says; of what `parked show` tells, the declared parts are taken out, which belong there.
async fn commands(plan: &Plan, stage: &Stage) -> Vec<String> {
    let parked = stage.consumer.parked().await;
    let ids: Vec<&str> = parked.iter().map(|parked| parked.get_str("_id").unwrap()).collect();
    let mut told = Vec::new();
    let lines = [
        vec!["settings"],
        vec!["check", "{manifest}"],
        vec!["check", "--online", "{manifest}"],
        vec!["check", "--online", "--output", "json", "{manifest}"],
        vec!["parked", "list"],
        vec!["parked", "list", "--output", "json"],
        vec!["parked", "retry", "--manifest", "{manifest}"],
        [vec!["parked", "drop", "--dry-run"], ids.clone()].concat(),
        vec!["parked", "show", "no id"],
        vec!["run", "--set", "rabbitmq.url=amqp://u:c4nary@h"],
        vec!["run", "nowhere.yaml"],
    ];
    let shows = ids.iter().map(|id| vec!["parked", "show", id]);
    for line in lines.into_iter().chain(shows) {
        let ended = plan.run(&line);
        let (said, complained) =
            (String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap());
        assert!(!complained.contains("panicked"), "{complained}");
        told.push(if said.contains("\"excerpt\"") { without_excerpts(&said) } else { said });
        told.push(complained);
    }
    told
}

fn without_excerpts(json: &str) -> String {
    let mut value: Value = serde_json::from_str(json).unwrap();
    let all = match &mut value {
        Value::Array(all) => all.iter_mut().collect(),
        one => vec![one],
    };
    for parked in all {
        assert!(!parked["excerpt"].to_string().contains(UNDECLARED), "{parked}");
        parked["excerpt"] = Value::Null;
    }
    value.to_string()
}

async fn stage() -> Stage {
    let stage = Stage::new().await;
    stage.broker.declare_exchange("partners").await;
    stage.owner.has("u1", 1, DECLARED);
    stage.owner.answers(|asked, entities| match asked.ids[0].as_str() {
        "bad" => Reply::json(&json!({ "id": "bad", "version": "CANARY", "name": ["CANARY"] }))
            .header("x-user", "CANARY"),
        "broken" => Reply::status(500).header("location", "http://CANARY/"),
        _ => honest(asked, entities),
    });
    stage
}

/// Every address holds a secret, and works.
async fn plan(stage: &Stage, user: &str) -> Plan {
    let create = doc! { "createUser": "shop", "pwd": format!("{SECRET}-mongodb"), "roles": ["dbOwner"] };
    stage.consumer.run(create).await;
    let address = stage.consumer.url();
    let database = address.rsplit('/').next().unwrap().split('?').next().unwrap();
    let mongodb = address.replace("mongodb://", &format!("mongodb://shop:{SECRET}-mongodb@"))
        + &format!("&authSource={database}");
    let rabbitmq = stage.broker.url_of(user, &format!("{SECRET}-rabbitmq")).await;
    Plan::new(MANIFEST.to_owned(), &rabbitmq, &mongodb)
        .variable("OWNER", &stage.owner.url())
        .variable("TOKEN", &format!("{SECRET}-owner"))
        .set("sweep.every", "100ms")
}

async fn publish(stage: &Stage) {
    let mut headers = FieldTable::default();
    headers.insert("x-user".into(), AMQPValue::LongString("CANARY".into()));
    headers.insert("cloudEvents_user".into(), AMQPValue::LongString("CANARY".into()));
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_correlation_id("CANARY".into())
        .with_message_id("CANARY".into())
        .with_app_id("CANARY".into())
        .with_headers(headers);
    let users = users();
    assert_eq!(users.len(), MESSAGES);
    stage.broker.publish_with("users", "user.CANARY", users, properties.clone()).await;
    let structured = properties.with_content_type("application/cloudevents+json".into());
    let (partners, binary) = (partners(), binary());
    assert_eq!(partners.len() + binary.len(), MESSAGES);
    stage.broker.publish_with("partners", "partner.CANARY", partners, structured.clone()).await;
    for (attributes, body) in binary {
        let mut table = structured.headers().clone().unwrap();
        for (name, value) in attributes {
            table.insert(format!("cloudEvents_{name}").as_str().into(), AMQPValue::LongString(value.into()));
        }
        let properties = structured.clone().with_content_type("application/json".into()).with_headers(table);
        stage.broker.publish_with("partners", "partner.CANARY", [body], properties).await;
    }
}

fn event(kind: &str, data: &str) -> String {
    format!(
        r#"{{"id":"e","type":"{kind}","occurredAt":"2026-01-01T00:00:00Z","secret":"CANARY","data":{data}}}"#
    )
}

fn users() -> Vec<String> {
    let german = |id: &str, more: &str| {
        event(
            "user.updated",
            &format!(
                r#"{{"id":"{id}","version":2,"country":"DE","name":"PARROT","street":"CANARY",{more}"address":{{"city":"PARROT","street":"CANARY"}}}}"#
            ),
        )
    };
    vec![
        german("u1", ""),
        german("g2", r#""Name":"CANARY","#),
        german("g3", r#""age":"PARROT","#),
        german("g4", r#""name":"PARROT","#),
        german("g5", r#""CANARY":1,"CANARY":2,"#),
        german("g6", r#""address":"CANARY","#),
        event("user.updated", r#"{"id":"g7","version":2,"country":"FR","name":"CANARY"}"#),
        event("user.updated", r#"{"id":"g8","version":2,"country":["PARROT"],"name":["PARROT"]}"#),
        event("user.updated", r#"{"id":"g9","version":"PARROT","country":"DE"}"#),
        event("user.updated", r#"{"id":["PARROT"],"version":1,"secret":"CANARY"}"#),
        event("user.updated", r#"{"version":1,"country":"DE","secret":"CANARY"}"#),
        event("user.updated", "\"CANARY\""),
        event("user.updated", "[\"CANARY\"]"),
        event("user.deleted", r#"{"id":"g10","version":2,"secret":"CANARY"}"#),
        event("user.changed", r#"{"id":"u1","version":2,"secret":"CANARY"}"#),
        event("user.changed", r#"{"id":7,"version":2,"secret":"CANARY"}"#),
        event("CANARY", r#"{"id":"g11","version":2}"#),
        r#"{"id":{"secret":"CANARY"},"type":"user.updated","occurredAt":{"secret":"CANARY"},"data":{"id":"g12","version":2,"country":"DE"}}"#.into(),
        r#"{"id":{"secret":"CANARY"},"type":"user.updated","occurredAt":["CANARY"],"data":{"id":"g13","version":2,"country":"DE","age":"PARROT"}}"#.into(),
        r#"{"id":"e","type":{"CANARY":1},"data":{}}"#.into(),
        r#"{"id":"e","type":"user.updated","data":{"secret":"CANARY""#.into(),
        "CANARY, not JSON".into(),
        event("user.updated", &format!(r#"{{"id":"g14","version":2,"country":"DE","age":{}"PARROT"{}}}"#, "[".repeat(90), "]".repeat(90))),
        event("user.updated", &format!(r#"{{"id":"g15","version":2,"secret":"{}"}}"#, "CANARY".repeat(30_000))),
    ]
}

/// Structured CloudEvents.
fn partners() -> Vec<String> {
    let partner = |id: &str, more: &str, data: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"e","source":"/p","type":"partner.updated","secret":"CANARY","subject":"CANARY",{more}"data":{{"id":"{id}","version":2,"secret":"CANARY",{data}}}}}"#
        )
    };
    vec![
        partner("p1", "", r#""name":"PARROT""#),
        partner("p2", r#""dataref":"CANARY","#, r#""name":"PARROT refused""#),
        partner("p3", "", r#""age":"PARROT""#),
        partner("p4", r#""secret":"CANARY","#, r#""name":"PARROT""#),
        partner("p5", r#""id":"CANARY","#, r#""name":"PARROT""#),
        partner("", "", r#""name":"PARROT""#),
        partner("p6", "", r#""name":"PARROT","name":"PARROT""#),
        partner("p7", "", r#""name":"PARROT","age":1e99"#),
        r#"{"specversion":"1.0","type":"CANARY","data":{"id":"p8"}}"#.into(),
        r#"{"specversion":"CANARY","data":"CANARY"}"#.into(),
        r#"{"specversion":"1.0","type":"partner.updated","data":"CANARY"}"#.into(),
        r#"{"specversion":"1.0","type":"partner.updated","data_base64":"CANARY"}"#.into(),
        r#""CANARY""#.into(),
        r#"["CANARY"]"#.into(),
        "CANARY".into(),
        r#"{"CANARY":"#.into(),
    ]
}

/// CloudEvents in headers.
fn binary() -> Vec<(Vec<(&'static str, &'static str)>, &'static str)> {
    let known = [("specversion", "1.0"), ("type", "partner.updated"), ("id", "e"), ("source", "/p")];
    let with = |more: &[(&'static str, &'static str)]| [&known[..], more].concat();
    vec![
        (with(&[]), r#"{"id":"b1","version":2,"name":"PARROT","secret":"CANARY"}"#),
        (with(&[("subject", "CANARY"), ("tenant", "CANARY")]), r#"{"id":"b2","version":2,"age":"PARROT"}"#),
        (with(&[("subject", "CANARY"), ("tenant", "CANARY")]), r#"{"id":7,"version":2}"#),
        (with(&[]), "CANARY"),
        (with(&[]), "\"CANARY\""),
        (vec![("specversion", "1.0"), ("type", "CANARY")], r#"{"id":"b3"}"#),
        (vec![("type", "partner.updated"), ("source", "/p")], r#"{"id":"b4","secret":"CANARY"}"#),
        (vec![], "CANARY"),
    ]
}

const MANIFEST: &str = r##"
service: shop
sources:
  users:
    rabbitmq: { exchange: users, queue: shop.users, bindings: ["#"] }
    event: { id: id, type: type, time: occurredAt, data: data }
    limits: { body: 100KiB, depth: 32 }
  partners:
    rabbitmq: { exchange: partners, queue: shop.partners, bindings: ["#"] }
    format: cloudevents
replicas:
  users:
    owner: user-service
    source: users
    keep: referenced
    id: data.id
    version: data.version
    fields: { name: { from: data.name, type: string }, age: { from: data.age, type: int } }
    on: { user.updated: upsert, user.deleted: delete, user.changed: refresh }
    fetch: { url: "${OWNER}/users/{id}?token=${TOKEN}", timeout: 1s, settle: 1s, from: { version: version } }
  germans:
    owner: user-service
    source: users
    keep: { where: "data.country == 'DE'" }
    id: data.id
    version: data.version
    fields: { name: data.name, age: { from: data.age, type: int }, city: data.address.city }
    on: { user.updated: upsert, user.deleted: delete }
  partners:
    owner: partner-service
    source: partners
    keep: all
    id: data.id
    version: data.version
    fields: { name: { from: data.name, type: string }, age: { from: data.age, type: int } }
    on: { partner.updated: upsert }
embeds:
  product-user: { in: products, ref: userId, from: users, into: user, fields: [name] }
"##;
