//! The console: who is let in, what it is told and has done, and how its page looks to a browser.

mod page;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::port::free_address;
use crate::rabbitmq::eventually;
use crate::sidecar::{Plan, Sidecar};
use crate::stage::{Stage, event};

const TOKEN: &str = "a-token-for-the-console-0123";
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What the page asks for, with something to ask about.
const ASKED: [&str; 5] = ["topology", "state", "measured", "parked", "explain?of=users&id=ann"];

/// A sidecar with a console, and whoever asks it.
struct Console {
    stage: Stage,
    plan: Plan,
    sidecar: Sidecar,
    http: reqwest::Client,
}

impl Console {
    /// One that may do this much, its plan adapted; a product shows a user.
    async fn start(console: &str, adapt: impl FnOnce(Plan) -> Plan) -> Self {
        let stage = Stage::new().await;
        stage.owner.has("ann", 1, "CANARY-ann");
        stage.consumer.sells("p1", "ann").await;
        let plan = adapt(stage.plan().set("admin.console", console));
        let sidecar = plan.start().await;
        stage.consumer.shows("p1", "CANARY-ann").await;
        Self { stage, plan, sidecar, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/console{path}", self.sidecar.admin()))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// What the page sends that has something done.
    fn deed(&self, deed: &str, body: &Value) -> RequestBuilder {
        let request = self.request(Method::POST, &format!("/api/parked/{deed}")).body(body.to_string());
        request.header("content-type", "application/json").header("x-nearcopy-console", "1")
    }

    /// What it is told, which must be something.
    async fn told(&self, path: &str) -> Value {
        let (status, _, told) = answer(self.get(&format!("/api/{path}"))).await;
        assert_eq!(status, 200, "{path}: {told}");
        serde_json::from_str(&told).unwrap()
    }

    /// An event of a user cannot be read, and its owner cannot say more: it stays parked. Its id.
    async fn parks(&self) -> String {
        self.stage.owner.answers(|_, _| crate::owner_service::Reply::status(503));
        let mut broken = event("user.updated", "ann", 7, "x");
        broken["data"]["name"] = json!({ "no": "CANARY-text" });
        self.stage.events([broken]).await;
        eventually("it is parked", async || self.stage.consumer.parked().await.len() == 1).await;
        self.stage.consumer.parked().await[0].get_str("_id").unwrap().to_owned()
    }

    async fn end(self) {
        self.sidecar.stop().await;
        self.stage.clear().await;
    }
}

/// The status, the headers and the text of an answer.
async fn answer(request: RequestBuilder) -> (u16, HeaderMap, String) {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.text().await.unwrap())
}

/// S13: where nobody has turned it on there is none.
#[tokio::test]
async fn the_console_is_off_unless_it_is_turned_on() {
    let console = Console::start("off", |plan| plan).await;
    for path in ["", "/main.js", "/api/state", "/api/parked"] {
        assert_eq!(answer(console.get(path)).await.0, 404, "{path}");
    }
    console.end().await;
}

/// S13: whatever is served is sealed, and the page needs nothing but what is served beside it.
#[tokio::test]
async fn the_page_is_sealed_and_whole() {
    let console = Console::start("read", |plan| plan).await;
    let (mut waiting, mut seen) = (vec![String::new()], Vec::new());
    while let Some(path) = waiting.pop() {
        let (status, headers, text) = answer(console.get(&path)).await;
        assert_eq!(status, 200, "{path}");
        for (name, value) in [
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(headers[name], value, "{path}: {name}");
        }
        for foreign in ["http:", "https:", "<script>", "<style", " style=", " onclick="] {
            let plain = text.replace("http://www.w3.org/", "");
            assert!(!plain.contains(foreign), "{path} has `{foreign}`");
        }
        let named = text.split('"').filter(|part| part.starts_with("/console/") || part.starts_with("./"));
        let named = named.map(|part| format!("/{}", part.rsplit('/').next().unwrap()));
        let new: Vec<String> = named.filter(|path| path.contains('.') && !seen.contains(path)).collect();
        seen.extend(new.iter().cloned());
        waiting.extend(new);
    }
    assert!(seen.len() > 8, "the page, its style, and its scripts: {seen:?}");
    let (_, headers, _) = answer(console.get("/api/state")).await;
    assert_eq!(
        (&headers["content-security-policy"], &headers["cache-control"]),
        (&POLICY.parse().unwrap(), &"no-store".parse().unwrap())
    );
    console.end().await;
}

/// What the page is told is what the commands say, and no value of a field is in it.
#[tokio::test]
async fn the_console_is_told_what_the_commands_say() {
    let console = Console::start("read", |plan| plan).await;
    let id = console.parks().await;
    for path in ASKED {
        let told = console.told(path).await.to_string();
        assert!(!told.contains("CANARY"), "{path}: {told}");
    }

    let shape = console.told("topology").await;
    assert_eq!((&shape["service"], &shape["acts"]), (&json!("product-service"), &json!(false)));
    assert_eq!(shape["replicas"][0]["asks"], json!(console.stage.owner.url().trim_start_matches("http://")));
    assert_eq!(shape["embeds"][0]["collection"], "products");

    let said = |arguments: &[&str]| -> Value {
        // Commands serve nothing, so that nobody is let in to what they serve is not to be said.
        let plan = console.plan.clone().without("admin.console");
        serde_json::from_slice(&plan.run(arguments).stdout).unwrap()
    };
    // A look is taken up again only after a while, so one may be from before the event was parked.
    eventually("a look sees what is parked", async || {
        console.told("state").await["look"]["status"]["replicas"][0]["parked"] == 1
    })
    .await;
    let state = console.told("state").await;
    let status = said(&["status", "{manifest}", "--output", "json"]);
    for part in ["service", "generation", "sources", "needs", "parkedOfNobody"] {
        assert_eq!(state["look"]["status"][part], status[part], "{part}");
    }
    assert_eq!(state["health"]["status"], "ok", "{state}");

    let account = &console.told("explain?of=users&id=ann").await["accounts"][0];
    let explained = said(&["explain", "users", "ann", "--manifest", "{manifest}", "--output", "json"]);
    let of = |explained: &Value| (explained["embeds"].clone(), explained["record"]["fields"].clone());
    assert_eq!(of(&account["value"]), of(&explained[0]));
    assert_eq!(account["rows"][0], json!(["entity", "users ann"]), "{account}");
    let document = console.told("explain?of=products&id=p1&path=user.name").await;
    assert_eq!(document["accounts"][0]["value"]["is"], "same", "{document}");

    let listed = said(&["parked", "list", "--output", "json"]);
    let parked = &console.told("parked").await["items"][0];
    assert_eq!((&parked["id"], &parked["excerpt"]), (&json!(id), &Value::Null));
    for part in ["reason", "detail", "entity", "version", "hash", "parkedAt"] {
        assert_eq!(parked[part], listed[0][part], "{part}");
    }
    let received = &["nearcopy_events_received_total".into(), json!({ "source": "users" }), json!(1.0)];
    let measured = console.told("measured").await;
    assert!(measured["series"].as_array().unwrap().contains(&json!(received)), "{measured}");

    for (path, expected) in [
        ("explain?of=nothing&id=1", 404),
        ("explain?of=products&id=nobody", 404),
        ("explain?of=users", 400),
        ("parked?limit=many", 400),
        ("nothing", 404),
    ] {
        assert_eq!(answer(console.get(&format!("/api/{path}"))).await.0, expected, "{path}");
    }
    console.end().await;
}

/// What is parked is taken up again or forgotten, after a rehearsal that changes nothing.
#[tokio::test]
async fn what_is_parked_is_retried_and_dropped() {
    let console = Console::start("act", |plan| plan).await;
    let id = console.parks().await;
    let told = async |deed: &str, body: Value| -> Value {
        let (status, _, told) = answer(console.deed(deed, &body)).await;
        assert_eq!(status, 200, "{told}");
        serde_json::from_str(&told).unwrap()
    };
    for rehearsal in [true, false] {
        let retried = told("retry", json!({ "id": id, "dry_run": rehearsal })).await;
        assert!(retried["still"].as_str().unwrap().contains("name"), "{retried}");
    }
    assert_eq!(told("drop", json!({ "id": id, "dry_run": true })).await["dropped"], false);
    assert_eq!(console.told("parked").await["items"].as_array().unwrap().len(), 1, "it is still there");
    assert_eq!(told("drop", json!({ "id": id })).await["dropped"], true);
    assert_eq!(console.told("parked").await["items"], json!([]));
    assert_eq!(answer(console.deed("retry", &json!({ "id": id }))).await.0, 404);
    let noted = console.sidecar.logged("console.acted");
    assert_eq!(
        noted.iter().map(|line| line["deed"].as_str().unwrap()).collect::<Vec<_>>(),
        ["retry", "drop"]
    );
    console.end().await;
}

/// S13: what changes something is done for nobody but the page itself, and only where it may.
#[tokio::test]
async fn only_the_page_itself_has_something_done() {
    let console = Console::start("act", |plan| plan).await;
    let id = console.parks().await;
    let body = json!({ "id": id });
    let admin = console.sidecar.admin();
    for (name, value) in [
        ("origin", "http://localhost:1"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("content-type", "text/plain"),
        ("host", "console.example.org"),
        ("host", "10.0.0.7:9464"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        // Given last, they take the place of what the page would have sent.
        let request = console.deed("drop", &body).headers(headers);
        assert_eq!(answer(request).await.0, 403, "{name}: {value}");
    }
    let unmeant = console.request(Method::POST, "/api/parked/drop").body(body.to_string());
    assert_eq!(answer(unmeant.header("content-type", "application/json")).await.0, 403);
    let elsewhere = console.get("/api/state").header("sec-fetch-site", "cross-site");
    assert_eq!(answer(elsewhere).await.0, 403, "nor is another page told anything");
    assert_eq!(answer(console.get("").header("host", "evil.example")).await.0, 403);
    for (body, expected) in [
        (json!({ "id": "7" }), 400),
        (json!({ "id": id, "all": true }), 400),
        (json!({ "id": id, "filler": "x".repeat(5_000) }), 413),
    ] {
        assert_eq!(answer(console.deed("drop", &body)).await.0, expected);
    }
    let own = console.deed("drop", &json!({ "id": id, "dry_run": true }));
    assert_eq!(answer(own.header("origin", &admin).header("sec-fetch-site", "same-origin")).await.0, 200);
    assert_eq!(console.stage.consumer.parked().await.len(), 1, "nothing of it was done");
    console.end().await;
}

/// S13: where it only reads it does nothing, and beyond loopback a token is needed.
#[tokio::test]
async fn who_may_see_the_console_must_know_a_token_where_one_is_declared() {
    let console = Console::start("read", |plan| plan.set("admin.token", TOKEN)).await;
    for path in ASKED {
        let ask = || console.get(&format!("/api/{path}"));
        assert_eq!(answer(ask()).await.0, 401, "{path}");
        assert_eq!(
            answer(ask().header("authorization", "Bearer another-token-0123456789")).await.0,
            401,
            "{path}"
        );
        assert_eq!(answer(ask().header("authorization", format!("Bearer {TOKEN}"))).await.0, 200, "{path}");
    }
    let id = console.parks().await;
    let deed = || console.deed("drop", &json!({ "id": id }));
    assert_eq!(answer(deed()).await.0, 401);
    assert_eq!(answer(deed().header("authorization", format!("Bearer {TOKEN}"))).await.0, 403);
    assert_eq!(console.stage.consumer.parked().await.len(), 1);
    assert_eq!(answer(console.get("")).await.0, 200, "the page says nothing of anybody");
    let log = console.sidecar.log();
    assert!(!log.contains(TOKEN), "{log}");

    let open = console.plan.clone().without("admin.token").set("admin.listen", "0.0.0.0:0");
    let refused = open.run(&["settings"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("`admin.token` is not set"));
    console.end().await;
}

/// Before the database is reached, that is what the console tells.
#[tokio::test]
async fn a_sidecar_that_is_starting_says_so() {
    let stage = Stage::new().await;
    let nowhere = format!("mongodb://{}/shop?serverSelectionTimeoutMS=500", free_address());
    let plan = stage.plan().set("admin.console", "read").set("mongodb.url", nowhere);
    let mut sidecar = plan.spawn();
    sidecar.is("starting", |status, _| status == 503).await;
    let http = reqwest::Client::new();
    let ask = |path: &str| http.get(format!("{}/console/api/{path}", sidecar.admin()));
    let (status, _, told) = answer(ask("topology")).await;
    assert!(status == 503 && told.contains("starting"), "{told}");
    let state: Value = serde_json::from_str(&answer(ask("state")).await.2).unwrap();
    assert_eq!((&state["health"]["status"], &state["look"]), (&json!("unavailable"), &Value::Null));
    drop(sidecar);
    stage.clear().await;
}
