//! What a metric is: its name, unit, labels and meaning, written once and used everywhere.

use metrics::{Key, Label, Level, Metadata, SharedString, Unit, with_recorder};

/// One metric with `N` labels.
///
/// Values of labels come from the manifest or from closed lists, never from events, so their number is bounded.
pub(super) struct Family<const N: usize> {
    name: &'static str,
    kind: Kind,
    unit: Unit,
    labels: [&'static str; N],
    help: &'static str,
}

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only rises.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts observations by size.
    Histogram,
}

/// One line of the list of metrics.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name as it is scraped.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// Its unit.
    pub unit: Unit,
    /// Its labels.
    pub labels: Vec<&'static str>,
    /// What it says, for a person.
    pub help: &'static str,
}

const METADATA: Metadata<'static> = Metadata::new("nearcopy", Level::INFO, None);

impl<const N: usize> Family<N> {
    pub(super) const fn counter(
        name: &'static str,
        unit: Unit,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Counter, unit, labels, help }
    }

    pub(super) const fn gauge(
        name: &'static str,
        unit: Unit,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Gauge, unit, labels, help }
    }

    /// A histogram of seconds.
    pub(super) const fn seconds(name: &'static str, labels: [&'static str; N], help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram, unit: Unit::Seconds, labels, help }
    }

    /// Adds to a counter.
    pub(super) fn add(&self, values: [&str; N], n: u64) {
        with_recorder(|recorder| recorder.register_counter(&self.key(values), &METADATA).increment(n));
    }

    /// Sets a gauge.
    pub(super) fn set(&self, values: [&str; N], to: f64) {
        with_recorder(|recorder| recorder.register_gauge(&self.key(values), &METADATA).set(to));
    }

    /// Records an observation.
    pub(super) fn record(&self, values: [&str; N], observed: f64) {
        self.record_all(values, [observed].into_iter());
    }

    /// Records observations.
    pub(super) fn record_all(&self, values: [&str; N], observed: impl Iterator<Item = f64>) {
        let histogram = with_recorder(|recorder| recorder.register_histogram(&self.key(values), &METADATA));
        observed.for_each(|one| histogram.record(one));
    }

    pub(super) fn entry(&self) -> Entry {
        Entry {
            name: self.name,
            kind: self.kind,
            unit: self.unit,
            labels: self.labels.to_vec(),
            help: self.help,
        }
    }

    fn key(&self, values: [&str; N]) -> Key {
        let labels = self.labels.iter().zip(values);
        let labels: Vec<Label> = labels.map(|(name, value)| Label::new(*name, value.to_owned())).collect();
        Key::from_parts(self.name, labels)
    }
}

impl Entry {
    /// Tells the recorder what the metric means, so that it is said beside the numbers.
    pub(super) fn describe(&self, recorder: &dyn metrics::Recorder) {
        let (name, unit, help) = (self.name.into(), Some(self.unit), SharedString::const_str(self.help));
        match self.kind {
            Kind::Counter => recorder.describe_counter(name, unit, help),
            Kind::Gauge => recorder.describe_gauge(name, unit, help),
            Kind::Histogram => recorder.describe_histogram(name, unit, help),
        }
    }
}
