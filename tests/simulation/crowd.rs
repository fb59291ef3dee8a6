//! Many runs, on all cores, and what came of them together.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::faults::{Fate, Strike};
use crate::plan::{self, Plan};
use crate::run::{Outcome, run};

/// What is struck by, at every effect: a crash before and after it, an error before and after it, and a delay beyond
/// every lease.
const KINDS: [Fate; 5] = [
    Fate::CrashBefore,
    Fate::CrashAfter,
    Fate::FailBefore,
    Fate::FailAfter,
    Fate::SlowBefore(Duration::from_secs(40)),
];

/// One run of many.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) plan: Plan,
    pub(crate) strike: Option<Strike>,
}

/// What came of many runs.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) longest_rest: Duration,
    /// The cases in which a law was broken.
    pub(crate) broken: Vec<Case>,
}

impl Case {
    pub(crate) fn of_seed(seed: u64) -> Self {
        Self { plan: Plan::of(seed), strike: None }
    }

    pub(crate) fn play(&self, keeps_lines: bool) -> Outcome {
        run(self.plan.clone(), self.strike, keeps_lines)
    }

    /// Everything about a case that is needed to find out what went wrong.
    pub(crate) fn report(&self) -> String {
        let outcome = self.play(true);
        let lines = outcome.lines.join("\n");
        let broken = outcome.violations.iter().map(|found| format!("{}: {}\n", found.law, found.detail));
        format!(
            "{lines}\n\n{:#?}\nseed {} {:?}\n{}",
            self.plan,
            self.plan.seed,
            self.strike,
            broken.collect::<String>()
        )
    }
}

/// Every effect of the rich scenario, struck by every kind of fault.
pub(crate) fn sweep() -> Vec<Case> {
    let effects = run(plan::rich(), None, false).effects;
    let strikes = (0..effects).flat_map(|at| KINDS.map(|fate| Strike { at, fate }));
    strikes.map(|strike| Case { plan: plan::rich(), strike: Some(strike) }).collect()
}

/// Plays all cases.
pub(crate) fn play_all(cases: &[Case]) -> Tally {
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    let worker = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = case.play(false);
            let is_broken = !outcome.violations.is_empty();
            let mut tally = tally.lock().unwrap();
            tally.add(outcome);
            if is_broken {
                tally.broken.push(case.clone());
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(worker);
        }
    });
    tally.into_inner().unwrap()
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        self.runs += 1;
        self.longest_rest = self.longest_rest.max(outcome.rested_after);
        for (what, count) in outcome.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    /// The tally as a table.
    pub(crate) fn table(&self) -> String {
        let mut table = format!("{:>12}  runs\n", self.runs);
        for (what, count) in &self.counts {
            table += &format!("{count:>12}  {what}\n");
        }
        let broken = self.broken.len();
        table
            + &format!(
                "{:>12?}  until the last one came to rest\n{broken:>12}  violations\n",
                self.longest_rest
            )
    }
}
