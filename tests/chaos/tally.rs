//! What the sidecars counted, added up over their lives as last seen.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::machine::CANARY;

/// The counters of some lives: the name with its outcome or result, and the count.
#[derive(Clone, Default)]
pub(crate) struct Books {
    past: BTreeMap<String, u64>,
    now: BTreeMap<String, u64>,
    /// Numbers that held canaries.
    pub(crate) leaks: u64,
}

impl Books {
    /// Counters die with their process.
    pub(crate) fn new_life(&mut self) {
        for (name, count) in std::mem::take(&mut self.now) {
            *self.past.entry(name).or_default() += count;
        }
    }

    /// Remembers what one life says of itself.
    pub(crate) fn note(&mut self, text: &str) -> Result<()> {
        self.leaks += u64::from(text.contains(CANARY));
        let mut now = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with("nearcopy_")) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let name = series.split('{').next().unwrap_or(series);
            if name.contains("_bucket") || name.ends_with("_sum") {
                continue;
            }
            let detail =
                ["outcome", "result", "embed", "collection"].iter().find_map(|key| label(series, key));
            let name = name.trim_start_matches("nearcopy_").trim_end_matches("_total");
            let name = detail.map_or_else(|| name.to_owned(), |detail| format!("{name} {detail}"));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole")]
            let value = value.parse::<f64>()? as u64;
            *now.entry(name).or_default() += value;
        }
        self.now = now;
        Ok(())
    }

    /// Adds another's, past and present.
    pub(crate) fn add(&mut self, other: &Self) {
        for (into, from) in [(&mut self.past, &other.past), (&mut self.now, &other.now)] {
            for (name, count) in from {
                *into.entry(name.clone()).or_default() += count;
            }
        }
        self.leaks += other.leaks;
    }

    /// A counter over all lives.
    pub(crate) fn total(&self, name: &str) -> u64 {
        self.past.get(name).copied().unwrap_or_default() + self.current(name)
    }

    /// A counter of the lives that go on.
    pub(crate) fn current(&self, name: &str) -> u64 {
        self.now.get(name).copied().unwrap_or_default()
    }

    /// The sum of all counters of the lives that go on whose names begin so.
    pub(crate) fn current_of(&self, prefix: &str) -> u64 {
        self.now.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, count)| count).sum()
    }

    /// The sum over all lives of all counters whose names begin so.
    pub(crate) fn total_of(&self, prefix: &str) -> u64 {
        let past = self.past.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, count)| count);
        past.sum::<u64>() + self.current_of(prefix)
    }
}

fn label<'a>(series: &'a str, name: &str) -> Option<&'a str> {
    let start = series.find(&format!("{name}=\""))? + name.len() + 2;
    series[start..].split('"').next()
}
