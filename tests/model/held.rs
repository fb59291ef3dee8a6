//! A record in a few bytes, and back to what the rules take.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use bson::{Document, doc};
use nearcopy::event::{EntityId, Version};
use nearcopy::replication::{Key, Rank, Record, State, Why};

/// The tick that it is now: a read lag of the owner is so many ticks long, and what is older is all one.
pub(crate) const NOW: u8 = 2;
/// The rank of a time that comes after all others of its tick.
const LAST: u8 = 200;
/// The pause between two ticks, in milliseconds: half the declared read lag of 1,000 s, and a second more, since
/// within a tick less than a second goes by.
pub(crate) const TICK: i64 = 501_000;
/// The tick of what only stands in the place of a time, and does not age.
pub(crate) const NOT_A_TIME: u8 = 250;
/// How many contents there are.
const CONTENTS: u8 = 64;

/// A moment: so many ticks, and the order within the tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Time(u16);

/// What is known of an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Knows {
    /// It is wanted, no more.
    #[default]
    Pending,
    /// This content.
    Live(u8),
    /// It is deleted.
    Deleted,
    /// It is outside the subset.
    Out,
    /// The owner did not know it.
    NotFound,
}

/// A key in a few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SmallKey {
    /// The owner's version.
    pub version: u8,
    rank: u8,
    hash: Hash,
}

/// The end of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Hash {
    Empty,
    Of(u8),
    Settled,
}

/// A record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Held {
    /// What is known.
    pub knows: Knows,
    /// The owner's order.
    pub key: Option<SmallKey>,
    /// The record's own order.
    pub rev: Time,
    /// The lowest version that will do.
    pub need: Option<u8>,
    /// In how many ticks the owner is to be asked.
    pub due: Option<u8>,
    /// The token of who asks; 0 is nobody.
    pub claim: u8,
    /// The tick in which that was; only a claimant knows it, since nobody else looks at it.
    pub asked: u8,
    /// The tick in which somebody called for a look; 0 where the record has changed since.
    pub since: Option<u8>,
    /// Whether its fan-out is owed.
    pub owes: bool,
    /// The token of the mark; 0 is none.
    pub mark: u8,
}

static IDS: LazyLock<[EntityId; 2]> = LazyLock::new(|| ["0", "1"].map(|id| EntityId::String(id.into())));
static FIELDS: LazyLock<Vec<Document>> =
    LazyLock::new(|| (0..CONTENTS).map(|content| doc! { "username": content.to_string() }).collect());
static HASHES: LazyLock<Vec<Arc<str>>> = LazyLock::new(|| {
    FIELDS
        .iter()
        .map(|fields| Key::live(Version::new(0), 1, &fields.clone().try_into().unwrap()).hash)
        .collect()
});

/// The name of an entity.
pub(crate) fn id(entity: u8) -> &'static EntityId {
    &IDS[usize::from(entity)]
}

/// The number of an entity.
pub(crate) fn entity(id: &EntityId) -> u8 {
    u8::from(*id == IDS[1])
}

/// The fields of a content.
pub(crate) fn fields(content: u8) -> Document {
    FIELDS[usize::from(content)].clone()
}

/// The content of fields.
pub(crate) fn content(fields: &Document) -> u8 {
    fields.get_str("username").unwrap().parse().unwrap()
}

/// Now, in milliseconds: later than all that has been.
pub(crate) fn now() -> i64 {
    i64::from(NOW) * TICK + i64::from(LAST)
}

impl Time {
    pub(crate) fn new(tick: u8, rank: u8) -> Self {
        Self(u16::from_be_bytes([tick, rank]))
    }

    pub(crate) fn tick(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// One tick goes by. What was long ago already stays before what is long ago now.
    pub(crate) fn age(&mut self) {
        let [tick, rank] = self.0.to_be_bytes();
        *self = match tick {
            0 | NOT_A_TIME => *self,
            1 => Self::new(0, rank + LAST / 2),
            _ => Self::new(tick - 1, rank),
        };
    }

    /// Microseconds of the database's clock.
    pub(crate) fn micros(self) -> i64 {
        let [tick, rank] = self.0.to_be_bytes();
        (i64::from(tick) * TICK + i64::from(rank)) * 1000
    }

    pub(crate) fn from_micros(micros: i64) -> Self {
        let millis = micros / 1000;
        Self::new(u8::try_from(millis / TICK).unwrap(), u8::try_from(millis % TICK).unwrap())
    }
}

impl SmallKey {
    pub(crate) fn live(version: u8, content: u8) -> Self {
        Self { version, rank: Rank::Live as u8, hash: Hash::Of(content) }
    }

    pub(crate) fn of(key: &Key) -> Self {
        let hash = match &*key.hash {
            "" => Hash::Empty,
            Key::SETTLED => Hash::Settled,
            hash => {
                Hash::Of(u8::try_from(HASHES.iter().position(|known| **known == *hash).unwrap()).unwrap())
            }
        };
        Self { version: u8::try_from(key.version.get()).unwrap(), rank: key.rank as u8, hash }
    }

    fn key(self) -> Key {
        let hash = match self.hash {
            Hash::Empty => Arc::default(),
            Hash::Settled => Key::SETTLED.into(),
            Hash::Of(content) => HASHES[usize::from(content)].clone(),
        };
        let rank = [Rank::Live, Rank::Out, Rank::Deleted][usize::from(self.rank)];
        Key { epoch: 0, version: Version::new(self.version.into()), rank, shape: 1, hash }
    }
}

impl Held {
    /// A tick goes by for what only counts ticks, and for the revision.
    pub(crate) fn age(&mut self) {
        self.rev.age();
        self.asked = self.asked.saturating_sub(1);
        self.since = self.since.map(|since| after(self.rev, since.saturating_sub(1)));
    }

    /// As the rules take it.
    pub(crate) fn record(&self, entity: u8) -> Record {
        let (state, fields) = match self.knows {
            Knows::Pending => (State::Pending, Document::new()),
            Knows::Live(content) => (State::Live, fields(content)),
            Knows::Deleted => (State::Gone(Why::Deleted), Document::new()),
            Knows::Out => (State::Gone(Why::Out), Document::new()),
            Knows::NotFound => (State::Gone(Why::NotFound), Document::new()),
        };
        let at = |tick: u8| Time::new(tick, 0).micros();
        Record {
            id: id(entity).clone(),
            state,
            key: self.key.map(SmallKey::key),
            shape: 1,
            lacks: false,
            patched: BTreeMap::new(),
            rev: self.rev.micros(),
            need: self.need.map(|need| Version::new(need.into())),
            due: self.due.map(|ticks| now() + i64::from(ticks) * TICK),
            claim: (self.claim != 0).then(|| self.claim.to_string()),
            owes: self.owes,
            tries: 0,
            asked: Some(at(self.asked)),
            since: self.since.map(at),
            batch: None,
            marked: self.mark != 0,
            fields,
        }
    }

    /// Back from what a write has left; of the mark, only whether there is one is known to the rules.
    pub(crate) fn of(record: &Record, mark: u8) -> Self {
        let rev = Time::from_micros(record.rev);
        let tick = |micros: i64| Time::from_micros(micros).tick();
        let ticks = |due: i64| u8::try_from(((due - now()).max(0) + TICK - 1) / TICK).unwrap().min(NOW);
        Self {
            knows: match record.state {
                State::Pending => Knows::Pending,
                State::Live => Knows::Live(content(&record.fields)),
                State::Gone(Why::Deleted) => Knows::Deleted,
                State::Gone(Why::Out) => Knows::Out,
                State::Gone(Why::NotFound) => Knows::NotFound,
                State::Gone(Why::Erased) => unreachable!("nobody is erased here"),
            },
            key: record.key.as_ref().map(SmallKey::of),
            rev,
            need: record.need.map(|need| u8::try_from(need.get()).unwrap()),
            due: record.due.map(ticks),
            claim: record.claim.as_ref().map_or(0, |token| token.parse().unwrap()),
            asked: 0,
            since: record.since.map(|since| after(rev, tick(since))),
            owes: record.owes,
            mark: if record.marked { mark } else { 0 },
        }
    }
}

/// The tick of a call for a look. One before the last change is as good as one long ago.
fn after(rev: Time, since: u8) -> u8 {
    if since > rev.tick() { since } else { 0 }
}
