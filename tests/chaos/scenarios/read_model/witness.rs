//! A reader who looks at counters all the while, and remembers the highest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use bson::{Document, doc};
use futures::TryStreamExt;
use mongodb::options::{CollectionOptions, ReadConcern};
use tokio::time::sleep;

use super::MODEL;
use crate::world::shop::connect;

/// Looks until told to stop; how often, and how often a counter was lower than before, or gone.
pub(super) async fn watch(url: String, stop: Arc<AtomicBool>) -> Result<(u64, u64)> {
    let options = CollectionOptions::builder().read_concern(ReadConcern::majority()).build();
    let database = connect(&url).await?;
    let counters = database.collection_with_options::<Document>(MODEL, options);
    // Causal, so that a deposed primary cannot show what was before.
    let mut session = database.client().start_session().await?;
    let (mut highest, mut looks, mut steps_back) = (BTreeMap::<String, i64>::new(), 0, 0);
    while !stop.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(10)).await;
        let found = match counters.find(doc! {}).session(&mut session).await {
            Ok(mut found) => found.stream(&mut session).try_collect::<Vec<Document>>().await,
            Err(error) => Err(error),
        };
        // A database that does not answer now does so later.
        let Ok(found) = found else { continue };
        looks += 1;
        let seen: BTreeMap<String, i64> = found
            .iter()
            .filter_map(|found| {
                Some((found.get_str("_id").ok()?.to_owned(), found.get_i64("times").unwrap_or_default()))
            })
            .collect();
        for (counter, before) in &highest {
            steps_back += u64::from(seen.get(counter).is_none_or(|now| now < before));
        }
        highest = seen;
    }
    Ok((looks, steps_back))
}
