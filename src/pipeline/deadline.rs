//! Looks for documents that have been so for as long as a rule says.

use std::time::Duration;

use bson::DateTime;

use super::fold::Item;
use super::project::Projection;
use crate::clock::Stopwatch;
use crate::store::{Lapsed, Reached, StoreError};

/// How often is looked.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long nothing must have come for the stream to be read to its end. Until then only the events' own time counts: what has
/// passed by the clock may yet turn out to have been in time.
const QUIET: Duration = Duration::from_secs(5);
/// How many documents are looked at together.
const TOGETHER: usize = 500;

/// Looks now and then, where a rule has a deadline.
pub(super) struct Lookout {
    has_deadlines: bool,
    looked: Stopwatch,
    heard: Stopwatch,
    /// The time of the latest event.
    latest: Option<DateTime>,
}

impl Lookout {
    pub(super) fn new(projection: &Projection) -> Self {
        let (looked, heard) = (Stopwatch::start(), Stopwatch::start());
        Self { has_deadlines: projection.of.has_deadlines(), looked, heard, latest: None }
    }

    /// Notes that events have come.
    pub(super) fn hear(&mut self, items: &[Item]) {
        if self.has_deadlines && !items.is_empty() {
            self.heard = Stopwatch::start();
            let times = items.iter().filter_map(|item| item.facts()?.at);
            self.latest = times.chain(self.latest).max();
        }
    }

    /// The documents of which something is to be told.
    pub(super) async fn look(&mut self, projection: &Projection) -> Result<Option<Lapsed>, StoreError> {
        let is_quiet = self.heard.elapsed() > QUIET;
        let knows_time = is_quiet || self.latest.is_some();
        if !self.has_deadlines || !knows_time || self.looked.elapsed() < LOOK_EVERY {
            return Ok(None);
        }
        self.looked = Stopwatch::start();
        let before = self.latest.filter(|_| !is_quiet).map(a_little_earlier);
        projection.store.lapsed(&projection.of.name, before, TOGETHER).await
    }
}

impl Lookout {
    /// The same where there are partitions, and how far this one has come, if it is time to say so. What others have not read
    /// yet may lift a deadline; so one has passed only when all have come so far, and the first of them looks.
    pub(super) async fn look_among(
        &mut self,
        projection: &Projection,
    ) -> Result<(Option<Lapsed>, Option<Reached>), StoreError> {
        let Some(part) = projection.inflow.part().filter(|_| self.has_deadlines) else {
            return Ok((None, None));
        };
        if self.looked.elapsed() < LOOK_EVERY {
            return Ok((None, None));
        }
        self.looked = Stopwatch::start();
        let is_quiet = self.heard.elapsed() > QUIET;
        let heard = self.latest.map(|latest| Reached::At(a_little_earlier(latest)));
        let reached = if is_quiet { Some(Reached::Now) } else { heard };
        if part.number > 0 || reached.is_none() {
            return Ok((None, reached));
        }
        let (store, of) = (&projection.store, &projection.of.name);
        let all = store.checkpoints(of).await?;
        let others = all.iter().filter(|at| at.partition != Some(0)).map(|at| at.reached);
        let others: Option<Vec<Reached>> = others.collect();
        let Some(others) = others.filter(|others| others.len() + 1 >= usize::from(part.of)) else {
            return Ok((None, reached));
        };
        let times = others.into_iter().chain(reached).filter_map(|reached| match reached {
            Reached::At(time) => Some(time),
            Reached::Now => None,
        });
        Ok((store.lapsed(of, times.min(), TOGETHER).await?, reached))
    }
}

/// Events of different publishers are not quite in the order of their times.
fn a_little_earlier(time: DateTime) -> DateTime {
    let little = i64::try_from(QUIET.as_millis()).unwrap_or_default();
    DateTime::from_millis(time.timestamp_millis().saturating_sub(little))
}
