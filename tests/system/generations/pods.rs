//! Pods of two generations on one database.

use bson::doc;
use nearcopy::replication::Standing;
use nearcopy::store::RetireStore;
use tokio::task::JoinSet;

use super::{BRISK, NAME, NAME_AND_MAIL, into, manifest, saved, text};
use crate::declared::{ASKED, id};
use crate::mongodb::Database;
use crate::owner::Owner;
use crate::pod::Pod;
use crate::rabbitmq::eventually;
use crate::writes::of_events;

fn older() -> std::sync::Arc<nearcopy::replication::Declaration> {
    manifest(NAME, ASKED, &[&into("user", "username")])
}

fn newer() -> std::sync::Arc<nearcopy::replication::Declaration> {
    manifest(NAME_AND_MAIL, ASKED, &[&into("user", "username, email")])
}

/// C3: pods that start at once agree on one history, whichever comes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_start_at_once_agree_on_the_generations() {
    let database = Database::new(&older()).await;
    let mut pods = JoinSet::new();
    for pod in 0..12 {
        let store = database.connect().await;
        let declaration = if pod % 2 == 0 { newer() } else { manifest(NAME_AND_MAIL, ASKED, &[]) };
        pods.spawn(async move {
            let placed = store.set_up(&declaration).await.unwrap();
            (pod % 2, placed.declaration.generation)
        });
    }
    let mut numbers: Vec<(i32, i32)> = pods.join_all().await;
    numbers.sort_unstable();
    numbers.dedup();
    assert!(numbers == [(0, 2), (1, 3)] || numbers == [(0, 3), (1, 2)], "{numbers:?}");
    let stored =
        database.collection("nearcopy.shapes").find_one(doc! { "_id": "declaration" }).await.unwrap();
    assert_eq!(stored.unwrap().get_array("generations").unwrap().len(), 3);
    database.drop().await;
}

/// C3: an older pod's newer version is not lost, leaves what it does not know, and is completed by a newer pod.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_pods_newer_version_is_kept_and_completed() {
    let old = Database::new(&older()).await;
    let new = old.redeclared(&newer()).await;
    let (old_owner, new_owner) = (Owner::new(), Owner::new());
    new.write(&of_events(&new.declaration, &[saved("ann", 7, "Ann")])).await;
    let zombie = Pod::start(&old, &old_owner).await;
    zombie.deliver([saved("ann", 8, "Anna"), saved("ann", 7, "Ann")]).await;
    let ann = new.record("ann").await;
    assert_eq!((text(&ann, "username"), text(&ann, "email")), (Some("Anna"), Some("Ann@example.org")));
    assert_eq!((ann.shape, ann.key.unwrap().version.get()), (1, 8));
    new_owner.shows("ann", 8, doc! { "username": "Anna", "email": "Anna@example.org" });
    let pod = Pod::start(&new, &new_owner).await;
    eventually("it is complete", async || {
        let ann = new.record("ann").await;
        text(&ann, "email") == Some("Anna@example.org") && ann.shape == 2
    })
    .await;
    zombie.deliver([saved("ann", 8, "Anna")]).await;
    assert_eq!(text(&new.record("ann").await, "email"), Some("Anna@example.org"));
    pod.stop().await;
    new.drop().await;
}

/// C3: what is of a newer generation is neither shown nor asked about nor retired by an older pod, and stays owed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_pod_leaves_newer_records_alone() {
    let old = Database::new(&older()).await;
    let new = old.redeclared(&newer()).await;
    let (old_owner, new_owner) = (Owner::new(), Owner::new());
    old.products([doc! { "_id": "p1", "userId": "ann" }, doc! { "_id": "p2", "userId": "bob" }]).await;
    let zombie = Pod::with(&old, &old_owner, BRISK).await;
    eventually("the older pod is at work", async || new.held("ann").await.is_some()).await;
    new.write(&of_events(&new.declaration, &[saved("ann", 7, "Ann")])).await;
    new.write(&[crate::writes::ask("ann", std::time::Duration::ZERO)]).await;
    old.products([doc! { "_id": "p3", "userId": "ann" }, doc! { "_id": "p4", "userId": "cat" }]).await;
    zombie.deliver([saved("cat", 1, "Cat"), saved("ann", 7, "Ann")]).await;
    old.shows("p4", "Cat").await;
    tokio::time::sleep(BRISK.drift_every * 2).await;
    let ann = new.record("ann").await;
    assert!(ann.owes && ann.shape == 2 && !ann.marked, "{ann:?}");
    let asked_before = old_owner.asked("ann");
    assert_eq!((old.name_on("p1").await, old.name_on("p3").await), (None, None));
    old.store.mark(old.of(), &[id("ann")]).await.unwrap();
    let marked = old.store.marked(old.of(), std::time::Duration::ZERO, 10).await.unwrap();
    assert_eq!(marked, [], "not even a mark that was there before makes an older pod retire it");
    new_owner.shows("ann", 7, doc! { "username": "Ann", "email": "Ann@example.org" });
    new_owner.shows("cat", 1, doc! { "username": "Cat", "email": "Cat@example.org" });
    let pod = Pod::with(&new, &new_owner, BRISK).await;
    let complete = doc! { "user.email": { "$exists": true } };
    eventually("the newer pod shows all of it", async || new.count(complete.clone()).await == 3).await;
    assert_eq!(old_owner.asked("ann"), asked_before);
    pod.stop().await;
    new.drop().await;
}

/// C3: two generations race over the same entities; at rest everything is complete, and stays so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_generations_race_and_come_to_rest_complete() {
    const USERS: i64 = 20;
    let old = Database::new(&older()).await;
    let new = old.redeclared(&newer()).await;
    let (old_owner, new_owner) = (Owner::new(), Owner::new());
    let name = |user: i64| format!("user-{user}");
    old.products((0..USERS).map(|user| doc! { "_id": user, "userId": name(user) })).await;
    let last = 30;
    for user in (0..USERS).map(name) {
        let mail = format!("{user}-{last}@example.org");
        new_owner.shows(&user, last, doc! { "username": format!("{user}-{last}"), "email": mail });
        old_owner.has(&user, last, &format!("{user}-{last}"));
    }
    let pods = [Pod::with(&old, &old_owner, BRISK).await, Pod::with(&new, &new_owner, BRISK).await];
    for version in 1..=last {
        for user in 0..USERS {
            let pod = &pods[usize::try_from((user + version) % 2).unwrap()];
            pod.send(&saved(&name(user), version, &format!("{}-{version}", name(user)))).await;
        }
    }
    for pod in &pods {
        pod.is_done().await;
    }
    let complete = async || {
        let mut all = new.behind().await == (0, 0);
        for user in 0..USERS {
            let (shown, wanted) = (new.product(user).await.unwrap(), format!("{}-{last}", name(user)));
            let object = doc! { "username": &wanted, "email": format!("{wanted}@example.org") };
            all &= shown.get_document("user").is_ok_and(|user| *user == object);
        }
        all
    };
    eventually("all is complete", complete).await;
    let mut revs = Vec::new();
    for _ in 0..4 {
        tokio::time::sleep(BRISK.drift_every).await;
        assert!(complete().await, "nothing flaps");
        let mut at = Vec::new();
        for user in 0..USERS {
            at.push(new.record(&name(user)).await.rev);
        }
        revs.push(at);
    }
    assert_eq!(revs[2], revs[3], "and nothing moves any more");
    new.drop().await;
}

/// C3: a pod that comes back with an older manifest works on as an older one, and says so; going back for good has to
/// be said, by naming what is gone back from, and takes effect once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_back_has_to_be_said() {
    let old = Database::new(&older()).await;
    let new = old.redeclared(&newer()).await;
    let owner = Owner::new();
    new.write(&of_events(&new.declaration, &[saved("ann", 7, "Ann")])).await;
    new.products([doc! { "_id": "p", "userId": "ann" }]).await;
    let pod = Pod::start(&new, &owner).await;
    new.shows("p", "Ann").await;
    pod.stop().await;

    let store = old.connect().await;
    let back = store.set_up(&older()).await.unwrap();
    assert_eq!((back.standing, back.newest, back.declaration.replicas[0].shape), (Standing::Older(1), 2, 1));
    assert!(old.inspected(&older()).await.contains("set manifest.downgrade_from=2"));
    let wrong = store.set_up_instead_of(&older(), Some(1)).await.unwrap();
    assert_eq!(wrong.standing, Standing::Older(1), "it is not what is gone back from");
    let returned = store.set_up_instead_of(&older(), Some(2)).await.unwrap();
    assert_eq!((returned.standing, returned.declaration.replicas[0].shape), (Standing::New(3), 3));
    let again = store.set_up_instead_of(&older(), Some(2)).await.unwrap();
    assert_eq!(again.standing, Standing::Newest(3));
    let left = new.store.set_up_instead_of(&newer(), Some(2)).await.unwrap();
    assert_eq!(left.standing, Standing::Older(2), "and the one that was left is older now");

    let now = old.redeclared(&older()).await;
    let pod = Pod::start(&now, &owner).await;
    eventually("the field is gone again", async || {
        let product = now.product("p").await.unwrap();
        product.get_document("user").is_ok_and(|user| *user == doc! { "username": "Ann" })
            && text(&now.record("ann").await, "email").is_none()
    })
    .await;
    pod.stop().await;
    now.drop().await;
}

/// C3: a replica that is removed is left alone; whoever checks is told how to be rid of it.
#[tokio::test]
async fn a_replica_that_is_removed_is_said_to_be_left() {
    let database = Database::new(&older()).await;
    let renamed = super::written(NAME, ASKED, &[]).replace("  users:\n    owner", "  clients:\n    owner");
    let declaration = crate::declared::declared(&renamed);
    assert!(database.inspected(&declaration).await.contains("db.users.drop()"));
    let after = database.redeclared(&declaration).await;
    assert!(after.inspected(&declaration).await.contains("db.users.drop()"));
    assert!(!database.collection("users").list_index_names().await.unwrap().is_empty(), "it is left alone");
    database.drop().await;
}
