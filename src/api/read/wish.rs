//! What a reader asks for, from the parameters of its URL.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::problem::Problem;
use crate::event::Version;
use crate::replication::Wish;

/// How long a reader waits where it does not say.
const WITHIN: Duration = Duration::from_secs(1);
/// How much earlier than its deadline a caller is told that its wish did not come true: a tenth of the time, between
/// these.
const MARGIN: RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_millis(250);
/// How long a reader may wait.
const LONGEST: Duration = Duration::from_secs(30);

/// What one reader wishes, and how long it waits for it.
#[derive(Clone, Debug)]
pub(in crate::api) struct Asked {
    pub(super) wish: Wish,
    pub(super) within: Duration,
}

impl Asked {
    /// Reads every parameter; one that is not known is an error, since what is misspelt would be passed over.
    pub(in crate::api) fn read(parameters: &[(String, String)]) -> Result<Self, Problem> {
        let mut asked = Self::wishing(Wish::default());
        for (name, text) in parameters {
            match name.as_str() {
                "min_version" => asked.wish.min_version = Some(version(text)?),
                "max_staleness" => asked.wish.max_staleness = Some(duration(name, text)?),
                "wait_for" => asked.wish.event = Some(text.clone()),
                "consistency" => asked.wish.local = consistency(text)?,
                "within" => asked.within = duration(name, text)?,
                _ => {
                    let known = "`min_version`, `max_staleness`, `wait_for`, `consistency` and `within`";
                    return Err(Problem::bad(format!("there is no parameter `{name}`; there are {known}")));
                }
            }
        }
        if asked.within > LONGEST {
            return Err(Problem::bad(format!("`within` is at most {} s", LONGEST.as_secs())));
        }
        Ok(asked)
    }

    /// Wishes this, and waits as long as whoever does not say.
    pub(in crate::api) fn wishing(wish: Wish) -> Self {
        Self { wish, within: WITHIN }
    }

    /// The same for a caller that waits so long.
    pub(in crate::api) fn within(self, within: Duration) -> Self {
        Self { within: Self::in_time(within), ..self }
    }

    /// How long there is for a caller that waits so long, as far as we let it, and must be answered a little before.
    pub(in crate::api) fn in_time(within: Duration) -> Duration {
        let margin = (within / 10).clamp(*MARGIN.start(), *MARGIN.end());
        LONGEST.min(within.saturating_sub(margin))
    }
}

fn version(text: &str) -> Result<Version, Problem> {
    let number = text.parse().map_err(|_| Problem::bad("`min_version` is a whole number"))?;
    Ok(Version::new(number))
}

fn consistency(text: &str) -> Result<bool, Problem> {
    match text {
        "local" => Ok(true),
        "owner" => Ok(false),
        _ => Err(Problem::bad(
            "`consistency` is `local`, where the owner is never asked, or `owner`, where it may be",
        )),
    }
}

/// A duration such as `500ms`, `2s` or `5m`.
fn duration(name: &str, text: &str) -> Result<Duration, Problem> {
    let span: Option<jiff::Span> = text.parse().ok();
    let exact = span.and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok());
    exact
        .and_then(|exact| Duration::try_from(exact).ok())
        .ok_or_else(|| Problem::bad(format!("`{name}` is a duration, such as `500ms`, `2s` or `5m`")))
}
