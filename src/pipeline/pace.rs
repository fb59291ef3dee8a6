//! How much of a large fan-out is done at once while events come, so that others hardly notice it.

use std::time::Duration;

/// How long one page should keep the database busy: others wait behind no more than that, once on every member.
const PAGE_TIME: Duration = Duration::from_millis(3);
/// How many times as long others are let through: a page costs every member what it costs the first one.
const PAUSES: u32 = 4;
/// The smallest and the largest page. What lies side by side on disk costs a fraction of what lies scattered, so
/// a page is measured by the time it takes, not by its documents.
const PAGES: std::ops::RangeInclusive<usize> = 25..=1_000;

/// The pace of one fan-out.
pub struct Pace {
    /// How many documents the next page has.
    page: usize,
    /// How long the smallest write takes lately. It is the way to a majority, which keeps nobody busy.
    way: Option<Duration>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { page: *PAGES.start(), way: None }
    }
}

impl Pace {
    /// How many documents the next page has; all that can be, for who is alone.
    pub fn page(&self, alone: bool) -> usize {
        if alone { *PAGES.end() } else { self.page }
    }

    /// Learns how long the smallest write took, made while nothing of this fan-out was under way. One that took
    /// unusually long, or short, says little.
    pub fn learn_way(&mut self, took: Duration) {
        self.way = Some(self.way.map_or(took, |way| (way * 7 + took) / 8));
    }

    /// Learns how long a page of so many documents took; says how long others are to be let through after it.
    pub fn learn_page(&mut self, page: usize, took: Duration) -> Duration {
        let way = self.way.unwrap_or_default();
        let busy = took.saturating_sub(way);
        self.page = next_page(page, busy);
        busy.max(PAGE_TIME) * PAUSES
    }
}

/// The size of the next page, after one of this size kept the database busy for so long: at most twice or half as
/// large.
fn next_page(size: usize, busy: Duration) -> usize {
    let micros = |time: Duration| usize::try_from(time.as_micros()).unwrap_or(usize::MAX);
    let fits = size.saturating_mul(micros(PAGE_TIME)) / micros(busy).max(1);
    fits.clamp(size / 2, size * 2).clamp(*PAGES.start(), *PAGES.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N4: a page grows while it is quick, shrinks when it is not, and never leaves its bounds.
    #[test]
    fn a_page_is_as_large_as_its_time_allows() {
        let page = |size, millis| next_page(size, Duration::from_millis(millis));
        assert_eq!(page(400, 3), 400);
        assert_eq!(page(400, 2), 600);
        assert_eq!(page(400, 1), 800, "at most twice as large");
        assert_eq!(page(800, 6), 400);
        assert_eq!(page(800, 900), 400, "at least half as large");
        assert_eq!(page(40, 900), 25);
        assert_eq!(page(1_000, 0), 1_000);
        assert_eq!(page(0, 0), 25);
    }

    /// N4: a page is followed by a pause for what it has kept the database busy, not for the way to a majority.
    #[test]
    fn the_way_to_a_majority_is_no_work() {
        let (mut pace, millis) = (Pace::default(), Duration::from_millis);
        assert_eq!(pace.page(true), 1_000);
        pace.learn_way(millis(60));
        let pages = [(60, 12, 50), (62, 12, 75), (66, 24, 37), (80, 80, 25)];
        for (took, pause, next) in pages {
            let page = pace.page(false);
            assert_eq!(pace.learn_page(page, millis(took)), millis(pause));
            assert_eq!(pace.page(false), next, "after {page} in {took} ms");
        }
        pace.learn_way(millis(140));
        assert_eq!(pace.learn_page(25, millis(80)), millis(40), "one slow write is not the rule");
    }
}
