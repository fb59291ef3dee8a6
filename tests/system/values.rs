//! What comes from outside is data, however it looks and however large it is.

use bson::doc;
use nearcopy::event::{Fields, Stamp, Version};
use nearcopy::replication::{Content, Key, RecordWrite};
use nearcopy::store::{RecordStore, Written};
use serde_json::json;

use crate::declared::{event, id, saved, shop};
use crate::mongodb::Database;
use crate::writes::of_events;

async fn kept() -> Database {
    Database::new(&shop("all", "", &[])).await
}

/// S2, S5: what comes from outside is data, wherever it stands: never a path, an operator or a variable.
#[tokio::test]
async fn values_from_outside_are_stored_as_they_are() {
    let database = kept().await;
    let values = [
        json!("$email"),
        json!("$$NOW"),
        json!({ "$where": "sleep(1000)" }),
        json!({ "$literal": 1 }),
        json!({ "$ref": "users", "$id": 1 }),
        json!({ "a.b": { "c.d": "$$ROOT" } }),
        json!({ "": "", "__proto__": { "x": 1 }, "constructor": 1 }),
        json!([{ "$gt": "" }, "$_id", ["$$REMOVE"]]),
        json!(null),
    ];
    for (number, value) in values.iter().enumerate() {
        let user = format!("user-{number}");
        let data = json!({ "id": user, "version": 1, "username": "x", "email": "secret@example.org", "extra": value });
        assert_eq!(
            database.write(&of_events(&database.declaration, &[event("user.saved", data)])).await.changed,
            1,
            "{value}"
        );
        let stored = database.stored(&id(&user)).await;
        assert_eq!(stored.get("extra").unwrap(), &bson::serialize_to_bson(value).unwrap());
        assert_eq!(stored.keys().collect::<Vec<_>>(), ["_id", "username", "email", "extra", "_nearcopy"]);
    }
    database.drop().await;
}

/// S2: an id is compared with what it is, whatever it looks like.
#[tokio::test]
async fn ids_that_look_like_operators_are_only_ids() {
    let database = kept().await;
    let ids = ["$gt", "$$ROOT", "{\"$ne\": null}", "a.b", "__proto__", " ", "ü\u{202e}", "0"];
    for user in ids {
        assert_eq!(
            database.write(&of_events(&database.declaration, &[saved(user, 1, user)])).await.changed,
            1
        );
    }
    for user in ids {
        assert_eq!(
            database.record(user).await.key,
            Some(Key::live(Version::new(1), 1, &doc! { "username": user }.try_into().unwrap()))
        );
    }
    let page = database.store.page(database.of(), None, 100).await.unwrap();
    assert_eq!(page.len(), ids.len());
    let after = page.keys().nth(3).unwrap();
    let rest = database.store.page(database.of(), Some(after), 100).await.unwrap();
    assert_eq!(rest.len(), ids.len() - 4);
    database.drop().await;
}

fn large(user: &str, bytes: usize) -> serde_json::Value {
    event("user.saved", json!({ "id": user, "version": 1, "extra": "x".repeat(bytes) }))
}

/// D7: more than one command holds, in one batch.
#[tokio::test]
async fn a_batch_larger_than_a_command_is_written_whole() {
    let database = kept().await;
    let events: Vec<_> = (0..20).map(|number| large(&number.to_string(), 900_000)).collect();
    let Written { changed, statements, moment, .. } =
        database.write(&of_events(&database.declaration, &events)).await;
    assert_eq!((changed, statements), (20, 20));
    assert!(moment.is_some());
    database.drop().await;
}

/// N7, D5: a record that no database will take is refused by its number, and the others of the batch are written.
#[tokio::test]
async fn a_record_that_is_too_large_is_refused_and_named() {
    for bytes in [16_777_200, 17_000_000] {
        let database = kept().await;
        let events = [large("a", 10), large("b", 9_000_000), large("c", bytes), large("d", 10)];
        let read = of_events(&database.declaration, &events[..2]);
        let writes = [read, too_large(bytes), of_events(&database.declaration, &events[3..])].concat();
        let written = database.store.write(database.of(), &writes, 1).await.unwrap();
        let refused: Vec<_> = written.refused.iter().map(|refusal| refusal.index).collect();
        assert_eq!((written.changed, refused), (3, vec![2]), "{bytes} bytes");
        assert_eq!(written.refused[0].reason, "the document would exceed 16 MB");
        assert_eq!(database.held("c").await, None);
        database.drop().await;
    }
}

/// As an owner could answer; events that large are refused at the door.
fn too_large(bytes: usize) -> Vec<RecordWrite> {
    let fields: Fields = doc! { "extra": "x".repeat(bytes) }.try_into().unwrap();
    vec![RecordWrite::State {
        id: id("c"),
        key: Key::live(Version::new(1), 1, &fields),
        guard: Key::live(Version::new(1), 1, &fields),
        content: Content::Live(fields),
        stamp: Stamp::default(),
        create: true,
        owes: false,
    }]
}

/// B9: what the consumer's validator refuses is named, without the values that the server quotes.
#[tokio::test]
async fn what_a_validator_refuses_is_named_without_values() {
    let database = kept().await;
    let rule = doc! { "collMod": "users", "validator": { "username": { "$ne": "secret" } } };
    database.raw.run_command(rule).await.unwrap();
    let events = [saved("a", 1, "ann"), saved("b", 1, "secret"), saved("c", 1, "cat")];
    let writes = of_events(&database.declaration, &events);
    let written = database.store.write(database.of(), &writes, 1).await.unwrap();
    assert_eq!(written.changed, 2);
    let [refusal] = written.refused.as_slice() else { panic!("{:?}", written.refused) };
    assert_eq!((refusal.index, refusal.code), (1, 121));
    assert!(!refusal.reason.contains("secret"));
    database.drop().await;
}
