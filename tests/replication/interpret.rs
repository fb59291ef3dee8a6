//! What an event means to a replica.

use bson::doc;
use nearcopy::event::{Change, Reason, Version};
use nearcopy::replication::{Declaration, Key};
use serde_json::{Value, json};

use crate::declared::{
    ASKED, PRODUCTS, changed, declared, deleted, event, id, interpret, saved, shop, users,
};

/// The change that an event means, or the reason why it means none.
fn change(of: &Declaration, event: &Value) -> Result<Change, Reason> {
    interpret(of, event).map(|event| event.unwrap().change).map_err(|misread| misread.error.reason)
}

fn upsert(username: &str) -> Change {
    Change::Upsert(doc! { "username": username }.try_into().unwrap())
}

fn saved_unversioned() -> Value {
    event("user.saved", json!({ "id": "42", "username": "ann" }))
}

fn deleted_unversioned() -> Value {
    event("user.deleted", json!({ "id": "42" }))
}

#[test]
fn an_event_says_which_entity_changed_to_what_and_in_which_order() {
    let of = shop("all", "", &[]);
    let read = interpret(&of, &saved("42", 7, "ann")).unwrap().unwrap();
    assert_eq!((read.entity, read.version), (id("42"), Some(Version::new(7))));
    assert_eq!(read.change, upsert("ann"));
    assert_eq!(read.stamp.event.unwrap().as_str(), "e1");
    assert_eq!(read.stamp.at, Some(1_767_225_600_000_000));
}

/// V7: a type that means nothing here is passed by, unread.
#[test]
fn an_event_of_a_type_that_is_not_declared_is_passed_by() {
    let of = shop("all", "", &[]);
    assert_eq!(interpret(&of, &event("user.greeted", json!({}))), Ok(None));
}

/// A7: a deletion without a version cannot be ordered. The owner is asked, or the event is put aside.
#[test]
fn what_has_no_version_is_asked_for_or_put_aside() {
    let (alone, asked) = (shop("all", "", &[]), shop("referenced", ASKED, &[PRODUCTS]));
    assert_eq!(change(&alone, &deleted_unversioned()), Err(Reason::NoVersion));
    assert_eq!(change(&alone, &saved_unversioned()), Err(Reason::NoVersion));
    assert_eq!(change(&asked, &deleted_unversioned()), Ok(Change::Refresh));
    assert_eq!(change(&asked, &saved_unversioned()), Err(Reason::NoVersion), "it is declared to have one");
    assert_eq!(change(&asked, &deleted("42", 7)), Ok(Change::Delete));
    assert_eq!(change(&asked, &changed("42", None)), Ok(Change::Refresh));
    assert_eq!(change(&asked, &changed("42", Some(3))), Ok(Change::Refresh));
}

/// V3: where no version is declared, every event is a notice that the owner must be asked.
#[test]
fn an_owner_without_versions_is_asked_about_every_change() {
    let of = declared(
        "service: shop
sources: { users: { rabbitmq: { exchange: users, queue: shop.users, bindings: [\"#\"] } } }
replicas:
  users:
    owner: user-service
    source: users
    keep: all
    id: data.id
    fields: { username: data.username }
    on: { user.saved: upsert, user.deleted: delete }
    fetch: { url: \"http://owner/users/{id}\" }
",
    );
    for event in [saved("42", 7, "ann"), deleted("42", 7)] {
        let read = interpret(&of, &event).unwrap().unwrap();
        assert_eq!((read.change, read.version), (Change::Refresh, None));
    }
}

/// A6: to leave the subset is an order of its own, remembered like a deletion.
#[test]
fn an_entity_that_no_longer_meets_the_condition_leaves() {
    let of = shop("{ where: \"data.username != 'bob'\" }", "", &[]);
    assert_eq!(change(&of, &saved("42", 1, "ann")), Ok(upsert("ann")));
    assert_eq!(change(&of, &saved("42", 2, "bob")), Ok(Change::Leave));
    assert_eq!(change(&of, &deleted("42", 3)), Ok(Change::Delete), "a deletion is not asked for its fields");
}

/// V6, S8: what cannot be read says what could, and never quotes a value.
#[test]
fn an_event_that_cannot_be_read_says_as_much_as_could_be() {
    let of = shop("all", "", &[]);
    let misread = |data: Value| interpret(&of, &event("user.saved", data)).unwrap_err();
    let nothing = misread(json!({ "version": 1 }));
    assert_eq!((nothing.entity, nothing.version, nothing.error.reason), (None, None, Reason::NoId));
    let wrong_id = misread(json!({ "id": 42, "version": 1 }));
    assert_eq!((wrong_id.entity, wrong_id.error.reason), (None, Reason::BadId));
    let wrong_version = misread(json!({ "id": "42", "version": "secret" }));
    assert_eq!((wrong_version.entity, wrong_version.version), (Some(id("42")), None));
    assert_eq!(wrong_version.error.reason, Reason::BadVersion);
    assert!(!wrong_version.error.to_string().contains("secret"));
    let wrong_field = misread(json!({ "id": "42", "version": 7, "username": { "secret\0": 1 } }));
    assert_eq!((wrong_field.entity, wrong_field.version), (Some(id("42")), Some(Version::new(7))));
    assert_eq!(wrong_field.error.reason, Reason::BadField);
    assert!(!wrong_field.error.to_string().contains("secret"));
}

/// A8: where the owner can be asked, the first content of a version stays until it has decided.
#[test]
fn a_tie_is_left_to_the_owner_where_it_can_be_asked() {
    let (alone, asked) = (shop("all", "", &[]), shop("referenced", ASKED, &[PRODUCTS]));
    let key = Key::live(Version::new(1), 1, &doc! { "username": "ann" }.try_into().unwrap());
    assert_eq!(users(&alone).guard(&key), key);
    assert_eq!(users(&asked).guard(&key), key.without_hash());
}
