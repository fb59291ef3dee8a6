//! When an owner is left in peace, and when it is asked again. Pure: the time is an argument.

use std::time::{Duration, Instant};

/// After so many failures without a success between them, the owner is left in peace.
const FAILURES: u32 = 5;
/// The first rest; each failed probe doubles it.
const FIRST_REST: Duration = Duration::from_millis(500);
/// The longest rest between two probes. It is short, so that all goes on by itself soon after the owner is back.
const LONGEST_REST: Duration = Duration::from_secs(5);
/// The longest rest that an owner may ask for itself.
const LONGEST_REQUESTED: Duration = Duration::from_hours(1);

/// Closed while an owner answers; open while it is left in peace, with a single probe after each rest.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    patience: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, rest: Duration },
}

/// The right to send one request; it comes back with what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pass {
    /// One of many.
    Ordinary,
    /// The only one after a rest: it decides how things go on.
    Probe,
}

impl Breaker {
    /// Begins closed. A probe that is not heard of again within the patience is replaced by another.
    pub fn new(patience: Duration) -> Self {
        Self { state: State::Closed { failures: 0 }, patience }
    }

    /// Whether a request may be sent now.
    pub fn admit(&mut self, now: Instant) -> Option<Pass> {
        match self.state {
            State::Closed { .. } => Some(Pass::Ordinary),
            State::Open { until, .. } if now < until => None,
            State::Open { rest, .. } => {
                self.state = State::Open { until: now + self.patience, rest };
                Some(Pass::Probe)
            }
        }
    }

    /// Whether no request would be sent now.
    pub fn is_resting(&self, now: Instant) -> bool {
        matches!(self.state, State::Open { until, .. } if now < until)
    }

    /// The owner answered; true if that ends its rest. Only a probe can do that: an answer to a request sent
    /// earlier does not outweigh what was seen since.
    pub fn succeeded(&mut self, pass: Pass) -> bool {
        match (self.state, pass) {
            (State::Closed { .. }, _) => {
                self.state = State::Closed { failures: 0 };
                false
            }
            (State::Open { .. }, Pass::Ordinary) => false,
            (State::Open { .. }, Pass::Probe) => {
                self.state = State::Closed { failures: 0 };
                true
            }
        }
    }

    /// The owner did not answer, or answered that it cannot; true if that begins a rest.
    pub fn failed(&mut self, pass: Pass, now: Instant) -> bool {
        match (self.state, pass) {
            (State::Closed { failures }, _) if failures + 1 < FAILURES => {
                self.state = State::Closed { failures: failures + 1 };
                false
            }
            (State::Closed { .. }, _) => {
                self.state = State::Open { until: now + FIRST_REST, rest: FIRST_REST };
                true
            }
            (State::Open { .. }, Pass::Ordinary) => false,
            (State::Open { rest, .. }, Pass::Probe) => {
                let rest = (rest * 2).min(LONGEST_REST);
                self.state = State::Open { until: now + rest, rest };
                false
            }
        }
    }

    /// The owner asks to be left in peace for this long; true if that begins a rest.
    pub fn asked_for_rest(&mut self, pass: Pass, now: Instant, wanted: Duration) -> bool {
        let until = now + wanted.clamp(FIRST_REST, LONGEST_REQUESTED);
        match (self.state, pass) {
            (State::Closed { .. }, _) => {
                self.state = State::Open { until, rest: FIRST_REST };
                true
            }
            (State::Open { rest, .. }, Pass::Probe) => {
                self.state = State::Open { until, rest };
                false
            }
            (State::Open { until: known, rest }, Pass::Ordinary) => {
                self.state = State::Open { until: until.max(known), rest };
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const PATIENCE: Duration = Duration::from_secs(2);
    const MS: Duration = Duration::from_millis(1);

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(PATIENCE);
        let begins: Vec<bool> = (0..FAILURES).map(|_| breaker.failed(Pass::Ordinary, now)).collect();
        assert_eq!(begins, [false, false, false, false, true], "it opens once, and not before");
        breaker
    }

    #[test]
    fn failures_open_it_only_without_a_success_between_them() {
        let now = clock::now();
        let mut breaker = Breaker::new(PATIENCE);
        for _ in 0..10 {
            for _ in 1..FAILURES {
                assert!(!breaker.failed(Pass::Ordinary, now));
            }
            assert!(!breaker.succeeded(Pass::Ordinary));
        }
        assert_eq!(breaker.admit(now), Some(Pass::Ordinary));
    }

    #[test]
    fn after_a_rest_one_probe_goes_and_its_success_closes() {
        let now = clock::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(now + FIRST_REST.saturating_sub(MS)), None);
        let then = now + FIRST_REST;
        assert!(!breaker.is_resting(then));
        assert_eq!(breaker.admit(then), Some(Pass::Probe));
        assert_eq!(breaker.admit(then), None, "one probe at a time");
        assert!(breaker.is_resting(then));
        assert!(breaker.succeeded(Pass::Probe));
        assert_eq!(breaker.admit(then), Some(Pass::Ordinary));
    }

    #[test]
    fn rests_double_up_to_five_seconds() {
        let mut now = clock::now();
        let mut breaker = opened(now);
        let mut rests = Vec::new();
        for _ in 0..6 {
            let from = now;
            while breaker.admit(now).is_none() {
                now += 100 * MS;
            }
            rests.push((now - from).as_millis());
            assert!(!breaker.failed(Pass::Probe, now));
        }
        assert_eq!(rests, [500, 1000, 2000, 4000, 5000, 5000]);
    }

    #[test]
    fn a_lost_probe_is_replaced_after_the_patience() {
        let now = clock::now();
        let mut breaker = opened(now);
        let then = now + FIRST_REST;
        assert_eq!(breaker.admit(then), Some(Pass::Probe));
        assert_eq!(breaker.admit(then + PATIENCE.saturating_sub(MS)), None);
        assert_eq!(breaker.admit(then + PATIENCE), Some(Pass::Probe));
    }

    #[test]
    fn what_was_sent_before_the_rest_changes_nothing() {
        let now = clock::now();
        let mut breaker = opened(now);
        assert!(!breaker.failed(Pass::Ordinary, now + 400 * MS));
        assert!(!breaker.succeeded(Pass::Ordinary));
        assert_eq!(breaker.admit(now + FIRST_REST.saturating_sub(MS)), None);
        assert_eq!(breaker.admit(now + FIRST_REST), Some(Pass::Probe));
    }

    #[test]
    fn the_rest_that_the_owner_asks_for_is_kept_within_bounds() {
        let now = clock::now();
        let mut breaker = Breaker::new(PATIENCE);
        assert!(breaker.asked_for_rest(Pass::Ordinary, now, Duration::from_secs(30)));
        assert!(!breaker.asked_for_rest(Pass::Ordinary, now, Duration::from_secs(3)));
        assert_eq!(breaker.admit(now + Duration::from_secs(30).saturating_sub(MS)), None);
        assert_eq!(breaker.admit(now + Duration::from_secs(30)), Some(Pass::Probe));

        let mut breaker = Breaker::new(PATIENCE);
        assert!(breaker.asked_for_rest(Pass::Ordinary, now, Duration::from_secs(u64::MAX / 4)));
        assert_eq!(breaker.admit(now + LONGEST_REQUESTED), Some(Pass::Probe));
    }
}
