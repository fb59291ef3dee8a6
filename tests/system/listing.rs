//! All that an owner lists is kept, though no event has told of it; and nothing newer is undone by that.

use std::process::Output;
use std::sync::Mutex;

use bson::doc;
use serde_json::{Value, json};

use crate::owner_service::{Asked, Entities, Reply, honest, page};
use crate::rabbitmq::eventually;
use crate::sidecar::{Plan, Sidecar};
use crate::stage::{EXCHANGE, QUEUE, Stage};

/// A cursor that each page gives.
const CURSOR: &str = r#"list: { url: "OWNER/users?limit=3&after={after}", next: { cursor: next }, items: items, total: total }"#;

fn run(plan: &Plan, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let Output { status, stdout, stderr } =
        plan.run(&[arguments, &["--manifest", "{manifest}", "--output", "json"]].concat());
    let said = serde_json::from_slice(&stdout).unwrap_or_default();
    (status.code(), said, String::from_utf8(stderr).unwrap())
}

/// Users that are kept so, and listed so.
fn plan(stage: &Stage, keep: &str, list: &str) -> Plan {
    let owner = stage.owner.url();
    let list = list.replace("OWNER", &owner);
    stage.plan_of(format!(
        r#"
service: product-service
sources:
  users:
    rabbitmq: {{ exchange: {EXCHANGE}, queue: {QUEUE}, bindings: ["user.#"] }}
    event: {{ id: id, type: type, time: occurredAt, data: data }}
replicas:
  users:
    owner: user-service
    source: users
    keep: {keep}
    id: data.id
    version: data.version
    fields: {{ name: {{ from: data.name, type: string }} }}
    on: {{ user.created: upsert, user.updated: upsert, user.deleted: delete }}
    fetch:
      url: "{owner}/users/{{id}}"
      timeout: 1s
      settle: 500ms
      from: {{ id: id, version: version }}
      {list}
embeds:
  product-user: {{ in: products, ref: userId, from: users, into: user, fields: [name], when_deleted: keep }}
"#
    ))
}

/// How often the owner was asked for a page.
fn pages(stage: &Stage) -> usize {
    stage.owner.asked().iter().filter(|asked| asked.page.is_some()).count()
}

/// Waits until a sidecar has read the whole list.
async fn has_listed(sidecar: &Sidecar) {
    eventually("it has listed", async || !sidecar.logged("backfill.ended").is_empty()).await;
}

/// F9: entities come and go before the place that has been read up to, so that counted pages would shift; whoever is there
/// all the time is on some page all the same. A new sidecar lists by itself, and asks about nobody one by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_shifts_while_it_is_read_leaves_nobody_out() {
    let stage = Stage::new().await;
    let lasting: Vec<String> = (0..40).map(|number| format!("u{number:02}")).collect();
    for user in &lasting {
        stage.owner.has(user, 1, &format!("name of {user}"));
    }
    for number in 0..30 {
        stage.owner.has(&format!("a{number:02}"), 1, "leaves soon");
    }
    let shifting: Mutex<Option<Entities>> = Mutex::new(None);
    stage.owner.answers(move |asked, entities| {
        let mut shifting = shifting.lock().unwrap();
        let now = shifting.get_or_insert_with(|| entities.clone());
        let (after, most) = asked.page.as_ref().expect("nobody is asked for by itself");
        let (items, next) = page(now, after, *most);
        // Two of those that were told go, so that with numbers of pages two others would be passed by.
        let gone: Vec<String> =
            now.keys().filter(|id| id.starts_with('a') && id.as_str() < &**after).take(2).cloned().collect();
        for id in &gone {
            now.remove(id);
        }
        Reply::json(&json!({ "items": items, "next": next }))
    });
    let sidecar = plan(&stage, "all", CURSOR).start().await;
    for user in &lasting {
        stage.consumer.record_is("users", user.as_str(), "live", 1).await;
    }
    let record = stage.consumer.one("users", "u07").await.unwrap();
    assert_eq!(record.get_document("_nearcopy").unwrap().get_str("origin").unwrap(), "fetch", "{record}");
    assert!(pages(&stage) >= 40 / 3, "{} pages", pages(&stage));
    stage.consumer.sells("p7", "u07").await;
    stage.consumer.shows("p7", "name of u07").await;
    sidecar.stop().await;
    stage.clear().await;
}

/// F2, G1, G5: what events have brought is newer, and stays; whoever is outside the subset and was never in it leaves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_listed_undoes_nothing_that_is_newer() {
    let stage = Stage::new().await;
    let plan = plan(&stage, r#"{ where: "data.name != 'Nobody'" }"#, CURSOR);
    let sidecar = plan.start().await;
    stage.user("newer", 7, "Seven").await;
    stage.user_deleted("deleted", 7).await;
    stage.user("leaves", 1, "Somebody").await;
    sidecar.books_close_at(3).await;
    has_listed(&sidecar).await;
    for (user, version, name) in [
        ("newer", 6, "Six"),
        ("deleted", 6, "Six"),
        ("leaves", 2, "Nobody"),
        ("outside", 1, "Nobody"),
        ("missed", 3, "Three"),
    ] {
        stage.owner.has(user, version, name);
    }
    sidecar.stop().await;
    let (code, looked, said) = run(&plan, &["backfill", "users", "--all", "--dry-run"]);
    assert_eq!(
        (code, &looked["entities"], &looked["brought"]),
        (Some(0), &json!(5), &json!(2)),
        "{looked} {said}"
    );
    assert_eq!(stage.consumer.one("users", "missed").await, None, "it was only looked");

    let (code, done, said) = run(&plan, &["backfill", "users", "--all"]);
    assert_eq!((code, &done["entities"], &done["brought"]), (Some(0), &json!(5), &json!(2)), "{done} {said}");
    stage.consumer.record_is("users", "missed", "live", 3).await;
    stage.consumer.record_is("users", "newer", "live", 7).await;
    stage.consumer.record_is("users", "deleted", "gone", 7).await;
    stage.consumer.record_is("users", "leaves", "gone", 2).await;
    assert_eq!(stage.consumer.one("users", "outside").await, None);
    let (_, again, _) = run(&plan, &["backfill", "users", "--all"]);
    assert_eq!((&again["before"], &again["brought"]), (&json!(0), &json!(0)), "{again}");
    stage.clear().await;
}

/// C6: whoever takes up a walk that was cut off goes on from there. What cannot be read is named, and holds nobody up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_that_was_cut_off_is_taken_up() {
    let stage = Stage::new().await;
    let plan = plan(&stage, "all", CURSOR);
    let sidecar = plan.start().await;
    has_listed(&sidecar).await;
    sidecar.stop().await;
    for number in 0..10 {
        stage.owner.has(&format!("u{number}"), 1, "Somebody");
    }
    let refusing = |from: &'static str| {
        move |asked: &Asked, entities: &Entities| match &asked.page {
            Some((after, _)) if after.as_str() >= from => Reply::status(403),
            _ => honest(asked, entities),
        }
    };
    stage.owner.answers(refusing("u5"));
    let (code, _, said) = run(&plan, &["backfill", "users", "--all"]);
    assert!(
        code == Some(5) && said.contains("403") && said.contains("goes on from there"),
        "{code:?} {said}"
    );
    stage.consumer.record_is("users", "u5", "live", 1).await;
    assert_eq!(stage.consumer.one("users", "u6").await, None);

    stage.owner.answers(|asked, entities| {
        let mut entities = entities.clone();
        entities.insert("u7".into(), json!({ "id": "u7", "version": "CANARY", "name": "x" }));
        honest(asked, &entities)
    });
    let before = pages(&stage);
    let (code, done, said) = run(&plan, &["backfill", "users", "--all"]);
    assert_eq!((code, pages(&stage) - before), (Some(0), 2), "{done} {said}");
    assert_eq!(
        (&done["before"], &done["entities"], &done["brought"], &done["unreadable"]),
        (&json!(6), &json!(10), &json!(3), &json!(1)),
        "{done}"
    );
    assert_eq!(done["trouble"]["entity"], "u7");
    assert!(!done.to_string().contains("CANARY"), "{done}");
    stage.consumer.record_is("users", "u9", "live", 1).await;
    stage.clear().await;
}

/// D8: a queue that was deleted has let events pass by, of entities, too, of which nobody here knows. They are listed anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passed_a_lost_queue_by_is_listed() {
    let stage = Stage::new().await;
    let links = r#"list: { url: "OWNER/users?limit=2&after=", next: link, items: items }"#;
    let plan = plan(&stage, "all", links);
    stage.owner.answers(|asked, entities| {
        let Some((after, most)) = &asked.page else { return honest(asked, entities) };
        let (items, next) = page(entities, after, *most);
        let reply = Reply::json(&json!({ "items": items }));
        match next {
            Some(next) => reply.header("link", format!("</users?limit=2&after={next}>; rel=\"next\"")),
            None => reply,
        }
    });
    for user in ["ann", "bob", "carl", "dora", "eve"] {
        stage.owner.has(user, 1, "Somebody");
    }
    let sidecar = plan.start().await;
    stage.consumer.record_is("users", "eve", "live", 1).await;
    has_listed(&sidecar).await;
    stage.owner.has("passed", 1, "by");
    stage.broker.delete_queue(QUEUE).await;
    stage.consumer.record_is("users", "passed", "live", 1).await;
    sidecar.stop().await;
    stage.clear().await;
}

/// Whoever the owner lists, and nothing is known of, is seen by a comparison, and fetched by a repair.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comparison_sees_who_is_missing() {
    let stage = Stage::new().await;
    let by_id = r#"list: { url: "OWNER/users?limit=2&after={after}", next: id, items: items }"#;
    let plan = plan(&stage, "all", by_id);
    stage.owner.has("ann", 1, "Ann");
    let sidecar = plan.start().await;
    has_listed(&sidecar).await;
    let (code, found, said) = run(&plan, &["diff", "users"]);
    assert_eq!((code, &found["listed"]), (Some(0), &json!(1)), "{found} {said}");
    for user in ["bob", "carl", "dora"] {
        stage.owner.has(user, 1, "missed");
    }
    let (code, found, said) = run(&plan, &["diff", "users"]);
    assert_eq!((code, &found["listed"]), (Some(3), &json!(4)), "{found} {said}");
    assert_eq!(found["differing"], json!({ "unknown": 3 }), "{found}");
    assert_eq!(found["named"][0], json!({ "entity": "bob", "difference": "unknown", "fields": null }));
    assert_eq!(stage.consumer.one("users", "bob").await, None, "it was only looked");
    let (code, found, said) = run(&plan, &["reconcile", "users"]);
    assert_eq!((code, &found["repaired"]), (Some(0), &json!(true)), "{found} {said}");
    for user in ["bob", "carl", "dora"] {
        stage.consumer.record_is("users", user, "live", 1).await;
    }
    sidecar.stop().await;
    stage.clear().await;
}

/// Where only what is referred to is kept, a list brings nobody in; and no sidecar reads it by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_is_wanted_is_taken_from_a_list() {
    let stage = Stage::new().await;
    let plan = plan(&stage, "referenced", CURSOR);
    for user in ["ann", "bob", "carl", "dora"] {
        stage.owner.has(user, 1, "Somebody");
    }
    stage.consumer.sells("p1", "carl").await;
    let sidecar = plan.start().await;
    stage.consumer.shows("p1", "Somebody").await;
    assert_eq!(pages(&stage), 0);
    stage.owner.has("carl", 2, "Carl");
    let (code, done, said) = run(&plan, &["backfill", "users", "--all"]);
    assert_eq!((code, &done["entities"], &done["brought"]), (Some(0), &json!(4), &json!(1)), "{done} {said}");
    stage.consumer.record_is("users", "carl", "live", 2).await;
    stage.consumer.shows("p1", "Carl").await;
    stage.consumer.count_is("users", doc! {}, 1).await;
    sidecar.stop().await;
    stage.clear().await;
}
