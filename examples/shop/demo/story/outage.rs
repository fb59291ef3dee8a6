//! The owner dies. The consumer goes on, and what was wanted meanwhile arrives by itself.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;

use super::{ADA, HEDY, SOON};
use crate::report::Report;
use crate::shop::embedded;
use crate::stage::Stage;

/// Longer than one wait of nearcopy's before it asks a dead owner again.
const OUTAGE: Duration = Duration::from_secs(3);
/// A breaker may have opened; it tries again within this.
const RECOVERS_WITHIN: Duration = Duration::from_secs(90);

pub(super) async fn the_owner_dies(stage: &mut Stage, report: &Report) -> Result<()> {
    report.chapter("UserService dies");
    stage.user_service.kill()?;
    report.note("UserService is killed");
    expect_whole_list(stage, report, "every product is listed with its user").await?;

    let since = Instant::now();
    let told = stage.http.get(format!("{}/v1/users/{ADA}", stage.reads)).send().await?;
    ensure!(told.status().is_success(), "a reader is answered with {}", told.status());
    report.kept("and whoever asks is told what is held", Some(since.elapsed()));

    let since = Instant::now();
    stage.products.create("p-hedy", HEDY).await?;
    let pending = async || stage.replica.expect_state(HEDY, "pending").await.map(drop);
    report.eventually("a product of a user never seen: she is pending", since, SOON, pending).await?;
    tokio::time::sleep(OUTAGE).await;
    pending().await?;
    let shown = &stage.products.get("p-hedy").await?["user"];
    ensure!(shown.is_null(), "nobody knows hedy, yet her product shows {shown}");
    report.kept("she stays so; her product is listed without her", None);
    expect_whole_list(stage, report, "all others are listed whole, still").await?;

    let since = Instant::now();
    stage.user_service.start(&stage.http).await?;
    report.note("UserService returns");
    let complete = async || {
        stage.replica.expect_state(HEDY, "live").await?;
        stage.replica.expect_products(HEDY, 1, &embedded("hedy")).await
    };
    report.eventually("her product completes by itself", since, RECOVERS_WITHIN, complete).await
}

async fn expect_whole_list(stage: &Stage, report: &Report, promise: &str) -> Result<()> {
    let began = Instant::now();
    let products = stage.products.list().await?;
    let took = began.elapsed();
    let bare = products.iter().filter(|p| p["userId"] != HEDY && p["user"]["username"].is_null()).count();
    ensure!(
        bare == 0 && !products.is_empty(),
        "{bare} of {} products are listed without their user",
        products.len()
    );
    report.kept(&format!("{promise} ({})", products.len()), Some(took));
    Ok(())
}
