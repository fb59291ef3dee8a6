//! Fan-outs too large to be done at once: page by page, each record in its turn, so that none holds up another.
//!
//! How far one has come stands in the stamps, and that it is owed stands in the record. A position only saves whoever
//! takes it up after a crash, or a lost cursor, the walk past documents that are done; where crashes come faster than
//! that walk ends, it is what brings the fan-out to its end. A lease for each record keeps two pods from doing the same
//! pages; without it they would, to no harm.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::try_join_all;
use tokio::sync::Notify;

use super::lease::{LEASE, RENEWED_EVERY};
use super::pace::Pace;
use super::pass::{self, Pass, Walk};
use super::traffic::Lookout;
use super::{Halted, Pipeline, What};
use crate::clock::Stopwatch;
use crate::event::{EntityId, EntityType};
use crate::replication::{Record, RecordWrite, Rendering, Scope, Subscription};

/// How many pages are brought in line at once by who is alone: while one waits for the majority, another is written.
const ABREAST: usize = 4;

/// Records that wait for their large fan-out.
#[derive(Default)]
pub struct Backlog {
    waiting: Mutex<VecDeque<(EntityType, EntityId)>>,
    filled: Notify,
}

/// One record's fan-out under way.
struct Job {
    of: Arc<Subscription>,
    id: EntityId,
    pass: Option<Pass>,
    pace: Pace,
    lookout: Lookout,
    /// Since when the lease is ours.
    leased: Option<Stopwatch>,
    /// Whether there is a position to be forgotten in the end.
    is_noted: bool,
}

/// How a step of a job ended.
#[derive(PartialEq, Eq)]
enum Step {
    More,
    Done,
}

impl Backlog {
    /// Puts a record in line, unless it waits already.
    pub fn push(&self, replica: &EntityType, id: EntityId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|(name, known)| name == replica && *known == id) {
            waiting.push_back((replica.clone(), id));
        }
        drop(waiting);
        self.filled.notify_one();
    }

    fn take(&self) -> Vec<(EntityType, EntityId)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}

impl Pipeline {
    /// Works through the records in line, a page each in turn, for ever.
    pub(super) async fn fan_out_large(self: Arc<Self>) -> Result<(), Halted> {
        let mut jobs: VecDeque<Job> = VecDeque::new();
        loop {
            for (name, id) in self.large.take() {
                let known = jobs.iter().any(|job| job.of.name == name && job.id == id);
                if let (false, Ok(of)) = (known, self.declaration.replica(name.as_str())) {
                    jobs.push_back(Job {
                        of: of.clone(),
                        id,
                        pass: None,
                        pace: Pace::default(),
                        lookout: self.traffic.lookout(),
                        leased: None,
                        is_noted: false,
                    });
                }
            }
            let Some(mut job) = jobs.pop_front() else {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return Err(Halted),
                    () = self.large.filled.notified() => continue,
                }
            };
            if !self.holds(&mut job).await? {
                // Another pod is at it. Should it fail to, the debt is found by the rounds.
            } else if self.step(&mut job).await? == Step::More {
                jobs.push_back(job);
            } else {
                let name = job.name();
                if job.is_noted {
                    self.persist(|| self.store.set_position(&name, None)).await?;
                }
                self.persist(|| self.store.release(&name)).await?;
            }
        }
    }

    /// Takes the lease of a job, or goes on holding it.
    async fn holds(&self, job: &mut Job) -> Result<bool, Halted> {
        if job.leased.is_none_or(|leased| leased.elapsed() > RENEWED_EVERY) {
            let lease = job.name();
            let taken = self.persist(|| self.store.lease(&lease, LEASE)).await?;
            job.leased = taken.then(Stopwatch::start);
        }
        Ok(job.leased.is_some())
    }

    /// One page of a job, several where nobody else is there. The record is read anew each time, so that what is shown
    /// is never older than need be.
    async fn step(&self, job: &mut Job) -> Result<Step, Halted> {
        let (of, ids) = (job.of.clone(), [job.id.clone()]);
        let records = self.persist(|| self.store.read(&of, &ids, None)).await?;
        let owing = records.into_values().find(|record| record.owes && !of.leaves_alone(record));
        let Some(record) = owing else { return Ok(Step::Done) };
        let mut pass = match job.pass.take() {
            Some(pass) => pass,
            None => self.begin(job, &record).await?,
        };
        let Some(walk) = &mut pass.walk else {
            return self.next_embed(job, pass, &record).await;
        };
        let (watch, alone) = (Stopwatch::start(), job.lookout.is_alone(&self.traffic));
        let abreast = if alone && walk.embed.render(&record) != Rendering::Remove { ABREAST } else { 1 };
        let size = job.pace.page(alone);
        let Ok(taken) = walk.take(size, abreast).await else { return self.begin_again().await };
        let show = |page| self.show(&walk.embed, &of, std::iter::once(&record), Scope::Page(page));
        let showing = try_join_all(taken.iter().map(|page| show(page)));
        // While these are brought in line, the next ones are looked up, unless there is room to be made.
        let looking = pass::take(walk.pages.as_mut(), size, if alone { abreast } else { 0 });
        let (shown, ready) = tokio::join!(showing, looking);
        shown?;
        let Ok(ready) = ready else { return self.begin_again().await };
        walk.ready = ready;
        let took = watch.elapsed();
        let (Some(page), Some(last)) = (taken.first(), taken.last().and_then(|page| page.last())) else {
            pass.walk = None;
            job.pass = Some(pass);
            return Ok(Step::More);
        };
        if let Some(position) = pass.position(last) {
            let name = job.name();
            self.persist(|| self.store.set_position(&name, Some(&position))).await?;
            job.is_noted = true;
        }
        job.pass = Some(pass);
        if !alone {
            self.make_room(&mut job.pace, page.len(), took).await?;
        }
        Ok(Step::More)
    }

    /// The cursor is lost: what is done is done, and the walk begins again.
    async fn begin_again(&self) -> Result<Step, Halted> {
        self.pause(self.rhythm.sweep_every).await.map(|()| Step::More)
    }

    /// Lets others through after a page, and sees meanwhile how long the smallest write takes.
    async fn make_room(&self, pace: &mut Pace, page: usize, took: Duration) -> Result<(), Halted> {
        let (pause, watch) = (pace.learn_page(page, took), Stopwatch::start());
        self.persist(|| self.store.heartbeat()).await?;
        pace.learn_way(watch.elapsed());
        self.pause(pause.saturating_sub(watch.elapsed())).await
    }

    /// Begins a pass, from where one under the same revision has come to.
    async fn begin(&self, job: &mut Job, record: &Record) -> Result<Pass, Halted> {
        let name = job.name();
        let position = self.persist(|| self.store.position(&name)).await?;
        job.is_noted |= position.is_some();
        let embeds = self.declaration.embeds_of(&job.of.name).cloned().collect();
        Ok(Pass::new(record.rev, job.of.shape, embeds, position.as_ref()))
    }

    /// Begins the walk for the next embed, or ends the pass.
    async fn next_embed(&self, job: &mut Job, mut pass: Pass, record: &Record) -> Result<Step, Halted> {
        if let Some((embed, after)) = pass.next() {
            let filter = embed.outdated(record);
            let ordered = || self.store.matching_in_order(&embed, filter.clone(), after.as_ref());
            let (pages, in_order) = match self.persist(ordered).await? {
                Some(pages) => (pages, true),
                None => (self.persist(|| self.store.matching(&embed, filter.clone())).await?, false),
            };
            pass.walk = Some(Walk::new(embed, pages, in_order));
            job.pass = Some(pass);
            return Ok(Step::More);
        }
        if pass.rev != record.rev {
            return Ok(Step::More);
        }
        let paid = RecordWrite::Paid { id: record.id.clone(), rev: record.rev };
        self.pay(&job.of, &[paid]).await?;
        self.diary.note(&job.of.name, [(job.id.clone(), What::FanOutEnded)]);
        Ok(Step::Done)
    }
}

impl Job {
    /// The name of its lease and of its position.
    fn name(&self) -> String {
        format!("fan-out:{}:{}", self.of.name, self.id)
    }
}
