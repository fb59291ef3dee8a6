//! The program itself, through a rolling deploy and back.

use bson::{Document, doc};
use serde_json::{Value, json};

use crate::sidecar::Plan;
use crate::stage::{Stage, products};

fn planned(plan: &Plan) -> (Option<i32>, Value) {
    let said = plan.run(&["plan", "{manifest}", "--output", "json"]);
    (said.status.code(), serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{said:?}")))
}

/// C2: what a deploy would do can be seen before, and that nothing is left to do, afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_says_what_a_deploy_would_do() {
    let stage = Stage::new().await;
    let old = products(&stage.owner.url());
    let plan = stage.plan_of(old.clone());
    let (code, first) = planned(&plan);
    assert_eq!((code, &first["generation"]), (Some(3), &json!(1)), "{first}");
    assert_eq!(
        (&first["replicas"][0]["new"], &first["replicas"][0]["records"]),
        (&json!(true), &json!(0)),
        "{first}"
    );
    stage.owner.has("u", 1, "Ada");
    stage.consumer.sells("p", "u").await;
    let sidecar = plan.start().await;
    stage.consumer.shows("p", "Ada").await;
    let (code, none) = planned(&plan);
    assert_eq!((code, &none["replicas"], &none["embeds"]), (Some(0), &json!([]), &json!([])), "{none}");

    let wider = old
        .replace("fields: { name: {", "fields: { email: data.email, alias: {")
        .replace("fields: [name]", "fields: [alias]");
    let wider = stage.plan_of(wider);
    let (code, more) = planned(&wider);
    assert_eq!((code, &more["generation"], &more["newest"]), (Some(3), &json!(2), &json!(1)), "{more}");
    let users = &more["replicas"][0];
    assert_eq!(
        (&users["brought"], &users["dropped"]),
        (&json!(["alias", "email"]), &json!(["name"])),
        "{more}"
    );
    assert_eq!(
        (&users["personal"], &users["records"], &users["requests"]),
        (&json!(["email"]), &json!(1), &json!(1))
    );
    let embed = &more["embeds"][0];
    assert_eq!(
        (&embed["turn"], &embed["documents"], &embed["indexed"]),
        (&json!("changed"), &json!(1), &json!(true))
    );
    let table = String::from_utf8(wider.run(&["plan", "{manifest}"]).stdout).unwrap();
    assert!(
        table.contains("looks personal, and is copied for the first time: email")
            && table.contains("in about 1 requests"),
        "{table}"
    );

    let none = old.split("embeds:").next().unwrap().replace("keep: referenced", "keep: all");
    let (_, gone) = planned(&stage.plan_of(none));
    assert_eq!(gone["embeds"][0]["turn"], json!("gone"), "{gone}");
    let (code, still) = planned(&plan);
    assert_eq!((code, &still["newest"]), (Some(0), &json!(1)), "nothing was written: {still}");
    sidecar.stop().await;
    stage.clear().await;
}

fn shows(product: &Document, user: &Document) -> bool {
    product.get_document("user").is_ok_and(|shown| shown == user)
}

/// C1, C2, C3: a deploy adds a field while an older pod runs on, dies and comes back; then it is gone back for good. All of
/// it can be seen in the log, in a metric, and by who checks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_deploy_and_the_way_back() {
    let stage = Stage::new().await;
    let old = products(&stage.owner.url());
    let new = old
        .replace("fields: { name: {", "fields: { handle: data.name, name: {")
        .replace("fields: [name]", "fields: [name, handle]");
    assert_ne!(old, new);
    stage.owner.has("u", 1, "Ada");
    stage.consumer.sells("p", "u").await;
    let first = stage.plan_of(old.clone()).start().await;
    stage.consumer.shows("p", "Ada").await;
    let second = stage.plan_of(new.clone()).start().await;
    let both = doc! { "name": "Ada", "handle": "Ada" };
    stage.consumer.until("products", "p", "the new field is shown", |product| shows(product, &both)).await;
    let ended = async || !second.logged("upgrade.ended").is_empty();
    crate::rabbitmq::eventually("the upgrade has ended", ended).await;
    let begun = second.logged("upgrade.begun");
    assert_eq!((begun.len(), &begun[0]["records"], &begun[0]["generation"]), (1, &1.into(), &2.into()));
    assert_eq!(second.logged("generation.new").len(), 1);
    assert_eq!(second.metrics().await.sum("nearcopy_upgrade_remaining", &[("replica", "users")]), 0);

    first.kill();
    let third = stage.plan_of(old.clone()).start().await;
    let told = third.logged("generation.older");
    assert_eq!((told.len(), &told[0]["generation"], &told[0]["newest"]), (1, &1.into(), &2.into()));
    let checked = stage.plan_of(old.clone()).run(&["check", "--online", "{manifest}"]);
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.contains("set manifest.downgrade_from=2"), "{checked}");
    stage.owner.has("u", 9, "Ada 9");
    for version in 2..=9 {
        stage.user("u", version, &format!("Ada {version}")).await;
    }
    let both = doc! { "name": "Ada 9", "handle": "Ada 9" };
    stage.consumer.until("products", "p", "both are new", |product| shows(product, &both)).await;
    third.stop().await;
    second.stop().await;

    let back = stage.plan_of(old).set("manifest.downgrade_from", "2").start().await;
    let name = doc! { "name": "Ada 9" };
    stage.consumer.until("products", "p", "the field is gone", |product| shows(product, &name)).await;
    let record =
        stage.consumer.until("users", "u", "and its value", |record| !record.contains_key("handle")).await;
    assert!(record.contains_key("name"));
    assert_eq!(back.logged("generation.new")[0]["generation"], 3);
    back.stop().await;
    stage.clear().await;
}

/// C4: a manifest that changes under a running sidecar takes the old one's place without a restart; one that is wrong, or another
/// service's, does not, and is told of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_changes_under_a_running_sidecar() {
    let stage = Stage::new().await;
    let old = products(&stage.owner.url());
    let new = old
        .replace("fields: { name: {", "fields: { handle: data.name, name: {")
        .replace("fields: [name]", "fields: [name, handle]");
    stage.owner.has("u", 1, "Ada");
    stage.consumer.sells("p", "u").await;
    let mut sidecar = stage.plan_of(old.clone()).start().await;
    stage.consumer.shows("p", "Ada").await;
    let refused = async |sidecar: &crate::sidecar::Sidecar| {
        sidecar.metrics().await.sum("nearcopy_manifest_refused", &[])
    };
    for wrong in
        [old.replace("keep: referenced", "keep: reverenced"), old.replace("product-service\n", "other\n")]
    {
        sidecar.is_given(&wrong);
        let told =
            |status, report: &Value| status == 200 && report["reasons"].to_string().contains("manifest");
        sidecar.is("degraded, and says why", told).await;
        assert_eq!(refused(&sidecar).await, 1);
        stage.user("u", 2, "Ada 2").await;
        stage.consumer.shows("p", "Ada 2").await;
        sidecar.is_given(&old);
        sidecar.is("well again", |_, report| report["status"] == "ok").await;
        assert_eq!(refused(&sidecar).await, 0);
    }
    let begun = sidecar.logged("running").len();
    sidecar.is_given(&new);
    let both = doc! { "name": "Ada 2", "handle": "Ada 2" };
    stage.owner.has("u", 2, "Ada 2");
    stage.consumer.until("products", "p", "the new field is shown", |product| shows(product, &both)).await;
    assert_eq!((begun, sidecar.logged("running").len(), sidecar.logged("manifest.changed").len()), (1, 2, 1));
    sidecar.is("well", |_, report| report["status"] == "ok").await;
    sidecar.stop().await;
    stage.clear().await;
}
