//! The story, chapter by chapter. Each promise is checked where it is told; the first that breaks ends the story.

mod crash;
mod events;
mod outage;
mod reads;
mod replication;

use std::time::Duration;

use anyhow::Result;

use crate::report::Report;
use crate::stage::Stage;

/// How long a promise may take that is kept in milliseconds on an idle machine.
const SOON: Duration = Duration::from_secs(30);

/// The user with all the products.
const ADA: &str = "42";
/// Has one product; is deleted in the end.
const GRACE: &str = "43";
/// Is wanted for the first time while her owner is down.
const HEDY: &str = "44";

pub(crate) async fn play(stage: &mut Stage, report: &Report, products: usize, updates: usize) -> Result<()> {
    replication::a_product_appears(stage, report).await?;
    replication::a_user_renames_herself(stage, report, products).await?;
    reads::somebody_asks(stage, report).await?;
    outage::the_owner_dies(stage, report).await?;
    events::odd_events_arrive(stage, report).await?;
    events::a_malformed_event_arrives(stage, report).await?;
    events::a_user_is_deleted(stage, report).await?;
    crash::nearcopy_is_killed(stage, report, updates).await
}
