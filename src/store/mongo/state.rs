//! Writes records: the states that events bring together, whatever else one statement each.

use std::collections::BTreeSet;

use bson::RawDocumentBuf;

use super::command::Sent;
use super::state_statement::{self, Phrases, Row};
use super::{Mongo, record_statement};
use crate::event::EntityId;
use crate::replication::{RecordWrite, Subscription};
use crate::store::{Refusal, StoreError, Written};

/// Fewer states than this have a statement each, which also makes a record where there is none: they are soon done, and
/// nobody waits for a second command.
const FEW: usize = 3;

impl Mongo {
    /// Writes in their order, as far as that can matter: events have their states before whatever else they bring.
    pub(super) async fn write_records(
        &self,
        of: &Subscription,
        writes: &[RecordWrite],
        batch: i64,
    ) -> Result<Written, StoreError> {
        let (mut total, mut first) = (Sent::default(), 0);
        for run in writes.chunk_by(|one, next| is_state(one) == is_state(next)) {
            if run.first().is_some_and(is_state) {
                self.write_states(of, run, first, batch, &mut total).await?;
            } else {
                let groups: Vec<&[RecordWrite]> = run.chunk_by(record_statement::are_paid_together).collect();
                let statements = groups.iter().map(|group| match group {
                    [write] => record_statement::statement(of, write, batch),
                    paid => record_statement::paid_together(paid),
                });
                let encoded = statements.map(|statement| RawDocumentBuf::try_from(&statement)).collect();
                let before = |at: usize| groups.iter().take(at).map(|group| group.len()).sum::<usize>();
                total.add(self.send(of.name.as_str(), encoded, false).await?, |at| Some(first + before(at)));
            }
            first += run.len();
        }
        Ok(Written { statements: writes.len(), ..total.written })
    }

    /// Writes a run of states, of which the first is that one of all writes.
    async fn write_states(
        &self,
        of: &Subscription,
        states: &[RecordWrite],
        first: usize,
        batch: i64,
        total: &mut Sent,
    ) -> Result<(), StoreError> {
        let rows: Vec<Row<'_>> = (first..)
            .zip(states)
            .filter_map(|(at, state)| state_statement::row(of, at, state, batch))
            .collect();
        self.write_rows(of, &rows, total).await
    }

    /// Writes states into the records that are there, and then makes those that are not.
    async fn write_rows(
        &self,
        of: &Subscription,
        rows: &[Row<'_>],
        total: &mut Sent,
    ) -> Result<(), StoreError> {
        let groups: Vec<&[Row<'_>]> =
            if rows.len() < FEW { rows.chunks(1).collect() } else { state_statement::groups(rows).collect() };
        let phrases = Phrases::of(of, rows);
        let statements = groups.iter().map(|group| match group {
            [row] => state_statement::alone(&phrases, row),
            rows => state_statement::together(&phrases, rows),
        });
        let mut sent = self.send_all(of, statements).await?;
        let refused = std::mem::take(&mut sent.written.refused);
        let complete = sent.matched >= rows.len() as u64;
        total.add(sent, |_| None);
        let (mut again, mut blamed) = (Vec::new(), BTreeSet::new());
        for refusal in refused {
            match groups.get(refusal.index) {
                Some([row]) => total.written.refused.push(Refusal { index: row.at, ..refusal }),
                // One of them is to blame, and has kept others from being written.
                Some(rows) => {
                    again.extend(rows.iter().map(|row| (row, state_statement::alone(&phrases, row))));
                }
                None => {}
            }
            blamed.insert(refusal.index);
        }
        if !complete {
            let rest = groups.iter().enumerate().filter(|(at, rows)| rows.len() > 1 && !blamed.contains(at));
            let wanted: Vec<&Row<'_>> = rest.flat_map(|(_, rows)| *rows).filter(|row| row.create).collect();
            let known = self.known(of, &wanted).await?;
            let absent = wanted.into_iter().filter(|row| !known.contains(row.id));
            again.extend(absent.map(|row| (row, state_statement::created(&phrases, row))));
        }
        if !again.is_empty() {
            let (rows, statements): (Vec<_>, Vec<_>) = again.into_iter().unzip();
            let sent = self.send_all(of, statements.into_iter()).await?;
            total.add(sent, |at| rows.get(at).map(|row| row.at));
        }
        Ok(())
    }

    async fn send_all(
        &self,
        of: &Subscription,
        statements: impl Iterator<Item = RawDocumentBuf>,
    ) -> Result<Sent, StoreError> {
        self.send(of.name.as_str(), statements.map(Ok).collect(), false).await
    }

    /// Which of these have a record, as far as the server knows; whoever acts on it does so under a guard.
    async fn known(&self, of: &Subscription, rows: &[&Row<'_>]) -> Result<BTreeSet<EntityId>, StoreError> {
        if rows.is_empty() {
            return Ok(BTreeSet::new());
        }
        let action = format!("looking for records of `{}`", of.name);
        let found = self.run_raw(&action, state_statement::which_are_there(of, rows)).await?;
        let kind = of.selection.id_kind();
        let ids = found.get_array("values").map(Vec::as_slice).unwrap_or_default();
        Ok(ids.iter().filter_map(|id| EntityId::from_bson(id, kind)).collect())
    }
}

fn is_state(write: &RecordWrite) -> bool {
    matches!(write, RecordWrite::State { .. })
}
