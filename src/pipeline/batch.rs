//! A batch: the deliveries taken together, what each means, and what became of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock;
use crate::event::{ChangeEvent, DecodeError, Headers, Limits, Notice, excerpt, is_context_header};
use crate::replication::{Declaration, Misread, Outcome, SourceSpec, Subscription};
use crate::source::Delivery;
use crate::store::Parked;
use crate::telemetry::metric;

/// Deliveries and what is known of each.
pub struct Batch {
    items: Vec<Item>,
}

struct Item {
    delivery: Delivery,
    meaning: Meaning,
    outcome: Option<Outcome>,
}

/// What a delivery means.
enum Meaning {
    /// Nothing to any replica.
    Nothing,
    /// A change of an entity of this replica.
    Change(Arc<Subscription>, ChangeEvent),
    /// Something that a replica, or nobody, can read.
    Unreadable(Option<Arc<Subscription>>, Misread, Box<Parked>),
    /// Taken out to be written.
    Underway(Arc<Subscription>, Option<i64>),
}

/// What became of a change, or why the database will never take it.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Its effect is durable, or it needs none.
    Done(Outcome),
    /// The database refused the record it makes.
    Refused(DecodeError),
}

/// Reads what each delivery means to the replicas that a source feeds. Pure, but for the deliveries it holds.
pub fn decode(declaration: &Declaration, source: &SourceSpec, deliveries: Vec<Delivery>) -> Batch {
    metric::source_received(&source.name, deliveries.len());
    metric::redelivered(&source.name, deliveries.iter().filter(|delivery| delivery.redelivered).count());
    let read = |delivery: Delivery| {
        let meaning = meaning(declaration, source, &delivery);
        Item { delivery, meaning, outcome: None }
    };
    Batch { items: deliveries.into_iter().map(read).collect() }
}

fn meaning(declaration: &Declaration, source: &SourceSpec, delivery: &Delivery) -> Meaning {
    let notice = match source.envelope.open(&delivery.message()) {
        Ok(notice) => notice,
        Err(error) => {
            let misread = Misread { entity: None, version: None, error };
            let parked = Box::new(parked(source, None, delivery, None, &misread));
            return Meaning::Unreadable(None, misread, parked);
        }
    };
    for of in declaration.fed_by(&source.name) {
        match of.interpret(&notice) {
            Ok(None) => {}
            Ok(Some(event)) => return Meaning::Change(of.clone(), event),
            Err(misread) => {
                let parked = Box::new(parked(source, Some(of), delivery, Some(&notice), &misread));
                return Meaning::Unreadable(Some(of.clone()), misread, parked);
            }
        }
    }
    Meaning::Nothing
}

/// What is kept of an event that cannot be used: its declared parts, its size and a hash.
fn parked(
    source: &SourceSpec,
    of: Option<&Arc<Subscription>>,
    delivery: &Delivery,
    notice: Option<&Notice<'_>>,
    misread: &Misread,
) -> Parked {
    let hash = xxhash_rust::xxh3::xxh3_128(&delivery.body);
    let seed = format!("{}/{}/{hash:032x}", source.name, of.map_or("", |of| of.name.as_str()));
    let kept = of.zip(notice).map(|(of, notice)| excerpt(notice, of.selection.paths()));
    Parked {
        id: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, seed.as_bytes()),
        source: source.name.clone(),
        replica: of.map(|of| of.name.clone()),
        entity: misread.entity.clone(),
        version: misread.version.map(|version| version.get()),
        kind: notice.map(|notice| notice.kind.to_string()),
        event: notice.and_then(Notice::event_id).map(|id| id.to_string()),
        reason: misread.error.reason.to_string(),
        detail: misread.error.detail.clone(),
        headers: redacted(&delivery.headers),
        excerpt: kept.filter(|kept| kept.len() <= Limits::default().body),
        size: i64::try_from(delivery.body.len()).unwrap_or(i64::MAX),
        hash: format!("{hash:032x}"),
        at: None,
    }
}

impl Batch {
    /// Takes out the changes, by replica.
    pub fn events(&mut self) -> Vec<(Arc<Subscription>, Vec<ChangeEvent>)> {
        let mut groups: Vec<(Arc<Subscription>, Vec<ChangeEvent>)> = Vec::new();
        for item in &mut self.items {
            match std::mem::replace(&mut item.meaning, Meaning::Nothing) {
                Meaning::Change(of, event) => {
                    item.meaning = Meaning::Underway(of.clone(), event.stamp.at);
                    match groups.iter_mut().find(|(known, _)| known.name == of.name) {
                        Some((_, events)) => events.push(event),
                        None => groups.push((of, vec![event])),
                    }
                }
                Meaning::Nothing => item.outcome = Some(Outcome::Ignored),
                other => item.meaning = other,
            }
        }
        groups
    }

    /// Notes what became of a replica's changes, in the order in which they were taken out.
    pub fn conclude(
        &mut self,
        source: &SourceSpec,
        of: &Subscription,
        verdicts: Vec<(ChangeEvent, Verdict)>,
    ) {
        let theirs = self
            .items
            .iter_mut()
            .filter(|item| matches!(&item.meaning, Meaning::Underway(known, _) if known.name == of.name));
        for (item, (event, verdict)) in theirs.zip(verdicts) {
            match verdict {
                Verdict::Done(outcome) => item.outcome = Some(outcome),
                Verdict::Refused(error) => item.refuse(source, event, error),
            }
        }
    }

    /// The events that are to be put aside, each with what could be read of it.
    pub fn unreadable(&mut self) -> impl Iterator<Item = Unreadable<'_>> {
        self.items.iter_mut().filter_map(|item| match &mut item.meaning {
            Meaning::Unreadable(of, misread, parked) => {
                Some(Unreadable { of: of.as_ref(), misread, parked, outcome: &mut item.outcome })
            }
            Meaning::Nothing | Meaning::Change(..) | Meaning::Underway(..) => None,
        })
    }

    /// Closes the books on every delivery and tells the broker. What has no outcome is not settled.
    pub fn settle(self, source: &SourceSpec) {
        let now = clock::wall_micros();
        let mut books: BTreeMap<(String, Outcome), usize> = BTreeMap::new();
        let mut lags: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for item in self.items {
            let Some(outcome) = item.outcome else { continue };
            let (replica, at) = item.meaning.origin();
            if let (Outcome::Applied, Some(at)) = (outcome, at) {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a lag of seconds needs no more than 52 bits"
                )]
                lags.entry(replica.to_owned()).or_default().push((now - at) as f64 / 1e6);
            }
            *books.entry((replica.to_owned(), outcome)).or_default() += 1;
            item.delivery.settle();
        }
        for ((replica, outcome), count) in books {
            metric::events(&source.name, &replica, outcome, count);
        }
        for (replica, lags) in lags {
            metric::lags(&replica, lags);
        }
    }
}

impl Meaning {
    /// The replica it is for, or the empty text, and the owner's time of a change.
    fn origin(&self) -> (&str, Option<i64>) {
        match self {
            Self::Underway(of, at) => (of.name.as_str(), *at),
            Self::Unreadable(Some(of), ..) | Self::Change(of, _) => (of.name.as_str(), None),
            Self::Unreadable(None, ..) | Self::Nothing => ("", None),
        }
    }
}

/// An event that is to be put aside.
pub struct Unreadable<'b> {
    /// The replica it is for, if that much is known.
    pub of: Option<&'b Arc<Subscription>>,
    /// What could be read of it.
    pub misread: &'b Misread,
    /// What is kept of it.
    pub parked: &'b Parked,
    /// Where what became of it is noted.
    pub outcome: &'b mut Option<Outcome>,
}

impl Item {
    /// The database will never take what this event makes: it is put aside like one that cannot be read.
    fn refuse(&mut self, source: &SourceSpec, event: ChangeEvent, error: DecodeError) {
        let Meaning::Underway(of, _) = std::mem::replace(&mut self.meaning, Meaning::Nothing) else { return };
        let misread = Misread { entity: Some(event.entity), version: event.version, error };
        let notice = source.envelope.open(&self.delivery.message()).ok();
        let parked = Box::new(parked(source, Some(&of), &self.delivery, notice.as_ref(), &misread));
        self.meaning = Meaning::Unreadable(Some(of), misread, parked);
    }
}

/// Headers that are kept with a parked event; of any other only the name is, since anybody may put anything there.
const KEPT_HEADERS: [&str; 4] = ["traceparent", "tracestate", "x-death", "x-delivery-count"];

fn redacted(headers: &Headers) -> Headers {
    let known = |name: &str| KEPT_HEADERS.contains(&name) || is_context_header(name);
    let keep = |(name, value): (&String, &String)| {
        // The names become keys of a document, and MongoDB has none with NUL.
        (name.replace('\0', "\u{FFFD}"), if known(name) { value.clone() } else { "(not kept)".to_owned() })
    };
    headers.iter().map(keep).collect()
}
