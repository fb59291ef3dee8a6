//! Hot records in memory: those of one replica that are read often, so that most reads cost the database nothing.
//!
//! A record here is never older than one that anybody was told before. Where one is held, the later revision stays. Where
//! none is, what was read is kept only if nothing has changed since that read began, and nobody was told of the same
//! record without its being held: for then it may be older.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bson::{Bson, Document};
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter, unsync};

use crate::clock::Stopwatch;
use crate::event::EntityId;
use crate::replication::Reading;

/// How long what is held may be told though nobody has confirmed that nothing changed.
pub const CONFIRMED_WITHIN: Duration = Duration::from_millis(1_500);
/// About what a record takes beside its fields.
const OVERHEAD: usize = 512;
/// About how large a record is, for a first guess at how many there will be.
const USUAL: u64 = 1_024;
/// How many of those who were let go are remembered; a read that began before is not kept.
const REMEMBERED: usize = 1_024;

/// Records in memory, up to so many bytes of them.
pub struct Cache {
    shelf: Mutex<Shelf>,
}

struct Shelf {
    held: unsync::Cache<EntityId, Held, Weight, DefaultHashBuilder, Evicted>,
    /// How often something has changed.
    changes: u64,
    /// Those of whom something was told that is not held, or no longer; and how many there were before them.
    let_go: VecDeque<EntityId>,
    forgotten: u64,
}

/// What had happened when a read began.
#[derive(Clone, Copy)]
pub struct Begun {
    changes: u64,
    let_go: u64,
}

#[derive(Clone)]
struct Held {
    reading: Reading,
    since: Stopwatch,
}

#[derive(Clone)]
struct Weight;

impl Weighter<EntityId, Held> for Weight {
    fn weight(&self, _: &EntityId, held: &Held) -> u64 {
        u64::try_from(bytes(&held.reading.record.fields) + OVERHEAD).unwrap_or(u64::MAX)
    }
}

/// About how many bytes fields take.
fn bytes(fields: &Document) -> usize {
    fields.iter().map(|(name, value)| name.len() + bytes_of(value)).sum()
}

fn bytes_of(value: &Bson) -> usize {
    size_of::<Bson>()
        + match value {
            Bson::String(text) => text.len(),
            Bson::Binary(binary) => binary.bytes.len(),
            Bson::Document(fields) => bytes(fields),
            Bson::Array(values) => values.iter().map(bytes_of).sum(),
            _ => 0,
        }
}

/// Gathers who had to make room.
struct Evicted;

impl Lifecycle<EntityId, Held> for Evicted {
    type RequestState = Vec<EntityId>;

    fn on_evict(&self, evicted: &mut Vec<EntityId>, id: EntityId, _: Held) {
        evicted.push(id);
    }
}

impl Cache {
    /// An empty one.
    pub fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / USUAL).unwrap_or(usize::MAX);
        let held = unsync::Cache::with(items, bytes, Weight, DefaultHashBuilder::default(), Evicted);
        Self { shelf: Mutex::new(Shelf { held, changes: 0, let_go: VecDeque::new(), forgotten: 0 }) }
    }

    /// A record that is held, as it would be read now.
    pub fn get(&self, id: &EntityId) -> Option<Reading> {
        self.shelf().held.get(id).map(Held::now)
    }

    /// Begins to read records that are to be kept.
    pub fn begin(&self) -> Begun {
        let shelf = self.shelf();
        Begun { changes: shelf.changes, let_go: shelf.gone() }
    }

    /// Keeps what was read, if it cannot be older than what is told otherwise; says for each which is the later one,
    /// what was read or what is held.
    pub fn keep(&self, begun: Begun, found: Vec<Reading>) -> Vec<Reading> {
        let mut shelf = self.shelf();
        found.into_iter().map(|reading| shelf.later(reading, Some(begun))).collect()
    }

    /// For each of these the later one, what was read or what is held.
    pub fn later(&self, found: Vec<Reading>) -> Vec<Reading> {
        let mut shelf = self.shelf();
        found.into_iter().map(|reading| shelf.later(reading, None)).collect()
    }

    /// These have changed: says which of them are held, and must be [renewed](Self::renew).
    pub fn changed<'i>(&self, ids: impl IntoIterator<Item = &'i EntityId>) -> Vec<EntityId> {
        let mut shelf = self.shelf();
        shelf.changes += 1;
        ids.into_iter().filter(|id| shelf.held.peek(*id).is_some()).cloned().collect()
    }

    /// Takes what was read of those that have changed; whoever was not found is no longer there.
    pub fn renew(&self, ids: &[EntityId], found: &[Reading]) {
        let found: HashMap<&EntityId, &Reading> =
            found.iter().map(|reading| (&reading.record.id, reading)).collect();
        let mut shelf = self.shelf();
        for id in ids {
            match found.get(id) {
                Some(reading) => drop(shelf.later((*reading).clone(), None)),
                None => drop(shelf.held.remove(id)),
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut shelf = self.shelf();
        shelf.changes += 1;
        shelf.held.clear();
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn later(&mut self, read: Reading, begun: Option<Begun>) -> Reading {
        let id = read.record.id.clone();
        match self.held.peek(&id) {
            Some(held) if held.reading.record.rev > read.record.rev => return held.now(),
            None if !begun.is_some_and(|begun| self.is_latest(&id, begun)) => {
                self.let_go(id);
                return read;
            }
            _ => {}
        }
        let mut evicted = Vec::new();
        let held = Held { reading: read.clone(), since: Stopwatch::start() };
        self.held.insert_with_lifecycle(id, held, &mut evicted);
        for id in evicted {
            self.let_go(id);
        }
        read
    }

    /// Whether what was found of somebody by a read that began then is the latest that anybody was told of him.
    fn is_latest(&self, id: &EntityId, begun: Begun) -> bool {
        let since = self.gone() - begun.let_go;
        let since = usize::try_from(since).unwrap_or(usize::MAX);
        self.changes == begun.changes
            && since <= self.let_go.len()
            && !self.let_go.iter().rev().take(since).any(|gone| gone == id)
    }

    fn let_go(&mut self, id: EntityId) {
        self.let_go.push_back(id);
        if self.let_go.len() > REMEMBERED {
            self.let_go.pop_front();
            self.forgotten += 1;
        }
    }

    /// How many have been let go so far.
    fn gone(&self) -> u64 {
        self.forgotten + u64::try_from(self.let_go.len()).unwrap_or(u64::MAX)
    }
}

impl Held {
    /// As it would be read now: later than it was, and otherwise the same.
    fn now(&self) -> Reading {
        let later = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        Reading { read: self.reading.read.saturating_add(later), ..self.reading.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bson::doc;

    use super::*;
    use crate::event::IdKind;

    const IDS: [&str; 3] = ["ann", "bob", "eve"];

    fn id(of: usize) -> EntityId {
        EntityId::parse(IDS[of], IdKind::String).ok().into_iter().next().expect("an id")
    }

    fn reading(of: usize, rev: i64) -> Reading {
        let mut reading = Reading::live(id(of), rev);
        Arc::make_mut(&mut reading.record).fields = doc! { "name": "of some length" };
        reading
    }

    /// A read on its way: what it began with, what it has found, and what was told before it began.
    struct Read {
        of: usize,
        begun: Begun,
        found: Option<i64>,
        told: i64,
    }

    /// A database with three records that change, those who read them, and the stream that tells of changes.
    struct World {
        cache: Cache,
        chance: fastrand::Rng,
        now: [i64; 3],
        told: [i64; 3],
        unseen: Vec<usize>,
        looked_for: Vec<EntityId>,
        looked_up: Option<Vec<Reading>>,
        reads: Vec<Read>,
        hits: u64,
    }

    impl World {
        fn step(&mut self) {
            let of = self.chance.usize(0..3);
            match self.chance.u8(0..8) {
                0 => {
                    self.now[of] += 1;
                    self.unseen.push(of);
                }
                1 => {
                    let begun = self.cache.begin();
                    self.reads.push(Read { of, begun, found: None, told: self.told[of] });
                }
                2 => self.find(),
                3 => self.end(),
                4 | 5 => self.follow(),
                _ => {
                    if let Some(held) = self.cache.get(&id(of)) {
                        assert!(held.record.rev >= self.told[of], "older than what was told");
                        self.told[of] = held.record.rev;
                        self.hits += 1;
                    }
                }
            }
        }

        /// One of the reads reaches the database.
        fn find(&mut self) {
            if let Some(read) = self.chance.choice(self.reads.iter_mut()) {
                read.found.get_or_insert(self.now[read.of]);
            }
        }

        /// One of the reads comes back.
        fn end(&mut self) {
            let back: Vec<usize> =
                (0..self.reads.len()).filter(|at| self.reads[*at].found.is_some()).collect();
            let Some(at) = self.chance.choice(back) else { return };
            let read = self.reads.swap_remove(at);
            let found = vec![reading(read.of, read.found.unwrap_or_default())];
            let rev = self.cache.keep(read.begun, found)[0].record.rev;
            assert!(rev >= read.told, "older than what was told before it began");
            self.told[read.of] = self.told[read.of].max(rev);
        }

        /// The stream comes one step further.
        fn follow(&mut self) {
            match self.looked_up.take() {
                Some(found) => {
                    self.cache.renew(&self.looked_for, &found);
                    self.looked_for.clear();
                }
                None if !self.looked_for.is_empty() => {
                    let of = |id: &EntityId| IDS.iter().position(|name| id.to_string() == *name);
                    let found = self.looked_for.iter().filter_map(of);
                    self.looked_up = Some(found.map(|of| reading(of, self.now[of])).collect());
                }
                None => {
                    let seen: Vec<EntityId> = std::mem::take(&mut self.unseen).into_iter().map(id).collect();
                    self.looked_for = self.cache.changed(&seen);
                }
            }
        }
    }

    /// In any order of writes, reads and changes seen, and with room for all or for hardly any: nobody is told something
    /// older than was told before, and once all changes are seen, what is held is the latest.
    #[test]
    fn what_is_held_is_never_older_than_what_was_told() {
        let mut hits = 0;
        for seed in 0..2_000 {
            let mut world = World {
                cache: Cache::new(if seed % 2 == 0 { 1 << 20 } else { 1_300 }),
                chance: fastrand::Rng::with_seed(seed),
                now: [1; 3],
                told: [0; 3],
                unseen: Vec::new(),
                looked_for: Vec::new(),
                looked_up: None,
                reads: Vec::new(),
                hits: 0,
            };
            for _ in 0..200 {
                world.step();
            }
            for _ in 0..6 {
                world.follow();
            }
            for of in 0..3 {
                let held = world.cache.get(&id(of)).map(|held| held.record.rev);
                assert!(held.is_none_or(|held| held == world.now[of]), "seed {seed}: {held:?}");
            }
            hits += world.hits;
        }
        assert!(hits > 10_000, "hardly anything was held: {hits}");
    }

    #[test]
    fn what_is_held_grows_older_and_goes_when_it_is_gone() {
        let cache = Cache::new(1 << 20);
        let whole = reading(0, 1);
        assert_eq!(cache.keep(cache.begin(), vec![whole.clone()]), [whole]);
        assert_eq!(
            cache.get(&id(0)).map(|held| held.record.fields.clone()),
            Some(doc! { "name": "of some length" })
        );
        cache.renew(&[id(0)], &[]);
        assert_eq!(cache.get(&id(0)), None);
        let nothing: Option<Document> = None;
        assert_eq!(Cache::new(0).get(&id(0)).map(|held| held.record.fields.clone()), nothing);
    }
}
