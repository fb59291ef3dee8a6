//! What is on the broker, compared with what is declared, without changing anything.

use super::topology::{Depth, Topology, depth, has_exchange, short};
use super::wire::Wire;
use super::{Options, SourceError};
use crate::replication::{Finding, Level, SourceSpec};

/// Looks at exchange, queue and dead letters. An error means that nothing could be looked at.
///
/// Bindings are not looked at: the protocol has no question for them.
pub async fn inspect(spec: &SourceSpec, options: &Options) -> Result<Vec<Finding>, SourceError> {
    let address = options.checked()?;
    let topology = Topology::new(&spec.queue)?;
    let name = format!("nearcopy {} check", options.service);
    let wire = Wire::dial(&address, &name, options.ca.clone(), options.connect_timeout).await?;
    let findings = look(&topology, &wire).await;
    wire.close().await;
    findings
}

/// What a queue or a stream of this name holds, if it is there, and what was dead-lettered from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What it holds.
    pub depth: Option<Depth>,
    /// How many messages came back too often to be delivered again.
    pub dead: u32,
}

/// Looks how much waits, changing nothing.
pub async fn waiting(queue: &str, options: &Options) -> Result<Waiting, SourceError> {
    let address = options.checked()?;
    let (queue, dead) = (short("queue", queue)?, short("dead-letter queue", &format!("{queue}.dead"))?);
    let name = format!("nearcopy {} status", options.service);
    let wire = Wire::dial(&address, &name, options.ca.clone(), options.connect_timeout).await?;
    let found = async {
        let dead = depth(&wire, &dead).await?.map_or(0, |dead| dead.messages);
        Ok(Waiting { depth: depth(&wire, &queue).await?, dead })
    };
    let found = found.await;
    wire.close().await;
    found
}

async fn look(topology: &Topology, wire: &Wire) -> Result<Vec<Finding>, SourceError> {
    let mut findings = vec![finding(Level::Fine, format!("connected to {}", wire.place()))];
    findings.push(look_at_exchange(topology, wire).await?);
    match depth(wire, &topology.queue).await? {
        Some(depth) => {
            let (messages, consumers) = (depth.messages, depth.consumers);
            findings.push(finding(
                Level::Fine,
                format!("queue `{}`: {messages} messages wait, {consumers} consumers", topology.queue),
            ));
            findings.extend(compare(topology, wire).await?);
        }
        None => findings.push(no_queue(topology)),
    }
    findings.extend(look_at_dead_letters(topology, wire).await?);
    Ok(findings)
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
