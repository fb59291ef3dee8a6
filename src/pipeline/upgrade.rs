//! Brings records of earlier generations to today's, for as long as there are pods that write them.

use super::{Halted, Pipeline};
use crate::clock::Stopwatch;
use crate::event::EntityId;
use crate::replication::{Record, RecordWrite, Subscription, upgrade};
use crate::store::Backlog;

/// How many records are looked at together.
const PAGE: usize = 500;

/// An upgrade that has begun and is not at its end.
pub(super) struct Upgrade {
    watch: Stopwatch,
    records: u64,
}

impl Pipeline {
    /// Upgrades all records of earlier generations, and says when that begins and when it has come to its end: the
    /// owner has been asked for every field that was added, where it can be.
    pub(super) async fn upgrade(
        &self,
        of: &Subscription,
        backlog: Backlog,
        under_way: &mut Option<Upgrade>,
    ) -> Result<(), Halted> {
        let left = backlog.outdated + if of.fetch.is_some() { backlog.lacking } else { 0 };
        match under_way.take() {
            None if left == 0 => return Ok(()),
            None => {
                begun(of, left);
                *under_way = Some(Upgrade { watch: Stopwatch::start(), records: left });
            }
            Some(upgrade) if left == 0 => {
                ended(of, &upgrade);
                return Ok(());
            }
            Some(mut upgrade) => {
                upgrade.records = upgrade.records.max(left);
                *under_way = Some(upgrade);
            }
        }
        while backlog.outdated > 0 && self.upgrade_page(of).await? > 0 {}
        Ok(())
    }

    /// Upgrades some records and brings their documents in line; says how many there were. One that has changed in
    /// that moment is found again.
    async fn upgrade_page(&self, of: &Subscription) -> Result<u64, Halted> {
        let outdated = self.persist(|| self.store.outdated(of, PAGE)).await?;
        if outdated.is_empty() {
            return Ok(0);
        }
        let writes: Vec<RecordWrite> = outdated.iter().map(|record| upgrade(of, record)).collect();
        let written = self.persist(|| self.store.write(of, &writes, 0)).await?;
        for refusal in &written.refused {
            let id = writes.get(refusal.index).map(RecordWrite::id).map(tracing::field::display);
            tracing::error!(event = "upgrade.refused", entity.r#type = %of.name, entity.id = id, reason = refusal.reason, "the record cannot be brought to this generation");
        }
        self.wanted.send_replace(());
        if of.embedded {
            let ids: Vec<EntityId> = outdated.into_iter().map(|record| record.id).collect();
            let records = self.persist(|| self.store.read(of, &ids, written.moment)).await?;
            let owing: Vec<Record> = records.into_values().filter(|record| record.owes).collect();
            let paid = self.fan_out(of, &owing, written.moment).await?;
            self.pay(of, &paid).await?;
        }
        Ok(written.changed)
    }
}

fn begun(of: &Subscription, records: u64) {
    tracing::info!(
        event = "upgrade.begun",
        entity.r#type = %of.name,
        generation = of.shape,
        records,
        "the declaration has changed; records are brought to its new generation"
    );
}

fn ended(of: &Subscription, upgrade: &Upgrade) {
    tracing::info!(
        event = "upgrade.ended",
        entity.r#type = %of.name,
        generation = of.shape,
        records = upgrade.records,
        seconds = upgrade.watch.elapsed().as_secs_f64(),
        "every record holds what is declared now"
    );
}
