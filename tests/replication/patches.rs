//! Partial events, case by case: what is held then, what is asked, and what stands in the books.

use std::collections::{BTreeMap, BTreeSet};

use bson::{Bson, doc};
use nearcopy::event::{Change, ChangeEvent, Version};
use nearcopy::replication::{Answer, Content, Key, Outcome, RecordWrite, State, Timeline, Why, revise};

use crate::declared::{ASKED, PRODUCTS, gapless_shop, id, patched, patched_shop, users};
use crate::revise::{Held, Underway, alone, asked, deleted, patch, saved};

/// A13: what each version says of a field stays, also where a full state between two patches comes last.
#[test]
fn a_late_full_state_fills_what_newer_patches_have_left() {
    let of = asked();
    let events = [saved(1, "ann", "1@x"), patch(4, doc! { "email": "4@x" }), saved(3, "anna", "3@x")];
    let held = Held::wanted(&of).run(&of, &events, 1);
    let record = held.record();
    assert_eq!(record.fields, doc! { "username": "anna", "email": "4@x" });
    assert_eq!(record.key.as_ref().unwrap().version, Version::new(3));
    assert_eq!(record.patched, [("email".to_owned(), Version::new(4))].into());
    assert_eq!(record.version(), Some(Version::new(4)));
    assert_eq!(held.outcomes, [Outcome::Applied; 3]);
    let later = held.run(&of, &[saved(5, "anne", "5@x")], 1);
    assert_eq!(later.record().patched, BTreeMap::new(), "a newer full state says it all");
}

/// A13: a patch after a deletion says that the entity is there again, and not how; what is known stays for the rest.
#[test]
fn a_patch_above_a_deletion_leaves_a_record_that_must_be_asked_about() {
    let of = asked();
    let email = patch(4, doc! { "email": "4@x" });
    for events in [
        [saved(1, "ann", "1@x"), deleted(3), email.clone()],
        [email.clone(), saved(1, "ann", "1@x"), deleted(3)],
    ] {
        let held = Held::wanted(&of).run(&of, &events, 1);
        let record = held.record();
        assert_eq!((record.state, record.need), (State::Pending, Some(Version::new(4))), "{events:?}");
        assert_eq!(record.key, Some(Key::gone(Version::new(3), Why::Deleted, 1)));
        assert!(record.due <= Some(held.now), "it is due at once");
        let older = Answer::Found {
            version: Some(Version::new(3)),
            content: Content::Live(doc! { "username": "x" }.try_into().unwrap()),
        };
        let old = held.settle(&of, &older);
        assert_eq!(
            old.record().state,
            State::Pending,
            "an answer of the deleted version brings nothing back"
        );
        let truth = Content::Live(doc! { "username": "ann", "email": "4@x" }.try_into().unwrap());
        let new = old.settle(&of, &Answer::Found { version: Some(Version::new(4)), content: truth });
        assert_eq!((new.record().state, new.record().need), (State::Live, None));
    }
    let same = Held::wanted(&of).run(&of, &[deleted(4), email], 1);
    assert_eq!(same.record().state, State::Gone(Why::Deleted), "at one version, the deletion has it");
}

/// A13: an answer fills in what newer patches have left, and is asked for again until it has caught up.
#[test]
fn an_answer_yields_to_newer_patches_field_by_field() {
    let of = asked();
    let answer = |version: i64| Answer::Found {
        version: Some(Version::new(version)),
        content: Content::Live(doc! { "username": "ann", "email": "old@x" }.try_into().unwrap()),
    };
    let held = Held::wanted(&of).run(&of, &[patch(4, doc! { "email": "4@x" })], 1);
    assert_eq!((held.record().state, held.record().need), (State::Pending, Some(Version::new(4))));
    let stale = held.settle(&of, &answer(3));
    assert_eq!(stale.record().fields, doc! { "username": "ann", "email": "4@x" });
    assert_eq!((stale.record().state, stale.record().need), (State::Live, Some(Version::new(4))));
    let caught_up = stale.settle(&of, &answer(4));
    assert_eq!(
        caught_up.record().fields,
        doc! { "username": "ann", "email": "old@x" },
        "the owner has the last word"
    );
    assert_eq!((caught_up.record().need, caught_up.record().patched.len()), (None, 0));
}

/// A 404 keeps the newest version that was known, so that no late duplicate brings back what is gone.
#[test]
fn what_the_owner_does_not_know_is_gone_at_the_newest_version_known() {
    let of = asked();
    let email = patch(4, doc! { "email": "4@x" });
    let held = Held::wanted(&of).run(&of, &[saved(1, "ann", "1@x"), email.clone()], 2);
    let gone = held.settle(&of, &Answer::NotFound);
    assert_eq!(gone.record().state, State::Gone(Why::NotFound));
    let again = gone.run(&of, &[email], 1);
    assert_eq!(
        (again.record().state, again.outcomes.last()),
        (State::Gone(Why::NotFound), Some(&Outcome::Stale))
    );
    let newer = again.run(&of, &[patch(5, doc! { "email": "5@x" })], 1);
    assert_eq!(newer.record().state, State::Pending);
}

/// A2, A6: a patch of what nobody wants is ignored; of what is kept anyway it makes a record to be asked about.
#[test]
fn a_patch_of_the_unknown_is_ignored_or_makes_a_record() {
    let email = patch(4, doc! { "email": "4@x" });
    let ignored = Held::default().run(&asked(), std::slice::from_ref(&email), 1);
    assert_eq!((ignored.record, ignored.outcomes), (None, vec![Outcome::Ignored]));
    let kept = Held::default().run(&patched_shop("all", ASKED, &[]), &[email], 1);
    assert_eq!(kept.record().state, State::Pending);
    assert!(kept.record().due.is_some());
    assert_eq!(kept.outcomes, [Outcome::Deferred]);
}

/// The books: what a patch did is told apart field by field.
#[test]
fn each_patch_has_its_own_line_in_the_books() {
    let start = [saved(3, "ann", "3@x"), patch(5, doc! { "email": "5@x" })];
    let cases = [
        (patch(4, doc! { "username": "anna" }), Ok(Outcome::Applied)),
        (patch(4, doc! { "username": "anna", "email": "4@x" }), Ok(Outcome::Applied)),
        (patch(4, doc! { "email": "4@x" }), Ok(Outcome::Stale)),
        (patch(5, doc! { "email": "5@x" }), Ok(Outcome::Duplicate)),
        (patch(5, doc! { "email": "other" }), Err(())),
        (patch(3, doc! { "username": "ann" }), Ok(Outcome::Duplicate)),
        (patch(3, doc! { "username": "bob" }), Err(())),
        (patch(2, doc! { "username": "bob" }), Ok(Outcome::Stale)),
        (patch(6, doc! { "email": Bson::Null }), Ok(Outcome::Applied)),
        (saved(3, "ann", "3@x"), Ok(Outcome::Duplicate)),
        (saved(4, "ann", "4@x"), Ok(Outcome::Applied)),
        (deleted(4), Ok(Outcome::Applied)),
    ];
    for (event, expected) in cases {
        let of = asked();
        let mut held = Held::wanted(&of).run(&of, &start, 1);
        held.take(&of, std::slice::from_ref(&event), 9);
        let last = if held.conflicts > 0 { Err(()) } else { Ok(held.outcomes[2]) };
        assert_eq!(last, expected, "{event:?}");
    }
}

/// However many patches of an entity a batch has, they are one write, and a copy of one of them counts once.
#[test]
fn a_batch_of_patches_is_one_write() {
    let of = asked();
    let mut held = Held::wanted(&of).run(&of, &[saved(1, "ann", "1@x")], 1);
    let patches: Vec<ChangeEvent> =
        (2..50).chain([49]).map(|version| patch(version, doc! { "extra": version })).collect();
    let read = [(id("42"), held.record().clone())].into();
    let revised = revise(users(&of), &patches, &Timeline::default(), &read);
    let [RecordWrite::Revise { revision, .. }] = revised.folded.writes.as_slice() else {
        panic!("{revised:?}")
    };
    assert_eq!(revision.fields.get("extra"), Some(&Bson::Int64(49)));
    held.take(&of, &patches, 9);
    let outcomes = &held.outcomes[1..];
    let count = |wanted: Outcome| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    assert_eq!((count(Outcome::Applied), count(Outcome::Duplicate), count(Outcome::Stale)), (1, 1, 47));
}

/// A write by what was read before does nothing once somebody else has written.
#[test]
fn a_revision_of_what_has_changed_since_goes_round_again() {
    let of = asked();
    let mut held = Held::wanted(&of).run(&of, &[saved(1, "ann", "1@x")], 1);
    let stale =
        Underway { open: vec![patch(3, doc! { "email": "3@x" })], read: held.record.clone(), batch: 8 };
    held.take(&of, &[patch(2, doc! { "username": "anna" })], 7);
    let before = held.record().clone();
    let again = held.round(&of, stale);
    assert_eq!((held.record(), again.open.len()), (&before, 1));
    let done = held.round(&of, again);
    assert_eq!(done.open, []);
    assert_eq!(held.record().fields, doc! { "username": "anna", "email": "3@x" });
}

/// What is not in a patch is as it was; null is null; a default stands for what is missing only in a full state, or
/// in a part that is gone as a whole.
#[test]
fn a_patch_names_only_what_has_changed() {
    let text = "service: shop
sources:
  users: { rabbitmq: { exchange: users, queue: shop.users, bindings: ['#'] } }
replicas:
  users:
    owner: u
    source: users
    keep: all
    id: data.id
    version: data.version
    fields:
      username: data.username
      city: { from: data.address.city, default: nowhere }
      street: data.address.street
    on: { user.patched: patch }
";
    let of = crate::declared::declared(text);
    let read = |fields: serde_json::Value| {
        let event = crate::declared::interpret(&of, &patched("42", 4, fields)).unwrap();
        event.map(|event| match event.change {
            Change::Patch(fields) => fields,
            other => panic!("{other:?}"),
        })
    };
    let json = |text: &str| serde_json::from_str(text).unwrap();
    assert_eq!(read(json("{}")), None, "it says nothing of what is kept");
    assert_eq!(read(json(r#"{ "address": {} }"#)), None);
    assert_eq!(read(json(r#"{ "username": null }"#)), Some(doc! { "username": Bson::Null }));
    assert_eq!(read(json(r#"{ "address": { "city": "Rome" } }"#)), Some(doc! { "city": "Rome" }));
    let all = doc! { "city": "nowhere", "street": Bson::Null };
    assert_eq!(read(json(r#"{ "address": null }"#)), Some(all));
}

/// A condition cannot be asked of a part, so the owner is asked for the whole.
#[test]
fn a_patch_of_a_subset_asks_the_owner() {
    let of = patched_shop("{ where: \"data.username != ''\" }", ASKED, &[]);
    assert!(!users(&of).compares(), "its events are as independent as before");
    let read = crate::declared::interpret(&of, &patched("42", 4, serde_json::json!({ "email": "x" })));
    assert_eq!(read.unwrap().unwrap().change, Change::Refresh);
}

/// A replica without patches goes the blind way.
#[test]
fn only_patches_make_a_replica_compare() {
    let kinds: BTreeSet<bool> =
        [crate::declared::shop("all", "", &[]), alone()].iter().map(|of| users(of).compares()).collect();
    assert_eq!(kinds.len(), 2);
}

/// V2: a version that is left out is noticed once, whatever the order in a batch; of a patch, the owner is asked after its
/// read lag, and its answer closes the hole.
#[test]
fn what_is_missing_before_a_patch_is_asked_for() {
    let of = gapless_shop("referenced", ASKED, &[PRODUCTS]);
    let settle = i64::try_from(users(&of).fetch.as_ref().unwrap().settle.as_millis()).unwrap();
    let start = || {
        let truth = Content::Live(doc! { "username": "ann", "email": "1@x" }.try_into().unwrap());
        let known = Answer::Found { version: Some(Version::new(1)), content: truth };
        Held::wanted(&of).settle(&of, &known)
    };
    let gaps = |held: &Held, events: &[ChangeEvent]| {
        revise(users(&of), events, &Timeline::default(), &[(id("42"), held.record().clone())].into()).gaps
    };
    let email = |version: i64| patch(version, doc! { "email": version });
    let held = start();
    assert_eq!(gaps(&held, &[email(2), email(3)]), Vec::<usize>::new());
    assert_eq!(gaps(&held, &[email(4), email(2), email(3)]), Vec::<usize>::new(), "they come as they come");
    assert_eq!(gaps(&held, &[email(5), email(2), email(3), email(5)]), [0]);
    assert_eq!(gaps(&held, &[email(1)]), Vec::<usize>::new());
    assert_eq!(
        gaps(&held, &[saved(9, "ann", "9@x"), deleted(11)]),
        [0, 1],
        "of full states it is only counted"
    );

    let full = start().run(&of, &[saved(9, "ann", "9@x")], 1);
    assert_eq!(full.record().due, None);
    let held = held.run(&of, &[email(3)], 1);
    let due = held.record().due.unwrap();
    assert!(due > held.now && due <= held.now + settle, "it may come yet: {due}");
    let truth = Content::Live(doc! { "username": "anna", "email": 3_i64 }.try_into().unwrap());
    let closed = held.settle(&of, &Answer::Found { version: Some(Version::new(3)), content: truth });
    assert_eq!(closed.record().fields, doc! { "username": "anna", "email": 3_i64 });
    assert_eq!(gaps(&closed, &[email(4)]), Vec::<usize>::new());
    let ignored = revise(
        users(&asked()),
        &[email(9)],
        &Timeline::default(),
        &[(id("42"), closed.record().clone())].into(),
    );
    assert!(ignored.gaps.is_empty());
}
