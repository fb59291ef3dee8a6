//! "Is this name taken?", asked while a command is handled: of what is held, and of the owner, who may be down.

use serde_json::{Value, json};

use crate::owner_service::{Asked, Entities, Reply, honest};
use crate::read::Read;

/// The example that teams begin with, its owner here.
fn manifest(owner: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/usernames.yaml");
    std::fs::read_to_string(path).unwrap().replace("${USER_SERVICE_URL:-http://user-service}", owner)
}

/// An owner that can be asked for one user, and who has a name or an email.
fn finding(asked: &Asked, entities: &Entities) -> Reply {
    let Some((field, value)) = asked.target.split_once('?').and_then(|(_, query)| query.split_once('='))
    else {
        return honest(asked, entities);
    };
    let value = value.replace("%40", "@").replace("%20", " ");
    let found: Vec<&Value> = entities.values().filter(|user| user[field] == value.as_str()).collect();
    if found.is_empty() { Reply::status(404) } else { Reply::json(&json!(found)) }
}

#[tokio::test]
async fn a_name_is_taken_as_far_as_is_known_here_or_by_the_owners_word() {
    let mut read = Read::start_with(manifest, |plan| plan).await;
    read.stage.owner.answers(finding);
    for (id, name) in [("1", "ada"), ("2", "bob")] {
        let email = format!("{name}@example.org");
        read.user(id, 1, json!({ "username": name, "email": email })).await;
        read.is_read(id, 1).await;
    }
    let ask = async |read: &Read, query: &str| read.get(&format!("users:exists?{query}")).await;
    let yes = |ids: &[&str]| (200, json!({ "exists": true, "ids": ids }));
    let no = || (200, json!({ "exists": false, "ids": [] }));
    assert_eq!(ask(&read, "username=ada").await, yes(&["1"]));
    assert_eq!(ask(&read, "email=bob@example.org").await, yes(&["2"]));
    assert_eq!(ask(&read, "username=eve").await, no());

    // Somebody has registered of whom no event has come yet.
    read.stage.owner.has("3", 1, "eve");
    read.stage.owner.answers(|asked, entities| match asked.target.as_str() {
        "/users?username=eve" => Reply::json(&json!({ "id": "3", "version": 1, "username": "eve" })),
        "/users?username=cut" => Reply::text(r#"[{"id": "3"}, {"na"#),
        "/users?username=odd" => Reply::json(&json!([{ "name": "no id" }])),
        _ => finding(asked, entities),
    });
    assert_eq!(ask(&read, "username=eve").await, no());
    assert_eq!(ask(&read, "username=eve&consistency=owner").await, yes(&["3"]));
    assert_eq!(ask(&read, "email=none%20at%20all&consistency=owner").await, no());
    for bad in ["cut", "odd"] {
        let (status, told) = ask(&read, &format!("username={bad}&consistency=owner")).await;
        assert_eq!((status, &told["held"]["exists"]), (504, &json!(false)), "no answer is not `no`: {told}");
    }
    let (status, told) = ask(&read, "username=ada&email=x&consistency=owner").await;
    assert_eq!((status, told["detail"].as_str().unwrap().contains("one value")), (400, true), "{told}");

    // A name goes from one to the other, and for a moment both have it.
    read.user("2", 2, json!({ "username": "ada", "email": "bob@example.org" })).await;
    read.is_read("2", 2).await;
    assert_eq!(ask(&read, "username=ada").await, yes(&["1", "2"]));
    read.user("1", 2, json!({ "username": "ada-1", "email": "ada@example.org" })).await;
    read.is_read("1", 2).await;
    assert_eq!(ask(&read, "username=ada").await, yes(&["2"]));

    read.stage.owner.dies().await;
    assert_eq!(ask(&read, "username=ada").await, yes(&["2"]), "what is held is told without the owner");
    let (status, told) = ask(&read, "username=ada&consistency=owner&within=500ms").await;
    assert_eq!((status, &told["held"]), (504, &json!({ "exists": true, "ids": ["2"] })), "{told}");
    read.end().await;
}

/// What a value of a name can be must not lead anywhere else.
#[tokio::test]
async fn a_value_stays_in_its_place() {
    let read = Read::start_with(manifest, |plan| plan).await;
    read.stage.owner.answers(|_, _| Reply::status(404));
    for value in ["a%26admin=1", "..%2F..%2Fx", "a%23b", "%7Bemail%7D", "%C3%A4+%C3%B6", "a/b?c=d", "$ne"] {
        let (status, told) = read.get(&format!("users:exists?username={value}&consistency=owner")).await;
        assert_eq!((status, told), (200, json!({ "exists": false, "ids": [] })), "{value}");
    }
    for asked in read.stage.owner.asked().iter().filter(|asked| asked.page.is_none()) {
        let value = asked.target.strip_prefix("/users?username=").unwrap_or_else(|| panic!("{asked:?}"));
        assert!(
            value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)),
            "{value}"
        );
    }
    read.end().await;
}
