//! The statements that embeds make, written out: what is sent to MongoDB for each form and each state.

use bson::{Bson, Document, doc};
use nearcopy::event::{EntityType, Version};
use nearcopy::replication::{
    Embed, EmbedWrite, Key, Record, RefPath, Rendering, Scope, Shows, State, WhenDeleted, Why,
};

use crate::declared::id;

fn embed(reference: &str, shows: Shows, when_deleted: WhenDeleted) -> Embed {
    Embed {
        name: "product-user".into(),
        collection: "products".into(),
        reference: RefPath::parse(reference).unwrap(),
        from: EntityType::new("users"),
        shows,
        when_deleted,
        shape: 1,
        former: None,
    }
}

fn into() -> Shows {
    Shows::Into { path: "user".into(), fields: vec!["username".into(), "email".into()] }
}

fn flat() -> Shows {
    Shows::Set(vec![("client_name".into(), "username".into()), ("client.mail".into(), "email".into())])
}

fn record(state: State) -> Record {
    Record {
        key: Some(Key::gone(Version::new(8), Why::Deleted, 1)),
        rev: 1000,
        owes: true,
        fields: if state == State::Live {
            doc! { "username": "ann", "extra": 1 }
        } else {
            Document::new()
        },
        ..Record::blank(id("u1"), state)
    }
}

/// The forms of an embed: scalar, flat, and in arrays of one level and two.
fn forms() -> [(&'static str, &'static str, Shows); 5] {
    [
        ("scalar", "userId", into()),
        ("flat", "owner.id", flat()),
        ("array", "contributors[].userId", into()),
        ("flat_array", "contributors[].userId", flat()),
        ("nested", "sections[].authors[].userId", into()),
    ]
}

fn in_words(writes: &[EmbedWrite]) -> Vec<Document> {
    let word = |write: &EmbedWrite| {
        let mut word = doc! { "q": &write.filter, "u": &write.update };
        if !write.array_filters.is_empty() {
            word.insert("arrayFilters", &write.array_filters);
        }
        word
    };
    writes.iter().map(word).collect()
}

#[test]
fn each_form_has_one_statement_to_show_a_record() {
    for (form, reference, shows) in forms() {
        let embed = embed(reference, shows, WhenDeleted::Keep);
        let writes = embed.writes(&record(State::Live), Scope::Everywhere);
        insta::assert_json_snapshot!(format!("show_{form}"), in_words(&writes));
    }
}

#[test]
fn each_form_has_statements_to_clear_to_leave_to_mark_and_to_wait() {
    let ways = [
        ("clear", State::Gone(Why::Deleted), WhenDeleted::Clear),
        ("leave", State::Gone(Why::NotFound), WhenDeleted::Keep),
        ("mark", State::Gone(Why::Out), WhenDeleted::Mark),
        ("wait", State::Pending, WhenDeleted::Keep),
    ];
    for (way, state, when_deleted) in ways {
        for (form, reference, shows) in forms() {
            let embed = embed(reference, shows, when_deleted);
            let writes = embed.writes(&record(state), Scope::Everywhere);
            insta::assert_json_snapshot!(format!("{way}_{form}"), in_words(&writes));
        }
    }
}

/// B4, B8: a document may come to refer to a record between two statements, so each must spare what is another's.
#[test]
fn what_is_left_or_marked_is_never_stamped_over_what_shows_another_entity() {
    for (form, reference, shows) in forms() {
        for policy in [WhenDeleted::Keep, WhenDeleted::Mark] {
            let embed = embed(reference, shows.clone(), policy);
            let writes = embed.writes(&record(State::Gone(Why::Deleted)), Scope::Everywhere);
            let [_, restamp] = writes.as_slice() else { panic!("{form}: {writes:?}") };
            let ours = doc! { "$in": ["u1", null] }.to_string();
            assert!(restamp.filter.to_string().contains(&ours), "{form}: {}", restamp.filter);
            let filtered = restamp.array_filters.iter().any(|filter| filter.to_string().contains(&ours));
            assert!(filtered || restamp.array_filters.is_empty(), "{form}: {restamp:?}");
        }
    }
}

/// B5: under the stamp of this very revision, what differs is written again; only for documents named by `_id`.
#[test]
fn named_documents_are_compared_by_content_too() {
    let ids = [Bson::Int32(1), Bson::Int32(2)];
    for (form, reference, shows) in forms() {
        let show = embed(reference, shows.clone(), WhenDeleted::Clear);
        insta::assert_json_snapshot!(
            format!("exactly_{form}"),
            [State::Live, State::Gone(Why::Deleted)]
                .map(|state| in_words(&show.writes(&record(state), Scope::Exactly(&ids))))
        );
        let page = show.writes(&record(State::Live), Scope::Page(&ids));
        let everywhere = show.writes(&record(State::Live), Scope::Everywhere);
        assert_eq!(page[0].filter.get("_id"), Some(&doc! { "$in": &ids }.into()));
        assert_eq!(
            (&page[0].update, &page[0].array_filters),
            (&everywhere[0].update, &everywhere[0].array_filters)
        );
    }
}

/// B5, B8: an app that writes its own old embed back over a marked one takes the mark away; it is set again.
#[test]
fn a_mark_that_was_overwritten_is_set_again_in_named_documents() {
    let ids = [Bson::Int32(1)];
    for (form, reference, shows) in forms() {
        let embed = embed(reference, shows, WhenDeleted::Mark);
        let writes = embed.writes(&record(State::Gone(Why::Deleted)), Scope::Exactly(&ids));
        insta::assert_json_snapshot!(format!("exactly_marked_{form}"), in_words(&writes[1..]));
    }
}

#[test]
fn a_document_that_refers_to_nothing_is_cleared_where_it_still_shows_somebody() {
    for (form, reference, shows) in forms() {
        let embed = embed(reference, shows, WhenDeleted::Keep);
        let write = embed.clear_unreferenced(&[Bson::Int32(1)], &Bson::Null);
        insta::assert_json_snapshot!(format!("unreferenced_{form}"), in_words(&[write]));
    }
}

#[test]
fn what_is_shown_follows_from_the_state_and_the_policy() {
    let rendering = |state: State, when_deleted: WhenDeleted| {
        embed("userId", into(), when_deleted).render(&record(state))
    };
    let deleted = State::Gone(Why::Deleted);
    let shown = Rendering::Show(vec![("user".into(), doc! { "username": "ann" }.into())]);
    for when_deleted in [WhenDeleted::Keep, WhenDeleted::Clear, WhenDeleted::Mark, WhenDeleted::Delete] {
        assert_eq!(rendering(State::Live, when_deleted), shown);
        assert_eq!(rendering(State::Pending, when_deleted), Rendering::Wait);
    }
    assert_eq!(rendering(deleted, WhenDeleted::Keep), Rendering::Leave);
    assert_eq!(rendering(deleted, WhenDeleted::Clear), Rendering::Nothing);
    assert_eq!(rendering(deleted, WhenDeleted::Mark), Rendering::Mark("user.deleted".into()));
    assert_eq!(rendering(deleted, WhenDeleted::Delete), Rendering::Remove);
    // B7: only a deletion by the owner destroys.
    for why in [Why::Out, Why::NotFound] {
        assert_eq!(rendering(State::Gone(why), WhenDeleted::Delete), Rendering::Leave);
    }
}

/// A flat value that the record does not have is shown as null, so that no older one stays.
#[test]
fn a_flat_value_that_is_missing_is_shown_as_null() {
    let rendering = embed("userId", flat(), WhenDeleted::Keep).render(&record(State::Live));
    let values = vec![("client_name".into(), "ann".into()), ("client.mail".into(), Bson::Null)];
    assert_eq!(rendering, Rendering::Show(values));
}
