//! Why events do not come from RabbitMQ.

use std::error::Error as _;
use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

use crate::replication::Class;

/// What was attempted, where, and why it failed. Places are named as host, port and virtual host; no text
/// ever holds a password.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SourceError {
    /// The address cannot be understood. Its text is not repeated, because it holds a password.
    #[error(
        "the address of RabbitMQ is not of the form amqp[s]://user:password@host[:port]/vhost (special characters \
         percent-encoded, `/` in the virtual host as %2f)"
    )]
    Address,
    /// There are certificates to trust, and they cannot be read.
    #[error("the certificates to trust for RabbitMQ are not in PEM form")]
    Certificates,
    /// AMQP has no room for a name of this length.
    #[error("the {what} `{name}` is too long: AMQP allows 255 bytes")]
    NameTooLong {
        /// What the name is of.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// No connection came to be.
    #[error("cannot connect to RabbitMQ at {place}")]
    Connect {
        /// Where.
        place: String,
        /// Why.
        #[source]
        cause: Box<lapin::Error>,
    },
    /// The broker, or the way to it, said nothing in time.
    #[error("RabbitMQ at {place} did not answer within {after:?}")]
    Silent {
        /// Where.
        place: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The owner's exchange is not there.
    #[error(
        "exchange `{exchange}` does not exist on {place}; its owner declares it, and reading begins when it is there"
    )]
    NoExchange {
        /// The exchange.
        exchange: String,
        /// Where.
        place: String,
    },
    /// The queue is not there, and it is not ours to declare.
    #[error(
        "queue `{queue}` does not exist on {place}, and with `declare: false` others have to declare it: {hint}"
    )]
    NoQueue {
        /// The queue.
        queue: String,
        /// Where.
        place: String,
        /// The command that declares it.
        hint: String,
    },
    /// A queue is to be split, and the broker does not know how.
    #[error(
        "RabbitMQ at {place} cannot split a queue into partitions: its plugin rabbitmq_consistent_hash_exchange is not \
         enabled; run `rabbitmq-plugins enable rabbitmq_consistent_hash_exchange` on each of its nodes, and reading begins"
    )]
    NoPlugin {
        /// Where.
        place: String,
    },
    /// The stream is not there, and it is not ours to declare.
    #[error(
        "stream `{stream}` does not exist on {place}; its owner declares it, or name the `exchange` that it is to be \
         bound to"
    )]
    NoStream {
        /// The stream.
        stream: String,
        /// Where.
        place: String,
    },
    /// What we declare is there already, in another form.
    #[error(
        "{what} `{name}` on {place} exists in another form than nearcopy declares; compare it by `rabbitmqctl list_queues \
         name durable arguments` or `rabbitmqctl list_exchanges name type durable arguments`, then delete it (once it \
         is empty) or say `declare: false`"
    )]
    Differs {
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
        /// Where.
        place: String,
        /// What the broker says about the difference.
        #[source]
        cause: Box<lapin::Error>,
    },
    /// The broker did not let us prepare for consuming.
    #[error("cannot {act} `{name}` on {place}")]
    Refused {
        /// What was attempted.
        act: &'static str,
        /// On what.
        name: String,
        /// Where.
        place: String,
        /// Why.
        #[source]
        cause: Box<lapin::Error>,
    },
    /// Consuming had begun, and the connection or its channel came to an end.
    #[error("the connection that reads queue `{queue}` on {place} was lost")]
    Lost {
        /// The queue.
        queue: String,
        /// Where.
        place: String,
        /// Why.
        #[source]
        cause: Box<lapin::Error>,
    },
    /// The broker ended the consumer: the queue was deleted, or moves.
    #[error("the broker stopped delivering from queue `{queue}` on {place}: it was deleted, or is moving")]
    Ended {
        /// The queue.
        queue: String,
        /// Where.
        place: String,
    },
    /// The broker has not taken a message.
    #[error("a message to exchange `{exchange}` on {place} was not confirmed")]
    Unconfirmed {
        /// The exchange.
        exchange: String,
        /// Where.
        place: String,
    },
    /// A delivery was dropped without being settled; only a new connection makes it come again.
    #[error("a delivery from queue `{queue}` was dropped unsettled, so the connection is built anew")]
    Dropped {
        /// The queue.
        queue: String,
    },
}

impl SourceError {
    /// What kind of trouble it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Address
            | Self::Certificates
            | Self::NameTooLong { .. }
            | Self::NoExchange { .. }
            | Self::NoQueue { .. }
            | Self::NoStream { .. }
            | Self::NoPlugin { .. }
            | Self::Differs { .. } => Class::Misconfigured,
            Self::Connect { cause, .. } | Self::Refused { cause, .. } => class_before_consuming(cause),
            Self::Lost { cause, .. } => class_while_consuming(cause),
            Self::Silent { .. } | Self::Ended { .. } | Self::Unconfirmed { .. } => Class::Transient,
            Self::Dropped { .. } => Class::Bug,
        }
    }

    /// The whole of it as one line for a person, the cause included.
    pub fn report(&self) -> String {
        match self.source() {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}

/// Whether the broker says that what was named does not exist.
pub(super) fn is_not_found(error: &lapin::Error) -> bool {
    soft(error) == Some(&AMQPSoftError::NOTFOUND)
}

/// Whether the broker says that something exists in another form.
pub(super) fn is_otherwise(error: &lapin::Error) -> bool {
    soft(error) == Some(&AMQPSoftError::PRECONDITIONFAILED)
}

/// Whether the broker says that it knows no exchanges that hash; by which code depends on its version.
pub(super) fn is_no_plugin(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(told) => {
            let said = told.get_message().as_str();
            said.contains("exchange type") && said.contains(super::hash::KIND)
        }
        _ => false,
    }
}

/// While dialling and declaring, a plain refusal means that names, rights or credentials are wrong.
fn class_before_consuming(error: &lapin::Error) -> Class {
    match error.kind() {
        ErrorKind::ProtocolError(told) => match told.kind() {
            AMQPErrorKind::Soft(_)
            | AMQPErrorKind::Hard(
                AMQPHardError::NOTALLOWED | AMQPHardError::NOTIMPLEMENTED | AMQPHardError::INVALIDPATH,
            ) => Class::Misconfigured,
            AMQPErrorKind::Hard(_) => Class::Transient,
        },
        ErrorKind::IOError(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some::<&rustls::Error>(_) => Class::Misconfigured,
            None => Class::Transient,
        },
        ErrorKind::InvalidProtocolVersion(_)
        | ErrorKind::ParsingError(_)
        | ErrorKind::AuthProviderError(_)
        | ErrorKind::ChannelsLimitReached => Class::Misconfigured,
        _ => Class::Transient,
    }
}

/// Once deliveries come, the broker ends a channel for reasons of the day (a consumer that took too long is
/// told "precondition failed" too); only an acknowledgement it has no delivery for is our own mistake.
fn class_while_consuming(error: &lapin::Error) -> Class {
    match error.kind() {
        ErrorKind::ProtocolError(told) if told.get_message().as_str().contains("unknown delivery tag") => {
            Class::Bug
        }
        _ => Class::Transient,
    }
}

fn soft(error: &lapin::Error) -> Option<&AMQPSoftError> {
    match error.kind() {
        ErrorKind::ProtocolError(told) => match told.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;

    use super::*;

    fn told(kind: AMQPErrorKind, text: &str) -> lapin::Error {
        ErrorKind::ProtocolError(AMQPError::new(kind, text.into())).into()
    }

    fn before(cause: lapin::Error) -> Class {
        let (place, cause) = ("here".into(), Box::new(cause));
        SourceError::Refused { act: "declare queue", name: "q".into(), place, cause }.class()
    }

    fn later(cause: lapin::Error) -> Class {
        SourceError::Lost { queue: "q".into(), place: "here".into(), cause: Box::new(cause) }.class()
    }

    #[test]
    fn a_refusal_while_preparing_is_misconfigured() {
        for soft in [
            AMQPSoftError::ACCESSREFUSED,
            AMQPSoftError::NOTFOUND,
            AMQPSoftError::RESOURCELOCKED,
            AMQPSoftError::PRECONDITIONFAILED,
        ] {
            assert_eq!(before(told(soft.into(), "no")), Class::Misconfigured);
        }
        assert_eq!(before(told(AMQPHardError::NOTALLOWED.into(), "no such vhost")), Class::Misconfigured);
    }

    /// D10: brokers say it in different ways, some by ending the connection.
    #[test]
    fn a_plugin_that_is_missing_is_told_from_other_trouble() {
        let unknown = "unknown exchange type 'x-consistent-hash'";
        for error in [
            told(AMQPHardError::COMMANDINVALID.into(), &format!("COMMAND_INVALID - {unknown}")),
            told(AMQPSoftError::PRECONDITIONFAILED.into(), &format!("PRECONDITION_FAILED - {unknown}")),
        ] {
            assert!(is_no_plugin(&error), "{error}");
        }
        let otherwise = "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'q' in vhost '/': received \
                         'x-consistent-hash' but current is 'topic'";
        for error in [
            told(AMQPSoftError::PRECONDITIONFAILED.into(), otherwise),
            told(AMQPHardError::COMMANDINVALID.into(), "COMMAND_INVALID - unknown exchange type 'x-other'"),
            ErrorKind::MissingHeartbeatError.into(),
        ] {
            assert!(!is_no_plugin(&error), "{error}");
        }
        let error = SourceError::NoPlugin { place: "here".into() };
        assert_eq!(error.class(), Class::Misconfigured);
        assert!(error.report().contains("`rabbitmq-plugins enable rabbitmq_consistent_hash_exchange`"));
    }

    #[test]
    fn a_broker_in_trouble_is_transient() {
        for hard in
            [AMQPHardError::INTERNALERROR, AMQPHardError::CONNECTIONFORCED, AMQPHardError::RESOURCEERROR]
        {
            assert_eq!(before(told(hard.clone().into(), "trouble")), Class::Transient);
            assert_eq!(later(told(hard.into(), "trouble")), Class::Transient);
        }
        assert_eq!(before(ErrorKind::MissingHeartbeatError.into()), Class::Transient);
    }

    #[test]
    fn while_consuming_only_a_wrong_acknowledgement_is_our_mistake() {
        let late = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out";
        assert_eq!(later(told(AMQPSoftError::PRECONDITIONFAILED.into(), late)), Class::Transient);
        let wrong = "PRECONDITION_FAILED - unknown delivery tag 7";
        assert_eq!(later(told(AMQPSoftError::PRECONDITIONFAILED.into(), wrong)), Class::Bug);
    }
}
