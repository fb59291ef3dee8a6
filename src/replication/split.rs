//! A queue that is split into partitions, so that neither the broker nor the consumer has to bear all of it in one place.

use std::sync::Arc;

use super::{Partition, QueueSpec, SourceSpec};

/// How a queue is split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Into how many queues.
    pub partitions: u16,
    /// What tells the entity, and so the partition, of a message.
    pub by: HashedBy,
}

/// What of a message is hashed: what is equal goes into one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashedBy {
    /// The key that it is published under.
    RoutingKey,
    /// The header of this name.
    Header(String),
    /// Its correlation id.
    CorrelationId,
}

impl QueueSpec {
    /// What it is called on RabbitMQ: a partition has its number behind the name of the whole.
    pub fn name(&self) -> String {
        match self.part {
            Some(part) => format!("{}-{}", self.queue, part.number),
            None => self.queue.clone(),
        }
    }

    /// All the queues that are read: each partition, or the one that there is.
    pub fn names(&self) -> Vec<String> {
        match &self.split {
            Some(split) => (0..split.partitions).map(|number| format!("{}-{number}", self.queue)).collect(),
            None => vec![self.queue.clone()],
        }
    }
}

impl Split {
    /// The exchange that splits a queue. It says what it hashes, so that one that hashes something else is another one: it can
    /// take the place of this one while that is still there.
    pub fn exchange(&self, queue: &str) -> String {
        match &self.by {
            HashedBy::RoutingKey => format!("{queue}.by-routing-key"),
            HashedBy::Header(name) => format!("{queue}.by-header.{name}"),
            HashedBy::CorrelationId => format!("{queue}.by-correlation-id"),
        }
    }
}

impl SourceSpec {
    /// What is read by itself: each partition, or the whole.
    pub fn parts(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let Some(of) = self.queue.split.as_ref().map(|split| split.partitions) else {
            return vec![self.clone()];
        };
        let part = |number| {
            let queue = QueueSpec { part: Some(Partition { number, of }), ..self.queue.clone() };
            Arc::new(Self { queue, ..Self::clone(self) })
        };
        (0..of).map(part).collect()
    }

    /// The same source as it was read while its queue was split otherwise: from a partition of that number, or from the
    /// whole. That queue is only read, and never declared.
    #[must_use]
    pub fn former(&self, number: Option<u16>) -> Self {
        let part = number.map(|number| Partition { number, of: number + 1 });
        Self { queue: QueueSpec { split: None, part, declare: false, ..self.queue.clone() }, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Envelope, Limits, WireFormat};

    fn users(split: Option<Split>) -> Arc<SourceSpec> {
        let queue = QueueSpec {
            exchange: "users".into(),
            queue: "shop.users".into(),
            bindings: vec!["user.#".into()],
            declare: true,
            split,
            part: None,
        };
        let envelope = Envelope::new(WireFormat::CloudEvents, Limits::default());
        Arc::new(SourceSpec { name: "users".into(), queue, envelope })
    }

    #[test]
    fn each_partition_is_a_queue_of_its_own_and_so_is_what_came_before() {
        let names =
            |of: &Arc<SourceSpec>| of.parts().iter().map(|part| part.queue.name()).collect::<Vec<_>>();
        let whole = users(None);
        let split = users(Some(Split { partitions: 2, by: HashedBy::RoutingKey }));
        assert_eq!(names(&whole), ["shop.users"]);
        assert_eq!(names(&split), ["shop.users-0", "shop.users-1"]);
        assert_eq!(split.queue.names(), names(&split));
        assert_eq!(split.former(None).queue.name(), "shop.users");
        assert_eq!(whole.former(Some(7)).queue.name(), "shop.users-7");
        assert!(!split.former(None).queue.declare);
    }

    #[test]
    fn exchanges_that_hash_something_else_are_others() {
        let names = [HashedBy::RoutingKey, HashedBy::Header("user-id".into()), HashedBy::CorrelationId]
            .map(|by| Split { partitions: 2, by }.exchange("shop.users"));
        let expected =
            ["shop.users.by-routing-key", "shop.users.by-header.user-id", "shop.users.by-correlation-id"];
        assert_eq!(names, expected);
    }
}
