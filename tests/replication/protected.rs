//! Replicas with fields that are not kept in clear: what their events, their excerpts and their generations become.

use std::sync::Arc;

use bson::{Document, doc};
use nearcopy::event::{
    Change, ChangeEvent, Envelope, Headers, Keys, Limits, Message, Protection, Reason, Version,
};
use nearcopy::manifest;
use nearcopy::replication::{
    Answer, Content, Declaration, Due, History, Key, Misread, NoKey, Plan, Query, Record, RecordWrite, Shape,
    State, Subscription, upgrade,
};
use serde_json::{Value, json};

use crate::declared::{NOW, event, id, interpret, users};

const CLEAR: &str = "email: data.email";
const HASH: &str = "email: { from: data.email, protect: hash }";
const ENCRYPT: &str = "email: { from: data.email, protect: encrypt }";
const MASK: &str = "email: { from: data.email, protect: mask }";
const DROP: &str = "email: { from: data.email, protect: drop }";
const CANARY: &str = "canary@example.org";

/// Users with a name and these fields.
fn written(fields: &str, fetch: &str) -> Declaration {
    let text = format!(
        "service: shop
sources:
  users:
    rabbitmq: {{ exchange: users, queue: shop.users, bindings: [\"#\"] }}
replicas:
  users:
    owner: user-service
    source: users
    keep: all
    id: data.id
    version: data.version
    fields: {{ name: {{ from: data.name, type: string }}, {fields} }}
    on: {{ user.saved: upsert, user.patched: patch, user.deleted: delete }}
    {fetch}
embeds:
  product-user: {{ in: products, ref: userId, from: users, into: user, fields: [name, email] }}
"
    );
    manifest::parse("nearcopy.yaml", &text, &|_| None).unwrap_or_else(|wrong| panic!("{wrong}"))
}

const FETCH: &str = "fetch: { url: \"http://owner/users/{id}\", from: { version: version } }";

/// The keys that are made of this number.
fn keys(number: u8) -> Arc<Keys> {
    let bytes = [number; Keys::LENGTH];
    Arc::new(Keys::default().hashing(&bytes).encrypting(&format!("k{number}"), &bytes).unwrap())
}

fn guarded(fields: &str, fetch: &str) -> Declaration {
    written(fields, fetch).guarded(&keys(1)).unwrap()
}

fn saved(email: &Value) -> Value {
    event("user.saved", json!({ "id": "42", "version": 7, "name": "Ada", "email": email }))
}

fn state(of: &Declaration, event: &Value) -> Document {
    match interpret(of, event).unwrap().unwrap().change {
        Change::Upsert(fields) => fields.to_document(),
        Change::Patch(fields) => fields,
        other => panic!("{other:?}"),
    }
}

/// What is kept of an event that is put aside.
fn excerpt(of: &Declaration, event: &Value) -> String {
    let body = event.to_string();
    let message = Message { body: body.as_bytes(), content_type: None, headers: &Headers::new() };
    let notice = of.sources[0].envelope.open(&message).unwrap();
    users(of).excerpt(&notice).unwrap()
}

/// What that is read as, when it is taken up again.
fn retried(of: &Declaration, excerpt: &str) -> Result<Option<ChangeEvent>, Misread> {
    let message = Message { body: excerpt.as_bytes(), content_type: None, headers: &Headers::new() };
    let notice = Envelope::excerpt(Limits::default()).open(&message).unwrap();
    users(of).interpret(&notice, NOW)
}

/// S14: a state, a patch and an owner's answer say the same of a field, and none of them says it in clear.
#[test]
fn events_and_answers_protect_alike() {
    for fields in [HASH, ENCRYPT, MASK] {
        let of = guarded(fields, FETCH);
        let told = state(&of, &saved(&json!(CANARY)));
        let patched = event("user.patched", json!({ "id": "42", "version": 8, "email": CANARY }));
        assert_eq!(state(&of, &patched).get("email"), told.get("email"));
        let body = json!({ "id": "42", "version": 7, "name": "Ada", "email": CANARY }).to_string();
        let answers = &users(&of).fetch.as_ref().unwrap().answers;
        let answer = answers.read_one(body.as_bytes(), &id("42"), users(&of), NOW).unwrap();
        let Answer::Found { content: Content::Live(fields), .. } = answer else { panic!("{answer:?}") };
        assert_eq!(fields.to_document(), told);
        assert!(!told.to_string().contains("canary"), "{told}");
        assert_eq!(told.get_str("name").unwrap(), "Ada");
        let silent = event("user.saved", json!({ "id": "42", "version": 7, "name": "Ada" }));
        assert_eq!(state(&of, &silent), doc! { "name": "Ada" });
    }
    let of = guarded(DROP, FETCH);
    assert_eq!(state(&of, &saved(&json!(CANARY))), doc! { "name": "Ada" });
    assert_eq!(
        interpret(&of, &event("user.patched", json!({ "id": "42", "version": 8, "email": CANARY }))),
        Ok(None)
    );
}

/// S14: what is wrong with a value is said without it, and a declaration without its keys reads nothing.
#[test]
fn what_cannot_be_read_is_not_quoted() {
    let of = guarded("email: { from: data.email, type: int, protect: hash }", "");
    let misread = interpret(&of, &saved(&json!(CANARY))).unwrap_err();
    assert_eq!(misread.error.reason, Reason::BadField);
    assert!(!misread.error.to_string().contains("canary"), "{}", misread.error);
    for fields in [HASH, ENCRYPT] {
        let misread = interpret(&written(fields, ""), &saved(&json!(CANARY))).unwrap_err();
        assert_eq!(misread.error.reason, Reason::BadField);
        assert!(!misread.error.to_string().contains("canary"), "{}", misread.error);
    }
}

/// S15: a key that is missing is named, with all that needs it.
#[test]
fn a_missing_key_is_said_with_the_fields_that_need_it() {
    let declared = written(&format!("{HASH}, phone: {{ from: data.phone, protect: hash }}"), "");
    let missing = declared.guarded(&Arc::new(Keys::default())).unwrap_err();
    let fields = ["users.email", "users.phone"].map(str::to_owned).to_vec();
    assert_eq!(missing, [NoKey { how: Protection::Hash, fields }]);
    assert_eq!(
        written(ENCRYPT, "").guarded(&Arc::new(Keys::default())).unwrap_err()[0].how,
        Protection::Encrypt
    );
    assert!(written(MASK, "").guarded(&Arc::new(Keys::default())).is_ok());
}

/// S14: of an event that is put aside nothing protected is kept, whether it could be read or not. When it is taken up again,
/// that is not taken for what the owner left out: the owner is asked, or the publisher has to send it again.
#[test]
fn an_excerpt_leaves_protected_fields_out_and_says_so() {
    for fields in [HASH, ENCRYPT, MASK] {
        let (asked, alone) = (guarded(fields, FETCH), guarded(fields, ""));
        for email in [json!(CANARY), json!({ "at": CANARY }), json!([CANARY])] {
            let kept = excerpt(&asked, &saved(&email));
            assert!(!kept.contains("canary") && kept.contains("Ada"), "{kept}");
            let again = retried(&asked, &kept).unwrap().unwrap();
            assert_eq!((again.version, again.change), (Some(Version::new(7)), Change::Refresh));
            let misread = retried(&alone, &kept).unwrap_err();
            assert_eq!(misread.error.reason, Reason::BadField);
            assert!(misread.error.detail.contains("send it again"), "{}", misread.error);
        }
        let silent = event("user.patched", json!({ "id": "42", "version": 8, "name": "Ada" }));
        let again = retried(&alone, &excerpt(&alone, &silent)).unwrap().unwrap();
        assert_eq!(again.change, Change::Patch(doc! { "name": "Ada" }), "what was not said was not left out");
        let deleted = event("user.deleted", json!({ "id": "42", "version": 9, "email": CANARY }));
        let again = retried(&alone, &excerpt(&alone, &deleted)).unwrap().unwrap();
        assert_eq!(again.change, Change::Delete);
    }
    let kept = excerpt(&guarded(DROP, ""), &saved(&json!(CANARY)));
    assert!(!kept.contains("canary"), "{kept}");
    assert_eq!(
        retried(&guarded(DROP, ""), &kept).unwrap().unwrap().change,
        Change::Upsert(doc! { "name": "Ada" }.try_into().unwrap())
    );
}

/// S14: what was put aside before a field was protected is taken out of what was kept, once.
#[test]
fn an_older_excerpt_is_curtailed_once() {
    let before = excerpt(&guarded(CLEAR, ""), &saved(&json!(CANARY)));
    assert!(before.contains("canary"));
    assert_eq!(users(&guarded(CLEAR, "")).curtailed(&before), None);
    for fields in [HASH, ENCRYPT, MASK, DROP] {
        let of = guarded(fields, FETCH);
        let after = users(&of).curtailed(&before).unwrap().unwrap();
        assert!(!after.contains("canary") && after.contains("Ada"), "{after}");
        assert_eq!(users(&of).curtailed(&after), None);
        if fields != DROP {
            assert_eq!(retried(&of, &after).unwrap().unwrap().change, Change::Refresh);
        }
    }
}

/// Hashes have no order, and what else is protected cannot be looked for; a value that is looked for is hashed first.
#[test]
fn equality_goes_by_hash_and_nothing_else_does() {
    let of = guarded(HASH, "");
    let (of, allowed) = (users(&of), ["email".to_owned()]);
    let held = state(&guarded(HASH, ""), &saved(&json!(CANARY)));
    let mut query = Query::default();
    query.add(of, &allowed, "email", CANARY).unwrap();
    assert!(query.equal[0].1.contains(held.get("email").unwrap()), "{query:?}");
    let mut several = Query::default();
    several.add(of, &allowed, "email.in", &format!("other,{CANARY}")).unwrap();
    assert!(several.equal[0].1.contains(held.get("email").unwrap()));
    assert!(!format!("{query:?} {query} {several:?}").contains("canary"));
    let refused = Query::default().add(of, &allowed, "email.gte", "a").unwrap_err().to_string();
    assert!(refused.contains("hashes have no order"), "{refused}");
    for fields in [ENCRYPT, MASK] {
        let of = guarded(fields, "");
        assert!(Query::default().add(users(&of), &allowed, "email", CANARY).is_err());
    }
}

/// The last of these, as the newest generation of all of them.
fn newest(declarations: &[&Declaration]) -> Declaration {
    let history = History::new(declarations.iter().map(|of| Shape::of(of)));
    declarations.last().unwrap().as_generation(history.newest(), &history)
}

fn held(fields: Document) -> Record {
    let key = Key::live(Version::new(7), 1, &fields.clone().try_into().unwrap());
    Record { key: Some(key), rev: 1000, fields, ..Record::blank(id("42"), State::Live) }
}

/// What an upgrade brings, what goes, whether something lacks, when the owner is asked, and the key.
fn upgraded(of: &Subscription, record: &Record) -> (Document, Vec<String>, bool, Due, Option<Key>) {
    match upgrade(of, record) {
        RecordWrite::Upgrade { fill, drop, lacks, due, key, owes, .. } => {
            assert!(owes, "documents are to show it, too");
            (fill, drop, lacks, due, key)
        }
        other => panic!("{other:?}"),
    }
}

/// S14, C1: what is held in clear is protected at once, without a question to the owner; the key is that of an event that
/// comes again, so that it changes nothing.
#[test]
fn what_is_held_in_clear_is_protected_in_place() {
    for (fields, fetch) in [(HASH, FETCH), (HASH, ""), (ENCRYPT, FETCH), (MASK, "")] {
        let of = newest(&[&guarded(CLEAR, fetch), &guarded(fields, fetch)]);
        let clear = held(doc! { "name": "Ada", "email": CANARY });
        let (fill, drop, lacks, due, key) = upgraded(users(&of), &clear);
        let told = state(&of, &saved(&json!(CANARY)));
        assert_eq!(fill, doc! { "email": told.get("email").unwrap().clone() });
        assert_eq!((drop, lacks, due), (Vec::new(), false, Due::Never));
        let content = told.try_into().unwrap();
        assert_eq!(key, Some(Key::live(Version::new(7), users(&of).shape, &content)));
    }
    let dropped = newest(&[&guarded(CLEAR, FETCH), &guarded(DROP, FETCH)]);
    let (fill, drop, lacks, ..) = upgraded(users(&dropped), &held(doc! { "name": "Ada", "email": CANARY }));
    assert_eq!((fill, drop, lacks), (doc! {}, vec!["email".to_owned()], false));
}

/// C3: a newer pod's patch has protected the field already, and left the record to its generation: it is not done twice.
#[test]
fn what_is_protected_already_is_left() {
    for fields in [HASH, ENCRYPT, MASK] {
        let of = newest(&[&guarded(CLEAR, ""), &guarded(fields, "")]);
        let told = state(&of, &saved(&json!(CANARY)));
        let record = Record { patched: [("email".to_owned(), Version::new(8))].into(), ..held(told.clone()) };
        assert_eq!(upgraded(users(&of), &record).0.get("email"), told.get("email"));
    }
}

/// S14: where the field is also read otherwise, the owner is asked; until it answers, what is held is protected, and no hash
/// of it is left.
#[test]
fn what_is_read_otherwise_is_protected_until_it_is_known_anew() {
    let moved = "email: { from: data.mail, protect: hash }";
    let of = newest(&[&guarded(CLEAR, FETCH), &guarded(moved, FETCH)]);
    let clear = held(doc! { "name": "Ada", "email": CANARY });
    let (fill, drop, lacks, due, key) = upgraded(users(&of), &clear);
    assert_eq!(
        fill,
        doc! { "email": state(&guarded(HASH, ""), &saved(&json!(CANARY))).get("email").unwrap().clone() }
    );
    assert_eq!((drop, lacks, due), (Vec::new(), true, Due::Now));
    let (key, before) = (key.unwrap(), clear.key.unwrap());
    assert_eq!(
        (key.version, key.shape),
        (before.version, before.shape),
        "the same version may bring what is lacking"
    );
    assert_ne!(key.hash, before.hash);
}

/// S15: another key is another generation: the owner is asked about every record, and what is held by the old one stays until
/// it has answered. So is another protection, and none.
#[test]
fn another_key_is_another_generation() {
    let by = |fields: &str, number: u8| written(fields, FETCH).guarded(&keys(number)).unwrap();
    for (before, after) in [
        (by(HASH, 1), by(HASH, 2)),
        (by(ENCRYPT, 1), by(ENCRYPT, 2)),
        (by(HASH, 1), by(ENCRYPT, 1)),
        (by(HASH, 1), by(CLEAR, 1)),
    ] {
        assert_ne!(Shape::of(&before), Shape::of(&after));
        let of = newest(&[&before, &after]);
        let (fill, drop, lacks, due, _) = upgraded(users(&of), &held(state(&before, &saved(&json!(CANARY)))));
        assert_eq!((fill, drop, lacks, due), (doc! {}, Vec::new(), true, Due::Now));
        let shape = Shape::of(&after);
        assert_eq!(Shape::from_document(&shape.to_document()), Some(shape), "what is stored is read back");
    }
    assert_eq!(Shape::of(&by(HASH, 1)), Shape::of(&by(HASH, 1)));
    assert_eq!(Shape::of(&by(MASK, 1)), Shape::of(&by(MASK, 2)));
    assert_eq!(
        Shape::of(&by(CLEAR, 1)),
        Shape::of(&written(CLEAR, "")),
        "what is in clear has the shape it had"
    );
}

/// C2: what is protected or dropped is said before.
#[test]
fn a_plan_tells_what_is_protected_in_place() {
    let before = History::new([Shape::of(&guarded(CLEAR, FETCH))]);
    let change = |fields: &str| Plan::of(&before, &guarded(fields, FETCH)).replicas.pop().unwrap();
    let (hashed, dropped) = (change(HASH), change(DROP));
    assert_eq!((hashed.brought, hashed.sealed), (Vec::new(), vec!["email".to_owned()]));
    assert_eq!((dropped.sealed, dropped.dropped), (Vec::new(), vec!["email".to_owned()]));
    let moved = change("email: { from: data.mail, protect: hash }");
    assert_eq!((moved.brought, moved.sealed), (vec!["email".to_owned()], Vec::new()));
}
