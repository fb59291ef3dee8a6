//! The page in a real browser, upon a real sidecar with a small shop behind it.

use std::time::Duration;

use bson::doc;
use lapin::BasicProperties;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::TOKEN;
use crate::browser::Browser;
use crate::rabbitmq::eventually;
use crate::sidecar::Sidecar;
use crate::stage::{Stage, event};

/// Where pictures for the README are written to, if anywhere.
const PICTURES: &str = "CONSOLE_PICTURES";
/// How large they are.
const WIDTH: u32 = 1200;
const HEIGHT: u32 = 1125;

/// A shop: products show their users and prices, reviews their authors, and sales are folded into a read model that has a rule.
fn shop(owner: &str) -> String {
    format!(
        r#"
service: product-service
sources:
  users:
    rabbitmq: {{ exchange: users, queue: product-service.users, bindings: ["user.#"] }}
    event: {{ id: id, type: type, time: occurredAt, data: data }}
  prices:
    rabbitmq: {{ exchange: prices, queue: product-service.prices, bindings: ["price.#"] }}
    event: {{ id: id, type: type, time: occurredAt, data: data }}
  sales:
    stream: {{ name: sales }}
    event: {{ id: id, type: type, time: occurredAt, data: data }}
replicas:
  users:
    owner: user-service
    source: users
    keep: referenced
    id: data.id
    version: data.version
    fields: {{ name: {{ from: data.name, type: string }} }}
    on: {{ user.updated: upsert, user.deleted: delete }}
    fetch:
      url: "{owner}/users/{{id}}"
      batch: "{owner}/users?ids={{ids}}"
      timeout: 1s
      settle: 1s
      from: {{ id: id, version: version, data: "" }}
  prices:
    owner: price-service
    source: prices
    keep: all
    id: data.id
    version: data.version
    fields: {{ amount: data.name }}
    on: {{ price.changed: upsert }}
embeds:
  product-user: {{ in: products, ref: userId, from: users, into: user, fields: [name] }}
  product-price: {{ in: products, ref: priceId, from: prices, set: {{ price: amount }} }}
  review-author: {{ in: reviews, ref: authorId, from: users, into: author, fields: [name], when_deleted: mark }}
read_models:
  totals:
    source: sales
    key: data.id
    on: {{ Sold: {{ inc: {{ sold: data.version }}, set: {{ last: data.name }} }} }}
    rules:
      bestseller:
        when: "after.sold >= 1000 && before.sold < 1000"
        emit: {{ exchange: offers, key: offer.bestseller, type: Bestseller, data: {{ id: data.id }} }}
"#
    )
}

struct Shop {
    stage: Stage,
    sidecar: Sidecar,
    browser: Browser,
}

impl Shop {
    /// Opens the shop, and the console in a browser beside it.
    async fn open(console: &str, token: Option<&str>) -> Self {
        let stage = Stage::new().await;
        for exchange in ["prices", "offers"] {
            stage.broker.declare_exchange(exchange).await;
        }
        stage.broker.declare_stream("sales").await;
        for (collection, field) in [("products", "priceId"), ("reviews", "authorId")] {
            let index = doc! { "key": { field: 1, "_id": 1 }, "name": field };
            stage.consumer.run(doc! { "createIndexes": collection, "indexes": [index] }).await;
        }
        let plan = stage.plan_of(shop(&stage.owner.url())).set("admin.console", console);
        let plan = token.into_iter().fold(plan, |plan, token| plan.set("admin.token", token));
        let (sidecar, browser) = tokio::join!(plan.start(), Browser::open());
        Self { stage, sidecar, browser }
    }

    async fn publish(&self, exchange: &str, key: &str, events: impl IntoIterator<Item = Value>) {
        let bodies = events.into_iter().map(|event| event.to_string());
        self.stage.broker.publish_with(exchange, key, bodies, BasicProperties::default()).await;
    }

    /// Some of everything: users that products and reviews refer to, prices, sales.
    async fn trades(&self, round: u64, many: u64) {
        let named = |kind: &'static str, what: &'static str| {
            move |number: u64| {
                let mut event =
                    event(kind, &format!("{what}{number}"), round, &format!("{what} {number} at {round}"));
                event["occurredAt"] = json!(jiff::Timestamp::now().to_string());
                event
            }
        };
        for number in 0..many {
            self.stage.owner.has(&format!("u{number}"), round, &format!("u {number} at {round}"));
        }
        self.publish("users", "user.updated", (0..many).map(named("user.updated", "u"))).await;
        self.publish("prices", "price.changed", (0..many).map(named("price.changed", "e"))).await;
        self.publish("", "sales", (0..many).map(named("Sold", "s"))).await;
    }

    async fn fills(&self, many: u64) {
        for number in 0..many {
            self.stage.owner.has(&format!("u{number}"), 1, &format!("u {number}"));
        }
        let product = |number: u64| doc! { "_id": format!("p{number}"), "userId": format!("u{number}"), "priceId": format!("e{number}") };
        let review =
            |number: u64| doc! { "_id": format!("r{number}"), "authorId": format!("u{}", number % 7) };
        self.stage.consumer.products().insert_many((0..many).map(product)).await.unwrap();
        self.stage.consumer.collection("reviews").insert_many((0..many).map(review)).await.unwrap();
        self.stage.consumer.count_is("products", doc! { "user.name": { "$exists": true } }, many).await;
    }

    /// The database takes no price that is this one, or any.
    async fn forbids(&self, amount: Option<&str>) {
        let rule = amount.map_or_else(|| doc! {}, |amount| doc! { "amount": { "$ne": amount } });
        self.stage.consumer.run(doc! { "collMod": "prices", "validator": rule }).await;
    }

    async fn end(self) {
        assert_eq!(self.browser.complaints().await, [] as [Value; 0], "the page complains of nothing");
        drop(self.browser);
        self.sidecar.stop().await;
        self.stage.clear().await;
    }
}

/// Everything that is declared is drawn, counted and looked up; and what is parked is taken up again by a click.
#[tokio::test]
async fn a_person_sees_how_everything_stands_and_takes_up_what_was_parked() {
    let shop = Shop::open("act", None).await;
    let browser = &shop.browser;
    shop.fills(40).await;
    shop.trades(2, 40).await;
    shop.stage.consumer.shows("p1", "u 1 at 2").await;
    shop.forbids(Some("nobody pays that")).await;
    shop.publish("prices", "price.changed", [event("price.changed", "e1", 900, "nobody pays that")]).await;
    eventually("it is parked", async || shop.stage.consumer.parked().await.len() == 1).await;

    browser.goes_to(&format!("{}/console", shop.sidecar.admin())).await;
    browser.shows("#service", "product-service").await;
    browser.shows("#pulse", "live").await;
    for node in [
        "source users",
        "source sales",
        "replica users",
        "embed product-price",
        "model totals",
        "rule totals bestseller",
    ] {
        let name = node.rsplit(' ').next().unwrap();
        browser.shows(&format!("[data-node=\"{node}\"]"), name).await;
    }
    browser.shows("[data-node=\"collection products\"]", "products").await;
    browser.shows("[data-node=\"exchange offers\"]", "offers").await;
    browser.shows("#verdict .wrong", "prices").await;
    browser.shows("#flows", "product-service.users").await;
    browser.shows("#ledger [data-source=\"prices\"] .sum", "41 received = 41 told closed").await;
    browser.shows("#ledger [data-source=\"prices\"] [data-outcome=\"parked\"]", "1 parked").await;
    browser.shows("#parked-list", "refused").await;
    browser.shows("#parked-count", "1").await;

    browser.clicks("[data-node=\"replica users\"]").await;
    browser.types("#question [name=id]", "u1").await;
    browser.clicks("#question button").await;
    browser.shows("#accounts", "users u1").await;
    browser.shows("#accounts .badge", "live").await;
    pictures(&shop).await;

    browser.clicks("#parked-list [name=every]").await;
    browser.clicks("#retry").await;
    browser.shows("#deed-list", "can be read now").await;
    browser.clicks("#deed-yes").await;
    browser.shows("#deed-list", "still parked").await;
    browser.clicks("#deed-no").await;
    shop.forbids(None).await;
    browser.clicks("#parked-list [name=every]").await;
    browser.clicks("#retry").await;
    browser.shows("#deed-list", "can be read now").await;
    browser.clicks("#deed-yes").await;
    browser.shows("#deed-list", "applied").await;
    browser.clicks("#deed-no").await;
    browser.shows("#parked-list", "Nothing is parked").await;
    browser.shows("#verdict .fine", "All is well").await;
    let price = |product: &bson::Document| product.get_str("price").ok() == Some("nobody pays that");
    shop.stage.consumer.until("products", "p1", "it shows the price", price).await;
    shop.end().await;
}

/// Where a token is declared the page asks for it, and where it may only read it offers nothing else.
#[tokio::test]
async fn the_page_asks_for_a_token() {
    let shop = Shop::open("read", Some(TOKEN)).await;
    let browser = &shop.browser;
    browser.goes_to(&format!("{}/console", shop.sidecar.admin())).await;
    browser.shows("#key", "A token, please").await;
    browser.types("#key-token", "not-this-one-0123456789").await;
    browser.clicks("#key button").await;
    browser.shows("#key-wrong", "not known").await;
    browser.types("#key-token", TOKEN).await;
    browser.clicks("#key button").await;
    browser.shows("#service", "product-service").await;
    browser.shows("#parked-list", "Nothing is parked").await;
    let pressed = "document.querySelectorAll('#parked-tools button:not([hidden])').length";
    assert_eq!(browser.says(pressed).await, 0, "there is nothing to be pressed");
    // What was not let in is told of in the browser's own log, and nothing else is.
    let complaints = browser.complaints().await;
    let is_let = |line: &Value| line["message"].as_str().unwrap().contains("401");
    assert!(!complaints.is_empty() && complaints.iter().all(is_let), "{complaints:?}");
    shop.end().await;
}

/// Takes the pictures of the README, after a while in which there was something to see.
async fn pictures(shop: &Shop) {
    let Ok(folder) = std::env::var(PICTURES) else { return };
    let browser = &shop.browser;
    for round in 3..63 {
        shop.trades(round, 40 * (1 + round % 5)).await;
        if round == 55 {
            shop.stage.owner.answers(|_, _| crate::owner_service::Reply::status(503));
            shop.stage.consumer.sells("new", "unknown").await;
        }
        sleep(Duration::from_secs(1)).await;
    }
    for (name, scheme) in [("console", "light"), ("console-dark", "dark")] {
        browser.prefers(scheme, WIDTH, 900).await;
        browser.says("scrollTo(0, 0)").await;
        // For the next sample, and for what moves with it.
        sleep(Duration::from_secs(3)).await;
        std::fs::write(format!("{folder}/{name}.png"), browser.picture(WIDTH, HEIGHT).await).unwrap();
    }
    shop.stage.owner.behaves();
}
