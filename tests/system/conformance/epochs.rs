//! Who is at work, and when owners were restored.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use nearcopy::event::EntityType;
use nearcopy::store::{Epochs, Presence, Store};

use super::{Both, choose, seeds};
use crate::declared::shop;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn presences_and_timelines_are_the_same_in_memory() {
    let both = Both::new(&shop("all", "", &[])).await;
    let mongodb: [Arc<dyn Store>; 2] = [both.database.store.clone(), both.database.connect().await];
    let memory: [Arc<dyn Store>; 2] = [Arc::new(both.memory.pod("one")), Arc::new(both.memory.pod("two"))];
    let (mut dice, begun) = (Rng::with_seed(1), nearcopy::clock::wall_micros());
    for step in 0..50 * seeds().end {
        let pod = dice.usize(0..2);
        let hold = choose(&mut dice, &[Duration::ZERO, HOUR]);
        let epochs = Epochs::from([(EntityType::new("users"), dice.i64(0..1_000_000))]);
        let hours = choose(&mut dice, &[-3, -2, -1, 1]);
        let (kind, at) = (dice.u8(0..6), begun + hours * 3_600_000_000 + dice.i64(0..5_000));
        let mut said = Vec::new();
        for store in [&mongodb[pod], &memory[pod]] {
            let moment = match kind {
                0..3 => store.announce(&epochs, hold).await.unwrap(),
                3 => store.depart().await.map(|()| None).unwrap(),
                _ => store.restored(both.of(), at).await.unwrap(),
            };
            assert_eq!(moment.is_some(), kind != 3);
            said.push((known(store.present().await.unwrap()), store.timelines(moment).await.unwrap()));
        }
        assert_eq!(said.first(), said.last(), "step {step}");
    }
    both.database.drop().await;
}

/// What those who are at work know; their names and hosts are each store's own.
fn known(present: Vec<Presence>) -> Vec<Epochs> {
    let mut known: Vec<Epochs> = present.into_iter().map(|presence| presence.epochs).collect();
    known.sort();
    known
}
