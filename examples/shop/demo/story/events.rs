//! Events come twice, late, in the wrong order and broken; and one says that a user is gone.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{ADA, GRACE, SOON};
use crate::metrics::Scrape;
use crate::replica::id;
use crate::report::Report;
use crate::shop::{SECRET, embedded, event};
use crate::stage::Stage;

const UPDATED: &str = "user.updated";

pub(super) async fn odd_events_arrive(stage: &mut Stage, report: &Report) -> Result<()> {
    report.chapter("Events come twice, late and in the wrong order");
    let older = stage.users.rename(GRACE, "hopper").await?;
    let newer = stage.users.rename(GRACE, "admiral").await?;
    expect_grace(stage, report, "grace renames herself twice; the second name is shown", "admiral").await?;

    let before = stage.scrape().await?;
    let frozen = frozen(stage).await?;
    publish(stage, &[event(UPDATED, &newer), event(UPDATED, &older), event(UPDATED, &newer)]).await?;
    let counted = |now: &Scrape| {
        now.received >= before.received + 3
            && now.outcome("duplicate") >= before.outcome("duplicate") + 2
            && now.outcome("stale") > before.outcome("stale")
    };
    stage.expect_numbers(report, "the last event twice more, an old one between: counted", counted).await?;
    let now = self::frozen(stage).await?;
    ensure!(now == frozen, "they changed the record or a product:\n  was {frozen:?}\n  is  {now:?}");
    report.kept("they change nothing: record, revision and product are the same", None);
    events_swap_places(stage, report, &newer).await
}

/// The owner's next two states, the second told before the first.
async fn events_swap_places(stage: &mut Stage, report: &Report, current: &Value) -> Result<()> {
    let mut second = current.clone();
    second["version"] = json!(current["version"].as_i64().context("no version")? + 2);
    second["username"] = json!("rear-admiral");
    second["email"] = embedded("rear-admiral")["email"].clone();
    publish(stage, &[event(UPDATED, &second)]).await?;
    expect_grace(stage, report, "of two new events the second comes first", "rear-admiral").await?;

    let before = stage.scrape().await?;
    stage.users.rename(GRACE, "commodore").await?;
    let late = |now: &Scrape| now.outcome("stale") > before.outcome("stale");
    stage.expect_numbers(report, "the first, come late, is stale", late).await?;
    stage.replica.expect_products(GRACE, 1, &embedded("rear-admiral")).await?;
    report.kept("and is not shown", None);

    stage.users.rename(GRACE, "rear-admiral").await?; // the owner itself arrives at the second
    let known = |now: &Scrape| now.outcome("duplicate") > before.outcome("duplicate");
    stage.expect_numbers(report, "the second, told by the owner at last, is a duplicate", known).await?;
    Ok(())
}

pub(super) async fn a_malformed_event_arrives(stage: &mut Stage, report: &Report) -> Result<()> {
    report.chapter("A malformed event arrives");
    let before = stage.scrape().await?;
    let torn =
        format!(r#"{{"id":"torn","type":"user.updated","data":{{"id":"{ADA}","passwordHash":"{SECRET}""#);
    let mut wrong = event(UPDATED, &stage.users.get(ADA).await?);
    wrong["data"]["version"] = json!("seven");
    let events = [(UPDATED, torn.into_bytes()), (UPDATED, wrong.to_string().into_bytes())];
    stage.broker.publish(&events).await?;
    let since = Instant::now();
    stage.users.rename(ADA, "countess").await?;
    let flows = async || {
        let name = stage.replica.record(ADA).await?.get_str("username")?.to_owned();
        ensure!(name == "countess", "ada's record says {name}");
        Ok(())
    };
    report
        .eventually("one torn, one with a version that is none: the next one flows on", since, SOON, flows)
        .await?;
    let parked = |now: &Scrape| now.outcome("parked") >= before.outcome("parked") + 2;
    stage.expect_numbers(report, "both are parked", parked).await?;

    let parked = stage.replica.all("nearcopy.parked").await?;
    ensure!(!parked.is_empty(), "nearcopy.parked is empty");
    for event in &parked {
        let reason = event.get_str("reason").unwrap_or_default();
        let detail = event.get_str("detail").unwrap_or_default();
        ensure!(
            !reason.is_empty(),
            "an event is parked without a reason: {:?}",
            event.keys().collect::<Vec<_>>()
        );
        report.note(&format!("parked: {reason}: {detail}"));
    }
    let leaks = stage.replica.collections_with(SECRET).await?;
    ensure!(leaks.is_empty(), "an undeclared field of a parked event is in {leaks:?}");
    report.kept("each with its reason, and without the fields nobody declared", None);
    Ok(())
}

pub(super) async fn a_user_is_deleted(stage: &mut Stage, report: &Report) -> Result<()> {
    report.chapter("A user is deleted");
    let last = stage.users.get(GRACE).await?;
    let shown = stage.products.get("p-grace").await?["user"].clone();
    let since = Instant::now();
    stage.users.delete(GRACE).await?;
    report
        .eventually("grace is deleted: a tombstone is left of her record", since, SOON, async || {
            expect_tombstone(stage).await
        })
        .await?;
    let keeps = &stage.products.get("p-grace").await?["user"];
    ensure!(*keeps == shown, "when_deleted: keep, yet her product shows {keeps} instead of {shown}");
    report.kept("her product still shows her: when_deleted is keep", None);

    let before = stage.scrape().await?;
    let mut late = last.clone();
    late["username"] = json!("ghost");
    publish(stage, &[event(UPDATED, &last), event(UPDATED, &late)]).await?;
    let counted = |now: &Scrape| now.received >= before.received + 2 && now.is_closed();
    stage.expect_numbers(report, "two late updates of her arrive", counted).await?;
    expect_tombstone(stage).await?;
    let keeps = &stage.products.get("p-grace").await?["user"];
    ensure!(*keeps == shown, "a late update reached her product: {keeps}");
    report.kept("they do not bring her back", None);
    Ok(())
}

async fn expect_grace(stage: &Stage, report: &Report, promise: &str, name: &str) -> Result<()> {
    let shown = async || stage.replica.expect_products(GRACE, 1, &embedded(name)).await;
    report.eventually(promise, Instant::now(), SOON, shown).await
}

async fn expect_tombstone(stage: &Stage) -> Result<()> {
    let record = stage.replica.expect_state(GRACE, "gone").await?;
    ensure!(!record.contains_key("username"), "her record is gone, yet has her name");
    Ok(())
}

/// Everything stored about grace that a reader or a later event can see: values, keys, revisions and stamps.
async fn frozen(stage: &Stage) -> Result<(Value, Value)> {
    let mut record = stage.replica.record(GRACE).await?;
    if let Ok(own) = record.get_document_mut("_nearcopy") {
        for transient in ["due", "claim", "owes", "need", "mark"] {
            own.remove(transient); // nearcopy's own appointments
        }
    }
    let products = stage.replica.all("products").await?;
    let product = products.into_iter().find(|product| id(product) == "p-grace");
    Ok((serde_json::to_value(record)?, serde_json::to_value(product)?))
}

async fn publish(stage: &Stage, events: &[Value]) -> Result<()> {
    let raw: Vec<(&str, Vec<u8>)> = events
        .iter()
        .map(|event| (event["type"].as_str().unwrap_or(UPDATED), event.to_string().into_bytes()))
        .collect();
    stage.broker.publish(&raw).await
}
