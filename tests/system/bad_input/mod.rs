//! Hostile events: each is put aside with its reason, passed by, or stored as it is; the next one flows on, the
//! books close, and nothing that nobody asked for is seen anywhere.

mod bytes;
mod cloudevents;
mod values;

use bson::{Bson, Document, doc};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use crate::consumer::Consumer;
use crate::sidecar::{Metrics, Sidecar};
use crate::stage::Stage;

/// Stands in what nobody declared; it may be nowhere.
const UNWANTED: &str = "CANARY-unwanted";
/// Stands in declared fields; it may be in the database, never in logs or metrics.
const VALUE: &str = "CANARY-value";
/// What is larger comes only once, to save time.
const HEAVY: usize = 1 << 20;

/// One hostile event and what must become of it.
struct Case {
    name: String,
    exchange: &'static str,
    body: Vec<u8>,
    properties: BasicProperties,
    expected: Expected,
}

/// What must become of an event.
enum Expected {
    /// It is put aside, with this reason.
    Parked(&'static str),
    /// It is the state of this entity of a replica, with these fields.
    Stored(&'static str, Bson, Document),
    /// It means nothing to anybody, and nothing is left of it.
    Ignored,
}

/// D5, D7, V3, V6, V7, S1, S2, S3, S5, S8: one after the other, each with a good event behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_event_holds_up_nobody_and_says_nothing() {
    let cases: Vec<Case> =
        [bytes::cases(), values::cases(), cloudevents::cases()].into_iter().flatten().collect();
    let stage = stage().await;
    let sidecar = stage.plan_of(manifest(&stage.owner.url())).start().await;

    let mut wrong = Vec::new();
    for (at, case) in cases.iter().enumerate() {
        let before = sidecar.metrics().await;
        send(&stage, case).await;
        good(&stage, at).await;
        let after = sidecar.books_close_at((at as u64 + 1) * 2).await;
        let good = stage.consumer.one("users", format!("good-{at}")).await;
        let became = match good {
            Some(_) => became(case, &stage.consumer, &before, &after).await,
            None => Err("the event behind it did not flow on".into()),
        };
        if let Err(why) = became {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));

    let parked = stage.consumer.parked().await.len();
    again(&stage, &sidecar, &cases).await;
    assert_eq!(stage.consumer.parked().await.len(), parked, "events that came again were put aside anew");

    assert_eq!(stage.consumer.holding(UNWANTED).await, [""; 0], "what nobody declared is in the database");
    let metrics = sidecar.metrics().await;
    assert!(!metrics.text().contains("CANARY"), "{}", metrics.text());
    let log = sidecar.stop().await;
    let telling: Vec<&str> = log.lines().filter(|line| line.contains("CANARY")).collect();
    assert!(telling.is_empty(), "the log shows payload:\n{}", telling.join("\n"));
    stage.broker.holds("product-service.users", 0).await;
    stage.broker.holds("product-service.users.dead", 0).await;
    stage.clear().await;
}

/// D1, D5: all that are light at once, in one batch with good ones: the same becomes of them as before.
async fn again(stage: &Stage, sidecar: &Sidecar, cases: &[Case]) {
    let cases: Vec<&Case> = cases.iter().filter(|case| case.body.len() < HEAVY).collect();
    let already = sidecar.metrics().await.outcome("parked");
    let (before, _) = sidecar.metrics().await.books();
    for (at, case) in cases.iter().enumerate() {
        send(stage, case).await;
        good(stage, 1_000 + at).await;
    }
    let metrics = sidecar.books_close_at(before + cases.len() as u64 * 2).await;
    let parked = cases.iter().filter(|case| matches!(case.expected, Expected::Parked(_))).count();
    assert_eq!(metrics.outcome("parked") - already, parked as u64);
    for at in 0..cases.len() {
        assert!(stage.consumer.one("users", format!("good-{}", 1_000 + at)).await.is_some(), "{at}");
    }
}

/// Compares what became of an event with what must have.
async fn became(case: &Case, consumer: &Consumer, before: &Metrics, after: &Metrics) -> Result<(), String> {
    let parked = parked(consumer, case).await;
    let more = |name: &str, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
    let outcome = |word: &str| more("nearcopy_events_total", &[("outcome", word)]);
    let outcomes = || {
        let words = ["applied", "duplicate", "stale", "ignored", "deferred", "parked", "abandoned"];
        words.map(|word| format!("{word} {}", outcome(word))).join(", ")
    };
    match (&case.expected, parked) {
        (Expected::Parked(reason), Some(parked)) => {
            let found = parked.get_str("reason").unwrap();
            let counted = more("nearcopy_parked_total", &[("reason", reason)]) == 1;
            let told = outcome("parked") == 1 && outcome("applied") == 1;
            if found != *reason {
                Err(format!("parked as {found} ({}), not {reason}", parked.get_str("detail").unwrap()))
            } else if counted && told {
                Ok(())
            } else {
                Err(format!("it is not counted as {reason}: {}", outcomes()))
            }
        }
        (Expected::Parked(reason), None) => Err(format!("it is not parked as {reason}: {}", outcomes())),
        (_, Some(parked)) => Err(format!("it is parked: {parked}")),
        (Expected::Ignored, None) if outcome("ignored") == 1 => Ok(()),
        (Expected::Ignored, None) => Err(format!("it is not ignored: {}", outcomes())),
        (Expected::Stored(replica, id, fields), None) => {
            let record = consumer.one(replica, id.clone()).await.ok_or("there is no record")?;
            let differs = |(name, value): &(&String, &Bson)| record.get(*name) != Some(*value);
            match fields.iter().find(differs) {
                Some((name, value)) => Err(format!("`{name}` is {:?}, not {value}", record.get(name))),
                None if outcome("applied") == 2 => Ok(()),
                None => Err(format!("it is not applied: {}", outcomes())),
            }
        }
    }
}

/// The event that was put aside with this body.
async fn parked(consumer: &Consumer, case: &Case) -> Option<Document> {
    let hash = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&case.body));
    let filter = doc! { "hash": hash, "source": case.exchange };
    consumer.collection("nearcopy.parked").find_one(filter).await.unwrap()
}

async fn stage() -> Stage {
    let stage = Stage::new().await;
    stage.broker.declare_exchange("partners").await;
    stage
}

async fn send(stage: &Stage, case: &Case) {
    stage.broker.publish_with(case.exchange, "user.x", [&case.body], case.properties.clone()).await;
}

async fn good(stage: &Stage, at: usize) {
    stage.user(&format!("good-{at}"), 1, "good").await;
}

/// An event of the source `users`, with this text for its data. What nobody wants is beside it.
fn json(name: &str, kind: &str, data: &str, expected: Expected) -> Case {
    let key = serde_json::Value::from(name);
    let body = format!(
        r#"{{"id": "e", "type": "{kind}", "occurredAt": "2026-01-01T00:00:00Z", "data": {data}, {key}: "{UNWANTED}"}}"#
    );
    raw(name, body, expected)
}

/// Bytes for the source `users`.
fn raw(name: &str, body: impl Into<Vec<u8>>, expected: Expected) -> Case {
    let properties = BasicProperties::default().with_content_type("application/json".into());
    Case { name: name.to_owned(), exchange: "users", body: body.into(), properties, expected }
}

fn headers<'t>(pairs: impl IntoIterator<Item = (&'t str, &'t str)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    table
}

/// Two sources and a replica for each way of reading an event.
fn manifest(owner: &str) -> String {
    MANIFEST.replace("OWNER", owner)
}

const MANIFEST: &str = r##"
service: product-service
sources:
  users:
    rabbitmq: { exchange: users, queue: product-service.users, bindings: ["#"] }
    format: json
    event: { id: id, type: type, time: occurredAt, data: data }
    limits: { body: 4MiB, depth: 32 }
  partners:
    rabbitmq: { exchange: partners, queue: product-service.partners, bindings: ["#"] }
    format: cloudevents
replicas:
  users:
    owner: user-service
    source: users
    keep: all
    id: data.id
    version: data.version
    fields:
      name: data.name
      email: { from: data.email, type: string }
      age: { from: data.age, type: int }
      amount: { from: data.amount, type: double }
      price: { from: data.price, type: decimal }
      seen: { from: data.seen, type: date }
      active: { from: data.active, type: bool }
      key: { from: data.key, type: uuid }
      profile: { from: data.profile, type: object }
      tags: { from: data.tags, type: array }
    on: { user.updated: upsert, user.deleted: delete }
  accounts:
    owner: user-service
    source: users
    keep: all
    id: { from: data.id, type: int }
    version: data.version
    fields: { name: data.name }
    on: { account.updated: upsert }
  stamps:
    owner: user-service
    source: users
    keep: all
    id: data.id
    version: { time: data.updatedAt }
    fields: { name: data.name }
    on: { stamp.updated: upsert }
  members:
    owner: user-service
    source: users
    keep: referenced
    id: data.id
    version: data.version
    fields: { name: { from: data.name, type: string } }
    on: { member.updated: upsert, member.deleted: delete }
    fetch: { url: "OWNER/members/{id}", from: { id: id, version: version, data: "" } }
  partners:
    owner: partner-service
    source: partners
    keep: all
    id: data.id
    version: data.version
    fields: { name: data.name }
    on: { partner.updated: upsert }
embeds:
  order-user: { in: orders, ref: userId, from: users, into: user, fields: [name, profile] }
  product-member: { in: products, ref: userId, from: members, into: user, fields: [name] }
"##;
