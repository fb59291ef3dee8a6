//! The owner's timelines. An owner that is restored from a backup begins a new one, and its versions go back: what was
//! said before must lose against what is said after, whatever the versions.

/// The times at which the owner was restored, in their order; each begins an epoch.
///
/// An event belongs to the epoch that the owner's time of it falls into, whenever it arrives: pods stamp no epochs, or
/// what waits in a queue would change sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline(Vec<i64>);

impl Timeline {
    /// Takes the times, in microseconds since 1970.
    pub fn new(mut restored: Vec<i64>) -> Self {
        restored.sort_unstable();
        restored.dedup();
        Self(restored)
    }

    /// The epoch that answers of the owner, and events without a time, belong to.
    pub fn current(&self) -> i64 {
        count(self.0.len())
    }

    /// The epoch that an event of this time belongs to.
    pub fn epoch_at(&self, time: Option<i64>) -> i64 {
        time.map_or_else(
            || self.current(),
            |time| count(self.0.partition_point(|restored| *restored <= time)),
        )
    }

    /// The times, in microseconds since 1970.
    pub fn restored(&self) -> &[i64] {
        &self.0
    }
}

fn count(epochs: usize) -> i64 {
    i64::try_from(epochs).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A15: the owner's time decides, not the time of arrival.
    #[test]
    fn an_event_belongs_to_the_epoch_of_its_own_time() {
        let timeline = Timeline::new(vec![200, 100, 200]);
        let epochs = [Some(99), Some(100), Some(199), Some(200), Some(i64::MAX), None];
        assert_eq!(epochs.map(|time| timeline.epoch_at(time)), [0, 1, 1, 2, 2, 2]);
        assert_eq!(timeline.current(), 2);
    }

    #[test]
    fn without_a_restoration_there_is_one_epoch() {
        assert_eq!([None, Some(i64::MIN), Some(0)].map(|time| Timeline::default().epoch_at(time)), [0; 3]);
    }
}
