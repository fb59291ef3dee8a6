//! Owners that answer badly: no answer is taken for one, each is counted for what it is, the entity stays wanted,
//! and all is well once the owner behaves.

use std::time::Duration;

use bson::doc;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::owner_service::{Asked, Entities, Reply, honest};
use crate::sidecar::{Metrics, PATIENCE, Plan, Sidecar};
use crate::stage::Stage;

/// How an owner answers, what that is counted as, and what is held meanwhile.
struct Case {
    name: &'static str,
    answer: fn(&Asked, &Entities) -> Reply,
    counted: &'static str,
    held: Held,
}

/// What is held of an entity while its owner answers like this.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    /// It is wanted, and not known.
    Pending,
    /// It is known that there is none.
    Gone,
    /// What the answer said.
    Live,
}

/// F2, F3, F4, F5, F7, S3, S4, S8: one owner for each bad answer, so that none rests for another's sake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_answer_is_none_and_heals() {
    let cases = single();
    let (stage, plan) = stage(&cases).await;
    let sidecar = plan.start().await;
    let mut product = doc! { "_id": "p" };
    for case in &cases {
        stage.owner.has(&user(case), 7, "Ada");
        product.insert(case.name, user(case));
    }
    stage.consumer.products().insert_one(product).await.unwrap();

    let wrong = eventually_counted(&sidecar, &cases).await;
    assert!(wrong.is_empty(), "not counted: {wrong:?}\n{}", sidecar.last_words());
    for case in &cases {
        let wanted = match case.held {
            Held::Pending => "pending",
            Held::Gone => "gone",
            Held::Live => "live",
        };
        let what = format!("{wanted} after the answer of `{}`", case.name);
        let is_so = |record: &bson::Document| {
            record.get_document("_nearcopy").unwrap().get_str("state").unwrap() == wanted
        };
        stage.consumer.until(case.name, user(case), &what, is_so).await;
        let product = stage.consumer.one("products", "p").await.unwrap();
        let shows = product.contains_key(format!("{}User", case.name));
        assert!(case.held == Held::Live || !shows, "{}: {product}", case.name);
    }
    let asked = stage.owner.asked();
    assert!(asked.iter().all(|asked| asked.of != "elsewhere"), "a redirect was followed: {asked:?}");

    stage.owner.behaves();
    for case in &cases {
        stage.consumer.record_is(case.name, user(case), "live", 7).await;
        let shown = format!("{}User", case.name);
        let ada = |product: &bson::Document| {
            product.get_document(&shown).is_ok_and(|user| user == &doc! { "name": "Ada" })
        };
        stage.consumer.until("products", "p", &format!("`{}` is shown", case.name), ada).await;
    }
    leaves_no_trace(stage, sidecar).await;
}

/// F5: bad answers to a question for several; each entity is asked for singly then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_answer_to_a_batch_holds_back_nobody() {
    let cases = batches();
    let (stage, plan) = stage(&cases).await;
    let sidecar = plan.start().await;
    for at in 0..3 {
        let ids = cases.iter().map(|case| (case.name.to_owned(), format!("{}-{at}", user(case)).into()));
        for case in &cases {
            stage.owner.has(&format!("{}-{at}", user(case)), 7, "Ada");
        }
        let mut product: bson::Document = ids.collect();
        product.insert("_id", format!("p{at}"));
        stage.consumer.products().insert_one(product).await.unwrap();
    }
    for case in &cases {
        for at in 0..3 {
            stage.consumer.record_is(case.name, format!("{}-{at}", user(case)), "live", 7).await;
        }
        let records = stage.consumer.all(case.name).await;
        assert_eq!(records.len(), 3, "`{}` brought in others: {records:?}", case.name);
    }
    leaves_no_trace(stage, sidecar).await;
}

/// Nothing undeclared that an owner said is anywhere.
async fn leaves_no_trace(stage: Stage, sidecar: Sidecar) {
    assert_eq!(stage.consumer.holding("CANARY").await, [""; 0]);
    assert!(!sidecar.metrics().await.text().contains("CANARY"));
    let log = sidecar.stop().await;
    assert!(!log.contains("CANARY"), "{log}");
    stage.clear().await;
}

/// Waits until each bad answer is counted for what it is; names those that are not.
async fn eventually_counted(sidecar: &Sidecar, cases: &[Case]) -> Vec<&'static str> {
    let missing = |metrics: &Metrics| -> Vec<&'static str> {
        let counted = |case: &&Case| {
            metrics.sum("nearcopy_fetches_total", &[("replica", case.name), ("result", case.counted)]) == 0
        };
        cases.iter().filter(counted).map(|case| case.name).collect()
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let missing = missing(&sidecar.metrics().await);
        if missing.is_empty() || Instant::now() > deadline {
            return missing;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn user(case: &Case) -> String {
    format!("u-{}", case.name)
}

async fn stage(cases: &[Case]) -> (Stage, Plan) {
    let stage = Stage::new().await;
    let answers: Vec<_> = cases.iter().map(|case| (case.name, case.answer)).collect();
    stage.owner.answers(move |asked, entities| {
        let known = answers.iter().find(|(name, _)| *name == asked.of);
        known.map_or_else(|| Reply::status(404), |(_, answer)| answer(asked, entities))
    });
    let plan = stage.plan_of(manifest(cases, &stage.owner.url()));
    (stage, plan)
}

/// A replica and an embed for each case.
fn manifest(cases: &[Case], owner: &str) -> String {
    let mut text = "
service: product-service
sources:
  users:
    rabbitmq: { exchange: users, queue: product-service.users, bindings: [\"user.#\"] }
    format: cloudevents
replicas:
"
    .to_owned();
    for Case { name, .. } in cases {
        let batch = if name.starts_with("batch") {
            format!("batch: \"{owner}/{name}?ids={{ids}}\",")
        } else {
            String::new()
        };
        text += &format!(
            "  {name}:
    owner: {name}-service
    source: users
    keep: referenced
    id: data.id
    version: data.version
    fields: {{ name: {{ from: data.name, type: string }} }}
    on: {{ {name}.updated: upsert }}
    fetch: {{ url: \"{owner}/{name}/{{id}}\", {batch} timeout: 2s, settle: 1s, from: {{ id: id, version: version, data: \"\" }} }}
"
        );
    }
    text += "embeds:\n";
    for Case { name, .. } in cases {
        text += &format!(
            "  {name}: {{ in: products, ref: {name}, from: {name}, into: {name}User, fields: [name] }}\n"
        );
    }
    text
}

fn single() -> Vec<Case> {
    let case = |name, counted, held, answer| Case { name, answer, counted, held };
    let unreadable = |name, answer| case(name, "unreadable", Held::Pending, answer);
    let failed = |name, answer| case(name, "failed", Held::Pending, answer);
    vec![
        unreadable("other", |_, _| {
            Reply::json(&json!({"id": "CANARY-other", "version": 7, "name": "CANARY"}))
        }),
        unreadable("html", |_, _| Reply::text("<html>CANARY</html>").header("content-type", "text/html")),
        unreadable("truncated", |asked, _| {
            Reply::text(format!(r#"{{"id":"{}","version":7,"name":"CANARY"#, asked.ids[0]))
        }),
        unreadable("empty", |_, _| Reply::text("")),
        unreadable("void", |_, _| Reply::text("null")),
        unreadable("list", |asked, _| {
            Reply::json(&json!([{"id": asked.ids[0], "version": 7, "name": "CANARY"}]))
        }),
        unreadable("text", |_, _| Reply::json(&json!("CANARY"))),
        unreadable("nameless", |_, _| Reply::json(&json!({"version": 7, "name": "CANARY"}))),
        unreadable("whole", |_, _| Reply::json(&json!({"id": 7, "version": 7, "name": "CANARY"}))),
        unreadable("twice", |asked, _| {
            Reply::text(format!(r#"{{"id":"{0}","id":"{0}","version":7,"name":"CANARY"}}"#, asked.ids[0]))
        }),
        unreadable("utf16", |_, _| {
            Reply::text("{\"id\":\"CANARY\"}".encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>())
        }),
        unreadable("gzip", |_, _| {
            Reply::text(b"\x1f\x8b\x08\x00CANARY".as_slice()).header("content-encoding", "gzip")
        }),
        unreadable("field", |asked, _| {
            Reply::json(&json!({"id": asked.ids[0], "version": 7, "name": ["CANARY"]}))
        }),
        unreadable("version", |asked, _| {
            Reply::json(&json!({"id": asked.ids[0], "version": "CANARY", "name": "CANARY"}))
        }),
        unreadable("minus", |asked, _| {
            Reply::json(&json!({"id": asked.ids[0], "version": -7, "name": "CANARY"}))
        }),
        unreadable("huge", |_, _| Reply::text("CANARY ".repeat(1_300_000))),
        failed("cut", |_, _| Reply::text(r#"{"id":"CANARY"#).breaking_off()),
        failed("slow", |asked, entities| honest(asked, entities).after(Duration::from_secs(4))),
        failed("moved", |_, _| Reply::status(302).header("location", "/elsewhere/1")),
        failed("nothing", |_, _| Reply::status(204)),
        failed("part", |_, _| Reply::status(206)),
        failed("wrong", |_, _| Reply::status(400)),
        failed("calm", |_, _| Reply::status(429).header("retry-after", "1")),
        failed("much", |_, _| Reply::status(429)),
        failed("broken", |_, _| Reply::status(500)),
        failed("away", |_, _| Reply::status(503).header("retry-after", "CANARY")),
    ]
    .into_iter()
    .chain(telling())
    .collect()
}

/// Answers that say something of the entity, or that there is none.
fn telling() -> Vec<Case> {
    let case = |name, counted, held, answer| Case { name, answer, counted, held };
    vec![
        case("unknown", "refused", Held::Pending, |_, _| {
            Reply::status(401).header("www-authenticate", "CANARY")
        }),
        case("forbidden", "refused", Held::Pending, |_, _| Reply::status(403)),
        case("absent", "not_found", Held::Gone, |_, _| Reply::status(404)),
        case("late", "not_found", Held::Gone, |_, _| Reply::status(410)),
        case("padded", "found", Held::Live, |asked, _| {
            Reply::json(&json!({"id": asked.ids[0], "version": "007", "name": "Ada"}))
        }),
        case("unversioned", "found", Held::Live, |asked, _| {
            Reply::json(&json!({"id": asked.ids[0], "name": "Ada"}))
        }),
        case("talkative", "found", Held::Live, honest),
    ]
}

fn batches() -> Vec<Case> {
    let case = |name, answer| Case { name, answer, counted: "found", held: Held::Live };
    vec![
        case("batchLacking", |asked, has| batch(asked, has, |found| Reply::json(&found[..1].into()))),
        case("batchNone", |asked, has| batch(asked, has, |_| Reply::json(&json!([])))),
        case("batchDouble", |asked, has| {
            batch(asked, has, |found| Reply::json(&[found.clone(), found].concat().into()))
        }),
        case("batchForeign", |asked, has| {
            let foreign = json!({"id": "CANARY-foreign", "version": 7, "name": "CANARY"});
            batch(asked, has, |found| {
                Reply::json(&[found, vec![foreign.clone(), foreign.clone()]].concat().into())
            })
        }),
        case("batchMixed", |asked, has| {
            let broken =
                [json!(7), json!({"id": 7}), json!(null), json!([]), json!({"id": "u", "name": ["CANARY"]})];
            batch(asked, has, |found| Reply::json(&[&broken[..], &found[..]].concat().into()))
        }),
        case("batchObject", |asked, has| batch(asked, has, |found| Reply::json(&json!({"items": found})))),
        case("batchHtml", |asked, has| batch(asked, has, |_| Reply::text("<html>CANARY"))),
        case("batchAbsent", |asked, has| batch(asked, has, |_| Reply::status(404))),
        case("batchBroken", |asked, has| batch(asked, has, |_| Reply::status(500))),
        case("batchLong", |asked, has| batch(asked, has, |_| Reply::status(414))),
    ]
}

/// Answers a single question honestly, and one for several like this.
fn batch(asked: &Asked, entities: &Entities, answer: impl Fn(Vec<serde_json::Value>) -> Reply) -> Reply {
    if !asked.batch {
        return honest(asked, entities);
    }
    answer(asked.ids.iter().filter_map(|id| entities.get(id)).cloned().collect())
}
