//! The statements of embeds on real documents.

use std::sync::Arc;

use bson::{Bson, Document, doc};
use nearcopy::replication::{Embed, Record, Scope};
use nearcopy::store::EmbedStore;
use serde_json::json;

use crate::declared::{deleted, embed, event, saved, shop};
use crate::mongodb::Database;
use crate::writes::{of_events, placeholder};

const SCALAR: &str = "doc-user: { in: documents, ref: userId, from: users, into: user, fields: [username] }";
const FLAT: &str = "doc-user: { in: documents, ref: owner.id, from: users, set: { client_name: username, client.mail: email } }";
const ARRAY: &str = "doc-user: { in: documents, ref: \"contributors[].userId\", from: users, into: user, fields: [username] }";
const NESTED: &str = "doc-user: { in: documents, ref: \"sections[].authors[].userId\", from: users, into: user, fields: [username] }";

/// A database with one embed, the users `ann` and `bob` at version 1, and documents.
struct Stage {
    database: Database,
    embed: Arc<Embed>,
}

impl Stage {
    async fn new(declared: &str, documents: &[Document]) -> Self {
        let declaration = shop("all", "", &[declared]);
        let database = Database::new(&declaration).await;
        let stage = Self { embed: embed(&declaration).clone(), database };
        if !documents.is_empty() {
            stage.database.collection("documents").insert_many(documents).await.unwrap();
        }
        stage.event(saved("ann", 1, "Ann")).await;
        stage.event(saved("bob", 1, "Bob")).await;
        stage
    }

    /// As an embed of that kind with a policy for entities that are gone.
    async fn with(declared: &str, when_deleted: &str, documents: &[Document]) -> Self {
        let declared = declared.strip_suffix(" }").unwrap();
        Self::new(&format!("{declared}, when_deleted: {when_deleted} }}"), documents).await
    }

    async fn event(&self, event: serde_json::Value) {
        self.database.write(&of_events(&self.database.declaration, &[event])).await;
    }

    async fn user(&self, user: &str) -> Record {
        self.database.record(user).await
    }

    /// Runs the statements for a record; says how many documents changed.
    async fn show(&self, record: &Record, scope: Scope<'_>) -> u64 {
        let written =
            self.database.store.embed(&self.embed, &self.embed.writes(record, scope)).await.unwrap();
        assert_eq!(written.refused, []);
        written.changed
    }

    /// Fans a user out as it is.
    async fn fan_out(&self, user: &str) -> u64 {
        self.show(&self.user(user).await, Scope::Everywhere).await
    }

    /// Hydrates documents from a user as it is.
    async fn hydrate(&self, user: &str, ids: &[i32]) -> u64 {
        let ids: Vec<Bson> = ids.iter().map(|id| Bson::Int32(*id)).collect();
        self.show(&self.user(user).await, Scope::Exactly(&ids)).await
    }

    async fn update(&self, id: i32, update: Document) {
        self.database.collection("documents").update_one(doc! { "_id": id }, update).await.unwrap();
    }

    async fn stored(&self, id: i32) -> Document {
        self.database.collection("documents").find_one(doc! { "_id": id }).await.unwrap().unwrap()
    }

    /// A document as its readers see it.
    async fn seen(&self, id: i32) -> Document {
        without_stamps(self.stored(id).await)
    }
}

fn without_stamps(document: Document) -> Document {
    let bare = |value: Bson| match value {
        Bson::Document(inner) => Bson::Document(without_stamps(inner)),
        Bson::Array(items) => Bson::Array(
            items
                .into_iter()
                .map(
                    |item| if let Bson::Document(inner) = item { without_stamps(inner).into() } else { item },
                )
                .collect(),
        ),
        other => other,
    };
    document
        .into_iter()
        .filter(|(name, _)| name != "_nearcopy")
        .map(|(name, value)| (name, bare(value)))
        .collect()
}

#[tokio::test]
async fn a_document_shows_the_user_it_refers_to_and_no_other() {
    let documents = [
        doc! { "_id": 1, "userId": "ann" },
        doc! { "_id": 2, "userId": "bob" },
        doc! { "_id": 3, "userId": Bson::Null },
        doc! { "_id": 4 },
    ];
    let stage = Stage::new(SCALAR, &documents).await;
    assert_eq!(stage.fan_out("ann").await, 1);
    assert_eq!(stage.seen(1).await, doc! { "_id": 1, "userId": "ann", "user": { "username": "Ann" } });
    for (number, document) in (2..).zip(&documents[1..]) {
        assert_eq!(stage.stored(number).await, *document);
    }
    assert_eq!(stage.fan_out("ann").await, 0, "what is done is not done again");
    stage.database.drop().await;
}

#[tokio::test]
async fn single_values_are_shown_one_by_one_and_a_missing_one_as_null() {
    let stage = Stage::new(
        FLAT,
        &[doc! { "_id": 1, "owner": { "id": "ann" }, "client": { "mail": "old", "own": 1 } }],
    )
    .await;
    stage.fan_out("ann").await;
    let shown = doc! {
        "_id": 1, "owner": { "id": "ann" }, "client": { "mail": Bson::Null, "own": 1 }, "client_name": "Ann",
    };
    assert_eq!(stage.seen(1).await, shown);
    stage.database.drop().await;
}

/// N8, B12: every occurrence in an array, and nothing else of it.
#[tokio::test]
async fn every_element_that_refers_to_the_user_shows_it() {
    let stage = Stage::new(
        ARRAY,
        &[
            doc! { "_id": 1, "contributors": [
                { "userId": "ann", "role": "author" }, { "userId": "bob" }, { "userId": "ann" }, {}, { "userId": Bson::Null }, "text",
            ] },
            doc! { "_id": 2, "contributors": [] },
            doc! { "_id": 3 },
        ],
    )
    .await;
    assert_eq!((stage.fan_out("ann").await, stage.fan_out("bob").await), (1, 1));
    let shown = doc! { "_id": 1, "contributors": [
        { "userId": "ann", "role": "author", "user": { "username": "Ann" } },
        { "userId": "bob", "user": { "username": "Bob" } },
        { "userId": "ann", "user": { "username": "Ann" } },
        {}, { "userId": Bson::Null }, "text",
    ] };
    assert_eq!(stage.seen(1).await, shown);
    assert_eq!((stage.fan_out("ann").await, stage.hydrate("ann", &[1, 2, 3]).await), (0, 0));
    stage.event(saved("ann", 2, "Anna")).await;
    stage.fan_out("ann").await;
    let contributors = stage.seen(1).await;
    let names = contributors.get_array("contributors").unwrap().iter();
    let names: Vec<&str> = names
        .filter_map(|element| element.as_document()?.get_document("user").ok()?.get_str("username").ok())
        .collect();
    assert_eq!(names, ["Anna", "Bob", "Anna"]);
    stage.database.drop().await;
}

/// N8, B12: `$[outer].inner.$[element]` fails where an outer element has no inner array, unless it is filtered out.
#[tokio::test]
async fn outer_elements_without_the_inner_array_do_no_harm() {
    let sections = |user: Option<&str>| {
        let mut author = doc! { "userId": "ann" };
        if let Some(name) = user {
            author.insert("user", doc! { "username": name });
        }
        doc! { "_id": 1, "sections": [
            { "title": "no authors" },
            { "authors": [&author, { "userId": "bob" }, &author] },
            { "authors": Bson::Null },
            { "authors": "text" },
            { "authors": [] },
            { "authors": [&author] },
            "text",
        ] }
    };
    let stage = Stage::new(NESTED, &[sections(None)]).await;
    assert_eq!(stage.fan_out("ann").await, 1);
    assert_eq!(stage.seen(1).await, sections(Some("Ann")));
    assert_eq!((stage.fan_out("ann").await, stage.hydrate("ann", &[1]).await), (0, 0));
    stage.database.drop().await;
}

/// N3: an older revision never overwrites a newer one, whoever comes last.
#[tokio::test]
async fn a_fan_out_that_comes_late_changes_nothing() {
    let stage = Stage::new(SCALAR, &[doc! { "_id": 1, "userId": "ann" }]).await;
    let late = stage.user("ann").await;
    stage.event(saved("ann", 2, "Anna")).await;
    stage.fan_out("ann").await;
    assert_eq!(stage.show(&late, Scope::Everywhere).await, 0);
    assert_eq!(stage.show(&late, Scope::Exactly(&[Bson::Int32(1)])).await, 0);
    assert_eq!(stage.seen(1).await.get_document("user").unwrap(), &doc! { "username": "Anna" });
    stage.database.drop().await;
}

/// B5, N5: what the consumer copied, replaced or wrote back is seen by its content; B6: and by its stamp's reference.
#[tokio::test]
async fn what_the_consumer_did_to_a_document_is_repaired_when_it_is_looked_at() {
    let stage = Stage::new(SCALAR, &[doc! { "_id": 1, "userId": "ann" }]).await;
    stage.fan_out("ann").await;
    let shown = stage.stored(1).await;
    let documents = stage.database.collection("documents");
    let repaired = doc! { "username": "Ann" };

    let mut copy = shown.clone();
    copy.insert("_id", 2);
    documents.insert_one(&copy).await.unwrap();
    assert_eq!(stage.hydrate("ann", &[2]).await, 0, "a faithful copy needs nothing");

    let mut forged = shown.clone();
    forged.insert("user", doc! { "username": "Mallory" });
    documents.replace_one(doc! { "_id": 1 }, &forged).await.unwrap();
    assert_eq!(stage.fan_out("ann").await, 0, "the fan-out goes by stamps");
    assert_eq!(stage.hydrate("ann", &[1]).await, 1);
    assert_eq!(stage.seen(1).await.get_document("user").unwrap(), &repaired);

    for damage in [
        doc! { "$unset": { "_nearcopy": "" }, "$set": { "user.username": "x" } },
        doc! { "$unset": { "user": "" } },
        doc! { "$set": { "_nearcopy.doc-user.rev": "text", "user.more": 1 } },
        doc! { "$set": { "_nearcopy.doc-user.ref": "bob", "user": "text" } },
    ] {
        stage.update(1, damage.clone()).await;
        assert_eq!(stage.hydrate("ann", &[1]).await, 1, "{damage}");
        assert_eq!(stage.seen(1).await.get_document("user").unwrap(), &repaired);
    }
    stage.database.drop().await;
}

/// B6: from one user to another and back, whatever was seen of it in between.
#[tokio::test]
async fn a_reference_that_goes_and_comes_back_shows_the_user_as_it_is_now() {
    let stage = Stage::new(SCALAR, &[doc! { "_id": 1, "userId": "ann" }]).await;
    stage.fan_out("ann").await;
    let late = stage.user("ann").await;
    stage.update(1, doc! { "$set": { "userId": "bob" } }).await;
    stage.hydrate("bob", &[1]).await;
    stage.event(saved("ann", 2, "Anna")).await;
    assert_eq!(stage.fan_out("ann").await, 0);
    stage.update(1, doc! { "$set": { "userId": "ann" } }).await;
    assert_eq!(stage.show(&late, Scope::Everywhere).await, 1, "a fan-out that is late takes it for new");
    assert_eq!(stage.hydrate("ann", &[1]).await, 1, "and the look at the document puts that right");
    assert_eq!(stage.seen(1).await.get_document("user").unwrap(), &doc! { "username": "Anna" });
    stage.database.drop().await;
}

/// B4: nobody's data is shown under another's name, whatever is known of the other.
#[tokio::test]
async fn a_document_never_shows_another_than_it_refers_to() {
    let gone = [deleted("bob", 9)];
    for (policy, events) in
        [("keep", &[][..]), ("keep", &gone), ("clear", &gone), ("mark", &gone), ("delete", &gone)]
    {
        let stage = Stage::with(SCALAR, policy, &[doc! { "_id": 1, "userId": "ann" }]).await;
        stage.fan_out("ann").await;
        stage.update(1, doc! { "$set": { "userId": "bob" } }).await;
        if events.is_empty() {
            stage.database.collection("users").delete_one(doc! { "_id": "bob" }).await.unwrap();
            stage.database.write(&[placeholder("bob")]).await;
        }
        for event in events {
            stage.event(event.clone()).await;
        }
        stage.hydrate("bob", &[1]).await;
        let shown = stage.seen(1).await.get("user").cloned();
        let expected = (policy == "mark").then(|| Bson::from(doc! { "deleted": true }));
        assert_eq!(shown, expected, "{policy}, {events:?}");
        stage.database.drop().await;
    }
}

/// B4: a database that is taken over while the owner is down loses nothing.
#[tokio::test]
async fn what_no_stamp_explains_waits_until_the_user_is_known() {
    let stage =
        Stage::new(SCALAR, &[doc! { "_id": 1, "userId": "new", "user": { "username": "from before" } }])
            .await;
    stage.database.write(&[placeholder("new")]).await;
    assert_eq!(stage.hydrate("new", &[1]).await, 0);
    stage.event(saved("new", 1, "New")).await;
    assert_eq!(stage.fan_out("new").await, 1);
    assert_eq!(stage.seen(1).await.get_document("user").unwrap(), &doc! { "username": "New" });
    stage.database.drop().await;
}

/// B8: keep, clear and mark, in an object and in single values; and a user that comes back is shown again.
#[tokio::test]
async fn a_deleted_user_is_shown_as_declared_and_again_when_it_comes_back() {
    let before = doc! { "username": "Ann" };
    for (policy, expected) in [
        ("keep", Some(before.clone())),
        ("clear", None),
        ("mark", Some(doc! { "username": "Ann", "deleted": true })),
    ] {
        let stage = Stage::with(SCALAR, policy, &[doc! { "_id": 1, "userId": "ann" }]).await;
        stage.fan_out("ann").await;
        stage.event(deleted("ann", 2)).await;
        assert_eq!(stage.fan_out("ann").await, 1);
        assert_eq!(stage.seen(1).await.get_document("user").ok(), expected.as_ref(), "{policy}");
        assert_eq!((stage.fan_out("ann").await, stage.hydrate("ann", &[1]).await), (0, 0), "{policy}");
        stage.event(saved("ann", 3, "Anna")).await;
        assert_eq!(stage.fan_out("ann").await, 1);
        assert_eq!(stage.seen(1).await.get_document("user").unwrap(), &doc! { "username": "Anna" });
        stage.database.drop().await;
    }
    for (policy, client, is_marked) in
        [("keep", Some("Ann"), false), ("clear", None, false), ("mark", Some("Ann"), true)]
    {
        let stage = Stage::with(FLAT, policy, &[doc! { "_id": 1, "owner": { "id": "ann" } }]).await;
        stage.fan_out("ann").await;
        stage.event(deleted("ann", 2)).await;
        stage.fan_out("ann").await;
        let stored = stage.stored(1).await;
        assert_eq!(stored.get_str("client_name").ok(), client, "{policy}");
        let stamp = stored.get_document("_nearcopy").unwrap().get_document("doc-user").unwrap();
        assert_eq!(stamp.get_bool("deleted").unwrap_or_default(), is_marked, "{policy}");
        stage.database.drop().await;
    }
}

/// A reference that is taken away takes with it what was shown.
#[tokio::test]
async fn a_document_that_no_longer_refers_to_anybody_shows_nobody() {
    let stage = Stage::new(
        SCALAR,
        &[doc! { "_id": 1, "userId": "ann" }, doc! { "_id": 2, "user": "the consumer's" }],
    )
    .await;
    stage.fan_out("ann").await;
    stage.update(1, doc! { "$unset": { "userId": "" } }).await;
    let clear = stage.embed.clear_unreferenced(&[Bson::Int32(1), Bson::Int32(2)], &Bson::Null);
    assert_eq!(stage.database.store.embed(&stage.embed, &[clear]).await.unwrap().changed, 1);
    assert_eq!(stage.stored(1).await.get("user"), None);
    assert_eq!(stage.stored(2).await.get_str("user").unwrap(), "the consumer's");
    stage.database.drop().await;
}

/// S2, S5: shown values are data, too.
#[tokio::test]
async fn shown_values_are_never_evaluated() {
    let stage = Stage::new(SCALAR, &[doc! { "_id": 1, "userId": "ann", "secret": "hidden" }]).await;
    let values = [
        json!("$secret"),
        json!({ "$set": { "a": 1 } }),
        json!({ "$where": "1" }),
        json!({ "a.b": "$$ROOT" }),
        json!({ "": { "__proto__": 1 } }),
    ];
    for (value, version) in values.iter().zip(2..) {
        stage.event(event("user.saved", json!({ "id": "ann", "version": version, "username": value }))).await;
        assert_eq!(stage.fan_out("ann").await, 1, "{value}");
        let expected = doc! { "username": bson::serialize_to_bson(value).unwrap() };
        assert_eq!(stage.seen(1).await.get_document("user").unwrap(), &expected);
        assert_eq!(stage.hydrate("ann", &[1]).await, 0, "{value} is not what it is compared with");
    }
    stage.database.drop().await;
}

/// Two embeds of one collection have their stamps apart.
#[tokio::test]
async fn two_embeds_of_a_collection_do_not_disturb_each_other() {
    let buyer = "buyer: { in: orders, ref: buyerId, from: users, into: buyer, fields: [username] }";
    let seller = "seller: { in: orders, ref: sellerId, from: users, into: seller, fields: [email] }";
    let declaration = shop("all", "", &[buyer, seller]);
    let database = Database::new(&declaration).await;
    database
        .collection("orders")
        .insert_one(doc! { "_id": 1, "buyerId": "ann", "sellerId": "ann" })
        .await
        .unwrap();
    let data = json!({ "id": "ann", "version": 1, "username": "Ann", "email": "ann@example.org" });
    database.write(&of_events(&declaration, &[event("user.saved", data)])).await;
    let record = database.record("ann").await;
    for embed in &declaration.embeds {
        let writes = embed.writes(&record, Scope::Everywhere);
        assert_eq!(database.store.embed(embed, &writes).await.unwrap().changed, 1);
    }
    let order = database.collection("orders").find_one(doc! {}).await.unwrap().unwrap();
    let shown = doc! {
        "_id": 1, "buyerId": "ann", "sellerId": "ann",
        "buyer": { "username": "Ann" }, "seller": { "email": "ann@example.org" },
    };
    assert_eq!(without_stamps(order), shown);
    database.drop().await;
}
