//! nearcopy's numbers, read from its `/metrics` as any monitoring would, and added up over its lives.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::report::shown;

/// The numbers of one life at one moment. Counters die with their process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape {
    pub(crate) received: u64,
    outcomes: BTreeMap<String, u64>,
    /// Upper bound of a bucket, as written, to the events at or below it.
    lag: Vec<(String, u64)>,
}

impl Scrape {
    pub(crate) async fn take(http: &reqwest::Client, nearcopy: &str) -> Result<Self> {
        let answer = http.get(format!("{nearcopy}/metrics")).send().await?.error_for_status()?;
        Self::parse(&answer.text().await?)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').with_context(|| format!("no metric: {line}"))?;
            let value = value.parse::<f64>().with_context(|| format!("no number: {line}"))?;
            scrape.note(series, value);
        }
        Ok(scrape)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counters are whole and not negative"
    )]
    fn note(&mut self, series: &str, value: f64) {
        let name = series.split('{').next().unwrap_or(series);
        match name {
            "nearcopy_events_received_total" => self.received += value as u64,
            "nearcopy_events_total" => {
                let outcome = label(series, "outcome").unwrap_or("unnamed").to_owned();
                *self.outcomes.entry(outcome).or_default() += value as u64;
            }
            "nearcopy_lag_seconds_bucket" => {
                if let Some(bound) = label(series, "le") {
                    add_bucket(&mut self.lag, bound, value as u64);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn outcome(&self, name: &str) -> u64 {
        self.outcomes.get(name).copied().unwrap_or_default()
    }

    /// Every event received has exactly one outcome.
    pub(crate) fn is_closed(&self) -> bool {
        self.received == self.outcomes.values().sum::<u64>()
    }

    /// The bound under which this share of the events lagged.
    #[expect(clippy::cast_precision_loss, reason = "a share of some thousands")]
    pub(crate) fn lag_at(&self, share: f64) -> Option<String> {
        let all = self.lag.iter().map(|&(_, count)| count).max().filter(|&all| all > 0)?;
        let (bound, _) = self.lag.iter().find(|&&(_, count)| count as f64 >= all as f64 * share)?;
        Some(match bound.parse::<f64>() {
            Ok(seconds) if seconds.is_finite() => {
                format!("≤ {}", shown(Duration::from_secs_f64(seconds)))
            }
            _ => "beyond buckets".to_owned(),
        })
    }

    fn add(&mut self, other: &Self) {
        self.received += other.received;
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += count;
        }
        for (bound, count) in &other.lag {
            add_bucket(&mut self.lag, bound, *count);
        }
    }
}

impl fmt::Display for Scrape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "received {}", self.received)?;
        self.outcomes.iter().try_for_each(|(outcome, count)| write!(formatter, ", {outcome} {count}"))
    }
}

/// The last known numbers of each life.
#[derive(Default)]
pub(crate) struct Books {
    ended: Vec<Scrape>,
    current: Scrape,
}

impl Books {
    pub(crate) fn note(&mut self, scrape: Scrape) {
        self.current = scrape;
    }

    pub(crate) fn close_life(&mut self) {
        self.ended.push(std::mem::take(&mut self.current));
    }

    pub(crate) fn lives(&self) -> usize {
        self.ended.len() + 1
    }

    pub(crate) fn total(&self) -> Scrape {
        let mut total = self.current.clone();
        for life in &self.ended {
            total.add(life);
        }
        total
    }
}

fn label<'a>(series: &'a str, name: &str) -> Option<&'a str> {
    let start = series.find(&format!("{name}=\""))? + name.len() + 2;
    series[start..].split('"').next()
}

fn add_bucket(buckets: &mut Vec<(String, u64)>, bound: &str, count: u64) {
    match buckets.iter_mut().find(|(known, _)| known == bound) {
        Some((_, total)) => *total += count,
        None => buckets.push((bound.to_owned(), count)),
    }
}
