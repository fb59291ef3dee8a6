//! The program itself, through a rolling deploy and back.

use bson::{Document, doc};

use crate::stage::{Stage, products};

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
