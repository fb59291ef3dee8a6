//! What is on the broker, compared with what is declared, without changing anything.

use std::sync::Arc;

use super::hash::{self, Hash};
use super::topology::{Depth, Topology, depth, has_exchange, short};
use super::wire::Wire;
use super::{Options, SourceError};
use crate::replication::{Finding, Level, SourceSpec};

/// Looks at exchange, queue and dead letters; of a queue that is split, at all partitions. An error means that nothing could be
/// looked at.
///
/// Bindings are not looked at: the protocol has no question for them.
pub async fn inspect(spec: &Arc<SourceSpec>, options: &Options) -> Result<Vec<Finding>, SourceError> {
    let address = options.checked()?;
    let name = format!("nearcopy {} check", options.service);
    let wire = Wire::dial(&address, &name, options.ca.clone(), options.connect_timeout).await?;
    let findings = look(spec, &wire).await;
    wire.close().await;
    findings
}

/// What a queue or a stream of this name holds, if it is there, and what was dead-lettered from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What it holds.
    pub depth: Option<Depth>,
    /// How many messages came back too often to be delivered again, as far as that is asked of this one.
    pub dead: Option<u32>,
}

/// Looks how much waits, changing nothing; also in the queue of dead letters that is named.
pub async fn waiting(queue: &str, dead: Option<&str>, options: &Options) -> Result<Waiting, SourceError> {
    let address = options.checked()?;
    let queue = short("queue", queue)?;
    let dead = dead.map(|dead| short("dead-letter queue", dead)).transpose()?;
    let name = format!("nearcopy {} status", options.service);
    let wire = Wire::dial(&address, &name, options.ca.clone(), options.connect_timeout).await?;
    let found = async {
        let dead = match &dead {
            Some(dead) => Some(depth(&wire, dead).await?.map_or(0, |dead| dead.messages)),
            None => None,
        };
        Ok(Waiting { depth: depth(&wire, &queue).await?, dead })
    };
    let found = found.await;
    wire.close().await;
    found
}

async fn look(spec: &Arc<SourceSpec>, wire: &Wire) -> Result<Vec<Finding>, SourceError> {
    let whole = Topology::new(&spec.queue)?;
    let mut findings = vec![finding(Level::Fine, format!("connected to {}", wire.place()))];
    findings.push(look_at_exchange(&whole, wire).await?);
    for part in spec.parts() {
        let topology = Topology::new(&part.queue)?;
        match depth(wire, &topology.queue).await? {
            Some(depth) => {
                let (messages, consumers) = (depth.messages, depth.consumers);
                let text =
                    format!("queue `{}`: {messages} messages wait, {consumers} consumers", topology.queue);
                findings.push(finding(Level::Fine, text));
                findings.extend(compare(&topology, wire).await?);
            }
            None => findings.push(no_queue(&topology)),
        }
    }
    findings.extend(look_at_dead_letters(&whole, wire).await?);
    findings.extend(look_at_former(spec, wire).await?);
    if let Some(hash) = &whole.hash {
        findings.push(look_at_hash(&whole, hash, wire).await?);
    }
    Ok(findings)
}

/// What splits the queue: there, or to be declared, if the broker can do that. It is looked at last: see [`hash::is_known`].
async fn look_at_hash(topology: &Topology, hash: &Hash, wire: &Wire) -> Result<Finding, SourceError> {
    let exchange = &hash.exchange;
    if has_exchange(wire, exchange).await? {
        return Ok(finding(Level::Fine, format!("exchange `{exchange}`, which splits the queue, is there")));
    }
    let missing = format!("exchange `{exchange}`, which splits the queue, does not exist");
    Ok(match (hash::is_known(wire).await?, topology.declare) {
        (false, _) => finding(Level::Wrong, SourceError::NoPlugin { place: wire.place() }.report()),
        (true, true) => finding(Level::Advice, format!("{missing} yet; it is declared at the first start")),
        (true, false) => {
            let commands = topology.commands_of(hash);
            finding(Level::Wrong, format!("{missing}; declare it, for example by: {commands}"))
        }
    })
}

/// What is left of queues that were read while the source was split otherwise.
async fn look_at_former(spec: &Arc<SourceSpec>, wire: &Wire) -> Result<Vec<Finding>, SourceError> {
    let split = spec.queue.split.as_ref();
    let mut findings = Vec::new();
    if split.is_some() {
        findings.extend(look_at_left(spec, None, wire).await?);
    }
    // Partitions have numbers that follow upon each other.
    for number in split.map_or(0, |split| split.partitions).. {
        let Some(left) = look_at_left(spec, Some(number), wire).await? else { break };
        findings.push(left);
    }
    if split.is_none() && !findings.is_empty() {
        let text = "what split the queue before still fills these partitions: find it by `rabbitmqadmin list exchanges name type`, \
                    and delete it once no pod reads partitions any more";
        findings.push(finding(Level::Advice, text));
    }
    Ok(findings)
}

async fn look_at_left(
    spec: &SourceSpec,
    number: Option<u16>,
    wire: &Wire,
) -> Result<Option<Finding>, SourceError> {
    let queue = short("queue", &spec.former(number).queue.name())?;
    let text = |messages: u32| {
        format!(
            "queue `{queue}` is left from before `partitions` changed, and {messages} messages wait in it; sidecars take \
             them within a minute. Once there are none, and no pod reads it any more, delete it: `rabbitmqctl delete_queue \
             {queue}`"
        )
    };
    Ok(depth(wire, &queue).await?.map(|depth| finding(Level::Advice, text(depth.messages))))
}

async fn look_at_exchange(topology: &Topology, wire: &Wire) -> Result<Finding, SourceError> {
    let exchange = &topology.exchange;
    Ok(if has_exchange(wire, exchange).await? {
        finding(Level::Fine, format!("exchange `{exchange}` is there"))
    } else {
        finding(Level::Wrong, format!("exchange `{exchange}` does not exist; its owner declares it"))
    })
}

/// Declares the queue, which exists, once more: the broker compares, and says what differs.
async fn compare(topology: &Topology, wire: &Wire) -> Result<Option<Finding>, SourceError> {
    let level = if topology.declare { Level::Wrong } else { Level::Advice };
    let channel = wire.channel().await?;
    match topology.declare_queue(wire, &channel).await {
        Ok(()) => Ok(None),
        Err(error @ SourceError::Differs { .. }) => Ok(Some(finding(level, error.report()))),
        Err(error @ SourceError::Refused { .. }) => {
            let text = format!("the arguments of the queue could not be compared: {}", error.report());
            Ok(Some(finding(level, text)))
        }
        Err(error) => Err(error),
    }
}

fn no_queue(topology: &Topology) -> Finding {
    let queue = &topology.queue;
    if topology.declare {
        let text = format!(
            "queue `{queue}` does not exist yet; it is declared at the first start, and events from before are not in it"
        );
        finding(Level::Advice, text)
    } else {
        let command = topology.command();
        finding(
            Level::Wrong,
            format!("queue `{queue}` does not exist; declare it, for example by: {command}"),
        )
    }
}

async fn look_at_dead_letters(topology: &Topology, wire: &Wire) -> Result<Option<Finding>, SourceError> {
    let queue = &topology.dead_queue;
    Ok(match depth(wire, queue).await? {
        Some(depth) if depth.messages > 0 => {
            let text = format!(
                "{} messages were dead-lettered into `{queue}`: they came back too often to be delivered again",
                depth.messages
            );
            Some(finding(Level::Advice, text))
        }
        _ => None,
    })
}

fn finding(level: Level, text: impl Into<String>) -> Finding {
    Finding { level, text: text.into() }
}
