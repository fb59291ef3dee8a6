//! What is wanted is copied, and follows its owner; what is not wanted is not stored.

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::{ADA, GRACE, HEDY, SOON};
use crate::report::Report;
use crate::shop::{SECRET, embedded};
use crate::stage::Stage;

pub(super) async fn a_product_appears(stage: &mut Stage, report: &Report) -> Result<()> {
    report.chapter("A product appears");
    for (id, name) in [(ADA, "ada"), (GRACE, "grace"), (HEDY, "hedy")] {
        stage.users.create(id, name).await?;
    }
    let ignored = |now: &crate::metrics::Scrape| now.outcome("ignored") >= 3;
    stage.expect_numbers(report, "three users are created; nearcopy hears of them", ignored).await?;
    let stored = stage.replica.record_count().await?;
    ensure!(stored == 0, "no product wants a user, yet {stored} are stored");
    report.kept("no product wants them: none is stored", None);

    let since = Instant::now();
    stage.products.create("p-ada", ADA).await?;
    let hydrated = async || expect_user(stage, "p-ada", "ada").await;
    report.eventually("a product of ada's shows her username and email", since, SOON, hydrated).await?;
    stage.products.create("p-grace", GRACE).await?;
    let hydrated = async || expect_user(stage, "p-grace", "grace").await;
    report.eventually("and so does one of grace's", Instant::now(), SOON, hydrated).await?;

    let stored = stage.replica.record_count().await?;
    ensure!(stored == 2, "two users are wanted, {stored} are stored");
    expect_subset(stage).await?;
    report.kept("only these two are stored, and of them only the declared fields", None);
    Ok(())
}

pub(super) async fn a_user_renames_herself(
    stage: &mut Stage,
    report: &Report,
    products: usize,
) -> Result<()> {
    report.chapter("A user renames herself");
    let since = Instant::now();
    let api = &stage.products;
    stream::iter(1..products)
        .map(|number| async move { api.create(&format!("p-ada-{number}"), ADA).await })
        .buffer_unordered(16)
        .try_collect::<Vec<()>>()
        .await?;
    let count = u64::try_from(products)?;
    let all_show = async |name: &str| stage.replica.expect_products(ADA, count, &embedded(name)).await;
    let promise = format!("ada has {products} products; each shows her name");
    report.eventually(&promise, since, SOON, async || all_show("ada").await).await?;
    let others = stage.products.get("p-grace").await?;

    let since = Instant::now();
    stage.users.rename(ADA, "lovelace").await?;
    let renamed = async || {
        let record = stage.replica.expect_state(ADA, "live").await?;
        let name = record.get_str("username")?;
        ensure!(name == "lovelace", "her record says {name}");
        Ok(())
    };
    report.eventually("she calls herself lovelace: her record follows", since, SOON, renamed).await?;
    let promise = format!("and all her {products} products");
    report.eventually(&promise, since, SOON, async || all_show("lovelace").await).await?;

    let now = stage.products.get("p-grace").await?;
    ensure!(now == others, "grace's product was {others} and is {now}");
    report.kept("a product of another user's is as it was", None);
    Ok(())
}

async fn expect_user(stage: &Stage, product: &str, name: &str) -> Result<()> {
    let shown = &stage.products.get(product).await?["user"];
    ensure!(*shown == embedded(name), "product {product} shows the user {shown}");
    Ok(())
}

/// Minimality: the fields of the manifest, and nothing else that the owner knows.
async fn expect_subset(stage: &Stage) -> Result<()> {
    let record = stage.replica.record(ADA).await?;
    let mut fields: Vec<&str> = record.keys().map(String::as_str).collect();
    fields.sort_unstable();
    ensure!(
        fields == ["_id", "_nearcopy", "city", "email", "username"],
        "a record has the fields {fields:?}"
    );
    let leaks = stage.replica.collections_with(SECRET).await?;
    ensure!(leaks.is_empty(), "an undeclared field was copied into {leaks:?}");
    Ok(())
}
