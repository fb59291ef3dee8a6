//! What may be the reason why the process ends again and again is worked through alone, and put aside in the end.
//!
//! The broker counts how often a delivery came back, but a crash brings back all that was out, guilty or not. So before a
//! suspect is begun with, that is noted in the database; only one that was begun with too often is put aside. The
//! broker's limit of deliveries, at which it takes a message away, is then never reached.

use crate::event::{DecodeError, Reason};
use crate::replication::SourceSpec;
use crate::source::Delivery;
use crate::telemetry::metric;

use super::batch::{self, Batch};
use super::{Halted, Pipeline};

/// A delivery that came back so often is worked through alone.
const SUSPICIOUS: u32 = 2;
/// So often a suspect is begun with. Then it is put aside, with its declared parts, and if that ends the process, too,
/// without having been read at all.
const ATTEMPTS: u64 = 3;

/// What is done with a suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    WorkAlone,
    PutAside,
    PutAsideUnread,
}

/// Takes the suspects out, in their order.
pub(super) fn apart(deliveries: Vec<Delivery>) -> (Vec<Delivery>, Vec<Delivery>) {
    deliveries.into_iter().partition(|delivery| delivery.returned() >= SUSPICIOUS)
}

fn treatment(attempt: u64) -> Treatment {
    match attempt {
        0..=ATTEMPTS => Treatment::WorkAlone,
        attempt if attempt == ATTEMPTS + 1 => Treatment::PutAside,
        _ => Treatment::PutAsideUnread,
    }
}

impl Pipeline {
    /// Works through suspects one after the other.
    pub(super) async fn work_alone(
        &self,
        source: &SourceSpec,
        suspects: Vec<Delivery>,
    ) -> Result<(), Halted> {
        for suspect in suspects {
            let hash = xxhash_rust::xxh3::xxh3_128(&suspect.body);
            let id = uuid::Uuid::new_v5(
                &uuid::Uuid::NAMESPACE_OID,
                format!("{}/{hash:x}", source.name).as_bytes(),
            );
            let attempt = self.persist(|| self.store.suspect(id)).await?;
            let ended = match treatment(attempt) {
                Treatment::WorkAlone => self.run_batch(source, vec![suspect]).await,
                Treatment::PutAside => {
                    let batch = batch::decode(&self.declaration, source, vec![suspect]);
                    self.put_aside(source, batch).await
                }
                Treatment::PutAsideUnread => self.put_aside(source, Batch::unread(source, suspect)).await,
            };
            if ended.is_err() {
                metric::abandoned(&source.name, 1);
            }
            // One that is not forgotten counts an attempt too many for the hour that it is kept.
            let _forgotten = self.store.acquit(id).await;
            ended?;
        }
        Ok(())
    }

    async fn put_aside(&self, source: &SourceSpec, mut batch: Batch) -> Result<(), Halted> {
        let text = "the process has ended each time it was worked through";
        batch.refuse_all(source, &DecodeError::new(Reason::CrashSuspect, text));
        self.park(source, &mut batch).await?;
        batch.settle(source);
        Ok(())
    }
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

    /// D6: at most so many attempts, then with what was declared of it, then without looking at it.
    #[test]
    fn a_suspect_is_tried_a_few_times_and_then_put_aside() {
        use Treatment::{PutAside, PutAsideUnread, WorkAlone};
        let treated: Vec<Treatment> = (1..=6).map(treatment).collect();
        assert_eq!(treated, [WorkAlone, WorkAlone, WorkAlone, PutAside, PutAsideUnread, PutAsideUnread]);
    }
}
