//! Plays one test: what is given, what is published, and then whatever follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use tokio::runtime::Builder;

use super::compare::{Wrong, compare};
use super::stage::Stage;
use crate::manifest::{Case, Event, Suite};
use crate::source::memory::Message;

/// How hard tests are made to fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Whether events come in any order.
    pub(super) shuffle: bool,
    /// How often each comes.
    pub(super) repeat: u32,
    /// What is left to chance follows from it.
    pub(super) seed: u64,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// The event of that number comes.
    Publish(usize),
    /// What folds the read model of that number crashes, or loses its stream.
    Crash(usize),
}

/// How long it takes from one event to the next, where they come in their order.
const APART: Duration = Duration::from_millis(10);

/// Plays a test; says all that was wrong in the end.
pub(super) fn play(suite: &Suite, case: &Case, manner: Manner) -> io::Result<Vec<Wrong>> {
    let seed = manner.seed ^ xxhash_rust::xxh3::xxh3_64(case.name.as_bytes());
    // The pauses between two attempts are drawn from the thread's own numbers.
    fastrand::seed(seed);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(play_on(suite, case, manner, Rng::with_seed(seed))))
}

async fn play_on(suite: &Suite, case: &Case, manner: Manner, mut dice: Rng) -> Vec<Wrong> {
    let mut stage = Stage::set(&suite.declaration, case, dice.u64(..));
    if let Err(open) = stage.begin().await {
        return restless(open).collect();
    }
    let acts = acts(case, &stage, manner, &mut dice);
    let mut seen = BTreeSet::new();
    for act in acts {
        match act {
            Act::Publish(number) => {
                let event = &case.events[number];
                stage.publish(&event.source, message(event), !seen.insert(number));
            }
            Act::Crash(model) if dice.bool() => stage.crash(model),
            Act::Crash(model) => stage.cut(model),
        }
        pause(manner, &mut dice).await;
    }
    let open = stage.end().await.err().unwrap_or_default();
    restless(open).chain(compare(&stage, &case.expected)).collect()
}

fn restless(open: Vec<String>) -> impl Iterator<Item = Wrong> {
    open.into_iter().map(|what| Wrong::Says(format!("it does not come to rest: {what}")))
}

/// All that happens, in its order. A stream promises its order; nobody promises any between sources, or in a queue.
fn acts(case: &Case, stage: &Stage, manner: Manner, dice: &mut Rng) -> Vec<Act> {
    let is_queue = |number: &usize| stage.is_queue(&case.events[*number].source);
    let once: Vec<usize> = (0..case.events.len()).collect();
    let mut order = once.clone();
    for _ in 1..manner.repeat {
        order.extend(once.iter().filter(|number| is_queue(number)));
    }
    if manner.shuffle {
        order = shuffled(case, order, is_queue, dice);
    }
    let mut acts: Vec<Act> = order.into_iter().map(Act::Publish).collect();
    for model in 0..stage.models() {
        for _ in 1..manner.repeat {
            acts.insert(dice.usize(0..=acts.len()), Act::Crash(model));
        }
    }
    acts
}

/// The same events in random order, but for those of each stream.
fn shuffled(case: &Case, order: Vec<usize>, is_queue: impl Fn(&usize) -> bool, dice: &mut Rng) -> Vec<usize> {
    let source = |number: usize| case.events[number].source.as_str();
    let mut sources: Vec<&str> = order.iter().map(|number| source(*number)).collect();
    let (mut queued, streamed): (Vec<usize>, Vec<usize>) = order.into_iter().partition(is_queue);
    dice.shuffle(&mut sources);
    dice.shuffle(&mut queued);
    let mut left: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for number in queued.into_iter().chain(streamed).rev() {
        left.entry(source(number)).or_default().push(number);
    }
    sources.into_iter().filter_map(|source| left.get_mut(source)?.pop()).collect()
}

/// Lets what has come be worked on for a while; where chance says so, for none, so that more is worked on together.
async fn pause(manner: Manner, dice: &mut Rng) {
    if !manner.shuffle {
        return tokio::time::sleep(APART).await;
    }
    match dice.u8(0..3) {
        0 => {}
        1 => {
            for _ in 0..dice.u8(0..40) {
                tokio::task::yield_now().await;
            }
        }
        _ => tokio::time::sleep(Duration::from_millis(dice.u64(0..20))).await,
    }
}

/// An event as a publisher would send it.
fn message(event: &Event) -> Message {
    Message {
        body: Bytes::from(event.body.clone()),
        content_type: Some(event.content_type.clone()),
        headers: event.headers.clone(),
        routing_key: event.key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Expected, Owners};

    fn case(sources: &[&str]) -> Case {
        let event = |source: &&str| Event {
            source: (*source).to_owned(),
            body: "{}".to_owned(),
            content_type: String::new(),
            headers: BTreeMap::new(),
            key: None,
        };
        Case {
            name: String::new(),
            documents: Vec::new(),
            owners: Owners::new(),
            events: sources.iter().map(event).collect(),
            expected: Expected::default(),
        }
    }

    #[test]
    fn chance_brings_queues_into_any_order_and_leaves_streams_in_theirs() {
        let case = case(&["queue", "stream", "queue", "stream", "stream"]);
        let is_queue = |number: &usize| case.events[*number].source == "queue";
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let order = vec![0, 1, 2, 3, 4, 0, 2];
            let order = shuffled(&case, order, is_queue, &mut Rng::with_seed(seed));
            let of_stream: Vec<usize> = order.iter().copied().filter(|number| !is_queue(number)).collect();
            assert_eq!((of_stream, order.len()), (vec![1, 3, 4], 7));
            seen.insert(order);
        }
        assert!(seen.len() > 50, "only {} orders", seen.len());
    }
}
