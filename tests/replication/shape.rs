//! The generations of a declaration, and what a change of it demands.

use bson::{Document, doc};
use nearcopy::event::Version;
use nearcopy::replication::{
    Declaration, Due, History, Key, Record, RecordWrite, Rendering, Scope, Shape, Standing, State, Why,
    upgrade,
};

use crate::declared::{declared, id, users};

const INTO: &str = "product-user: { in: products, ref: userId, from: users, into: user, fields: [username] }";

fn manifest(fields: &str, fetch: bool, embeds: &[&str]) -> Declaration {
    let fetch =
        if fetch { "fetch: { url: \"http://owner/users/{id}\", from: { version: version } }" } else { "" };
    let embeds: String = embeds.iter().map(|embed| format!("\n  {embed}")).collect();
    let embeds = if embeds.is_empty() { String::new() } else { format!("embeds:{embeds}") };
    let text = format!(
        "service: shop
sources:
  users:
    rabbitmq: {{ exchange: users, queue: shop.users, bindings: [\"user.#\"] }}
replicas:
  users:
    owner: user-service
    source: users
    keep: all
    id: data.id
    version: data.version
    fields: {{ {fields} }}
    on: {{ user.saved: upsert }}
    {fetch}
{embeds}
"
    );
    Declaration::clone(&declared(&text))
}

/// The last of these, as the newest generation of all of them.
fn newest(declarations: &[Declaration]) -> Declaration {
    let history = History::new(declarations.iter().map(Shape::of));
    declarations.last().unwrap().as_generation(history.newest(), &history)
}

fn live(shape: i32, fields: Document) -> Record {
    let key = Key::live(Version::new(7), shape, &fields.clone().try_into().unwrap());
    Record { key: Some(key), shape, rev: 1000, marked: true, fields, ..Record::blank(id("ann"), State::Live) }
}

/// What an upgrade does: the generation in its key, what goes, what comes, whether something lacks, when it asks.
fn in_short(write: &RecordWrite) -> (Option<i32>, Vec<&str>, Vec<&str>, bool, Due) {
    let RecordWrite::Upgrade { key, drop, fill, lacks, due, .. } = write else { panic!("{write:?}") };
    let drop = drop.iter().map(String::as_str).collect();
    (key.as_ref().map(|key| key.shape), drop, fill.keys().map(String::as_str).collect(), *lacks, *due)
}

/// C3: what is compared is what changes records or documents, and nothing else.
#[test]
fn a_generation_is_what_is_kept_and_shown() {
    let one = manifest(
        "a: data.a, b: { from: data.b, type: int, default: 1 }",
        true,
        &[INTO.replace("username", "a").as_str()],
    );
    let same = [
        manifest(
            "b: { from: data.b, type: int, default: 1 }, a: data.a",
            true,
            &[&INTO.replace("username", "a")],
        ),
        manifest(
            "a: data.a, b: { from: data.b, type: int, default: 1 }",
            false,
            &[&INTO.replace("username", "a")],
        ),
    ];
    for other in &same {
        assert_eq!(Shape::of(other), Shape::of(&one));
    }
    let other = [
        manifest("a: data.a, b: { from: data.b, type: int }", true, &[&INTO.replace("username", "a")]),
        manifest(
            "a: data.a, b: { from: data.b, type: int, default: 2 }",
            true,
            &[&INTO.replace("username", "a")],
        ),
        manifest(
            "a: data.a, b: { from: data.b, type: double, default: 1 }",
            true,
            &[&INTO.replace("username", "a")],
        ),
        manifest(
            "a: data.c, b: { from: data.b, type: int, default: 1 }",
            true,
            &[&INTO.replace("username", "a")],
        ),
        manifest(
            "a: data.a, b: { from: data.b, type: int, default: 1 }",
            true,
            &[&INTO.replace("username", "b")],
        ),
        manifest("a: data.a, b: { from: data.b, type: int, default: 1 }", true, &[]),
    ];
    for other in &other {
        assert_ne!(Shape::of(other), Shape::of(&one));
    }
    for shape in other.iter().map(Shape::of) {
        assert_eq!(Shape::from_document(&shape.to_document()), Some(shape), "what is stored is read back");
    }
    assert_eq!(Shape::from_document(&doc! { "replicas": 7 }), None);
}

/// C3: the newest, a new one, an older one; and an older one that takes the place of the one that is named.
#[test]
fn a_declaration_has_its_place_in_the_history() {
    let [a, b, c] =
        ["a: data.a", "b: data.b", "c: data.c"].map(|fields| Shape::of(&manifest(fields, true, &[])));
    let empty = History::default();
    assert_eq!(empty.standing(&a, None), Standing::New(1));
    let history = History::new([a.clone(), b.clone()]);
    assert_eq!(history.standing(&b, None), Standing::Newest(2));
    assert_eq!(history.standing(&c, Some(9)), Standing::New(3));
    for (from, standing) in
        [(None, Standing::Older(1)), (Some(1), Standing::Older(1)), (Some(2), Standing::New(3))]
    {
        assert_eq!(history.standing(&a, from), standing);
    }
    let back = History::new([a.clone(), b.clone(), a.clone()]);
    assert_eq!(
        (back.standing(&a, Some(2)), back.standing(&b, None)),
        (Standing::Newest(3), Standing::Older(2))
    );
}

/// A generation of the whole renumbers only the replicas and embeds that it touches.
#[test]
fn what_has_not_changed_keeps_its_number() {
    let (one, two) = (manifest("a: data.a", true, &[]), manifest("a: data.a, b: data.b", true, &[]));
    let shown = manifest("a: data.a, b: data.b", true, &[&INTO.replace("username", "a")]);
    let mut other = shown.clone();
    other.replicas = [users(&one).clone()]
        .map(|of| {
            let mut of = nearcopy::replication::Subscription::clone(&of);
            of.name = nearcopy::event::EntityType::new("clients");
            std::sync::Arc::new(of)
        })
        .into_iter()
        .chain(shown.replicas.clone())
        .collect();
    for (declarations, shape) in [
        (vec![one.clone()], 1),
        (vec![one.clone(), two.clone()], 2),
        (vec![one.clone(), two.clone(), shown.clone()], 3),
        (vec![one.clone(), two.clone(), shown, other], 3),
        (vec![one.clone(), two.clone(), one], 3),
    ] {
        let last = newest(&declarations);
        assert_eq!(
            (users(&last).shape, last.generation),
            (shape, i32::try_from(declarations.len()).unwrap())
        );
    }
}

/// C1: where a field was added, or is read otherwise, the owner is asked, and the version that is held may bring it;
/// where it cannot be asked, there is a default or nothing.
#[test]
fn an_added_field_is_asked_for_or_waited_for() {
    let fields = "a: data.a, b: { from: data.b, default: 1 }, c: data.c";
    for (before, lacks) in
        [("a: data.a", true), ("a: data.x, b: { from: data.b, default: 1 }, c: data.c", true)]
    {
        let asked = newest(&[manifest(before, true, &[]), manifest(fields, true, &[])]);
        let write = upgrade(users(&asked), &live(1, doc! { "a": 1 }));
        assert_eq!(in_short(&write), (None, vec![], vec![], lacks, Due::Now), "{before}");
    }
    let not = newest(&[manifest("a: data.a", false, &[]), manifest(fields, false, &[])]);
    let write = upgrade(users(&not), &live(1, doc! { "a": 1 }));
    assert_eq!(in_short(&write), (None, vec![], vec!["b"], true, Due::Never));
    let known = upgrade(users(&not), &live(1, doc! { "a": 1, "b": 2 }));
    assert_eq!(
        in_short(&known),
        (None, vec![], vec![], true, Due::Never),
        "what an older pod has left there stays"
    );
    let again = newest(&[
        manifest("a: data.a", true, &[]),
        manifest(fields, true, &[]),
        manifest(fields, true, &[INTO.replace("username", "a").as_str()]),
    ]);
    let lacking = Record { lacks: true, ..live(2, doc! { "a": 1 }) };
    assert_eq!(
        in_short(&upgrade(users(&again), &lacking)),
        (None, vec![], vec![], true, Due::Now),
        "and goes on lacking"
    );
}

/// C2: what was ever kept and is not any more goes; the key then says what is held, and the version that is held is no
/// conflict.
#[test]
fn a_removed_field_goes_whoever_wrote_it() {
    let last = newest(&[
        manifest("a: data.a", true, &[]),
        manifest("a: data.a, b: data.b", true, &[]),
        manifest("a: data.a", true, &[]),
    ]);
    let held = live(1, doc! { "a": 1, "b": "an older pod has left it" });
    let write = upgrade(users(&last), &held);
    assert_eq!(in_short(&write), (Some(3), vec!["b"], vec![], false, Due::Never));
    let RecordWrite::Upgrade { key: Some(key), .. } = write else { panic!() };
    assert_eq!(key, Key::live(Version::new(7), 3, &doc! { "a": 1 }.try_into().unwrap()));
    let settled =
        Record { key: held.key.clone().map(|key| Key { hash: Key::SETTLED.into(), ..key }), ..held };
    let RecordWrite::Upgrade { key: Some(key), .. } = upgrade(users(&last), &settled) else { panic!() };
    assert_eq!(&*key.hash, Key::SETTLED, "what the owner has decided stays decided");
}

/// C1: of what holds no fields, only the number changes.
#[test]
fn what_holds_no_fields_is_only_renumbered() {
    let last = newest(&[manifest("a: data.a", true, &[]), manifest("b: data.b", true, &[])]);
    let key = Key::gone(Version::new(7), Why::Deleted, 1);
    for (state, key) in
        [(State::Gone(Why::Deleted), Some(key)), (State::Pending, None), (State::Gone(Why::NotFound), None)]
    {
        let gone = Record { state, key: key.clone(), ..live(1, Document::new()) };
        let write = upgrade(users(&last), &gone);
        assert_eq!(in_short(&write), (key.map(|_| 2), vec![], vec![], false, Due::Never), "{state:?}");
    }
}

/// C2: where an embed has left paths, they go under an older stamp before anything is shown, and nothing is shown beside
/// an older stamp; where it has left none, nothing is said of it.
#[test]
fn an_embed_clears_what_it_left() {
    let flat =
        "product-user: { in: products, ref: userId, from: users, set: { name: username, user.mail: email } }";
    let fields = "username: data.username, email: data.email";
    let last = newest(&[manifest(fields, true, &[flat]), manifest(fields, true, &[INTO])]);
    let embed = &last.embeds[0];
    assert_eq!(
        (embed.shape, &embed.former),
        (2, &Some(vec!["name".into()])),
        "what is inside of an own path is replaced"
    );
    let record = live(2, doc! { "username": "Ann" });
    assert!(matches!(embed.render(&record), Rendering::Show(_)));
    let [tidy, show] = &embed.writes(&record, Scope::Everywhere)[..] else { panic!("two statements") };
    assert_eq!(tidy.update.get_document("$unset").unwrap(), &doc! { "name": "" });
    assert!(tidy.filter.contains_key("_nearcopy.product-user.s") && show.filter.contains_key("$nor"));
    let wider = newest(&[
        manifest(fields, true, &[INTO]),
        manifest(fields, true, &[&INTO.replace("username", "email")]),
    ]);
    assert_eq!((wider.embeds[0].former.clone(), wider.leftovers.len()), (None, 0));
    assert_eq!(wider.embeds[0].writes(&record, Scope::Everywhere).len(), 1);
}

/// C2: what is left is cleared where the embed was, unless another embed has it now.
#[test]
fn leftovers_are_where_an_embed_was() {
    let moved = INTO.replace("products", "items");
    let renamed = INTO.replace("product-user", "product-client");
    let by = INTO.replace("userId", "by");
    let fields = "username: data.username";
    for (next, left, unset) in [
        (vec![], 1, Some(doc! { "user": "", "_nearcopy.product-user": "" })),
        (vec![moved.as_str()], 1, Some(doc! { "user": "", "_nearcopy.product-user": "" })),
        (vec![renamed.as_str()], 1, Some(doc! { "_nearcopy.product-user": "" })),
        (vec![by.as_str()], 0, None),
        (vec![INTO], 0, None),
    ] {
        let last = newest(&[manifest(fields, true, &[INTO]), manifest(fields, true, &next)]);
        assert_eq!(last.leftovers.len(), left, "{next:?}");
        let clear = last.leftovers.first().map(|left| left.clear(&[]).update);
        assert_eq!(clear.and_then(|update| update.get_document("$unset").ok().cloned()), unset, "{next:?}");
    }
    let back = newest(&[
        manifest(fields, true, &[INTO]),
        manifest(fields, true, &[]),
        manifest(fields, true, &[INTO]),
    ]);
    assert_eq!((back.leftovers.len(), back.embeds[0].shape), (0, 3), "an embed that came back owns it all");
}
