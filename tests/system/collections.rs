//! Collections of the service's own as sources: what stands there, and each change of it, whatever happens meanwhile.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, Timestamp, doc};
use nearcopy::fetch::{Feed, FeedError};
use nearcopy::pipeline::{CollectionFeed, CollectionReader};
use nearcopy::replication::{CollectionSpec, Position};
use nearcopy::store::mongo::Mongo;
use serde_json::Value;
use tokio::time::sleep;

use crate::consumer::Consumer;
use crate::mongodb::connect;
use crate::sidecar::{Plan, Sidecar};

/// News that know their comments, and how many words these have.
const NEWS: &str = "
service: blog
sources:
  comments: { collection: { name: comments } }
read_models:
  news:
    source: comments
    key: data.newsId
    on:
      insert: { count: { comments: event.key }, inc: { words: data.words } }
      update: { inc: { words: data.words - event.before.words } }
      replace: { inc: { words: data.words - event.before.words } }
      delete: { key: event.before.newsId, uncount: { comments: event.key }, inc: { words: 0 - event.before.words } }
";

/// Authors of comments, as the service itself has them, and shown in its comments.
const AUTHORS: &str = "
service: blog
sources:
  people: { collection: { name: people } }
replicas:
  authors:
    owner: blog
    source: people
    keep: all
    id: key
    version: version
    fields: { name: data.name, city: { from: data.city, default: null } }
    on: { insert: upsert, update: upsert, replace: upsert, delete: delete }
embeds:
  comment-author: { in: comments, ref: authorId, from: authors, into: author, fields: [name], when_deleted: clear }
";

fn plan(consumer: &Consumer, manifest: &str) -> Plan {
    // Several tests of one process try; the first one wins, which is all that is wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
    // Nothing comes from a broker, so none is named.
    Plan::new(manifest.to_owned(), "", consumer.url()).without("rabbitmq.url")
}

async fn recorded(consumer: &Consumer, collection: &str) {
    consumer.run(doc! { "create": collection, "changeStreamPreAndPostImages": { "enabled": true } }).await;
}

fn comment(number: i32, words: i32) -> Document {
    doc! { "_id": number, "newsId": format!("n{}", number % 10), "words": words }
}

/// What the news must say of the comments that there are.
async fn news_are_right(consumer: &Consumer) {
    let group =
        doc! { "$group": { "_id": "$newsId", "comments": { "$sum": 1 }, "words": { "$sum": "$words" } } };
    let counted = consumer.collection("comments").aggregate([group]).await.unwrap();
    let counted: Vec<Document> = futures::TryStreamExt::try_collect(counted).await.unwrap();
    assert_eq!(counted.len(), 10);
    for wanted in counted {
        let number = |of: &Document, name: &str| match of.get(name) {
            Some(Bson::Int32(number)) => i64::from(*number),
            Some(Bson::Int64(number)) => *number,
            other => panic!("{name}: {other:?}"),
        };
        let is = |news: &Document| {
            ["comments", "words"].iter().all(|name| number(news, name) == number(&wanted, name))
        };
        consumer.until("news", wanted.get_str("_id").unwrap(), &format!("it is {wanted}"), is).await;
    }
}

/// What a service does all day with its comments, some of it in transactions.
async fn write_comments(consumer: &Consumer, from: i32) {
    let comments = consumer.collection("comments");
    let new = (from..from + 300).map(|number| comment(number, number % 7));
    comments.insert_many(new).await.unwrap();
    comments
        .update_many(doc! { "_id": { "$gte": from + 100 } }, doc! { "$inc": { "words": 3 } })
        .await
        .unwrap();
    comments.replace_one(doc! { "_id": from + 5 }, comment(from + 5, 50)).await.unwrap();
    comments.delete_many(doc! { "_id": { "$gte": from + 20, "$lt": from + 60 } }).await.unwrap();
    let mut session = comments.client().start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let number = from + 10_000;
    comments.insert_one(comment(number, 1)).session(&mut session).await.unwrap();
    for _ in 0..3 {
        let more = doc! { "$inc": { "words": 1 } };
        comments.update_one(doc! { "_id": number }, more).session(&mut session).await.unwrap();
    }
    comments.delete_one(doc! { "_id": from + 6 }).session(&mut session).await.unwrap();
    session.commit_transaction().await.unwrap();
}

/// P1, P2: what stood there is told as of one moment, and each change since then once, through any kills.
#[tokio::test]
async fn each_change_of_a_collection_has_its_effect_once_however_often_the_process_is_killed() {
    let consumer = Consumer::new().await;
    recorded(&consumer, "comments").await;
    let old = (1_000_000..1_003_500).map(|number| comment(number, number % 11));
    consumer.collection("comments").insert_many(old).await.unwrap();
    let plan = plan(&consumer, NEWS);
    let mut sidecar = plan.spawn();
    for round in 0..6_i32 {
        write_comments(&consumer, 20_000 * round).await;
        sleep(Duration::from_millis(150 * u64::try_from(round).unwrap())).await;
        sidecar.kill();
        sidecar = plan.spawn();
    }
    news_are_right(&consumer).await;
    assert_eq!(consumer.parked().await.len(), 0);
    sidecar.is("well", |status, report| status == 200 && report["status"] == "ok").await;
    let checked = plan.run(&["check", "--online", "{manifest}"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("`comments` records how documents are before and after"), "{said}");
    let refused = plan.run(&["read-model", "rebuild", "news", "--manifest", "{manifest}"]);
    assert_ne!(refused.status.code(), Some(0));
    sidecar.stop().await;
    news_are_right(&consumer).await;
    consumer.remove().await;
}

async fn shows(consumer: &Consumer, comment: &str, name: Option<&str>) {
    let shown =
        |comment: &Document| comment.get_document("author").ok()?.get_str("name").ok().map(str::to_owned);
    let is = |comment: &Document| shown(comment).as_deref() == name;
    consumer.until("comments", comment, &format!("it shows {name:?}"), is).await;
}

/// A replica goes by versions; what hangs on it follows.
#[tokio::test]
async fn a_replica_of_a_collection_follows_it_and_so_do_its_embeds() {
    let consumer = Consumer::new().await;
    let (people, comments) = (consumer.collection("people"), consumer.collection("comments"));
    let index = mongodb::IndexModel::builder().keys(doc! { "authorId": 1, "_id": 1 }).build();
    comments.create_index(index).await.unwrap();
    people.insert_one(doc! { "_id": "ada", "name": "Ada", "secret": "CANARY" }).await.unwrap();
    comments.insert_one(doc! { "_id": "c1", "authorId": "ada" }).await.unwrap();
    let plan = plan(&consumer, AUTHORS);
    let sidecar = plan.start().await;
    shows(&consumer, "c1", Some("Ada")).await;
    people.insert_one(doc! { "_id": "bob", "name": "Bob" }).await.unwrap();
    comments.insert_one(doc! { "_id": "c2", "authorId": "bob" }).await.unwrap();
    shows(&consumer, "c2", Some("Bob")).await;
    people.update_one(doc! { "_id": "ada" }, doc! { "$set": { "name": "Countess" } }).await.unwrap();
    shows(&consumer, "c1", Some("Countess")).await;
    sidecar.kill();
    people.replace_one(doc! { "_id": "bob" }, doc! { "name": "Robert" }).await.unwrap();
    people.update_one(doc! { "_id": "ada" }, doc! { "$set": { "city": "London" } }).await.unwrap();
    people.delete_one(doc! { "_id": "ada" }).await.unwrap();
    let sidecar = plan.start().await;
    shows(&consumer, "c2", Some("Robert")).await;
    shows(&consumer, "c1", None).await;
    people.insert_one(doc! { "_id": "ada", "name": "Again" }).await.unwrap();
    shows(&consumer, "c1", Some("Again")).await;
    assert!(!consumer.holding("CANARY").await.contains(&"authors".to_owned()));
    let checked = plan.run(&["check", "--online", "{manifest}"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("`people` is followed") && said.contains("collMod"), "{said}");
    sidecar.stop().await;
    consumer.remove().await;
}

async fn is_degraded(sidecar: &mut Sidecar, why: &str) {
    let says = |report: &Value| report["reasons"].to_string().contains(why);
    sidecar.is(why, |status, report| status == 200 && report["status"] == "degraded" && says(report)).await;
}

/// P5: what is dropped ends what can be told: of a read model until somebody decides, of a replica until it is read anew.
#[tokio::test]
async fn a_dropped_collection_is_said_and_a_replica_goes_on_with_what_there_is() {
    let consumer = Consumer::new().await;
    for name in ["comments", "people"] {
        recorded(&consumer, name).await;
    }
    let sources = "sources:\n  comments: { collection: { name: remarks } }";
    let models = &NEWS[NEWS.find("read_models").unwrap()..];
    let both = format!("{}{models}", AUTHORS.replace("sources:", sources));
    recorded(&consumer, "remarks").await;
    let index = mongodb::IndexModel::builder().keys(doc! { "authorId": 1, "_id": 1 }).build();
    consumer.collection("comments").create_index(index).await.unwrap();
    let plan = plan(&consumer, &both);
    let mut sidecar = plan.start().await;
    consumer.collection("remarks").insert_one(comment(1, 4)).await.unwrap();
    consumer.collection("people").insert_one(doc! { "_id": "ada", "name": "Ada" }).await.unwrap();
    let has_words = |news: &Document| news.get_i64("words").ok() == Some(4);
    consumer.until("news", "n1", "it is counted", has_words).await;
    consumer
        .until("authors", "ada", "it is there", |author| author.get_str("name").ok() == Some("Ada"))
        .await;
    consumer.collection("people").drop().await.unwrap();
    consumer.collection("people").insert_one(doc! { "_id": "bob", "name": "Bob" }).await.unwrap();
    consumer
        .until("authors", "bob", "it is read anew", |author| author.get_str("name").ok() == Some("Bob"))
        .await;
    assert!(!sidecar.logged("collection.anew").is_empty());
    consumer.collection("remarks").insert_one(comment(11, 5)).await.unwrap();
    consumer.collection("remarks").drop().await.unwrap();
    consumer.collection("remarks").insert_one(comment(21, 6)).await.unwrap();
    is_degraded(&mut sidecar, "dropped or renamed").await;
    let all = |news: &Document| news.get_i64("words").ok() == Some(9);
    consumer.until("news", "n1", "what came before is counted, and nothing since", all).await;
    sidecar.stop().await;
    let mut sidecar = plan.spawn();
    is_degraded(&mut sidecar, "under another name").await;
    sidecar.kill();
    consumer.remove().await;
}

/// One collection, seen by whoever tells of it.
struct Scene {
    consumer: Consumer,
    store: Arc<Mongo>,
}

impl Scene {
    async fn new() -> Self {
        let consumer = Consumer::new().await;
        let (server, name) = consumer.url().rsplit_once('/').unwrap();
        let name = name.split('?').next().unwrap();
        let options = consumer.url().split_once('?').map(|(_, options)| options).unwrap_or_default();
        let store = Arc::new(connect(&format!("{server}/?{options}"), name).await);
        Self { consumer, store }
    }

    fn feed(&self, reader: CollectionReader) -> CollectionFeed {
        CollectionFeed::new(&CollectionSpec { name: "comments".into() }, self.store.clone(), true, reader)
    }
}

/// Takes pages until one is empty that follows upon none of a scan.
async fn read_all(mut after: String, mut feed: impl FnMut() -> Arc<CollectionFeed>) -> (Vec<Value>, String) {
    let mut told = Vec::new();
    loop {
        let page = feed().page(&after).await.unwrap();
        let is_end = page.items.is_empty() && after.starts_with("token:");
        after = page.next;
        told.extend(page.items.iter().map(|item| serde_json::from_str::<Value>(item).unwrap()));
        if is_end {
            return (told, after);
        }
    }
}

/// Whoever goes on from a position is told the same as one who went on all the time.
#[tokio::test]
async fn any_position_leads_on_to_the_same_changes_under_the_same_names() {
    let scene = Scene::new().await;
    recorded(&scene.consumer, "comments").await;
    let old = (100_000..102_500).map(|number| comment(number, 1));
    scene.consumer.collection("comments").insert_many(old).await.unwrap();
    let feed = Arc::new(scene.feed(CollectionReader::Once));
    let (first, at) = read_all(String::new(), || feed.clone()).await;
    assert_eq!(first.len(), 2_500);
    assert!(first.iter().all(|event| event["type"] == "insert"));
    write_comments(&scene.consumer, 0).await;
    write_comments(&scene.consumer, 20_000).await;
    let (once, _) = read_all(at.clone(), || feed.clone()).await;
    let (anew, _) = read_all(at, || Arc::new(scene.feed(CollectionReader::Once))).await;
    assert_eq!(once, anew);
    assert_eq!(once.len(), 2 * (300 + 200 + 2_500 + 1 + 40 + 5));
    let mut versions = std::collections::BTreeMap::<String, i64>::new();
    for event in first.iter().chain(&once) {
        let version = event["version"].as_i64().unwrap();
        let before = versions.insert(event["key"].to_string(), version);
        assert!(before.is_none_or(|before| before < version), "{event} after {before:?}");
    }
    scene.consumer.remove().await;
}

/// While nothing happens, a position is as good for a while; then it moves, lest the log lose it.
#[tokio::test]
async fn a_position_moves_now_and_then_though_nothing_happens() {
    let scene = Scene::new().await;
    let feed = Arc::new(scene.feed(CollectionReader::ByVersion));
    let (none, at) = read_all(String::new(), || feed.clone()).await;
    assert_eq!(none, [] as [Value; 0]);
    let (mut now, mut moved, mut asked) = (at.clone(), 0, 0);
    while asked < 13 {
        scene.consumer.collection("others").insert_one(doc! {}).await.unwrap();
        let page = feed.page(&now).await.unwrap();
        moved += i32::from(page.next != now);
        (now, asked) = (page.next, asked + 1);
    }
    assert!((1..=2).contains(&moved), "{moved}");
    scene.consumer.remove().await;
}

/// P5: the database does not know what a reader needs: one who goes by versions is told anew, another has to decide.
#[tokio::test]
async fn what_the_database_does_not_know_any_more_is_not_passed_over() {
    let scene = Scene::new().await;
    scene.consumer.collection("comments").insert_many((0..5).map(|number| comment(number, 1))).await.unwrap();
    let (once, by_version) = (scene.feed(CollectionReader::Once), scene.feed(CollectionReader::ByVersion));
    let long_ago = Timestamp { time: 1, increment: 1 };
    let scan = Position::Scan(long_ago, Bson::Int32(1)).to_string();
    let lost = once.page(&scan).await.unwrap_err();
    assert!(
        matches!(&lost, FeedError::Lost(why) if why.contains("minSnapshotHistoryWindowInSeconds")),
        "{lost:?}"
    );
    assert_eq!(by_version.page(&scan).await.unwrap().items.len(), 3);
    let mut elsewhere = scene.consumer.collection("others").watch().await.unwrap();
    scene.consumer.collection("others").insert_one(doc! { "_id": 1 }).await.unwrap();
    let token = loop {
        if let Some(change) = elsewhere.next_if_any().await.unwrap() {
            break bson::serialize_to_document(&change.id).unwrap();
        }
    };
    // Whether there was such a change is seen by the next one.
    scene.consumer.collection("comments").insert_one(comment(9, 1)).await.unwrap();
    let foreign = Position::Token(token).to_string();
    let lost = once.page(&foreign).await.unwrap_err();
    assert!(
        matches!(&lost, FeedError::Lost(why) if why.contains("no longer in the database's log")),
        "{lost:?}"
    );
    let anew = by_version.page(&foreign).await.unwrap();
    assert_eq!((anew.items.len(), anew.next.as_str()), (0, Position::FIRST));
    recorded(&scene.consumer, "large").await;
    let large = CollectionSpec { name: "large".into() };
    let large = Arc::new(CollectionFeed::new(&large, scene.store.clone(), true, CollectionReader::Once));
    let (_, at) = read_all(String::new(), || large.clone()).await;
    let text = "x".repeat(9 << 20);
    scene.consumer.collection("large").insert_one(doc! { "_id": 1, "text": text }).await.unwrap();
    let page = large.page(&at).await.unwrap();
    assert_eq!(page.items.len(), 1);
    scene.consumer.collection("large").update_one(doc! {}, doc! { "$set": { "n": 1 } }).await.unwrap();
    let lost = large.page(&page.next).await.unwrap_err();
    assert!(matches!(&lost, FeedError::Lost(why) if why.contains("larger than 16 MB")), "{lost:?}");
    for bad in ["90", "scan:x"] {
        assert!(matches!(once.page(bad).await.unwrap_err(), FeedError::Lost(_)), "{bad}");
    }
    scene.consumer.remove().await;
}

/// Documents that are not there any more when they are looked up are deleted next; those that are, are told as they are.
#[tokio::test]
async fn without_records_of_documents_they_are_told_as_they_are() {
    let scene = Scene::new().await;
    let feed = Arc::new(scene.feed(CollectionReader::ByVersion));
    let (_, at) = read_all(String::new(), || feed.clone()).await;
    let comments = scene.consumer.collection("comments");
    comments.insert_many([comment(1, 1), comment(2, 1)]).await.unwrap();
    for number in [1, 2] {
        comments.update_one(doc! { "_id": number }, doc! { "$set": { "words": 2 } }).await.unwrap();
    }
    comments.delete_one(doc! { "_id": 1 }).await.unwrap();
    let (told, _) = read_all(at, || feed.clone()).await;
    let told: Vec<String> = told
        .iter()
        .map(|event| format!("{} {} {}", event["type"], event["key"], event["data"]["words"]))
        .collect();
    assert_eq!(told, ["\"insert\" 1 1", "\"insert\" 2 1", "\"update\" 2 2", "\"delete\" 1 null"]);
    scene.consumer.remove().await;
}

/// A collection that is not there is followed from when it is.
#[tokio::test]
async fn a_collection_may_come_later() {
    let consumer = Consumer::new().await;
    let plan = plan(&consumer, NEWS);
    let sidecar = plan.start().await;
    let checked = plan.run(&["check", "--online", "{manifest}"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("does not exist yet") && said.contains("createCollection"), "{said}");
    recorded(&consumer, "comments").await;
    consumer.collection("comments").insert_one(comment(1, 4)).await.unwrap();
    consumer.until("news", "n1", "it is counted", |news| news.get_i64("words").ok() == Some(4)).await;
    sidecar.stop().await;
    consumer.remove().await;
}
