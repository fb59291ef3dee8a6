//! What goes wrong, and where. Every effect that a pod has on the world, or the world on it, passes here, numbered:
//! so it can fail before or after it was done, take long, or be the pod's last.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::chance::Chance;
use crate::journal::Journal;
use crate::life::{Life, Mode};
use crate::plan::Trouble;

/// What becomes of one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Fine,
    /// It is not done, and the caller is told that it is not known.
    FailBefore,
    /// It is done, and the caller is told that it is not known.
    FailAfter,
    /// The pod dies, and it is not done.
    CrashBefore,
    /// It is done, and the pod dies.
    CrashAfter,
    /// It is done late.
    SlowBefore(Duration),
    /// It is done, and the pod hears of it late.
    SlowAfter(Duration),
}

/// One fault at one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strike {
    /// The number of the effect.
    pub(crate) at: u64,
    pub(crate) fate: Fate,
}

/// The one who lets things go wrong.
#[derive(Clone)]
pub(crate) struct Faults(Arc<Inner>);

struct Inner {
    trouble: Trouble,
    strike: Option<Strike>,
    chance: Chance,
    journal: Journal,
    number: AtomicU64,
    over: AtomicBool,
    /// When the last of what is late will have come, in milliseconds.
    late: AtomicU64,
    crashed: mpsc::UnboundedSender<Life>,
}

impl Faults {
    /// Pods that crash are told of through `crashed`.
    pub(crate) fn new(
        trouble: Trouble,
        strike: Option<Strike>,
        chance: Chance,
        journal: Journal,
        crashed: mpsc::UnboundedSender<Life>,
    ) -> Self {
        let (number, over, late) = (AtomicU64::new(0), AtomicBool::new(false), AtomicU64::new(0));
        Self(Arc::new(Inner { trouble, strike, chance, journal, number, over, late, crashed }))
    }

    /// How much goes wrong.
    pub(crate) fn trouble(&self) -> &Trouble {
        &self.0.trouble
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn end(&self) {
        self.0.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn are_over(&self) -> bool {
        self.0.over.load(Ordering::Relaxed)
    }

    /// When the last of what is late will have come.
    pub(crate) fn late_until(&self) -> Duration {
        Duration::from_millis(self.0.late.load(Ordering::Relaxed))
    }

    async fn be_late(&self, pause: Duration) {
        let until = self.0.journal.now() + pause;
        self.0.late.fetch_max(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        tokio::time::sleep(pause).await;
    }

    /// How many effects there have been while things could go wrong.
    pub(crate) fn effects(&self) -> u64 {
        self.0.number.load(Ordering::Relaxed)
    }

    /// Whether this happens now.
    pub(crate) fn strikes(&self, in_a_thousand: u64) -> bool {
        !self.are_over() && self.0.chance.happens(in_a_thousand)
    }

    /// The pod is dead from now on.
    pub(crate) fn crash(&self, life: &Life) {
        if !life.is(Mode::Dead) {
            life.set(Mode::Dead);
            self.0.journal.count("crashes");
            self.0.journal.note(|| format!("{life}: crashes"));
            // Once the run is over nobody listens any more.
            let _nobody = self.0.crashed.send(life.clone());
        }
    }

    /// An effect begins. Who comes back from here goes on to do it, unless the fate is to fail before.
    pub(crate) async fn enter(&self, life: &Life, what: &'static str, on: impl FnOnce() -> String) -> Fate {
        life.pass().await;
        let fate = self.fate(life, what, on);
        match fate {
            Fate::CrashBefore => {
                self.crash(life);
                pending::<()>().await;
            }
            Fate::SlowBefore(pause) => {
                self.be_late(pause).await;
                // What is on its way arrives, whatever has become of the sender; or it never left.
                if !life.is(Mode::Runs) && self.0.chance.happens(500) {
                    self.0.journal.note(|| format!("{life}: {what} arrives nevertheless"));
                } else {
                    life.pass().await;
                }
            }
            _ => {}
        }
        fate
    }

    /// An effect has been done. Who comes back from here hears of it.
    pub(crate) async fn leave(&self, life: &Life, fate: Fate) {
        match fate {
            Fate::CrashAfter => {
                self.crash(life);
                pending::<()>().await;
            }
            Fate::SlowAfter(pause) => self.be_late(pause).await,
            _ => {}
        }
        life.pass().await;
    }

    /// An effect that does not wait for anything; none, if the pod is dead.
    pub(crate) fn at_once(
        &self,
        life: &Life,
        what: &'static str,
        on: impl FnOnce() -> String,
    ) -> Option<Fate> {
        (!life.is(Mode::Dead)).then(|| self.fate(life, what, on))
    }

    fn fate(&self, life: &Life, what: &'static str, on: impl FnOnce() -> String) -> Fate {
        let journal = &self.0.journal;
        journal.count("effects");
        if self.are_over() {
            journal.note(|| format!("{life}: {what} {}", on()));
            return Fate::Fine;
        }
        let number = self.0.number.fetch_add(1, Ordering::Relaxed);
        let fate = match self.0.strike {
            Some(strike) if strike.at == number => strike.fate,
            Some(_) => Fate::Fine,
            None => self.draw(),
        };
        if fate != Fate::Fine {
            journal.count("faults");
        }
        journal.note(|| {
            let fate = if fate == Fate::Fine { String::new() } else { format!(" => {fate:?}") };
            format!("{life}: #{number} {what} {}{fate}", on())
        });
        fate
    }

    fn draw(&self) -> Fate {
        let (chance, trouble) = (&self.0.chance, &self.0.trouble);
        if chance.happens(trouble.crash) {
            return chance.pick(&[Fate::CrashBefore, Fate::CrashAfter]);
        }
        if !chance.happens(trouble.store) {
            return Fate::Fine;
        }
        let short = Fate::SlowBefore(chance.between(1, 400));
        let long = Fate::SlowBefore(chance.between(400, 9_000));
        let late = Fate::SlowAfter(chance.between(1, 4_000));
        chance.pick(&[
            Fate::FailBefore,
            Fate::FailBefore,
            Fate::FailAfter,
            Fate::FailAfter,
            short,
            long,
            late,
        ])
    }
}
