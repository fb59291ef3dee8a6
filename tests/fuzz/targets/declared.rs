//! A declaration that reads in every way there is.

use std::sync::LazyLock;

use nearcopy::event::{Envelope, Message};
use nearcopy::manifest;
use nearcopy::replication::{Declaration, Misread};

/// When all of it is read: the last day of 2026, in microseconds since 1970.
pub(super) const TIME_OF_DAY: i64 = 1_798_675_200_000_000;

pub(super) static DECLARED: LazyLock<Declaration> =
    LazyLock::new(|| manifest::parse("nearcopy.yaml", MANIFEST, &|_| None).unwrap());

/// Reads a message of a source by every replica: whatever it is, it means something, nothing, or is refused for a
/// reason; and what is kept of it to be taken up again later is read just so.
pub(super) fn read(source: &str, message: &Message<'_>) {
    let spec = DECLARED.sources.iter().find(|spec| spec.name == source).unwrap();
    let Ok(notice) = spec.envelope.open(message) else { return };
    for of in DECLARED.fed_by(source) {
        let read = of.interpret(&notice, TIME_OF_DAY);
        let Some(kept) = of.excerpt(&notice).filter(|_| !matches!(read, Ok(None))) else {
            continue;
        };
        let later = Message { body: kept.as_bytes(), ..*message };
        let again =
            Envelope::excerpt(notice.limits).open(&later).map(|notice| of.interpret(&notice, TIME_OF_DAY));
        let again = again.unwrap_or_else(|error| panic!("an excerpt does not open: {error}: {kept}"));
        assert_eq!(again.map_err(gist), read.map_err(gist), "of `{}`: {kept}", of.name);
    }
}

/// The text of a reason tells lines and columns, too, which differ.
fn gist(misread: Misread) -> impl PartialEq + std::fmt::Debug {
    (misread.entity, misread.version, misread.error.reason)
}

const MANIFEST: &str = r##"
service: shop
sources:
  users:
    rabbitmq: { exchange: users, queue: shop.users, bindings: ["#"] }
    event: { id: id, type: type, time: occurredAt, data: data }
    limits: { body: 1MiB, depth: 16 }
  partners:
    rabbitmq: { exchange: partners, queue: shop.partners, bindings: ["#"] }
    format: cloudevents
replicas:
  users:
    owner: user-service
    source: users
    keep: all
    id: data.id
    version: data.version
    fields:
      any: data.any
      string: { from: data.string, type: string, default: "none" }
      int: { from: data.int, type: int }
      double: { from: data.double, type: double }
      decimal: { from: data.decimal, type: decimal }
      bool: { from: data.bool, type: bool }
      date: { from: data.date, type: date }
      objectId: { from: data.objectId, type: objectId }
      uuid: { from: data.uuid, type: uuid }
      object: { from: data.object, type: object }
      array: { from: data.array, type: array }
      city: data.address.city
      odd: "data.a\\.b"
    on: { upsert: upsert, delete: delete, refresh: refresh }
    fetch: { url: "http://users/{id}", from: { id: id, version: version, data: "" } }
  adults:
    owner: user-service
    source: users
    keep: { where: "data.age > 17 && data.roles.exists(r, r == 'buyer') && data.country in ['DE', 'FR']" }
    id: { from: data.id, type: int }
    version: { time: data.at }
    fields: { name: data.name }
    on: { upsert: upsert, delete: delete }
    fetch:
      url: "http://users/{id}"
      batch: "http://users/all?ids={ids}"
      from: { id: user.id, version: user.at, data: user, items: page.items }
  tenants:
    owner: user-service
    source: users
    keep: all
    id: body.tenant
    version: data.version
    fields: { name: data.string }
    on: { upsert: upsert, delete: delete }
  partners:
    owner: partner-service
    source: partners
    keep: all
    id: subject
    version: sequence
    fields: { name: data.name, address: data.address, "kind": kind }
    on: { upsert: upsert, delete: delete }
  stores:
    owner: partner-service
    source: partners
    keep: { where: "has(data.open) && data.open" }
    id: { from: data.id, type: uuid }
    version: { time: time }
    fields: { price: { from: data.price, type: decimal } }
    on: { upsert: upsert, delete: delete }
"##;
