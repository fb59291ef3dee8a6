//! All that a team declares: the manifest's meaning, free of YAML.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Contract, Embed, FeedSpec, History, Leftover, ReadModel, Split, Subscription};
use crate::event::{EntityType, Envelope, Keys, Protection};

/// What this sidecar is to do, checked and complete.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// The consuming service; it fences the database against a second one.
    pub service: String,
    /// The queues that events come from.
    pub sources: Vec<Arc<SourceSpec>>,
    /// The streams that events are read from.
    pub streams: Vec<Arc<StreamSpec>>,
    /// The feeds that events are asked from, of owners and of the consumer's own collections.
    pub feeds: Vec<Arc<FeedSpec>>,
    /// Which entities are replicated.
    pub replicas: Vec<Arc<Subscription>>,
    /// Which documents embed which fields.
    pub embeds: Vec<Arc<Embed>>,
    /// Which documents are folded from which events.
    pub read_models: Vec<Arc<ReadModel>>,
    /// The gRPC services of the team's own, if it declares any.
    pub contract: Option<Arc<Contract>>,
    /// Which generation of this database's declarations it is; 1 until the database has said so.
    pub generation: i32,
    /// What earlier generations left behind in documents.
    pub leftovers: Vec<Leftover>,
}

/// A name in the declaration leads nowhere. The manifest finds these first, with line and caret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{name}` is not declared")]
pub struct DeclarationError {
    /// What was looked for.
    pub what: &'static str,
    /// Under which name.
    pub name: String,
}

/// Fields are to be protected, and there is no key for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no key to {how} {}", fields.join(", "))]
pub struct NoKey {
    /// What needs one.
    pub how: Protection,
    /// The fields, each behind its replica: `users.email`.
    pub fields: Vec<String>,
}

impl Declaration {
    /// The same declaration with these keys for its protected fields; or for what there is none.
    pub fn guarded(&self, keys: &Arc<Keys>) -> Result<Self, Vec<NoKey>> {
        let mut missing: BTreeMap<Protection, Vec<String>> = BTreeMap::new();
        for of in &self.replicas {
            for field in of.selection.fields() {
                if let Some(how) = field.protect.filter(|how| !keys.can(*how)) {
                    missing.entry(how).or_default().push(format!("{}.{}", of.name, field.name));
                }
            }
        }
        if !missing.is_empty() {
            return Err(missing.into_iter().map(|(how, fields)| NoKey { how, fields }).collect());
        }
        let guarded = self.replicas.iter().map(|of| match of.selection.protected().next() {
            Some(_) => Arc::new(of.guarded(keys)),
            None => of.clone(),
        });
        Ok(Self { replicas: guarded.collect(), ..self.clone() })
    }

    /// The same declaration as that generation of a history.
    #[must_use]
    pub fn as_generation(&self, generation: i32, of: &History) -> Self {
        let replica = |replica: &Arc<Subscription>| {
            let name = replica.name.as_str();
            let (shape, lineage) = (of.replica_number(name, generation), of.lineage(name, generation));
            Arc::new(Subscription { shape, lineage, ..Subscription::clone(replica) })
        };
        let embed = |embed: &Arc<Embed>| Arc::new(embed.as_generation(generation, of));
        Self {
            replicas: self.replicas.iter().map(replica).collect(),
            embeds: self.embeds.iter().map(embed).collect(),
            generation,
            leftovers: Leftover::all(of, generation),
            ..self.clone()
        }
    }

    /// All that can be read: the replicas, and the read models as if they were some.
    pub fn readable(&self) -> impl Iterator<Item = &Arc<Subscription>> {
        self.replicas.iter().chain(self.read_models.iter().map(|model| &model.view))
    }

    /// The replica of that name.
    pub fn replica(&self, name: &str) -> Result<&Arc<Subscription>, DeclarationError> {
        self.replicas
            .iter()
            .find(|replica| replica.name.as_str() == name)
            .ok_or_else(|| DeclarationError { what: "replica", name: name.to_owned() })
    }

    /// The replicas that a source feeds.
    pub fn fed_by<'a>(&'a self, source: &'a str) -> impl Iterator<Item = &'a Arc<Subscription>> {
        self.replicas.iter().filter(move |replica| replica.source == source)
    }

    /// The queues that feed replicas. One that feeds read models only is not read: each of them has one of its own.
    pub fn queues(&self) -> impl Iterator<Item = &Arc<SourceSpec>> {
        self.sources.iter().filter(|source| self.fed_by(&source.name).next().is_some())
    }

    /// Whether anything comes from the broker, or goes there.
    pub fn needs_broker(&self) -> bool {
        let tells = self.read_models.iter().any(|model| !model.rules.is_empty());
        tells || !self.sources.is_empty() || !self.streams.is_empty()
    }

    /// Whether anybody reads how documents were before the changes that a source tells of.
    pub fn reads_before(&self, source: &str) -> bool {
        let of_replicas = self.fed_by(source).flat_map(|of| of.paths());
        let models = self.read_models.iter().filter(|of| of.source == source);
        let mut paths = of_replicas.chain(models.flat_map(|of| of.lookup.paths().iter().cloned()));
        paths.any(|path| path.names().first().is_some_and(|first| first == "before" || first == "body"))
    }

    /// How the events of a source are written.
    pub fn envelope(&self, source: &str) -> Option<&Envelope> {
        let queues = self.sources.iter().map(|of| (&of.name, &of.envelope));
        let streams = self.streams.iter().map(|of| (&of.name, &of.envelope));
        let feeds = self.feeds.iter().map(|of| (&of.name, &of.envelope));
        queues.chain(streams).chain(feeds).find(|(name, _)| *name == source).map(|(_, envelope)| envelope)
    }

    /// Where a read model's events come from.
    pub fn inflow(&self, of: &ReadModel) -> Result<Inflow, DeclarationError> {
        let stream = self.streams.iter().find(|stream| stream.name == of.source);
        let feed = self.feeds.iter().find(|feed| feed.name == of.source);
        let queue = self.sources.iter().find(|source| source.name == of.source);
        let inflow = stream.map(|stream| Inflow::Stream(stream.clone()));
        let inflow = inflow.or_else(|| feed.map(|feed| Inflow::Feed(feed.clone())));
        let inflow = inflow.or_else(|| queue.map(|queue| Inflow::Queue(Arc::new(queue.for_model(&of.name)))));
        inflow.ok_or_else(|| DeclarationError { what: "source", name: of.source.clone() })
    }

    /// The embeds that show a replica's fields.
    pub fn embeds_of<'a>(&'a self, replica: &'a EntityType) -> impl Iterator<Item = &'a Arc<Embed>> {
        self.embeds.iter().filter(move |embed| embed.from == *replica)
    }
}

/// A stream of events, which stay there after they were read.
#[derive(Clone, Debug)]
pub struct StreamSpec {
    /// Its name in the manifest.
    pub name: String,
    /// Its name on RabbitMQ.
    pub stream: String,
    /// The exchange that it is bound to, and the binding keys; none, if it is the owner's.
    pub bound: Option<(String, Vec<String>)>,
    /// Into how many partitions it is split, each of which is a stream of its own; not at all, if it is one stream.
    pub partitions: Option<u16>,
    /// Which partition this is; none, where it is the whole.
    pub part: Option<Partition>,
    /// How its events are written, and how much of them is accepted.
    pub envelope: Envelope,
}

/// A partition among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Which, counted from 0.
    pub number: u16,
    /// How many there are.
    pub of: u16,
}

impl StreamSpec {
    /// What is read: each partition, named as RabbitMQ names those of a super stream; or the one stream that there is.
    pub fn parts(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let Some(of) = self.partitions else { return vec![self.clone()] };
        let part = |number| {
            let (stream, part) = (format!("{}-{number}", self.stream), Some(Partition { number, of }));
            Arc::new(Self { stream, part, ..Self::clone(self) })
        };
        (0..of).map(part).collect()
    }
}

/// Where events come from.
#[derive(Clone, Debug)]
pub enum Inflow {
    /// A stream: events stay there, have their order, and can be read again.
    Stream(Arc<StreamSpec>),
    /// A queue: what is taken from it is gone, and what is not settled comes again. A read model has one of its own.
    Queue(Arc<SourceSpec>),
    /// A feed: a list that the owner goes on with, and is asked for from a position on.
    Feed(Arc<FeedSpec>),
}

impl Inflow {
    /// The source's name in the manifest.
    pub fn name(&self) -> &str {
        match self {
            Self::Stream(stream) => &stream.name,
            Self::Queue(source) => &source.name,
            Self::Feed(feed) => &feed.name,
        }
    }

    /// How its events are written.
    pub fn envelope(&self) -> &Envelope {
        match self {
            Self::Stream(stream) => &stream.envelope,
            Self::Queue(source) => &source.envelope,
            Self::Feed(feed) => &feed.envelope,
        }
    }

    /// What is read by itself: each partition of a stream, or the whole.
    pub fn parts(&self) -> Vec<Self> {
        match self {
            Self::Stream(stream) => stream.parts().into_iter().map(Self::Stream).collect(),
            Self::Queue(_) | Self::Feed(_) => vec![self.clone()],
        }
    }

    /// Which partition it is, if it is one.
    pub fn part(&self) -> Option<Partition> {
        match self {
            Self::Stream(stream) => stream.part,
            Self::Queue(_) | Self::Feed(_) => None,
        }
    }

    /// Into how many partitions it is split.
    pub fn partitions(&self) -> Option<u16> {
        match self {
            Self::Stream(stream) => stream.partitions,
            Self::Queue(_) | Self::Feed(_) => None,
        }
    }
}

/// One source of events.
#[derive(Clone, Debug)]
pub struct SourceSpec {
    /// Its name in the manifest.
    pub name: String,
    /// The queue it is read from.
    pub queue: QueueSpec,
    /// How its events are written, and how much of them is accepted.
    pub envelope: Envelope,
}

impl SourceSpec {
    /// The same source for a read model, with a queue of its own: a message of a queue goes to one reader only. It is one
    /// queue, whatever that of replicas is: a read model of a queue goes by the order in which events come.
    #[must_use]
    pub fn for_model(&self, of: &EntityType) -> Self {
        let queue = format!("{}.{of}", self.queue.queue);
        Self { queue: QueueSpec { queue, split: None, ..self.queue.clone() }, ..self.clone() }
    }
}

/// A queue on RabbitMQ and how it is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// The owner's topic exchange.
    pub exchange: String,
    /// This service's own durable quorum queue; where it is split, what the names of all partitions begin with.
    pub queue: String,
    /// The binding keys.
    pub bindings: Vec<String>,
    /// Whether queue, bindings and dead-letter exchange are declared, or only checked to exist.
    pub declare: bool,
    /// How it is split into partitions, each of which is a queue of its own; not at all, if it is one queue.
    pub split: Option<Split>,
    /// Which partition this is; none, where it is the whole.
    pub part: Option<Partition>,
}

/// Whether a topic exchange takes a message with this key to what is bound by that binding: words between dots, `*` for
/// one of them, `#` for any number.
pub fn lets_through(binding: &str, key: &str) -> bool {
    let binding: Vec<&str> = binding.split('.').collect();
    let key: Vec<&str> = key.split('.').collect();
    words_fit(&binding, &key)
}

fn words_fit(binding: &[&str], key: &[&str]) -> bool {
    match (binding, key) {
        ([], key) => key.is_empty(),
        (["#", rest @ ..], key) => (0..=key.len()).any(|taken| words_fit(rest, &key[taken..])),
        ([wanted, binding @ ..], [word, key @ ..]) => {
            (*wanted == "*" || wanted == word) && words_fit(binding, key)
        }
        (_, []) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_lets_through_what_a_topic_exchange_would() {
        for (binding, key, expected) in [
            ("user.updated", "user.updated", true),
            ("user.updated", "user.created", false),
            ("user.*", "user.updated", true),
            ("user.*", "user", false),
            ("user.*", "user.name.updated", false),
            ("user.#", "user", true),
            ("user.#", "user.name.updated", true),
            ("#", "anything.at.all", true),
            ("#.updated", "user.name.updated", true),
            ("*.name.#", "user.name", true),
            ("*.name.#", "name", false),
        ] {
            assert_eq!(lets_through(binding, key), expected, "{binding} {key}");
        }
    }
}
