//! What the owner's answer does to a record.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Content, Due, FetchSpec, Key, Rank, Record, RecordWrite, State, Why};
use crate::event::{Fields, Version};

/// What the owner said of one entity.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It has it; outside the subset that is kept, the content is gone.
    Found {
        /// Its version, where the owner's answers carry one.
        version: Option<Version>,
        /// What is to be held.
        content: Content,
    },
    /// It does not know it.
    NotFound,
}

/// The longest wait before the owner is asked again about something it did not know.
const LONGEST_BACKOFF: Duration = Duration::from_secs(24 * 60 * 60);

/// Decides what an answer does to the record that was read when the owner was asked.
///
/// A *settled* answer was asked for at least the declared read lag after the record last changed, and after
/// anybody last called for a look at the owner. Only such an answer may win at an equal or unknown version, turn
/// a live record into one that is gone, or end a need; any other is provisional and leads to one more question.
///
/// A settled answer that was called for, and does not say of which version it is, settles the key also where it finds
/// what it says: whatever comes after it may be older than what the owner's word was about, and is asked about.
///
/// `epoch` is the owner's as it was known before it was asked. An answer of a later one than the record's wins whatever
/// its version, and ends a need, since nobody can say of which epoch that was: it is asked again in any case.
pub fn merge(
    record: &Record,
    answer: &Answer,
    epoch: i64,
    shape: i32,
    spec: &FetchSpec,
    embedded: bool,
) -> RecordWrite {
    let settled = is_settled(record, spec.settle);
    let declared = record.patched.iter().filter(|(name, _)| spec.answers.keeps(name));
    let patched: BTreeMap<_, _> = declared.map(|(name, newer)| (name.clone(), *newer)).collect();
    let record = &Record { patched, ..record.clone() };
    let verdict = match answer {
        Answer::Found { version: Some(version), content } => {
            versioned(record, *version, content, settled, epoch, shape)
        }
        Answer::Found { version: None, content } => unversioned(record, content, settled, epoch, shape),
        Answer::NotFound => not_found(record, settled, epoch, shape),
    };
    // Pauses begin anew with what the record holds: how long the owner was away says nothing of its answers.
    let tries = match (verdict.next, &verdict.content) {
        (Next::BackOff, None) => record.tries.saturating_add(1),
        (Next::BackOff, Some(_)) => 1,
        _ => 0,
    };
    let longest = spec.reconcile.unwrap_or(LONGEST_BACKOFF);
    RecordWrite::Answer {
        id: record.id.clone(),
        rev: record.rev,
        claim: record.claim.clone(),
        owes: embedded && verdict.content.is_some(),
        content: verdict.content,
        patched: verdict.patched,
        satisfied: verdict.satisfied,
        due: match verdict.next {
            Next::Settle => Due::After(spec.settle),
            Next::BackOff => Due::After(back_off(spec.settle, tries).min(longest)),
            Next::Reconcile => spec.reconcile.map_or(Due::Never, Due::After),
            Next::Never => Due::Never,
        },
        tries,
    }
}

/// What an answer is still worth to a record that has changed since the owner was asked, and is not known in full yet:
/// its version places it, so it may fill in what patches have left. It settles nothing. Where patches come faster than
/// answers, none would ever enter otherwise.
pub fn merge_overtaken(
    record: &Record,
    answer: &Answer,
    epoch: i64,
    shape: i32,
    spec: &FetchSpec,
    embedded: bool,
) -> Option<RecordWrite> {
    let placed = matches!(answer, Answer::Found { version: Some(_), .. });
    if record.state != State::Pending || !placed || record.shape > shape {
        return None;
    }
    let unsettled = Record { asked: None, ..record.clone() };
    let write = merge(&unsettled, answer, epoch, shape, spec, embedded);
    matches!(write, RecordWrite::Answer { content: Some(_), .. }).then_some(write)
}

/// The wait after so many questions in vain: the base, doubled each time, at most a day.
pub fn back_off(base: Duration, tries: u32) -> Duration {
    let factor = 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
    base.saturating_mul(factor).min(LONGEST_BACKOFF)
}

/// Whether the owner, asked again and after its read lag, still gives a version below the one held: then its versions
/// have gone back, as they do when it is restored from a backup.
pub fn has_gone_back(record: &Record, answer: &Answer, epoch: i64, spec: &FetchSpec) -> bool {
    let Answer::Found { version: Some(version), .. } = answer else { return false };
    let held = record.key.as_ref().filter(|held| held.epoch == epoch);
    held.is_some_and(|held| *version < held.version) && record.tries > 0 && is_settled(record, spec.settle)
}

fn is_settled(record: &Record, settle: Duration) -> bool {
    let lag = i64::try_from(settle.as_micros()).unwrap_or(i64::MAX);
    let changed = record.since.map_or(record.rev, |since| since.max(record.rev));
    record.asked.is_some_and(|asked| asked.saturating_sub(changed) >= lag)
}

/// When the next question is due.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Settle,
    BackOff,
    Reconcile,
    Never,
}

struct Verdict {
    content: Option<(Content, Option<Key>)>,
    patched: BTreeMap<String, Version>,
    satisfied: bool,
    next: Next,
}

fn versioned(
    record: &Record,
    version: Version,
    content: &Content,
    settled: bool,
    epoch: i64,
    shape: i32,
) -> Verdict {
    let mut key = match content {
        Content::Live(fields) => Key::live(version, shape, fields),
        Content::Gone(why) => Key::gone(version, *why, shape),
    }
    .in_epoch(epoch);
    let begins = record.epoch() < epoch;
    let patched = record.patched.iter().filter(|(_, newer)| !begins && **newer > version);
    let patched: BTreeMap<_, _> = patched.map(|(name, newer)| (name.clone(), *newer)).collect();
    let content = keeping(record, &patched, content);
    let held = held(record, shape);
    let held = held.as_ref();
    let newer = held.is_none_or(|held| *held < key.without_hash());
    let tie = held.is_some_and(|held| held.version == version && held.epoch == epoch);
    let deleted = matches!(record.state, State::Gone(Why::Deleted | Why::Erased))
        || held.is_some_and(|held| held.rank == Rank::Deleted);
    let overrides = settled && tie && !deleted && differs(record, &content);
    if overrides {
        key.hash = Key::SETTLED.into();
    }
    let behind = !begins && record.need.is_some_and(|need| version < need)
        || held.is_some_and(|held| (epoch, version) < (held.epoch, held.version));
    let satisfied = begins || settled && !behind;
    Verdict {
        content: (newer || overrides).then_some((content, Some(key))),
        patched,
        satisfied,
        next: match (settled, behind, newer) {
            (true, true, _) => Next::BackOff,
            (true, false, false) => Next::Reconcile,
            (false, ..) | (true, false, true) => Next::Settle,
        },
    }
}

fn unversioned(record: &Record, content: &Content, settled: bool, epoch: i64, shape: i32) -> Verdict {
    let fills = record.state == State::Pending && record.key.is_none();
    let kept = if settled { BTreeMap::new() } else { record.patched.clone() };
    let content = keeping(record, &kept, content);
    let outdated = record.lacks || record.shape < shape || is_outlived(record, epoch);
    let overwrites = settled && !fills && (outdated || differs(record, &content));
    let key = carried(record, epoch, shape).map(|key| Key { hash: Key::SETTLED.into(), ..key });
    let said = (fills || overwrites).then_some((content, key));
    Verdict {
        content: said.or_else(|| confirmed(record, settled)),
        patched: record.patched.clone(),
        satisfied: settled && !fills,
        next: match (settled && !fills, record.key.is_some()) {
            (false, _) => Next::Settle,
            (true, true) => Next::Reconcile,
            (true, false) => Next::BackOff,
        },
    }
}

/// What is not known may be late, so it never meets a need; only what is held does.
fn not_found(record: &Record, settled: bool, epoch: i64, shape: i32) -> Verdict {
    let unknown = record.state == State::Pending && record.version().is_none();
    let outlived = is_outlived(record, epoch);
    let satisfied = record.need.is_none_or(|need| outlived && settled || record.version() >= Some(need));
    let patched = BTreeMap::new();
    match record.state {
        State::Gone(why @ (Why::Deleted | Why::Out | Why::Erased)) if !outlived => {
            let next = match (settled, satisfied) {
                (false, _) => Next::Settle,
                (true, false) => Next::BackOff,
                (true, true) if why == Why::Erased => Next::Never,
                // It may come back, and the event that says so be lost.
                (true, true) => Next::Reconcile,
            };
            Verdict { content: confirmed(record, settled), patched, satisfied, next }
        }
        State::Gone(Why::NotFound) if !outlived => {
            let next = if settled { Next::BackOff } else { Next::Settle };
            Verdict { content: None, patched, satisfied, next }
        }
        _ if unknown || settled => {
            let content = (Content::Gone(Why::NotFound), floor(record, epoch, shape));
            Verdict { content: Some(content), patched, satisfied, next: Next::BackOff }
        }
        _ => Verdict { content: None, patched, satisfied: false, next: Next::Settle },
    }
}

/// What is held, under a key that says that it is the owner's word: where somebody has called for that.
fn confirmed(record: &Record, settled: bool) -> Option<(Content, Option<Key>)> {
    let key = record.key.as_ref().filter(|key| &*key.hash != Key::SETTLED)?;
    record.since.filter(|_| settled)?;
    let content = match record.state {
        State::Pending => return None,
        State::Live => Content::Live(Fields::try_from(record.fields.clone()).ok()?),
        State::Gone(why) => Content::Gone(why),
    };
    Some((content, Some(Key { hash: Key::SETTLED.into(), ..key.clone() })))
}

/// The key held. What holds no fields lacks none of a newer generation either.
fn held(record: &Record, shape: i32) -> Option<Key> {
    let key = record.key.as_ref()?;
    Some(if record.state == State::Live { key.clone() } else { key.reshaped(shape, None) })
}

/// Whether what is held comes from an epoch that is over.
fn is_outlived(record: &Record, epoch: i64) -> bool {
    record.key.as_ref().is_some_and(|held| held.epoch < epoch)
}

/// The key under which an answer without a version is held: the record's own. Of an epoch that is over, that would let
/// in what is left of it; then it is the lowest of the answer's epoch.
fn carried(record: &Record, epoch: i64, shape: i32) -> Option<Key> {
    let held = record.key.as_ref()?.reshaped(shape, None);
    let lowest = Key { shape: held.shape, ..Key::floor(epoch, Version::new(0)) };
    Some(if held.epoch < epoch { lowest } else { held })
}

/// What an answer says, but for the fields that the record holds at newer versions.
fn keeping(record: &Record, patched: &BTreeMap<String, Version>, content: &Content) -> Content {
    let Content::Live(fields) = content else { return content.clone() };
    if patched.is_empty() {
        return content.clone();
    }
    let mut fields = fields.to_document();
    let newer = patched.keys().filter_map(|name| Some((name.clone(), record.fields.get(name)?.clone())));
    fields.extend(newer);
    // What has been stored can be stored.
    Fields::try_from(fields).map_or_else(|_| content.clone(), Content::Live)
}

/// The key under which an entity is gone that the owner does not know: that of all that was known of it.
fn floor(record: &Record, epoch: i64, shape: i32) -> Option<Key> {
    match record.patched.values().max() {
        Some(newest) if record.epoch() == epoch => Some(Key { shape, ..Key::floor(epoch, *newest) }),
        _ => carried(record, epoch, shape),
    }
}

/// Whether a record shows something else than the answer says.
fn differs(record: &Record, content: &Content) -> bool {
    match (record.state, content) {
        (State::Live, Content::Live(fields)) => record.fields != fields.to_document(),
        (State::Gone(_), Content::Gone(_)) => false,
        _ => true,
    }
}
