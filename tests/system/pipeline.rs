//! The whole of it: events, answers, documents, pods that die, and what is there in the end.

use std::time::Duration;

use bson::doc;
use nearcopy::clock::Stopwatch;
use nearcopy::pipeline::Rhythm;
use nearcopy::replication::{State, Why};
use tokio::time::sleep;

use crate::declared::{ASKED, ASKED_UNVERSIONED, PRODUCTS, changed, deleted, saved, shop};
use crate::mongodb::{Database, standalone};
use crate::owner::Owner;
use crate::pod::{Pod, QUICK};
use crate::rabbitmq::eventually;
use crate::writes::{of_events, placeholder};

/// The owner's declared read lag, and time to ask and answer.
const LAG: Duration = Duration::from_millis(1_200);

async fn database() -> Database {
    Database::new(&shop("referenced", ASKED, &[PRODUCTS])).await
}

impl Database {
    async fn version(&self, user: &str) -> Option<i64> {
        Some(self.held(user).await?.key?.version.get())
    }

    async fn is_gone(&self, user: &str) -> bool {
        matches!(self.record(user).await.state, State::Gone(_))
    }
}

/// Settle last: what is settled is in the record and in every document.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_event_is_seen_everywhere_at_once() {
    let (database, owner) = (database().await, Owner::new());
    owner.has("ann", 1, "Ann");
    database.products((0..50).map(|number| doc! { "_id": number, "userId": "ann" })).await;
    let pod = Pod::start(&database, &owner).await;
    eventually("all are shown", async || database.count(doc! { "user.username": "Ann" }).await == 50).await;
    for version in 2..20 {
        let name = format!("Ann {version}");
        pod.deliver([saved("ann", version, &name)]).await;
        assert_eq!(database.version("ann").await, Some(version));
        assert_eq!(database.count(doc! { "user.username": name }).await, 50);
    }
    database.drop().await;
}

/// A1: an event that nobody wanted was passed by; the first answer is older; the second one is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_first_answer_after_an_ignored_event_is_corrected() {
    let (database, owner) = (database().await, Owner::new());
    let pods = [Pod::start(&database, &owner).await, Pod::start(&database, &owner).await];
    pods[0].deliver([saved("ann", 3, "new"), deleted("bob", 3)]).await;
    assert_eq!((database.held("ann").await, database.held("bob").await), (None, None));
    owner.has("ann", 2, "old");
    owner.has("bob", 2, "old");
    database.products([doc! { "_id": "p1", "userId": "ann" }, doc! { "_id": "p2", "userId": "bob" }]).await;
    database.shows("p1", "old").await;
    database.shows("p2", "old").await;
    owner.has("ann", 3, "new");
    owner.lacks("bob");
    database.shows("p1", "new").await;
    eventually("Bob is gone", async || database.is_gone("bob").await).await;
    database.drop().await;
}

/// A5, F3: a 404 is no proof against an older event, nor the event against the 404: the owner is asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_event_after_a_404_does_not_bring_an_entity_back_for_good() {
    let (database, owner) = (database().await, Owner::new());
    let pod = Pod::start(&database, &owner).await;
    pod.deliver([deleted("ann", 3)]).await;
    database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
    eventually("the 404 is noted", async || owner.asked("ann") > 0 && database.is_gone("ann").await).await;
    pod.deliver([saved("ann", 2, "late")]).await;
    assert_eq!(database.record("ann").await.state, State::Live);
    eventually("the owner has the last word", async || database.is_gone("ann").await).await;
    owner.has("ann", 4, "again");
    pod.deliver([saved("ann", 4, "again")]).await;
    database.shows("p1", "again").await;
    database.drop().await;
}

/// F1, I4: what an event brings while an answer is on its way stays, be it a state or a deletion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_on_its_way_yields_to_the_event_that_overtakes_it() {
    let (database, owner) = (database().await, Owner::new());
    owner.has("ann", 4, "old");
    owner.has("bob", 4, "old");
    owner.hold();
    database.products([doc! { "_id": "p1", "userId": "ann" }, doc! { "_id": "p2", "userId": "bob" }]).await;
    database.write(&["ann", "bob"].map(placeholder)).await;
    let pod = Pod::start(&database, &owner).await;
    eventually("both are asked about", async || owner.asked("ann") + owner.asked("bob") == 2).await;
    owner.has("ann", 5, "new");
    owner.lacks("bob");
    pod.deliver([saved("ann", 5, "new"), deleted("bob", 5)]).await;
    owner.let_go();
    sleep(LAG).await;
    database.shows("p1", "new").await;
    assert_eq!(database.version("ann").await, Some(5));
    assert_eq!(database.record("bob").await.state, State::Gone(Why::Deleted));
    assert_eq!(database.name_on("p2").await, None);
    database.drop().await;
}

/// A8, V1: two contents under one version; the owner decides, even if an older answer is on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_decides_between_two_contents_of_one_version() {
    let (database, owner) = (database().await, Owner::new());
    owner.has("ann", 5, "first");
    database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
    let pod = Pod::start(&database, &owner).await;
    database.shows("p1", "first").await;
    sleep(LAG).await;
    owner.hold();
    let asked = owner.asked("ann");
    pod.deliver([changed("ann", None)]).await;
    eventually("the owner is asked", async || owner.asked("ann") > asked).await;
    pod.deliver([saved("ann", 5, "second")]).await;
    owner.has("ann", 5, "second");
    owner.let_go();
    database.shows("p1", "second").await;
    pod.deliver([saved("ann", 5, "first")]).await;
    sleep(LAG).await;
    database.shows("p1", "second").await;
    database.drop().await;
}

/// V2, F2: a notice without a version means the owner as it is now; what a late replica says to it is asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_is_not_answered_by_what_was_known_before() {
    for fetch in [ASKED, ASKED_UNVERSIONED] {
        let database = Database::new(&shop("referenced", fetch, &[PRODUCTS])).await;
        let owner = Owner::new();
        let version = |version: i64| (fetch == ASKED).then_some(version);
        owner.has("ann", version(1), "before");
        database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
        let pod = Pod::start(&database, &owner).await;
        database.shows("p1", "before").await;
        sleep(LAG).await;
        let asked = owner.asked("ann");
        pod.deliver([changed("ann", None)]).await;
        eventually("the owner is asked", async || owner.asked("ann") > asked).await;
        owner.has("ann", version(2), "after");
        database.shows("p1", "after").await;
        database.drop().await;
    }
}

/// F2, A13: a notice that names a version is answered by that version or a newer one, however often it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_of_a_version_is_asked_about_until_that_version_is_held() {
    let (database, owner) = (database().await, Owner::new());
    owner.has("ann", 1, "one");
    database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
    let pod = Pod::start(&database, &owner).await;
    database.shows("p1", "one").await;
    pod.deliver([changed("ann", Some(3))]).await;
    owner.has("ann", 2, "two");
    database.shows("p1", "two").await;
    owner.lacks("ann");
    eventually("a 404 in between is noted", async || database.is_gone("ann").await).await;
    owner.has("ann", 3, "three");
    database.shows("p1", "three").await;
    eventually("the need is met", async || database.record("ann").await.need.is_none()).await;
    database.drop().await;
}

/// B1, N1: a pod dies between the record and its documents; another one pays the debt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_debt_left_behind_by_a_crash_is_paid_by_the_next_pod() {
    let (database, owner) = (database().await, Owner::new());
    owner.has("ann", 1, "Ann");
    database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
    let first = Pod::start(&database, &owner).await;
    database.shows("p1", "Ann").await;
    first.stop().await;
    // What a crash leaves between the write and the fan-out.
    owner.has("ann", 2, "Anna");
    database.write(&of_events(&database.declaration, &[saved("ann", 2, "Anna")])).await;
    assert!(database.record("ann").await.owes);
    database.shows("p1", "Ann").await;
    let _second = Pod::start(&database, &owner).await;
    database.shows("p1", "Anna").await;
    eventually("nothing is owed", async || !database.record("ann").await.owes).await;
    database.drop().await;
}

/// D1, D2, D4, N2: pods are killed at any moment, what they had not settled comes again, out of order and twice; in the
/// end all is as the owner's last word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_nothing_is_lost() {
    const USERS: i64 = 30;
    const VERSIONS: i64 = 20;
    let (database, owner) = (database().await, Owner::new());
    let user = |number: i64| format!("user-{number}");
    for number in 0..USERS {
        owner.has(&user(number), 0, "0");
    }
    database
        .products((0..USERS * 3).map(|number| doc! { "_id": number, "userId": user(number % USERS) }))
        .await;
    let mut events: Vec<_> = (1..=VERSIONS)
        .flat_map(|version| (0..USERS).map(move |number| (number, version)))
        .map(|(number, version)| saved(&user(number), version, &version.to_string()))
        .collect();
    let rhythm = Rhythm { batch: 20, ..QUICK };
    for round in 0..12_u64 {
        let pods =
            [Pod::on(&database, &owner, rhythm, &[]).await, Pod::on(&database, &owner, rhythm, &[]).await];
        let mut sent = Vec::new();
        for (number, event) in events.iter().enumerate() {
            let pod = usize::from(number % 3 == 0);
            sent.push((pod, pods[pod].send(event).await));
        }
        for number in 0..USERS {
            owner.has(&user(number), VERSIONS, &VERSIONS.to_string());
        }
        sleep(Duration::from_millis(20 + round * 37 % 150)).await;
        let unsettled = |(pod, tag): &(usize, u64)| !pods[*pod].is_settled(*tag);
        let left: Vec<_> = sent
            .iter()
            .zip(&events)
            .filter(|(sent, _)| unsettled(sent))
            .map(|(_, event)| event.clone())
            .collect();
        // What was delivered last comes again first.
        events = left.into_iter().rev().collect();
        for pod in pods {
            pod.kill();
        }
    }
    let pod = Pod::start(&database, &owner).await;
    pod.deliver(events).await;
    let last = doc! { "user.username": VERSIONS.to_string() };
    eventually("all show the last version", async || {
        database.count(last.clone()).await == (USERS * 3).cast_unsigned()
    })
    .await;
    for number in 0..USERS {
        assert_eq!(database.version(&user(number)).await, Some(VERSIONS));
    }
    database.drop().await;
}

/// N4: a user with many documents holds up nobody; all of them show its last state in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_fan_out_ends_and_holds_up_nobody() {
    let (database, owner) = (database().await, Owner::new());
    owner.has("hot", 1, "one");
    owner.has("ann", 1, "Ann");
    database.products((0..20_000).map(|number| doc! { "_id": number, "userId": "hot" })).await;
    database.products([doc! { "_id": "small", "userId": "ann" }]).await;
    let pod = Pod::start(&database, &owner).await;
    let shown = async |name: &str| database.count(doc! { "user.username": name }).await;
    eventually("all are shown", async || shown("one").await == 20_000).await;
    database.shows("small", "Ann").await;
    pod.deliver([saved("hot", 2, "two")]).await;
    let mut slowest = Duration::ZERO;
    let mut during = 0;
    for version in 2..60 {
        let watch = Stopwatch::start();
        pod.deliver([saved("ann", version, &version.to_string())]).await;
        slowest = slowest.max(watch.elapsed());
        database.shows("small", &version.to_string()).await;
        during += u32::from(shown("two").await < 20_000);
        if version == 10 {
            pod.deliver([saved("hot", 3, "three")]).await;
        }
    }
    eventually("all show the last state", async || shown("three").await == 20_000).await;
    eventually("nothing is owed", async || !database.record("hot").await.owes).await;
    assert!(during > 5, "the large fan-out was over too soon to disturb anybody");
    assert!(slowest < Duration::from_secs(2), "somebody waited for {slowest:?}");
    database.drop().await;
}

/// N4: a large fan-out that a crash has cut off goes on beyond its position, unless that is of another revision or
/// generation; in the end there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_fan_out_goes_on_where_it_stood() {
    let (database, owner) = (database().await, Owner::new());
    owner.has("hot", 1, "one");
    database.products((0..3_000).map(|number| doc! { "_id": number, "userId": "hot" })).await;
    let pod = Pod::start(&database, &owner).await;
    let shown = async |name: &str| database.count(doc! { "user.username": name }).await;
    eventually("all are shown", async || shown("one").await == 3_000).await;
    eventually("nothing is owed", async || !database.record("hot").await.owes).await;
    // An answer would give the record another revision.
    eventually("nothing is to be asked", async || database.record("hot").await.due.is_none()).await;
    // Who finds no position of the change stream looks at every document, and would do the rest.
    let cursors = database.collection("nearcopy.cursors");
    let followed = doc! { "_id": { "$regex": "^follow:" } };
    eventually("it is followed", async || cursors.find_one(followed.clone()).await.unwrap().is_some()).await;
    pod.stop().await;
    let noted = doc! { "_id": "fan-out:users:hot" };
    for (version, name, (rev, shape), left) in
        [(2, "two", (0, 1), 1_500), (3, "three", (-1, 1), 0), (4, "four", (0, 2), 0)]
    {
        owner.has("hot", version, name);
        database.write(&of_events(&database.declaration, &[saved("hot", version, name)])).await;
        let rev = database.record("hot").await.rev + rev;
        let position = doc! { "rev": rev, "s": shape, "embed": "product-user", "after": 1_499 };
        cursors
            .update_one(noted.clone(), doc! { "$set": { "position": position } })
            .upsert(true)
            .await
            .unwrap();
        let pod = Pod::start(&database, &owner).await;
        eventually("it is paid", async || !database.record("hot").await.owes).await;
        assert_eq!(shown(name).await, 3_000 - left, "{name}");
        eventually("no position is left", async || cursors.find_one(noted.clone()).await.unwrap().is_none())
            .await;
        pod.stop().await;
    }
    database.drop().await;
}

/// M5: without a replica set there are no change streams, and sweeps take their place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_standalone_server_sweeps_find_what_is_new() {
    let declaration = shop("referenced", ASKED, &[PRODUCTS]);
    let (database, owner) = (Database::at(&standalone(), &declaration).await, Owner::new());
    owner.has("ann", 1, "Ann");
    database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
    let pod = Pod::start(&database, &owner).await;
    database.shows("p1", "Ann").await;
    owner.has("ann", 2, "Anna");
    pod.deliver([saved("ann", 2, "Anna"), saved("ann", 1, "Ann")]).await;
    database.shows("p1", "Anna").await;
    owner.has("bob", 1, "Bob");
    database.collection("products").update_one(doc! {}, doc! { "$set": { "userId": "bob" } }).await.unwrap();
    database.shows("p1", "Bob").await;
    database.drop().await;
}

/// M5: what needs a transaction is refused where there is none, loudly, and nothing is half done.
#[tokio::test]
async fn on_a_standalone_server_no_document_is_deleted() {
    use nearcopy::replication::{Class, Level};
    use nearcopy::store::EmbedStore;
    let keeping = shop("referenced", ASKED, &[PRODUCTS]);
    let declaration = shop("referenced", ASKED, &[&format!("{PRODUCTS}\n    when_deleted: delete")]);
    let database = Database::at(&standalone(), &keeping).await;
    assert_eq!(database.store.set_up(&declaration).await.unwrap_err().class(), Class::Misconfigured);
    database.products([doc! { "_id": "p1", "userId": "ann" }]).await;
    database.write(&[placeholder("ann")]).await;
    database.write(&of_events(&declaration, &[deleted("ann", 1)])).await;
    let (record, embed) = (database.record("ann").await, &declaration.embeds[0]);
    let refused = database.store.remove(embed, database.of(), &record, &["p1".into()]).await.unwrap_err();
    assert_eq!(refused.class(), Class::Misconfigured);
    assert!(database.product("p1").await.is_some());
    let findings = database.store.inspect(&declaration).await.unwrap();
    assert!(findings.iter().any(|found| found.level == Level::Wrong && found.text.contains("when_deleted")));
    database.drop().await;
}
