//! Manifests with one mistake each.

use nearcopy::manifest;

use super::Case;

/// What stands in the good manifest, what stands there instead, and the codes of what is said.
pub(crate) const CASES: &[Case] = &[
    ("service: shop", "service: shop", ""),
    ("service: shop", "service: ''", "N307"),
    ("service: shop", "service: [shop]", "N203"),
    ("service: shop", "service: 2026-01-01", ""),
    ("service: shop", "service: \"a\\0b\"", "N307"),
    ("service: shop", "Service: shop", "N201"),
    ("service: shop", "service: shop\nversion: 2", "N201"),
    ("service: shop", "service: ${NOBODY}", "N111"),
    ("service: shop", "service: ${NOBODY", "N112"),
    ("service: shop", "service: ${}", "N112"),
    ("service: shop", "<<: {service: shop}", "N201 N202"),
    ("service: shop", "service: !!str shop", "N107"),
    ("service: shop", "service: *shop", "N106"),
    ("service: shop", "? [service]\n: shop", "N108"),
    ("service: shop", "service: shop\nservice: shop", "N102"),
    ("service: shop", "\tservice: shop", "N101"),
    ("exchange: users", "exchange: ''", "N309"),
    ("exchange: users", "exchange: 7", "N203"),
    ("queue: shop.users", "queue: amq.users", "N309"),
    ("queue: shop.users", "queue: ''", "N309"),
    ("bindings: [\"user.#\"]", "bindings: []", "N208"),
    ("bindings: [\"user.#\"]", "bindings: [\"\"]", "N309"),
    ("bindings: [\"user.#\"]", "bindings: [\"user.#x\"]", "N309"),
    ("bindings: [\"user.#\"]", "bindings: [null]", "N203"),
    ("body: 1MiB", "body: 0", "N203"),
    ("body: 1MiB", "body: -1MiB", "N304"),
    ("body: 1MiB", "body: 1EiB", "N304"),
    ("body: 1MiB", "body: lots", "N304"),
    ("depth: 8", "depth: 0", "N205"),
    ("depth: 8", "depth: 1e400", "N110 N203"),
    ("depth: 8", "depth: 8.5", "N203"),
    ("depth: 8", "depth: 99999999999999999999", "N110 N203"),
    ("depth: 8", "depth: .nan", "N110 N203"),
    ("keep: referenced", "keep: everything", "N204"),
    ("keep: referenced", "keep: { where: \"\" }", "N306"),
    ("keep: referenced", "keep: { where: \"data.a =\" }", "N306"),
    ("keep: referenced", "keep: { where: \"body.a == 1\" }", "N306"),
    ("keep: referenced", "keep: { where: \"nobody(data.a)\" }", "N306"),
    ("keep: referenced", "keep: { where: \"data.a == 1 && body.b == 2\" }", "N306"),
    ("keep: referenced", "keep: { where: \"data.a.nobody()\" }", "N306"),
    ("keep: referenced", "keep: { where: [data.a] }", "N203"),
    ("id: data.id", "id: ''", "N208"),
    ("id: data.id", "id: data..id", "N301"),
    ("id: data.id", "id: .id", "N301"),
    ("id: data.id", "id: data.id.", "N301"),
    ("id: data.id", "id: 'data.\\x'", "N301"),
    ("id: data.id", "id: \"data.\\0\"", "N301"),
    ("id: data.id", "id: { from: data.id, type: number }", "N204"),
    ("id: data.id", "id: { type: int }", "N202"),
    ("version: data.version", "version: { number: data.version }", "N201"),
    ("version: data.version", "version: {}", "N207"),
    ("version: data.version", "version: [data.version]", "N203"),
    ("name: data.name", "_id: data.name", "N307"),
    ("name: data.name", "$name: data.name", "N307"),
    ("name: data.name", "_nearcopy: data.name", "N307"),
    ("name: data.name", "\"a.b\": data.name", "N307"),
    ("name: data.name", "\"\": data.name", "N307"),
    ("name: data.name", "name: { from: data.name, type: text }", "N204"),
    ("name: data.name", "name: { from: data.name, type: int, default: x }", "N310"),
    ("name: data.name", "name: { from: data.name, type: uuid, default: x }", "N310"),
    ("name: data.name", "name: { from: data.name, type: date, default: soon }", "N310"),
    ("user.updated: upsert", "user.updated: insert", "N204"),
    ("user.updated: upsert", "user.updated: ''", "N204"),
    ("user.updated: upsert", "user.updated: [upsert]", "N203"),
    ("url: \"http://users/{id}\"", "url: \"users/{id}\"", "N305"),
    ("url: \"http://users/{id}\"", "url: \"file:///{id}\"", "N305"),
    ("url: \"http://users/{id}\"", "url: \"http://users\"", "N305"),
    ("url: \"http://users/{id}\"", "url: \"http://{id}/\"", "N305"),
    ("url: \"http://users/{id}\"", "url: \"http://users/#{id}\"", "N305"),
    ("url: \"http://users/{id}\"", "url: \"http://a:b@users/{id}\"", "N305"),
    ("url: \"http://users/{id}\"", "url: \"http://users/{id}/{id}\"", "N305"),
    ("url: \"http://users/{id}\"", "url: \"http:// users/{id}\"", "N305"),
    ("url: \"http://users/{id}\"", "url: \"http://users/v1/\\t{id}\"", "N305"),
    ("url: \"http://users/{id}\"", "url: \"http://users/v1\\\\{id}\"", "N305"),
    ("timeout: 1s", "timeout: 0s", "N303"),
    ("timeout: 1s", "timeout: -1s", "N303"),
    ("timeout: 1s", "timeout: 1", "N203"),
    ("timeout: 1s", "timeout: 1y", "N303"),
    ("timeout: 1s", "timeout: 99999999999999999999s", "N303"),
    ("timeout: 1s", "timeout: { s: 1 }", "N203"),
    ("timeout: 1s", "concurrency: 0", "N205"),
    ("timeout: 1s", "concurrency: many", "N203"),
    ("timeout: 1s", "batch_size: 5", "N404"),
    ("in: products", "in: users", "N408"),
    ("in: products", "in: system.views", "N307"),
    ("in: products", "in: nearcopy.parked", "N307"),
    ("in: products", "in: \"\"", "N307"),
    ("in: products", "in: \"a$b\"", "N307"),
    ("ref: userId", "ref: userIds[]", "N308"),
    ("ref: userId", "ref: $userId", "N308"),
    ("ref: userId", "ref: user..id", "N308"),
    ("ref: userId", "ref: \"[].userId\"", "N308"),
    ("from: users", "from: user", "N402"),
    ("into: user", "into: userId", "N407"),
    ("into: user", "into: userId.x", "N407"),
    ("into: user", "into: _id", "N408"),
    ("into: user", "into: _nearcopy.x", "N408"),
    ("into: user", "into: $user", "N308"),
    ("into: user", "into: users[].x", "N308"),
    ("into: user", "into: user\n    set: { a: name }", "N207"),
    ("into: user", "into: user\n    fields: [nobody]", "N402"),
    ("into: user", "into: user\n    when_deleted: forget", "N204"),
];

const GOOD: &str = r#"
service: shop
sources:
  users:
    rabbitmq: { exchange: users, queue: shop.users, bindings: ["user.#"] }
    limits: { body: 1MiB, depth: 8 }
replicas:
  users:
    owner: user-service
    source: users
    keep: referenced
    id: data.id
    version: data.version
    fields:
      name: data.name
    on:
      user.updated: upsert
    fetch:
      url: "http://users/{id}"
      timeout: 1s
      from: { version: version }
embeds:
  product-user:
    in: products
    ref: userId
    from: users
    into: user
"#;

pub(crate) fn became(good: &str, bad: &str) -> String {
    assert_eq!(GOOD.matches(good).count(), 1, "{good} stands there once");
    let text = GOOD.trim_start().replacen(good, bad, 1);
    match manifest::parse("nearcopy.yaml", &text, &|_| None) {
        Ok(_) => String::new(),
        Err(found) => {
            let codes: Vec<&str> = found.iter().map(|found| found.code().as_str()).collect();
            codes.join(" ")
        }
    }
}
