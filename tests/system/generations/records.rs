//! Fields come and go: records follow.

use std::time::Duration;

use bson::doc;
use nearcopy::replication::{State, Why, upgrade};
use nearcopy::store::RecordStore;
use tokio::time::sleep;

use super::{NAME, NAME_AND_MAIL, into, manifest, saved, text};
use crate::declared::{ASKED, ASKED_UNVERSIONED, deleted};
use crate::mongodb::Database;
use crate::owner::Owner;
use crate::pod::Pod;
use crate::rabbitmq::eventually;
use crate::writes::of_events;

/// C1: records are asked about again although their versions are equal, progress is seen, old documents are completed,
/// and an owner that is down meanwhile is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_is_added_comes_to_every_record_and_every_document() {
    let before = Database::new(&manifest(NAME, ASKED, &[&into("user", "username")])).await;
    let owner = Owner::new();
    before.products((0..20).map(|number| doc! { "_id": number, "userId": "ann" })).await;
    let pod = Pod::start(&before, &owner).await;
    pod.deliver([saved("ann", 7, "Ann"), saved("bob", 7, "Bob"), deleted("cat", 7)]).await;
    assert_eq!(before.count(doc! { "user": { "username": "Ann" } }).await, 20);
    pod.kill();

    let after = before.redeclared(&manifest(NAME_AND_MAIL, ASKED, &[&into("user", "username, email")])).await;
    assert_eq!((after.of().shape, after.behind().await), (2, (3, 0)));
    owner.is_down(true);
    let pod = Pod::start(&after, &owner).await;
    eventually("what lacks the field is known", async || after.behind().await == (0, 2)).await;
    eventually("and what is held stays meanwhile", async || {
        let ann = after.record("ann").await;
        ann.lacks && text(&ann, "username") == Some("Ann")
    })
    .await;
    assert_eq!(after.record("cat").await.state, State::Gone(Why::Deleted));
    for (user, name) in [("ann", "Ann"), ("bob", "Bob")] {
        owner.shows(user, 7, doc! { "username": name, "email": format!("{name}@example.org") });
    }
    owner.is_down(false);
    eventually("all is complete", async || after.behind().await == (0, 0)).await;
    let ann = after.record("ann").await;
    let key = ann.key.clone().unwrap();
    assert_eq!((text(&ann, "email"), key.version.get(), key.shape), (Some("Ann@example.org"), 7, 2));
    let complete = doc! { "user": { "username": "Ann", "email": "Ann@example.org" } };
    eventually("all show it", async || after.count(complete.clone()).await == 20).await;
    pod.deliver([saved("ann", 7, "Ann")]).await;
    assert_eq!(after.record("ann").await.rev, ann.rev, "and a redelivery changes nothing");
    after.drop().await;
}

/// C1: an owner whose answers carry no version is believed once the answer is settled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_is_added_where_answers_carry_no_version() {
    let before = Database::new(&manifest(NAME, ASKED_UNVERSIONED, &[&into("user", "username")])).await;
    let owner = Owner::new();
    before.write(&of_events(&before.declaration, &[saved("ann", 7, "Ann")])).await;
    before.write(&[crate::writes::placeholder("bob")]).await;
    let fields = |name: &str| doc! { "username": name, "email": "m" };
    let after =
        before.redeclared(&manifest(NAME_AND_MAIL, ASKED_UNVERSIONED, &[&into("user", "username")])).await;
    owner.shows("ann", None, fields("Ann"));
    owner.shows("bob", None, fields("Bob"));
    let _pod = Pod::start(&after, &owner).await;
    eventually("both are complete", async || {
        let (ann, bob) = (after.record("ann").await, after.record("bob").await);
        [&ann, &bob].iter().all(|record| text(record, "email") == Some("m") && record.shape == 2)
    })
    .await;
    assert_eq!(after.behind().await, (0, 0));
    assert_eq!(after.record("ann").await.key.unwrap().version.get(), 7);
    after.drop().await;
}

/// C1: where nobody can be asked, a field comes with the next event, the same version again included; until then it is
/// said how many records lack it, and they are looked at once, not over and over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_fetch_a_field_comes_with_the_next_event() {
    let before = Database::new(&manifest(NAME, "", &[])).await;
    let owner = Owner::new();
    before.write(&of_events(&before.declaration, &["ann", "bob"].map(|user| saved(user, 7, user)))).await;
    let fields = format!("{NAME_AND_MAIL}, tier: {{ from: data.tier, type: string, default: basic }}");
    let declaration = manifest(&fields, "", &[]);
    assert!(
        before.inspected(&declaration).await.contains("2 records that are held get `email`, `tier` only")
    );
    let after = before.redeclared(&declaration).await;
    let pod = Pod::start(&after, &owner).await;
    eventually("they are looked at", async || after.behind().await == (0, 2)).await;
    assert!(after.inspected(&declaration).await.contains("2 records have no values yet"));
    let ann = after.record("ann").await;
    let stored = after.stored(&ann.id).await;
    assert_eq!((stored.get_str("tier").ok(), stored.contains_key("email")), (Some("basic"), false));
    sleep(Duration::from_millis(500)).await;
    assert_eq!(after.record("ann").await, ann, "and are then left in peace");
    pod.deliver([saved("ann", 7, "ann"), saved("bob", 8, "bob")]).await;
    assert_eq!(after.behind().await, (0, 0));
    let stored = after.stored(&ann.id).await;
    assert_eq!(stored.get_str("email").unwrap(), "ann@example.org");
    after.drop().await;
}

/// C2: a removed field goes from every record at once, without anybody being asked; killed in the middle, it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_field_is_purged_from_all_records_over_a_crash() {
    let before = Database::new(&manifest(NAME_AND_MAIL, ASKED, &[&into("user", "username, email")])).await;
    let owner = Owner::new();
    let events: Vec<_> = (0..3_000).map(|user| saved(&format!("user-{user:04}"), 7, "n")).collect();
    before.write(&of_events(&before.declaration, &events)).await;
    before.products([doc! { "_id": "p", "userId": "user-2999" }]).await;
    let after = before.redeclared(&manifest(NAME, ASKED, &[&into("user", "username")])).await;
    let mail = doc! { "email": { "$exists": true } };
    let users = after.collection("users");
    let left = async || users.count_documents(mail.clone()).await.unwrap();
    let mut pod = Pod::start(&after, &owner).await;
    let mut seen = 3_000;
    for _ in 0..20 {
        eventually("it goes on", async || left().await < seen).await;
        seen = left().await;
        pod.kill();
        // As if its leases had run out.
        after.collection("nearcopy.leases").delete_many(doc! {}).await.unwrap();
        if seen == 0 {
            break;
        }
        pod = Pod::start(&after, &owner).await;
    }
    let pod = Pod::start(&after, &owner).await;
    eventually("no record has it", async || left().await == 0 && after.behind().await == (0, 0)).await;
    eventually("nor the document", async || {
        after
            .product("p")
            .await
            .unwrap()
            .get_document("user")
            .is_ok_and(|user| *user == doc! { "username": "n" })
    })
    .await;
    assert_eq!(owner.asked("user-0000"), 0, "nobody has to be asked");
    pod.deliver([saved("user-0000", 7, "n")]).await;
    assert_eq!(left().await, 0);
    assert_eq!(after.record("user-0000").await.due, None, "the version that is held is no conflict");
    after.drop().await;
}

/// C5: an upgrade, and an answer to an older pod, match nothing once the record has changed.
#[tokio::test]
async fn what_a_zombie_worked_out_changes_nothing() {
    let older = Database::new(&manifest(NAME, ASKED, &[])).await;
    older.write(&of_events(&older.declaration, &[saved("ann", 7, "Ann")])).await;
    older.write(&[crate::writes::ask("ann", std::time::Duration::ZERO)]).await;
    let hold = crate::writes::CLAIM;
    let claimed = older.store.claim_due(older.of(), 10, hold).await.unwrap().remove(0);
    let newer = older.redeclared(&manifest(NAME_AND_MAIL, ASKED, &[])).await;
    let late = upgrade(newer.of(), &newer.record("ann").await);
    assert_eq!(newer.write(std::slice::from_ref(&late)).await.changed, 1);
    let answer = crate::writes::of_answer(&older.declaration, &claimed, &crate::writes::found(9, "old"));
    assert_eq!(older.write(&[answer]).await.changed, 0, "the older pod's answer is void");
    assert_eq!(older.store.claim_due(older.of(), 10, hold).await.unwrap(), [], "and it asks no more");
    newer.write(&of_events(&newer.declaration, &[saved("ann", 8, "Ann")])).await;
    assert_eq!(newer.write(&[late]).await.changed, 0);
    newer.drop().await;
}
