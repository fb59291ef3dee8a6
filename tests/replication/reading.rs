//! What a reader is told, and what it may ask for.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, doc};
use nearcopy::event::Version;
use nearcopy::replication::{Place, Query, Reading, Record, Service, State, Why, Wish};

use crate::declared::{ASKED, declared, shop, users};
use crate::merge::{gone, live, record};

/// When it is read, in milliseconds: 10 s after the record last changed.
const READ: i64 = 1_010_000;

/// A live record at version 5 that came by an event, and of which nobody asks the owner.
fn reading() -> Reading {
    let mut record = record(State::Live, Some(live(5)), None, false);
    (record.asked, record.due) = (None, None);
    Reading { record: record.into(), origin: "event".into(), event: Some("e5".into()), at: None, read: READ }
}

/// What it holds, to be changed.
fn of(reading: &mut Reading) -> &mut Record {
    Arc::make_mut(&mut reading.record)
}

fn wish(adapt: impl FnOnce(&mut Wish)) -> Wish {
    let mut wish = Wish::default();
    adapt(&mut wish);
    wish
}

/// What is to be done at first, and once the owner has been asked.
fn services(wish: &Wish, fetch: &str, reading: Option<&Reading>) -> (Service, Service) {
    let declaration = shop("all", fetch, &[]);
    let of = users(&declaration);
    (wish.service(of, reading, false), wish.service(of, reading, true))
}

#[test]
fn who_wishes_nothing_is_told_what_is_held() {
    let none = Wish::default();
    assert_eq!(services(&none, ASKED, Some(&reading())).0, Service::Tell);
    for why in [Why::Deleted, Why::Out, Why::NotFound, Why::Erased] {
        let mut left = reading();
        (of(&mut left).state, of(&mut left).key) = (State::Gone(why), Some(gone(5, why)));
        assert_eq!(services(&none, ASKED, Some(&left)).0, Service::Tell, "{why:?}");
    }
}

/// What is not known is asked for, where there is an owner to ask and the reader lets it.
#[test]
fn what_is_not_known_is_asked_for() {
    let mut pending = reading();
    (of(&mut pending).state, of(&mut pending).key) = (State::Pending, None);
    for unknown in [None, Some(&pending)] {
        assert_eq!(services(&Wish::default(), ASKED, unknown), (Service::Ask, Service::Wait));
        assert_eq!(services(&Wish::default(), "", unknown).0, Service::Tell);
        assert_eq!(services(&wish(|wish| wish.local = true), ASKED, unknown).0, Service::Tell);
        // It may still come by an event.
        let later = wish(|wish| wish.min_version = Some(Version::new(1)));
        assert_eq!(services(&later, "", unknown).0, Service::Wait);
    }
}

#[test]
fn a_wish_is_judged_by_what_is_held() {
    let held = reading();
    let cases = [
        (wish(|wish| wish.min_version = Some(Version::new(5))), true),
        (wish(|wish| wish.min_version = Some(Version::new(6))), false),
        (wish(|wish| wish.max_staleness = Some(Duration::from_secs(10))), true),
        (wish(|wish| wish.max_staleness = Some(Duration::from_secs(9))), false),
        (wish(|wish| wish.event = Some("e5".into())), true),
        (wish(|wish| wish.event = Some("e6".into())), false),
    ];
    for (wish, met) in cases {
        let expected = if met { Service::Tell } else { Service::Ask };
        assert_eq!(services(&wish, ASKED, Some(&held)).0, expected, "{wish:?}");
        let expected = if met { Service::Tell } else { Service::Wait };
        assert_eq!(services(&wish, "", Some(&held)).0, expected, "{wish:?}");
    }
}

/// To call for the owner's word again would void the one that is on its way.
#[test]
fn nobody_is_asked_twice() {
    let newer = wish(|wish| wish.min_version = Some(Version::new(6)));
    let mut claimed = reading();
    of(&mut claimed).claim = Some("somebody".into());
    assert_eq!(services(&newer, ASKED, Some(&claimed)).0, Service::Wait);
    let mut due = reading();
    of(&mut due).due = Some(READ);
    assert_eq!(services(&newer, ASKED, Some(&due)).0, Service::Wait);
    of(&mut due).due = Some(READ + 1);
    assert_eq!(services(&newer, ASKED, Some(&due)).0, Service::Ask);
}

#[test]
fn age_counts_from_the_owners_last_word() {
    let mut held = reading();
    assert_eq!(held.age(), Duration::from_secs(10));
    of(&mut held).asked = Some((READ - 3_000) * 1000);
    assert_eq!(held.age(), Duration::from_secs(3));
    of(&mut held).tries = 1;
    assert_eq!(held.age(), Duration::from_secs(10), "it was asked in vain");
    (of(&mut held).tries, of(&mut held).claim) = (0, Some("somebody".into()));
    assert_eq!(held.age(), Duration::from_secs(10), "it has not answered yet");
    assert!(!held.is_stale());
    of(&mut held).need = Some(Version::new(6));
    assert!(held.is_stale(), "there is a version 6");
    let fresh = wish(|wish| wish.max_staleness = Some(Duration::from_secs(60)));
    of(&mut held).claim = None;
    assert_eq!(services(&fresh, ASKED, Some(&held)).0, Service::Ask);
}

/// What is asked for has the type of its field; where a field has any, a number is a number and a text.
#[test]
fn a_condition_is_compared_by_its_fields_type() {
    let declaration = declared(
        r#"
service: shop
sources: { users: { rabbitmq: { exchange: users, queue: shop.users, bindings: ["user.#"] } } }
replicas:
  users:
    owner: user-service
    source: users
    keep: all
    id: data.id
    version: data.version
    fields:
      any: data.any
      text: { from: data.text, type: string }
      int: { from: data.int, type: int }
      price: { from: data.price, type: decimal }
      yes: { from: data.yes, type: bool }
      at: { from: data.at, type: date }
      oid: { from: data.oid, type: objectId }
    on: { user.saved: upsert }
    reads: { filters: [any, text, int, price, "yes", at, oid] }
"#,
    );
    let of = users(&declaration);
    let read = |parameter: &str, text: &str| {
        let mut query = Query::default();
        query.add(of, &of.reads.filters, parameter, text).map(|()| query)
    };
    let values = |parameter: &str, text: &str| read(parameter, text).unwrap().equal.swap_remove(0).1;
    let text = |text: &str| Bson::String(text.into());
    assert_eq!(values("any", "7"), [Bson::Int64(7), text("7")]);
    assert_eq!(values("any", "true"), [Bson::Boolean(true), text("true")]);
    assert_eq!(values("any", r#"{"$gt":1}"#), [text(r#"{"$gt":1}"#)]);
    assert_eq!(values("text", "7"), [text("7")]);
    assert_eq!(values("text.in", "a,b"), [text("a"), text("b")]);
    assert_eq!(values("int", "7"), [Bson::Int64(7)]);
    assert_eq!(values("yes", "true"), [Bson::Boolean(true)]);
    assert_eq!(values("price", "1.50"), [Bson::Decimal128("1.50".parse().unwrap())]);
    assert_eq!(values("at", "1000"), values("at", "1970-01-01T00:00:01Z"));
    for (parameter, text) in
        [("int", "7.5"), ("int", "x"), ("yes", "ja"), ("at", "now"), ("oid", "7"), ("price", "x")]
    {
        assert!(read(parameter, text).is_err(), "{parameter}={text}");
    }
    let range = read("int.gte", "7").unwrap();
    let held = nearcopy::replication::Record {
        fields: doc! { "int": 9_i64 },
        ..record(State::Live, Some(live(5)), None, false)
    };
    assert_eq!(range.place(&held), Place { value: Some(Bson::Int64(9)), id: held.id.clone() });
}
