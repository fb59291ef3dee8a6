//! Full states and patches of entities, brought into their records: in any order, any number of times, one result.
//!
//! A record holds the last full state or deletion under its key, and on top of it the fields that patches have
//! brought further, each under its own version. A full state takes the place of what it is newer than, field by
//! field; so even one that comes after a newer patch fills in the rest. All of it is a maximum, once of the keys
//! and once for each field, and maxima do not depend on the order in which they are taken.
//!
//! Versions of fields are of the record's epoch. A patch of a later one cannot be put upon what is outlived, so it
//! only says that the owner must be asked.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};

use super::fold::{Folded, asks, state};
use super::key::content_hash;
use super::settlement::Expected;
use super::{Content, Due, Gaps, Key, Record, RecordWrite, State, Subscription, Timeline};
use crate::event::{Change, ChangeEvent, EntityId, Stamp, Version};

/// What a record is to hold after full states and patches.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// What is then known of the entity.
    pub state: State,
    /// The key of the last full state or deletion; `None` where there has been none.
    pub key: Option<Key>,
    /// The fields that patches have brought further than the key, each with its version.
    pub patched: BTreeMap<String, Version>,
    /// The declared fields, as far as they are known.
    pub fields: Document,
    /// The lowest version that will do, where the entity is known only in part.
    pub need: Option<Version>,
    /// The generation that has a hand in all of it.
    pub shape: i32,
    /// Whether it has no values yet for fields that its generation added.
    pub lacks: bool,
}

/// What a batch makes of the records as they were read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Revised {
    /// The writes, and what each event expects to find when they are done.
    pub folded: Folded,
    /// The events before which versions are missing, as far as is known here.
    pub gaps: Vec<usize>,
}

/// Brings the events of one replica into its records as they were read: at most one [`RecordWrite::Revise`] each,
/// which enters only where nobody else has changed the record since.
pub fn revise(
    of: &Subscription,
    events: &[ChangeEvent],
    timeline: &Timeline,
    held: &BTreeMap<EntityId, Record>,
) -> Revised {
    let mut revised = Revised::default();
    let mut needs: BTreeMap<&EntityId, Option<Key>> = BTreeMap::new();
    let mut by_entity: BTreeMap<&EntityId, Vec<usize>> = BTreeMap::new();
    for (at, event) in events.iter().enumerate() {
        let expected = claim(of, event, timeline.epoch_at(event.stamp.at), held.get(&event.entity));
        if let Expected::Need(floor) = &expected {
            let need = needs.entry(&event.entity).or_default();
            *need = need.take().max(floor.clone());
        } else {
            by_entity.entry(&event.entity).or_default().push(at);
        }
        revised.folded.expected.push((event.entity.clone(), expected));
    }
    for (id, mut numbers) in by_entity {
        numbers.sort_by_key(|at| (timeline.epoch_at(events[*at].stamp.at), events[*at].version));
        let record = held.get(id);
        if record.is_some() || of.keep.creates() {
            revise_one(of, id, record, (events, timeline), &numbers, &mut revised);
        }
    }
    revised.folded.writes.extend(asks(of, needs));
    revised
}

/// What an event of this epoch claims.
fn claim(of: &Subscription, event: &ChangeEvent, epoch: i64, held: Option<&Record>) -> Expected {
    let outlived = held.map_or(0, Record::epoch) < epoch;
    match (state(of, event, epoch), &event.change, event.version) {
        (Some((key, _)), _, _) => Expected::State { guard: of.guard(&key), key, winner: false },
        (None, Change::Patch(fields), Some(version)) if !outlived => {
            let (fields, by_hash) = (fields.clone(), of.fetch.is_none());
            Expected::Patch { epoch, version, fields, by_hash, winner: false }
        }
        (None, _, version) => Expected::Need(version.map(|version| Key::floor(epoch, version))),
    }
}

/// Brings these events, the oldest first, into one record.
fn revise_one(
    of: &Subscription,
    id: &EntityId,
    record: Option<&Record>,
    (events, timeline): (&[ChangeEvent], &Timeline),
    numbers: &[usize],
    revised: &mut Revised,
) {
    let mut revision = Revision::of(of, record);
    let (mut stamp, mut hole): (Option<&Stamp>, bool) = (None, false);
    for at in numbers {
        let event = &events[*at];
        let before = revision.version();
        let Some(version) = event.version else { continue };
        if !revision.take(of, event, timeline.epoch_at(event.stamp.at)) {
            continue;
        }
        stamp = Some(&event.stamp);
        if of.gaps == Gaps::Ask && before.is_some_and(|before| version.get() > before.get().saturating_add(1))
        {
            revised.gaps.push(*at);
            // What a lost patch said, only the owner can say. It may also come yet, so there is no hurry.
            hole |= matches!(event.change, Change::Patch(_));
        }
        if let Expected::State { winner, .. } | Expected::Patch { winner, .. } =
            &mut revised.folded.expected[*at].1
        {
            *winner = true;
        }
    }
    let Some(stamp) = stamp else { return };
    revision.arrange(of, record.is_some_and(|record| of.leaves_alone(record)));
    let ask = match &of.fetch {
        Some(_) if revision.state == State::Pending => Due::Now,
        Some(fetch) if hole => Due::After(fetch.settle),
        _ => Due::Never,
    };
    revised.folded.writes.push(RecordWrite::Revise {
        id: id.clone(),
        rev: record.map(|record| record.rev),
        revision,
        ask,
        stamp: stamp.clone(),
        owes: of.embedded,
    });
}

impl Revision {
    /// What a record holds, or nothing where there is none.
    fn of(of: &Subscription, record: Option<&Record>) -> Self {
        Self {
            state: record.map_or(State::Pending, |record| record.state),
            key: record.and_then(|record| record.key.clone()),
            patched: record.map(|record| record.patched.clone()).unwrap_or_default(),
            fields: record.map(|record| record.fields.clone()).unwrap_or_default(),
            need: record.and_then(|record| record.need),
            shape: record.map_or(of.shape, |record| record.shape),
            lacks: record.is_some_and(|record| record.lacks),
        }
    }

    /// The newest version of which anything is held.
    pub fn version(&self) -> Option<Version> {
        newest(self.key.as_ref(), &self.patched)
    }

    fn epoch(&self) -> i64 {
        self.key.as_ref().map_or(0, |key| key.epoch)
    }

    /// Takes an event in; says whether that changed anything.
    fn take(&mut self, of: &Subscription, event: &ChangeEvent, epoch: i64) -> bool {
        match (state(of, event, epoch), &event.change, event.version) {
            (Some((key, content)), _, _) => self.take_state(of, key, content),
            (None, Change::Patch(fields), Some(version)) if self.epoch() == epoch => {
                self.take_patch(of, version, fields)
            }
            _ => false,
        }
    }

    fn take_state(&mut self, of: &Subscription, key: Key, content: Content) -> bool {
        if self.key.as_ref().is_some_and(|held| *held >= of.guard(&key)) {
            return false;
        }
        let held = std::mem::take(&mut self.fields);
        let same = self.epoch() == key.epoch;
        self.patched.retain(|_, version| same && *version > key.version);
        match content {
            Content::Live(fields) => {
                self.state = State::Live;
                self.fields = fields.to_document();
                if self.shape > of.shape {
                    // What a newer generation holds besides is not known here, and left to those who know it.
                    let declared = |name: &String| of.selection.fields().any(|field| field.name == *name);
                    let newer = held.iter().filter(|(name, _)| !declared(name));
                    self.fields.extend(newer.map(|(name, value)| (name.clone(), value.clone())));
                }
            }
            Content::Gone(why) if self.patched.is_empty() => self.state = State::Gone(why),
            // It was deleted, and a newer patch says that it is there again: the rest of it is not known.
            Content::Gone(_) => self.is_partial(self.patched.values().max().copied()),
        }
        for name in self.patched.keys() {
            self.fields.insert(name, held.get(name).cloned().unwrap_or(Bson::Null));
        }
        self.key = Some(key);
        (self.shape, self.lacks) = (of.shape, false);
        true
    }

    fn take_patch(&mut self, of: &Subscription, version: Version, fields: &Document) -> bool {
        if fields.is_empty() || self.key.as_ref().is_some_and(|held| held.version >= version) {
            return false;
        }
        let mut changed = false;
        for (name, value) in fields {
            let newer = match self.patched.get(name) {
                Some(held) if *held == version => {
                    of.fetch.is_none() && outranks(value, self.fields.get(name))
                }
                held => held < Some(&version),
            };
            if newer {
                self.patched.insert(name.clone(), version);
                self.fields.insert(name, value.clone());
                changed = true;
            }
        }
        if self.state != State::Live && (self.state != State::Pending || self.need < Some(version)) {
            self.is_partial(Some(version));
            changed = true;
        }
        if changed {
            // An older pod has read less of the patch than there may have been in it.
            self.shape = self.shape.min(of.shape);
        }
        changed
    }

    /// It is there, and not known in full before that version.
    fn is_partial(&mut self, version: Option<Version>) {
        self.state = State::Pending;
        self.need = self.need.max(version);
    }

    /// Puts the fields in the order in which they are declared, whatever order they came in. Others are kept where a
    /// newer generation has written them, and go where an older one has.
    fn arrange(&mut self, of: &Subscription, is_newer: bool) {
        let mut held = std::mem::take(&mut self.fields);
        let declared = of.selection.fields().map(|field| &field.name);
        self.fields =
            declared.filter_map(|name| held.remove(name).map(|value| (name.clone(), value))).collect();
        if is_newer {
            self.fields.extend(held);
        }
        self.patched.retain(|name, _| self.fields.contains_key(name));
        if self.state != State::Pending {
            self.need = None;
        }
    }
}

impl Record {
    /// The newest version of which anything is held.
    pub fn version(&self) -> Option<Version> {
        newest(self.key.as_ref(), &self.patched)
    }
}

fn newest(key: Option<&Key>, patched: &BTreeMap<String, Version>) -> Option<Version> {
    patched.values().copied().chain(key.map(|key| key.version)).max()
}

/// Whether a field's value wins over another one of the same version where nobody can be asked: arbitrary, but the
/// same in every pod.
pub(super) fn outranks(value: &Bson, held: Option<&Bson>) -> bool {
    let hash = |value: &Bson| content_hash(&doc! { "": value });
    held.is_none_or(|held| held != value && hash(value) > hash(held))
}
