//! A virtual host of its own for each test, on the broker that `RABBITMQ_URL` names.

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, BasicRejectOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// One virtual host, seen by its administrator and by the owner who publishes.
pub(crate) struct Broker {
    vhost: String,
    base: String,
    management: String,
    http: reqwest::Client,
    connection: Connection,
    owner: Channel,
}

/// Tells the virtual hosts of one process apart.
static COUNT: AtomicU64 = AtomicU64::new(0);

impl Broker {
    /// Makes a virtual host that nobody else uses.
    pub(crate) async fn new() -> Self {
        // Several tests of one process try; the first one wins, which is all that is wanted.
        drop(rustls::crypto::ring::default_provider().install_default());
        let (url, management) = (given("RABBITMQ_URL"), given("RABBITMQ_MANAGEMENT_URL"));
        let vhost = format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let base = url.rsplit_once('/').unwrap().0.to_owned();
        let http = reqwest::Client::new();
        let user = base.split("://").nth(1).unwrap().split(':').next().unwrap();
        let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        request(&http, Method::PUT, format!("{management}/api/vhosts/{vhost}"), Some(json!({}))).await;
        request(&http, Method::PUT, format!("{management}/api/permissions/{vhost}/{user}"), Some(all)).await;
        let address = format!("{base}/{vhost}");
        let connection = Connection::connect(&address, ConnectionProperties::default()).await.unwrap();
        let owner = connection.create_channel().await.unwrap();
        owner.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { vhost, base, management, http, connection, owner }
    }

    /// The address of the virtual host.
    pub(crate) fn url(&self) -> String {
        format!("{}/{}", self.base, self.vhost)
    }

    /// The address for a user of that name and password, who may do everything here until the host is gone.
    pub(crate) async fn url_of(&self, name: &str, password: &str) -> String {
        let user = json!({ "password": password, "tags": "" });
        let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        let (api, vhost) = (format!("{}/api", self.management), &self.vhost);
        request(&self.http, Method::PUT, format!("{api}/users/{name}"), Some(user)).await;
        request(&self.http, Method::PUT, format!("{api}/permissions/{vhost}/{name}"), Some(all)).await;
        format!("amqp://{name}:{password}@{}/{vhost}", self.authority())
    }

    /// Removes such a user.
    pub(crate) async fn remove_user(&self, name: &str) {
        self.ask(Method::DELETE, format!("{}/api/users/{name}", self.management)).await;
    }

    /// The host and port of the broker.
    pub(crate) fn authority(&self) -> String {
        self.base.rsplit_once('@').unwrap().1.to_owned()
    }

    /// Declares the owner's exchange.
    pub(crate) async fn declare_exchange(&self, exchange: &str) {
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let kind = ExchangeKind::Topic;
        self.owner.exchange_declare(exchange.into(), kind, durable, FieldTable::default()).await.unwrap();
    }

    /// Declares a plain durable queue, as somebody else would.
    pub(crate) async fn declare_classic_queue(&self, queue: &str) {
        let options = QueueDeclareOptions::durable();
        self.owner.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
    }

    /// Somebody else listens: a queue, bound to an exchange.
    pub(crate) async fn declare_bound_queue(&self, queue: &str, exchange: &str, key: &str) {
        let (none, durable) = (FieldTable::default(), QueueDeclareOptions::durable());
        self.owner.queue_declare(queue.into(), durable, none.clone()).await.unwrap();
        let options = QueueBindOptions::default();
        self.owner.queue_bind(queue.into(), exchange.into(), key.into(), options, none).await.unwrap();
    }

    /// Takes all messages that wait in a queue.
    pub(crate) async fn take_all(&self, queue: &str) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        while let Some(message) = self.owner.basic_get(queue.into(), options).await.unwrap() {
            taken.push(message.delivery.data);
        }
        taken
    }

    /// The owner declares a stream.
    pub(crate) async fn declare_stream(&self, stream: &str) {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
        self.owner.queue_declare(stream.into(), QueueDeclareOptions::durable(), arguments).await.unwrap();
    }

    /// Deletes a queue with all that is in it.
    pub(crate) async fn delete_queue(&self, queue: &str) {
        self.owner.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }

    /// Removes a binding.
    pub(crate) async fn unbind(&self, queue: &str, exchange: &str, key: &str) {
        let arguments = FieldTable::default();
        self.owner.queue_unbind(queue.into(), exchange.into(), key.into(), arguments).await.unwrap();
    }

    /// Publishes bodies and waits until the broker has taken all of them.
    pub(crate) async fn publish(&self, exchange: &str, key: &str, bodies: impl IntoIterator<Item = String>) {
        self.publish_with(exchange, key, bodies, BasicProperties::default()).await;
    }

    /// Publishes bodies with properties.
    pub(crate) async fn publish_with(
        &self,
        exchange: &str,
        key: &str,
        bodies: impl IntoIterator<Item = impl AsRef<[u8]>>,
        properties: BasicProperties,
    ) {
        let properties = properties.with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        let mut confirms = Vec::new();
        for body in bodies {
            let (exchange, key) = (exchange.into(), key.into());
            let sent =
                self.owner.basic_publish(exchange, key, options, body.as_ref(), properties.clone()).await;
            confirms.push(sent.unwrap());
        }
        for confirm in confirms {
            assert!(confirm.await.unwrap().is_ack());
        }
    }

    /// Takes one message and refuses it for good.
    pub(crate) async fn reject_one(&self, queue: &str) {
        let taken = self.owner.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap().unwrap();
        assert!(taken.delivery.reject(BasicRejectOptions { requeue: false }).await.unwrap());
    }

    /// How many messages of a queue are not out; `None` if there is no such queue. The broker's statistics,
    /// which know of those that are out, are seconds old.
    pub(crate) async fn waiting(&self, queue: &str) -> Option<u32> {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let channel = self.connection.create_channel().await.unwrap();
        let found = channel.queue_declare(queue.into(), passive, FieldTable::default()).await;
        found.ok().map(|queue| queue.message_count())
    }

    /// Waits until so many messages of a queue are not out.
    pub(crate) async fn holds(&self, queue: &str, count: u32) {
        eventually(&format!("{count} messages wait in {queue}"), async || {
            self.waiting(queue).await == Some(count)
        })
        .await;
    }

    /// The consumer's connections, by their names on the broker.
    pub(crate) async fn connections(&self) -> Vec<String> {
        let (_, all) =
            self.ask(Method::GET, format!("{}/api/vhosts/{}/connections", self.management, self.vhost)).await;
        let ours = |entry: &&Value| {
            entry["client_properties"]["connection_name"]
                .as_str()
                .is_some_and(|name| name.starts_with("nearcopy "))
        };
        let name = |entry: &Value| entry["name"].as_str().map(str::to_owned);
        all.as_array().map(|all| all.iter().filter(ours).filter_map(name).collect()).unwrap_or_default()
    }

    /// Has the broker close the consumer's connection, which must exist.
    pub(crate) async fn close_connection(&self) {
        eventually("the broker lists and closes the connection", async || {
            let mut closed = false;
            for name in self.connections().await {
                let name = name.replace(' ', "%20").replace('>', "%3E");
                let url = format!("{}/api/connections/{name}", self.management);
                closed |= self.ask(Method::DELETE, url).await.0 == StatusCode::NO_CONTENT;
            }
            closed
        })
        .await;
    }

    /// Removes the virtual host and all that is in it.
    pub(crate) async fn remove(self) {
        self.ask(Method::DELETE, format!("{}/api/vhosts/{}", self.management, self.vhost)).await;
    }

    async fn ask(&self, method: Method, url: String) -> (StatusCode, Value) {
        send(&self.http, method, url, None).await
    }
}

/// Waits for something that will be true soon.
pub(crate) async fn eventually(what: &str, mut is_true: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_true().await {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

fn given(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `tests/services up`, then `eval \"$(tests/services env)\"`")
    })
}

async fn request(http: &reqwest::Client, method: Method, url: String, body: Option<Value>) {
    let (status, told) = send(http, method, url.clone(), body).await;
    assert!(status.is_success(), "{url}: {status}: {told}");
}

async fn send(
    http: &reqwest::Client,
    method: Method,
    url: String,
    body: Option<Value>,
) -> (StatusCode, Value) {
    let mut request = http.request(method, url).header("content-type", "application/json");
    if let Some(body) = body {
        request = request.body(body.to_string());
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}
