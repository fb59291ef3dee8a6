//! Manifests that load, and what they come to mean.

use std::path::PathBuf;
use std::time::Duration;

use nearcopy::event::{IdKind, Protection};
use nearcopy::manifest;
use nearcopy::replication::{
    Declaration, Gaps, HashedBy, Inflow, Keep, Reaction, Shows, Teller, WhenDeleted,
};

use super::{manifests, name_of, root};

/// The beginning of 2026, in microseconds since 1970.
const NOW: i64 = 1_767_225_600_000_000;

fn lookup(name: &str) -> Option<String> {
    (name == "SERVICE").then(|| "shop".to_owned())
}

fn good(name: &str) -> Declaration {
    let path = root().join("tests/manifest/good").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    manifest::parse(name, &text, &lookup).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

#[test]
fn every_good_manifest_loads() {
    for path in manifests("tests/manifest/good") {
        good(path.file_name().unwrap().to_str().unwrap());
    }
}

#[test]
fn every_example_loads() {
    let examples = manifests("config/examples");
    assert!(examples.len() >= 3);
    for path in examples {
        if let Err(diagnostics) = manifest::load(std::slice::from_ref(&path)) {
            panic!("{} does not load:\n{diagnostics}", name_of(&path));
        }
    }
}

#[test]
fn the_products_example_means_what_it_says() {
    let declared = manifest::load(&[root().join("config/examples/products.yaml")]).unwrap();
    assert_eq!(declared.service, "product-service");
    let queue = &declared.sources[0].queue;
    assert_eq!((queue.exchange.as_str(), queue.queue.as_str()), ("users", "product-service.users"));
    assert!(queue.declare && queue.bindings == ["user.#"]);

    let users = declared.replica("users").unwrap();
    assert!(matches!(users.keep, Keep::Referenced) && users.embedded && users.shape == 1);
    assert_eq!(users.selection.id_kind(), IdKind::String);
    assert!(users.selection.is_versioned());
    let fields: Vec<_> = users.selection.fields().map(|field| field.name.as_str()).collect();
    assert_eq!(fields, ["username", "email", "city"], "in the order in which they are written");
    assert_eq!(users.selection.fields().nth(2).unwrap().default, Some(bson::Bson::Null));
    assert_eq!(users.reactions["user.created"], Reaction::Upsert);
    assert_eq!(users.reactions["user.deleted"], Reaction::Delete);

    let fetch = users.fetch.as_ref().unwrap();
    assert_eq!(fetch.url.to_string(), "http://user-service/users/{…}");
    assert_eq!((fetch.timeout, fetch.settle), (Duration::from_secs(2), Duration::from_secs(5)));
    assert_eq!((fetch.batch_size, fetch.concurrency, fetch.reconcile), (50, 8, None));

    let embed = &declared.embeds[0];
    assert_eq!((embed.name.as_str(), embed.collection.as_str()), ("product-user", "products"));
    assert_eq!(embed.reference.dotted(), "userId");
    let fields = vec!["username".to_owned(), "email".to_owned()];
    assert_eq!(embed.shows, Shows::Into { path: "user".to_owned(), fields });
}

#[test]
fn each_partition_of_a_stream_is_read_by_itself() {
    let declared = manifest::load(&[root().join("config/examples/sales.yaml")]).unwrap();
    let whole = declared.inflow(&declared.read_models[0]).unwrap();
    assert_eq!((whole.partitions(), whole.part()), (Some(3), None));
    let named = |part: &Inflow| match part {
        Inflow::Stream(stream) => (stream.stream.clone(), part.part().unwrap().number),
        other => panic!("{other:?}"),
    };
    let parts: Vec<(String, u16)> = whole.parts().iter().map(named).collect();
    assert_eq!(parts, [("orders-0".into(), 0), ("orders-1".into(), 1), ("orders-2".into(), 2)]);
}

#[test]
fn a_queue_is_split_for_replicas_only() {
    let declared = good("queue_partitions.yaml");
    let split = |name: &str| {
        let source = declared.sources.iter().find(|source| source.name == name).unwrap();
        (source.queue.names(), source.queue.split.clone().unwrap().by)
    };
    let names: Vec<String> = (0..4).map(|number| format!("shop.users-{number}")).collect();
    assert_eq!(split("users"), (names, HashedBy::RoutingKey));
    assert_eq!(split("orders").1, HashedBy::Header("order-id".into()));
    let Ok(Inflow::Queue(folded)) = declared.inflow(&declared.read_models[0]) else { panic!("no queue") };
    assert_eq!(folded.queue.names(), ["shop.users.counts"]);
}

#[test]
fn every_option_arrives_where_it_belongs() {
    let declared = good("everything.yaml");
    assert_eq!(declared.service, "shop", "variables are replaced");
    assert_eq!(declared.sources[0].queue.queue, "shop.events");
    let people = declared.replica("people-1").unwrap();
    assert!(matches!(people.keep, Keep::Where(_)));
    assert_eq!(people.selection.id_kind(), IdKind::ObjectId);
    let fetch = people.fetch.as_ref().unwrap();
    assert_eq!((fetch.batch_size, fetch.concurrency), (25, 256), "a variable's default may be a number");
    assert_eq!((fetch.timeout, fetch.settle), (Duration::from_millis(500), Duration::ZERO));
    assert_eq!(fetch.reconcile, Some(Duration::from_hours(24)));

    let [one, two] = declared.embeds.as_slice() else { panic!("two embeds") };
    let Shows::Into { fields, .. } = &one.shows else { panic!("an object") };
    assert_eq!(fields.len(), 12, "without `fields`, all are shown");
    assert_eq!((one.when_deleted, two.when_deleted), (WhenDeleted::Clear, WhenDeleted::Delete));
    assert_eq!(two.shows, Shows::Set(vec![("total.by".to_owned(), "string".to_owned())]));
    let reads = &people.reads;
    assert_eq!((reads.filters.join(" "), reads.unique.join(" ")), ("int date".into(), "string".into()));
    assert_eq!(reads.wanted, Duration::from_secs(24 * 60 * 60));
}

#[test]
fn an_answer_is_read_by_its_own_paths_and_the_replicas_fields() {
    let declared = good("everything.yaml");
    let people = declared.replica("people-1").unwrap();
    let id = nearcopy::event::EntityId::parse("65f0aa00aa00aa00aa00aa00", IdKind::ObjectId).unwrap();
    let body = br#"{ "person": { "id": "65f0aa00aa00aa00aa00aa00", "changed": "2026-01-01T00:00:00Z",
                      "active": true, "roles": ["x"], "string": "ada" } }"#;
    let answer = people.fetch.as_ref().unwrap().answers.read_one(body, &id, people, NOW).unwrap();
    let text = format!("{answer:?}");
    assert!(text.contains("Version(1767225600000000)"), "the plain path is a time, as in events: {text}");
    assert!(text.contains(r#""string": String("ada")"#), "{text}");
}

#[test]
fn what_is_left_out_has_its_default() {
    let declared = good("smallest.yaml");
    let users = declared.replica("users").unwrap();
    assert!(!users.embedded && users.fetch.is_none());
    let body = br#"{ "id": "e", "type": "user.updated", "time": "2026-01-01T00:00:00Z",
                     "data": { "id": "42", "version": 7, "name": "Ada", "secret": 1 } }"#;
    let headers = nearcopy::event::Headers::new();
    let message = nearcopy::event::Message { body, content_type: None, headers: &headers };
    let notice = declared.sources[0].envelope.open(&message).unwrap();
    let event = users.interpret(&notice, NOW).unwrap().unwrap();
    assert_eq!(event.version.map(nearcopy::event::Version::get), Some(7));
    assert_eq!(
        event.change,
        nearcopy::event::Change::Upsert(bson::doc! { "name": "Ada" }.try_into().unwrap())
    );
}

/// Every replica of a source has what it wants of an event from one pass over it, and none suffers from another's part.
#[test]
fn what_is_broken_for_one_replica_is_whole_for_the_others() {
    let manifest = r"
service: shop
sources:
  people: { rabbitmq: { exchange: e, queue: q, bindings: [user.a] }, event: { id: id, type: type, data: data } }
replicas:
  users:
    { owner: o, source: people, keep: all, id: data.id, version: data.version, on: { saved: upsert }, fields: { name: data.name } }
  places:
    { owner: o, source: people, keep: all, id: data.at.id, version: data.version, on: { saved: upsert }, fields: { all: data.at, name: body.name } }
";
    let declared = manifest::parse("nearcopy.yaml", manifest, &|_| None).unwrap();
    let read = |replica: &str, body: &str| {
        let headers = nearcopy::event::Headers::new();
        let message =
            nearcopy::event::Message { body: body.as_bytes(), content_type: None, headers: &headers };
        let notice = declared.sources[0].envelope.open(&message).map_err(|error| error.reason)?;
        let event = declared.replica(replica).unwrap().interpret(&notice, NOW);
        Ok(event.map_err(|misread| misread.error.reason)?.map(|event| format!("{:?}", event.change)))
    };
    let (twice, whole) =
        (Err(nearcopy::event::Reason::DuplicateKey), |fields: &str| Ok(Some(fields.to_owned())));
    let event = |kind: &str, at: &str| {
        format!(
            r#"{{ "name": "n", "type": "{kind}", "data": {{ "id": "1", "version": 1, "name": "Ada", "at": {at} }} }}"#
        )
    };
    let saved = event("saved", r#"{ "id": "2", "street": 3 }"#);
    assert_eq!(read("users", &saved), whole(r#"Upsert(Document({"name": String("Ada")}))"#));
    let places = r#"Upsert(Document({"all": Document({"id": String("2"), "street": Int64(3)}), "name": String("n")}))"#;
    assert_eq!(read("places", &saved), whole(places));
    let doubled = event("saved", r#"{ "id": "2", "id": "3" }"#);
    assert_eq!(read("users", &doubled), whole(r#"Upsert(Document({"name": String("Ada")}))"#));
    assert_eq!(read("places", &doubled), twice);
    assert_eq!(read("places", &event("other", r#"{ "id": "2", "id": "3" }"#)), Ok(None));
    assert_eq!(read("users", &saved.replace("\"data\"", "\"data\": 1, \"data\"")), twice);
}

#[test]
fn what_a_replica_makes_of_patches_gaps_and_clocks_is_said() {
    let declared = good("patches.yaml");
    let [teams, towns, users] = ["teams", "towns", "users"].map(|name| declared.replica(name).unwrap());
    assert_eq!(users.reactions["user.changed"], Reaction::Patch);
    assert_eq!((users.gaps, towns.gaps), (Gaps::Ask, Gaps::Ignore));
    assert!(users.compares() && towns.compares());
    assert!(!teams.compares(), "a condition cannot be asked of a part: the owner is asked");
    let read = |at: &str| {
        let body = format!(r#"{{ "type": "town.created", "data": {{ "id": "1", "at": "{at}" }} }}"#);
        let headers = nearcopy::event::Headers::new();
        let message =
            nearcopy::event::Message { body: body.as_bytes(), content_type: None, headers: &headers };
        let notice = declared.sources[0].envelope.open(&message).unwrap();
        towns.interpret(&notice, NOW).map(Option::unwrap).map_err(|misread| misread.error.reason)
    };
    assert!(read("2026-01-01T00:01:30Z").is_ok());
    assert_eq!(read("2026-01-01T00:01:31Z"), Err(nearcopy::event::Reason::FutureVersion));
}

#[test]
fn a_read_model_of_a_queue_has_one_of_its_own_and_remembers() {
    let declared = good("read_models.yaml");
    let told: Vec<(&str, Option<String>, Option<u64>)> = declared
        .read_models
        .iter()
        .map(|of| {
            let queue = match declared.inflow(of).unwrap() {
                Inflow::Queue(source) => Some(source.queue.queue.clone()),
                Inflow::Stream(_) | Inflow::Feed(_) => None,
            };
            (of.name.as_str(), queue, of.remember.map(|keep| keep.as_secs() / 60))
        })
        .collect();
    let own = |queue: &str| Some(queue.to_owned());
    let expected = [
        ("of-pages", None, None),
        ("counts", own("shop.events.counts"), Some(7 * 24 * 60)),
        ("briefly", own("shop.events.briefly"), Some(90)),
        ("told", None, None),
        ("told-twice", None, Some(30 * 24 * 60)),
        ("commented", None, None),
    ];
    assert_eq!(told, expected);
    let feed = declared.feeds.iter().find(|feed| feed.name == "listed").unwrap();
    let Teller::Owner(list) = &feed.teller else { panic!("it is asked for over HTTP") };
    assert_eq!(
        (feed.first(), feed.every, list.timeout),
        ("0", Duration::from_secs(10), Duration::from_secs(5))
    );
    assert_eq!(list.url.expand_value("a&b"), "http://owner/events?after=a%26b");
}

#[test]
fn of_a_followed_collection_it_is_known_who_reads_what_was_before() {
    let declared = good("read_models.yaml");
    let followed: Vec<_> = declared
        .feeds
        .iter()
        .filter_map(|feed| Some((feed.collection()?.name.as_str(), declared.reads_before(&feed.name))))
        .collect();
    assert_eq!(followed, [("comments", true), ("prices", false)]);
    assert_eq!(declared.feeds[0].envelope.limits(), nearcopy::event::Limits::default());
}

#[test]
fn aliases_repeat_what_they_name() {
    let declared = good("aliases.yaml");
    assert_eq!(declared.sources[0].queue.bindings, declared.sources[1].queue.bindings);
    let [a, b] = declared.replicas.as_slice() else { panic!("two replicas") };
    assert!(a.selection.fields().eq(b.selection.fields()));
    assert_eq!(a.reactions, b.reactions);
}

/// A folder of its own under the build's scratch folder.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("manifest").join(name);
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    folder
}

const USERS: &str = "service: shop
sources:
  users: { rabbitmq: { exchange: users, queue: shop.users, bindings: ['#'] } }
replicas:
  users: { owner: u, source: users, keep: referenced, id: data.id, version: data.v, fields: { n: data.n }, on: { x: upsert } }
";
const ORDERS: &str = "service: shop
embeds:
  order-user: { in: orders, ref: userId, from: users, into: user }
";

#[test]
fn the_files_of_a_folder_are_one_manifest() {
    let folder = folder(
        "merged",
        &[("users.yaml", USERS), ("orders.yml", ORDERS), ("notes.txt", "{"), (".x.yaml", "{")],
    );
    let declared = manifest::load(std::slice::from_ref(&folder)).unwrap();
    assert_eq!((declared.replicas.len(), declared.embeds.len()), (1, 1));
    let again = manifest::load(&[folder.clone(), folder.join("users.yaml")]).unwrap();
    assert_eq!(again.replicas.len(), 1, "a file that is named twice is read once");
}

#[test]
fn a_name_in_two_files_and_a_second_service_are_refused_with_both_places() {
    let other = ORDERS.replace("service: shop", "service: store").replace("userId", "sellerId");
    let folder = folder("twice", &[("a.yaml", ORDERS), ("b.yaml", USERS), ("c.yaml", other.as_str())]);
    let diagnostics = manifest::load(std::slice::from_ref(&folder)).unwrap_err();
    let text = diagnostics.to_string().replace(&format!("{}/", folder.display()), "");
    insta::with_settings!({
        snapshot_path => "bad", prepend_module_to_snapshot => false, omit_expression => true,
    }, { insta::assert_snapshot!("files_that_contradict_each_other", text) });
}

/// A field that is dropped is there for whoever names it, and is read by nobody; others are read as they are protected.
#[test]
fn protected_fields_are_understood() {
    let text = std::fs::read_to_string(root().join("tests/manifest/good/protected.yaml")).unwrap();
    let of = |how: &str| {
        let lookup = |name: &str| (name == "TAX").then(|| how.to_owned());
        manifest::parse("protected.yaml", &text, &lookup).unwrap_or_else(|wrong| panic!("{wrong}"))
    };
    let (dropped, hashed) = (of("drop"), of("hash"));
    let users = dropped.replica("users").unwrap();
    let fields: Vec<_> = users.selection.fields().map(|field| (field.name.as_str(), field.protect)).collect();
    let expected = [
        ("name", None),
        ("email", Some(Protection::Hash)),
        ("phone", Some(Protection::Encrypt)),
        ("street", Some(Protection::Mask)),
    ];
    assert_eq!(fields, expected);
    assert_eq!(users.dropped.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["tax"]);
    assert!(!users.paths().iter().any(|path| path.to_string() == "data.tax"), "nobody reads it");
    assert_eq!(hashed.replica("users").unwrap().dropped.len(), 0);
    assert_eq!(dropped.embeds[0].owned_paths(), hashed.embeds[0].owned_paths());
}
