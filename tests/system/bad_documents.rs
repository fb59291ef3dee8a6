//! Documents of the consumer that cannot take what they should show, or refer to what can be nobody: each is put
//! aside or passed by, the others show what they should, and one that is mended shows it too.

use std::ops::Range;

use bson::{Bson, Document, bson, doc, oid::ObjectId};

use crate::sidecar::Plan;
use crate::stage::{Stage, event};

/// What becomes of a document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Became {
    /// It is put aside, and reads as it did.
    Parked,
    /// It is nobody's business.
    Untouched,
    /// It shows the name.
    Shows,
}
use Became::{Parked, Shows, Untouched};

/// N7, S2: each before a good one; then a rename reaches all that can take it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_cannot_take_it_holds_up_no_other() {
    let (stage, plan) = stage().await;
    stage.owner.has("u1", 1, "Ada");
    let sidecar = plan.start().await;
    let cases = cases();
    for (at, (_, document, _)) in cases.iter().enumerate() {
        insert(&stage, document.clone()).await;
        stage.consumer.sells(&format!("good-{at}"), "u1").await;
    }
    judge(&stage, &cases, "Ada").await;

    let renamed = "Augusta Ada King ".repeat(60);
    stage.events([event("user.updated", "u1", 2, &renamed)]).await;
    judge(&stage, &cases, &renamed).await;

    for (at, (what, document, became)) in cases.iter().enumerate().filter(|(_, case)| case.2 == Parked) {
        let id = document.get("_id").unwrap().clone();
        let mended = doc! { "_id": id.clone(), "userId": "u1" };
        stage.consumer.products().replace_one(doc! { "_id": id.clone() }, mended).await.unwrap();
        let shows = |document: &Document| shown(document, &["user"]) == Some(&renamed);
        stage.consumer.until("products", id, &format!("{what} is mended"), shows).await;
        assert!(*became == Parked, "{at}");
    }
    stage.consumer.count_is("nearcopy.parked", doc! {}, 0).await;
    let log = sidecar.stop().await;
    assert!(!log.contains("Augusta"), "{log}");
    stage.clear().await;
}

/// S2, S5: a value whose keys look like operators is shown as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_with_operators_for_keys_is_shown_as_it_is() {
    let (stage, plan) = stage().await;
    stage.consumer.products().insert_one(doc! { "_id": "p", "userId": "u1" }).await.unwrap();
    stage.owner.has("u1", 1, "Ada");
    let sidecar = plan.start().await;
    stage.consumer.shows("p", "Ada").await;
    let profiles = [
        (r#"{"$where":"1","a.b":2,"":3}"#, bson!({"$where": "1", "a.b": 2_i64, "": 3_i64})),
        (r#"{"$set":{"x":1}}"#, bson!({"$set": {"x": 1_i64}})),
        (r#"{"$date":"never"}"#, bson!({"$date": "never"})),
        (r#"{"$oid":"507f1f77bcf86cd799439011"}"#, bson!({"$oid": "507f1f77bcf86cd799439011"})),
        (r#"{"$each":[1]}"#, bson!({"$each": [1_i64]})),
        (r#""$$ROOT""#, bson!("$$ROOT")),
    ];
    for (version, (json, profile)) in (2_u64..).zip(&profiles) {
        let mut changed = event("user.updated", "u1", version, "Ada");
        changed["data"]["profile"] = serde_json::from_str(json).unwrap();
        stage.events([changed]).await;
        let what = format!("it shows {profile}");
        let shows = |product: &Document| {
            product.get_document("user").is_ok_and(|user| user.get("profile") == Some(profile))
        };
        stage.consumer.until("products", "p", &what, shows).await;
    }
    assert_eq!(stage.consumer.parked().await, [], "{}", sidecar.last_words());
    sidecar.stop().await;
    stage.clear().await;
}

/// Waits until the good ones show the name, and compares what became of each other one.
async fn judge(stage: &Stage, cases: &[(&str, Document, Became)], name: &str) {
    for at in 0..cases.len() {
        let shows = |document: &Document| shown(document, &["user"]) == Some(name);
        stage.consumer.until("products", format!("good-{at}"), "a good one shows the name", shows).await;
    }
    let parked = cases.iter().filter(|case| case.2 == Parked).count() as u64;
    stage.consumer.count_is("nearcopy.parked", doc! { "reason": "embed_refused" }, parked).await;
    for (what, document, became) in cases {
        let id = document.get("_id").unwrap().clone();
        match became {
            Shows => {
                let paths: &[&[&str]] = &[&["user"], &["owner", "shown"], &["contributors", "user"]];
                let shows = |now: &Document| paths.iter().any(|path| shown(now, path) == Some(name));
                stage.consumer.until("products", id, &format!("{what} shows the name"), shows).await;
            }
            Parked | Untouched => {
                let now = stage.consumer.one("products", id).await.unwrap();
                assert!(now.to_string() == document.to_string(), "{what} has changed: {now:.300}");
            }
        }
    }
}

/// The name at the end of a path; of an array's elements, the first that has one.
fn shown<'d>(document: &'d Document, path: &[&str]) -> Option<&'d str> {
    let Some((head, tail)) = path.split_first() else { return document.get_str("name").ok() };
    match document.get(head)? {
        Bson::Document(inner) => shown(inner, tail),
        Bson::Array(items) => items.iter().filter_map(Bson::as_document).find_map(|item| shown(item, tail)),
        _ => None,
    }
}

/// Inserts by a command, so that the document goes as it is.
async fn insert(stage: &Stage, document: Document) {
    let reply = stage.consumer.run(doc! { "insert": "products", "documents": [document] }).await;
    assert!(!reply.contains_key("writeErrors"), "{reply}");
}

fn cases() -> Vec<(&'static str, Document, Became)> {
    let mut cases = vec![
        ("a reference that is missing", doc! {}, Untouched),
        ("a reference of null", doc! { "userId": null }, Untouched),
        ("a reference that is an object", doc! { "userId": { "id": "u1" } }, Parked),
        ("a reference that is an operator", doc! { "userId": { "$ne": null } }, Parked),
        ("a reference that looks like a date", doc! { "userId": { "$date": "never" } }, Parked),
        ("a reference that is an array", doc! { "userId": ["u1"] }, Parked),
        ("a reference that is a number", doc! { "userId": 42 }, Parked),
        ("a reference that is no number", doc! { "userId": f64::NAN }, Parked),
        ("a reference that is a truth", doc! { "userId": true }, Parked),
        ("a reference that is an ObjectId", doc! { "userId": ObjectId::from_bytes([7; 12]) }, Parked),
        ("an empty reference", doc! { "userId": "" }, Parked),
        ("a reference of 2 KB", doc! { "userId": "i".repeat(2048) }, Parked),
        ("a reference with NUL", doc! { "userId": "u\0" }, Parked),
        ("a user of null", doc! { "userId": "u1", "user": null }, Shows),
        ("a user that is a text", doc! { "userId": "u1", "user": "Ada" }, Shows),
        ("a user that is an array", doc! { "userId": "u1", "user": [1] }, Shows),
        ("a stamp place that is a number", doc! { "userId": "u1", "_nearcopy": 7 }, Parked),
        ("a stamp place of null", doc! { "userId": "u1", "_nearcopy": null }, Parked),
        ("a stamp that is a text", doc! { "userId": "u1", "_nearcopy": { "product-user": "x" } }, Shows),
        ("a parent that is missing", doc! { "ownerId": "u1" }, Shows),
        ("a parent of null", doc! { "ownerId": "u1", "owner": null }, Parked),
        ("a parent that is a number", doc! { "ownerId": "u1", "owner": 7 }, Parked),
        ("a parent that is an array", doc! { "ownerId": "u1", "owner": [] }, Parked),
        ("elements of every kind", doc! { "contributors": ["a", 7, null, [], { "userId": "u1" }] }, Shows),
        ("an array among the elements", doc! { "contributors": [[{ "userId": "u1" }]] }, Untouched),
        (
            "an array among the elements that names somebody",
            doc! { "contributors": [[{ "userId": "u1" }], { "userId": "u1" }] },
            Parked,
        ),
        ("elements that name nobody", doc! { "contributors": ["a", {}, { "userId": null }] }, Untouched),
        ("an element that names an object", doc! { "contributors": [{ "userId": {} }] }, Parked),
        ("an object for an array", doc! { "contributors": { "userId": "u1" } }, Untouched),
        ("a text for an array", doc! { "contributors": "u1" }, Untouched),
        ("an empty array", doc! { "contributors": [] }, Untouched),
        ("a document of nearly 16 MB", doc! { "userId": "u1", "pad": "x".repeat((16 << 20) - 70) }, Parked),
    ];
    let ids: [Bson; 6] = [bson!(""), bson!(7), bson!(1.5), bson!(null), bson!({"a": {"b": 1}}), bson!(true)];
    let odd = |id: Bson| ("an odd _id", doc! { "_id": id, "userId": "u1" }, Shows);
    let range: Range<usize> = 0..cases.len();
    for (at, case) in range.zip(&mut cases) {
        let mut document = doc! { "_id": format!("bad-{at:02}") };
        document.extend(std::mem::take(&mut case.1));
        case.1 = document;
    }
    cases.extend(ids.map(odd));
    cases
}

/// A plan with a reference at the root, one beside a parent, and one in an array.
async fn stage() -> (Stage, Plan) {
    let stage = Stage::new().await;
    let manifest = crate::stage::products(&stage.owner.url())
        .replace("fields: { name: { from: data.name, type: string } }", "fields: { name: data.name, profile: data.profile }")
        .replace("fields: [name]", "fields: [name, profile]")
        + "  product-owner: { in: products, ref: ownerId, from: users, into: owner.shown, fields: [name] }
  product-contributor: { in: products, ref: \"contributors[].userId\", from: users, into: user, fields: [name] }
";
    let plan = stage.plan_of(manifest);
    (stage, plan)
}
