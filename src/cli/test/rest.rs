//! When a test has come to rest: nothing is left to be done, and nothing is on its way.

use std::time::Duration;

use super::stage::{Fed, Model, Stage};
use crate::clock::Stopwatch;
use crate::replication::{State, Subscription};
use crate::store::{OutboxStore, ReadModelStore};

/// How often it is looked whether anything is left.
const LOOK: Duration = Duration::from_secs(1);
/// How long nothing must have come until the clock counts for deadlines, and a little more.
const DEADLINES: Duration = Duration::from_secs(8);
/// How long all may take, in the time of the test.
const PATIENCE: Duration = Duration::from_mins(5);

impl Stage {
    /// Waits until what is given is known of; the error is what is still open.
    pub(super) async fn begin(&self) -> Result<(), Vec<String>> {
        self.rest(LOOK).await
    }

    /// Waits until what was published, and all that follows from it, is done. Owners' first answers are confirmed, too.
    pub(super) async fn end(&self) -> Result<(), Vec<String>> {
        let fetches = self.declaration.replicas.iter().filter_map(|replica| replica.fetch.as_ref());
        let settle = fetches.map(|fetch| fetch.settle).max().unwrap_or_default();
        let has_deadlines = self.declaration.read_models.iter().any(|of| of.has_deadlines());
        let deadlines = if has_deadlines { DEADLINES } else { Duration::ZERO };
        self.rest((settle * 2 + LOOK).max(deadlines)).await
    }

    /// Waits until nothing is open, and nothing has been for a while.
    async fn rest(&self, quiet: Duration) -> Result<(), Vec<String>> {
        let begun = Stopwatch::start();
        loop {
            tokio::time::sleep(LOOK).await;
            let mut open = self.open().await;
            if open.is_empty() {
                tokio::time::sleep(quiet).await;
                open = self.open().await;
            }
            if open.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(open);
            }
        }
    }

    /// What is still open, in words.
    async fn open(&self) -> Vec<String> {
        let unsettled = self.queues.iter().map(|(name, queue)| (name, queue.unsettled()));
        let unsettled = unsettled.filter(|(_, count)| *count > 0);
        let mut open: Vec<String> =
            unsettled.map(|(name, count)| format!("{count} of `{name}` are not settled")).collect();
        let unread = self.feeds.iter().map(|(name, events)| (name, events.unread()));
        open.extend(
            unread
                .filter(|(_, left)| *left > 0)
                .map(|(name, left)| format!("{left} of `{name}` are not taken")),
        );
        for model in &self.models {
            open.extend(self.unfolded(model).await);
        }
        match self.pod.outgoing(0).await {
            Ok(left) if left.is_empty() => {}
            Ok(left) => open.push(format!("{} messages of rules are not told", left.len())),
            Err(error) => open.push(error.to_string()),
        }
        open.extend(self.declaration.replicas.iter().flat_map(|of| self.unfinished(of)));
        open
    }

    /// Whether a read model is not at the end of its stream, or has not taken all that waits in its queue.
    async fn unfolded(&self, model: &Model) -> Option<String> {
        let name = &model.of.name;
        let trouble = model.trouble.borrow().clone();
        let trouble = trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default();
        let last = match &model.fed {
            Fed::Stream(stream) => stream.last(),
            Fed::Queue(queue) => {
                let left = queue.unsettled();
                return (left > 0).then(|| format!("{left} for `{name}` are not settled{trouble}"));
            }
            Fed::Feed(events) => {
                let left = events.unread();
                return (left > 0).then(|| format!("{left} for `{name}` are not folded{trouble}"));
            }
        };
        let at = match self.pod.checkpoints(name).await {
            Ok(at) => at.first().map(|at| at.place),
            Err(error) => return Some(error.to_string()),
        };
        (at != last).then(|| format!("`{name}` is not folded to the end{trouble}"))
    }

    /// What a replica's records still need. Of an owner that does not answer, nothing is expected.
    fn unfinished(&self, of: &Subscription) -> Vec<String> {
        let (now, name) = (self.memory.now(), &of.name);
        let answers = self.answering.iter().any(|known| known == name.as_str());
        let open = self.memory.records(name).into_values().filter_map(|record| {
            let id = &record.id;
            match (&record.need, record.due) {
                _ if record.owes => Some(format!("`{name}` {id} has not reached all documents")),
                _ if !answers => None,
                (Some(need), _) => {
                    Some(format!("`{name}` {id} is to have version {need}, and its owner has another"))
                }
                _ if record.state == State::Pending => Some(format!("`{name}` {id} is not known yet")),
                (_, Some(due)) if due <= now => Some(format!("the owner is to be asked about `{name}` {id}")),
                _ => None,
            }
        });
        open.collect()
    }
}
