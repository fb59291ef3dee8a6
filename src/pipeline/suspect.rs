//! What may be the reason why the process ends again and again is worked through apart, then alone, and put aside in
//! the end.
//!
//! The broker counts how often a delivery came back, but a crash brings back all that was out, guilty or not: thousands
//! of messages, most of which have not even been begun with. So before suspects are begun with, that is noted in the
//! database, and only these notes tell how far the circle round the guilty one has been drawn: many together at first,
//! few then, one at last. Where the crashes have another reason, nearly all is then worked through in large groups, and
//! goes on between one crash and the next. The broker's limit of deliveries, at which it takes a message away, is
//! never reached.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::event::{DecodeError, Reason};
use crate::replication::Inflow;
use crate::source::Delivery;
use crate::telemetry::metric;

use super::batch::{self, Batch};
use super::{Halted, Pipeline};

/// A delivery that came back so often is worked through apart.
const SUSPICIOUS: u32 = 2;
/// How many suspects are begun with together at the first time, and at the second; then it is one at a time.
const TOGETHER: [usize; 2] = [256, 32];
/// So often a suspect is begun with. Then it is put aside, with its declared parts, and if that ends the process, too,
/// without having been read at all.
const ATTEMPTS: u64 = 5;

/// What is done with suspects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    /// So many are worked through together.
    Work(usize),
    PutAside,
    PutAsideUnread,
}

/// A delivery by which the process may have ended.
struct Suspect {
    id: Uuid,
    delivery: Delivery,
}

/// Takes the suspects out, in their order.
pub(super) fn apart(deliveries: Vec<Delivery>) -> (Vec<Delivery>, Vec<Delivery>) {
    deliveries.into_iter().partition(|delivery| delivery.returned() >= SUSPICIOUS)
}

/// What is done with a suspect that was begun with so often before.
fn treatment(before: u64) -> Treatment {
    match before {
        0..ATTEMPTS => Treatment::Work(
            usize::try_from(before).ok().and_then(|before| TOGETHER.get(before)).copied().unwrap_or(1),
        ),
        ATTEMPTS => Treatment::PutAside,
        _ => Treatment::PutAsideUnread,
    }
}

/// The suspects in groups that are treated alike, the least suspicious first: they end well before a guilty one is
/// begun with.
fn groups(suspects: Vec<Suspect>, noted: &BTreeMap<Uuid, u64>) -> Vec<(Treatment, Vec<Suspect>)> {
    let mut alike: BTreeMap<u64, Vec<Suspect>> = BTreeMap::new();
    for suspect in suspects {
        let before = noted.get(&suspect.id).copied().unwrap_or_default();
        alike.entry(before).or_default().push(suspect);
    }
    let mut groups = Vec::new();
    for (before, mut suspects) in alike {
        let treatment = treatment(before);
        let Treatment::Work(most) = treatment else {
            groups.extend(suspects.into_iter().map(|suspect| (treatment, vec![suspect])));
            continue;
        };
        while !suspects.is_empty() {
            let rest = suspects.split_off(most.min(suspects.len()));
            groups.push((treatment, std::mem::replace(&mut suspects, rest)));
        }
    }
    groups
}

impl Suspect {
    /// A message is known again by what it says, whatever the broker calls it.
    fn new(source: &Inflow, delivery: Delivery) -> Self {
        let hash = xxhash_rust::xxh3::xxh3_128(&delivery.body);
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}/{hash:x}", source.name()).as_bytes());
        Self { id, delivery }
    }
}

impl Pipeline {
    /// Works through suspects, one group after the other.
    pub(super) async fn work_apart(&self, source: &Inflow, deliveries: Vec<Delivery>) -> Result<(), Halted> {
        let suspects: Vec<Suspect> =
            deliveries.into_iter().map(|delivery| Suspect::new(source, delivery)).collect();
        let ids = ids(&suspects);
        let noted = self.persist(|| self.store.suspicions(&ids)).await?;
        for (treatment, group) in groups(suspects, &noted) {
            let ids = self::ids(&group);
            self.persist(|| self.store.suspect(&ids)).await?;
            let count = group.len();
            let ended = self.treat(source, treatment, group).await;
            if ended.is_err() {
                metric::abandoned(source.name(), count);
            }
            // One that is not forgotten counts an attempt too many for the hour that it is kept.
            let _forgotten = self.store.acquit(&ids).await;
            ended?;
        }
        Ok(())
    }

    async fn treat(&self, source: &Inflow, treatment: Treatment, group: Vec<Suspect>) -> Result<(), Halted> {
        let deliveries: Vec<Delivery> = group.into_iter().map(|suspect| suspect.delivery).collect();
        match treatment {
            Treatment::Work(_) => self.run_batch(source, deliveries).await,
            Treatment::PutAside => {
                self.put_aside(source, batch::decode(&self.declaration, source, deliveries)).await
            }
            Treatment::PutAsideUnread => self.put_aside(source, Batch::unread(source, deliveries)).await,
        }
    }

    async fn put_aside(&self, source: &Inflow, mut batch: Batch) -> Result<(), Halted> {
        let text = "the process has ended each time it was worked through";
        batch.refuse_all(source, &DecodeError::new(Reason::CrashSuspect, text));
        self.park(source, &mut batch).await?;
        batch.settle(source);
        Ok(())
    }
}

/// Each once, however often the same message lies here.
fn ids(suspects: &[Suspect]) -> Vec<Uuid> {
    let ids: BTreeSet<Uuid> = suspects.iter().map(|suspect| suspect.id).collect();
    ids.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::event::Headers;
    use crate::source::Ledger;

    struct Nobody;

    impl Ledger for Nobody {
        fn settle(&self, _: u64) {}
    }

    fn delivery(count: Option<&str>, redelivered: bool) -> Delivery {
        let header = count.map(|count| ("x-delivery-count".to_owned(), count.to_owned()));
        let headers: Headers = header.into_iter().collect();
        Delivery::new(Bytes::new(), None, headers, redelivered, 1, Arc::new(Nobody))
    }

    /// D6: who came back twice is a suspect; whoever only says so is not.
    #[test]
    fn only_what_the_broker_got_back_twice_is_suspicious() {
        let counts = [
            (None, true, 0),
            (Some("1"), true, 1),
            (Some("2"), true, 2),
            (Some("99"), true, 99),
            (Some("99"), false, 0),
            (Some("-1"), true, 0),
            (Some("many"), true, 0),
        ];
        for (count, redelivered, returned) in counts {
            assert_eq!(delivery(count, redelivered).returned(), returned, "{count:?}");
        }
        let (suspects, others) =
            apart(counts.map(|(count, redelivered, _)| delivery(count, redelivered)).into());
        let returned =
            |deliveries: &[Delivery]| deliveries.iter().map(Delivery::returned).collect::<Vec<_>>();
        assert_eq!((returned(&suspects), returned(&others)), (vec![2, 99], vec![0, 1, 0, 0, 0]));
    }

    /// D6: the circle is drawn closer with each attempt. What is alone at last is tried a few times, then put aside
    /// with what was declared of it, then without looking at it.
    #[test]
    fn the_circle_round_a_suspect_is_drawn_closer_and_closer() {
        use Treatment::{PutAside, PutAsideUnread, Work};
        let treated: Vec<Treatment> = (0..8).map(treatment).collect();
        let alone = Work(1);
        let expected = [Work(256), Work(32), alone, alone, alone, PutAside, PutAsideUnread, PutAsideUnread];
        assert_eq!(treated, expected);
    }

    /// D6: who was begun with more often waits for the others, and no group has suspects of two kinds.
    #[test]
    fn the_least_suspicious_go_first() {
        use Treatment::{PutAside, PutAsideUnread, Work};
        let suspect = |number: u128| Suspect { id: Uuid::from_u128(number), delivery: delivery(None, true) };
        let noted = [(7, 1), (0, 2), (3, 2), (5, 6), (6, 5)].map(|(id, times)| (Uuid::from_u128(id), times));
        let formed = groups((0..300).map(suspect).collect(), &BTreeMap::from(noted));
        let told: Vec<(Treatment, usize, u128)> = formed
            .iter()
            .map(|(treatment, group)| {
                (*treatment, group.len(), group.first().map_or(0, |one| one.id.as_u128()))
            })
            .collect();
        let expected = [
            (Work(256), 256, 1),
            (Work(256), 39, 261),
            (Work(32), 1, 7),
            (Work(1), 1, 0),
            (Work(1), 1, 3),
            (PutAside, 1, 6),
            (PutAsideUnread, 1, 5),
        ];
        assert_eq!(told, expected);
    }
}
