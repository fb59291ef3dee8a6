//! One suite for two stores: what the double in memory does is what MongoDB does.
//!
//! The same random steps are taken on both, and after each of them both say the same. A failure prints its seed.

mod embeds;
mod epochs;
mod others;
mod read_models;
mod records;
mod shapes;
mod streams;

use std::sync::Arc;

use nearcopy::event::EntityId;
use nearcopy::replication::{Declaration, Record, Subscription};
use nearcopy::store::memory::Memory;
use nearcopy::store::{Records, Store};

use crate::declared::{id, users};
use crate::mongodb::Database;

/// Who stands in the records.
const USERS: [&str; 4] = ["ann", "bob", "cid", "dora"];
/// How far two clocks may be apart, in milliseconds; what is told apart is told apart by far more.
const TOLERANCE: i64 = 20_000;

/// The two stores, with the same declaration.
struct Both {
    database: Database,
    memory: Memory,
}

impl Both {
    async fn new(declaration: &Arc<Declaration>) -> Self {
        let database = Database::new(declaration).await;
        Self { database, memory: Memory::new(nearcopy::clock::wall_micros() / 1000, 1) }
    }

    fn stores(&self) -> [Arc<dyn Store>; 2] {
        [self.database.store.clone(), Arc::new(self.memory.pod("one"))]
    }

    fn of(&self) -> &Arc<Subscription> {
        users(&self.database.declaration)
    }
}

fn everybody() -> Vec<EntityId> {
    USERS.iter().map(|user| id(user)).collect()
}

/// Records with the times and claims of others, where they mean the same.
fn aligned(records: &Records, like: &Records) -> Records {
    let align = |(id, record): (&EntityId, &Record)| {
        let aligned = like.get(id).map_or_else(|| record.clone(), |like| aligned_one(record, like));
        (id.clone(), aligned)
    };
    records.iter().map(align).collect()
}

fn aligned_one(record: &Record, like: &Record) -> Record {
    let near = |time: Option<i64>, like: Option<i64>, unit: i64| match (time, like) {
        (Some(time), Some(like)) if time.abs_diff(like) <= TOLERANCE.unsigned_abs() * unit.unsigned_abs() => {
            Some(like)
        }
        _ => time,
    };
    Record {
        rev: near(Some(record.rev), Some(like.rev), 1000).unwrap_or_default(),
        due: near(record.due, like.due, 1),
        asked: near(record.asked, like.asked, 1000),
        since: near(record.since, like.since, 1000),
        claim: record.claim.as_ref().and(like.claim.clone()).or(record.claim.clone()),
        ..record.clone()
    }
}

fn choose<T: Clone>(dice: &mut fastrand::Rng, list: &[T]) -> T {
    list[dice.usize(0..list.len())].clone()
}

/// How many steps are taken under how many seeds; `CONFORMANCE_SEEDS` takes more.
fn seeds() -> std::ops::Range<u64> {
    let more = std::env::var("CONFORMANCE_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    0..more.unwrap_or(4)
}
