//! A source as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

/// Where events come from, and how they are written.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "a source", deny_unknown_fields)]
pub(in crate::manifest) struct Source {
    /// A queue on RabbitMQ, for replicas and read models. Either this, `stream`, `feed` or `collection`.
    pub rabbitmq: Option<RabbitMq>,
    /// A stream on RabbitMQ, for read models. Either this, `rabbitmq`, `feed` or `collection`.
    pub stream: Option<Stream>,
    /// A list of events that the owner is asked for over HTTP. Either this, `rabbitmq`, `stream` or `collection`.
    pub feed: Option<Feed>,
    /// A collection of this service's own, of which each document and each change is an event. Either this, `rabbitmq`, `stream`
    /// or `feed`.
    pub collection: Option<Collection>,
    /// The wire format of the events; changes of a collection have one of their own.
    #[serde(default)]
    pub format: Format,
    /// Where things are in an event; only with `format: json`, since CloudEvents and changes of a collection say it themselves.
    pub event: Option<EventPaths>,
    /// How much of a message is accepted; what is beyond is parked unread.
    #[serde(default)]
    pub limits: Limits,
}

/// A queue on RabbitMQ.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "a RabbitMQ source", deny_unknown_fields)]
pub(in crate::manifest) struct RabbitMq {
    /// The owner's topic exchange.
    pub exchange: String,
    /// This service's own durable quorum queue. Every pod of the service reads the same one. Each read model of the source
    /// has one of its own, with its name behind this one and a dot.
    pub queue: String,
    /// The binding keys: words between dots, `*` for one word, `#` for any number of them.
    #[serde(default)]
    pub bindings: Vec<String>,
    /// Whether queue, bindings and dead-letter exchange are declared here, or only checked to exist.
    #[serde(default = "yes")]
    pub declare: bool,
    /// Into how many queues it is split for replicas, from 1 to 100: `shop.users` is then `shop.users-0`, `shop.users-1` and so
    /// on, each read by one pod at a time. RabbitMQ needs the plugin `rabbitmq_consistent_hash_exchange` for that.
    #[schemars(range(min = 1, max = 100))]
    pub partitions: Option<u16>,
    /// What tells the entity that a message is about, where its routing key does not; only with `partitions`.
    pub by: Option<HashedBy>,
}

/// What of a message is hashed, so that all events of an entity go into one partition. Either `header` or `property`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "what tells the partition", deny_unknown_fields)]
pub(in crate::manifest) struct HashedBy {
    /// A header that the owner sets, by its name.
    pub header: Option<String>,
    /// A property of AMQP.
    pub property: Option<Property>,
}

/// A property that may tell an entity. RabbitMQ hashes message ids and timestamps, too; these tell no two messages alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::manifest) enum Property {
    /// The correlation id.
    CorrelationId,
}

/// A stream on RabbitMQ: its events stay there, and can be read from the beginning.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "a stream", deny_unknown_fields)]
pub(in crate::manifest) struct Stream {
    /// Its name on RabbitMQ.
    pub name: String,
    /// An exchange that it is bound to. Then it is declared here; without one it is the owner's, and has to exist.
    pub exchange: Option<String>,
    /// The binding keys; only with `exchange`.
    #[serde(default)]
    pub bindings: Vec<String>,
    /// Into how many partitions it is split, from 1 to 100: `orders` is then the streams `orders-0`, `orders-1` and so on, as
    /// those of a super stream are named. They are the owner's, and have to exist.
    #[schemars(range(min = 1, max = 100))]
    pub partitions: Option<u16>,
}

/// A list of events that is asked for over HTTP, page by page.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "a feed", deny_unknown_fields)]
pub(in crate::manifest) struct Feed {
    /// Where the events after a position are found; `{position}` stands for it.
    pub url: String,
    /// Where the list of events is in an answer. Empty: the answer is the list.
    #[serde(default)]
    pub items: String,
    /// Where the position is in an answer that follows upon its events: text or a number.
    pub position: String,
    /// The position to begin with; left out: nothing stands for it.
    #[serde(default)]
    pub from: String,
    /// How often is asked whether there is more, such as `1m`; from 100ms to 24h. As long as there is, it is asked at once.
    #[serde(default = "every")]
    #[schemars(regex(pattern = r"^[0-9]+(ms|s|m|h|d)$|\$\{"))]
    pub every: String,
    /// How long one request may take, such as `5s`; from 1ms to 10m.
    #[serde(default = "timeout")]
    #[schemars(regex(pattern = r"^[0-9]+(ms|s|m|h|d)$|\$\{"))]
    pub timeout: String,
}

/// A collection of this service's own: what stands there is told first, as `insert`, and then each change of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "a collection", deny_unknown_fields)]
pub(in crate::manifest) struct Collection {
    /// Its name.
    pub name: String,
}

fn every() -> String {
    "1m".into()
}

fn timeout() -> String {
    "5s".into()
}

fn yes() -> bool {
    true
}

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::manifest) enum Format {
    /// Plain JSON; `event` says where things are.
    #[default]
    Json,
    /// CloudEvents 1.0, structured or binary.
    CloudEvents,
    /// Changes of a collection; nobody writes this.
    #[serde(skip)]
    Change,
}

/// Where things are in an event's JSON, as dotted paths; a dot inside a name is written `\.`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "the paths of an event", deny_unknown_fields)]
pub(in crate::manifest) struct EventPaths {
    /// The event's own id.
    pub id: String,
    /// The event's type, which `on` maps to what it means.
    #[serde(rename = "type")]
    pub kind: String,
    /// When the owner made the change: RFC 3339 text, or milliseconds since 1970.
    pub time: String,
    /// What the event is about; paths of replicas that begin with `data` lead into it. Empty: the whole.
    pub data: String,
}

impl Default for EventPaths {
    fn default() -> Self {
        Self { id: "id".into(), kind: "type".into(), time: "time".into(), data: "data".into() }
    }
}

/// Bounds on a message.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "the limits of a source", deny_unknown_fields)]
pub(in crate::manifest) struct Limits {
    /// The largest body, such as `512KiB`; from 1KiB to 16MiB.
    #[schemars(regex(pattern = r"^[0-9]+(B|KiB|MiB)$|\$\{"))]
    pub body: String,
    /// The deepest nesting of a stored value.
    #[schemars(range(min = 1, max = 90))]
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: "1MiB".into(), depth: 64 }
    }
}
