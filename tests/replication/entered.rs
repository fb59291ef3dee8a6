//! A batch is judged by the records that others wrote as if all of its records had been read back.

use std::collections::BTreeMap;

use bson::doc;
use nearcopy::event::{Change, ChangeEvent, EntityId, Stamp, Version};
use nearcopy::replication::{
    Declaration, Record, RecordWrite, Timeline, fold, judge, judge_by_others, tells_by_others,
};
use nearcopy::store::memory::meaning;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::declared::{ASKED, PRODUCTS, id, shop, users};

const BATCH: i64 = 7;

fn any_event() -> impl Strategy<Value = ChangeEvent> {
    ("[abc]", 0..4_i64, 0..6_u8).prop_map(|(entity, version, kind)| {
        let change = match kind {
            0..3 => Change::Upsert(doc! { "username": format!("{entity}-{version}") }.try_into().unwrap()),
            3 => Change::Upsert(doc! { "username": "another" }.try_into().unwrap()),
            4 => Change::Leave,
            _ => Change::Delete,
        };
        let version = Some(Version::new(version));
        ChangeEvent { entity: id(&entity), version, change, stamp: Stamp::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(5_000) })]

    #[test]
    fn what_has_entered_need_not_be_read(
        before in vec(any_event(), 0..3),
        events in vec(any_event(), 1..8),
        asked in any::<bool>(),
        refresh in 0..10_u8,
    ) {
        let declaration = shop("all", if asked { ASKED } else { "" }, &[]);
        let of = users(&declaration);
        let mut records: BTreeMap<EntityId, Record> = BTreeMap::new();
        let mut write = |events: &[ChangeEvent], batch| {
            let (folded, mut changed) = (fold(of, events, &Timeline::default()), 0);
            for write in &folded.writes {
                let held = records.get(write.id());
                if let Some(after) = meaning::apply(of, held, write, 1_000, batch) {
                    changed += u64::from(held != Some(&after));
                    records.insert(write.id().clone(), after);
                }
            }
            (folded, changed)
        };
        write(&before, BATCH - 1);
        let mut events = events;
        if refresh == 0 {
            events.push(ChangeEvent { change: Change::Refresh, ..events[0].clone() });
        }
        let (folded, changed) = write(&events, BATCH);
        prop_assert_eq!(tells_by_others(&folded), refresh > 0);
        if refresh > 0 {
            let judgement = |(entity, claim): &_| judge(claim, records.get(entity), &of.keep, BATCH);
            let read: Vec<_> = folded.expected.iter().map(judgement).collect();
            let ours = |record: &Record| record.batch == Some(BATCH);
            let wanted = |record: &Record| folded.writes.iter().any(|write| *write.id() == record.id);
            let mut others = records.clone();
            others.retain(|_, record| wanted(record) && !ours(record));
            let judged = judge_by_others(&folded, changed, &others, &of.keep, BATCH);
            prop_assert_eq!(judged, Some(read));
            // Somebody has deleted one.
            if others.pop_first().is_some() {
                prop_assert_eq!(judge_by_others(&folded, changed, &others, &of.keep, BATCH), None);
            }
        }
    }
}

/// What a record shows where it is embedded must be known to be fanned out; and what nobody refers to has no record.
#[test]
fn what_is_embedded_or_may_be_absent_is_read() {
    let folded = |declaration: &Declaration| {
        let change = Change::Upsert(doc! { "username": "ann" }.try_into().unwrap());
        let (entity, version) = (id("a"), Some(Version::new(1)));
        let event = ChangeEvent { entity, version, change, stamp: Stamp::default() };
        fold(users(declaration), &[event], &Timeline::default())
    };
    let mut kept = folded(&shop("all", "", &[]));
    assert!(tells_by_others(&kept));
    assert!(!tells_by_others(&folded(&shop("all", "", &[PRODUCTS]))));
    for write in &mut kept.writes {
        let RecordWrite::State { create, .. } = write else { continue };
        *create = false;
    }
    assert!(!tells_by_others(&kept));
}
