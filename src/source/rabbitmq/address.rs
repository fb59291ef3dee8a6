//! Where the broker is, and who we are to it.

use std::time::Duration;

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

use super::SourceError;

/// What a broker agrees to by default, which is also the most that a header may take: less would be no service to those
/// who publish long ones. The client library has room for 32 frames each way. Told of the size in advance, it asks for
/// zeroed memory, which costs nothing until it is used; told by the broker, it fills 8 MB.
const FRAME_MAX: u32 = 131_072;

/// A parsed address. It holds the password, so it cannot be printed; [`Address::place`] can.
#[derive(Clone)]
pub(super) struct Address(AMQPUri);

impl Address {
    /// Parses `amqp[s]://user:password@host[:port]/vhost`. The heartbeat of the settings holds, whatever the
    /// query of the address says: without one a dead connection would never be noticed.
    pub(super) fn parse(url: &SecretString, heartbeat: Duration) -> Result<Self, SourceError> {
        let url = url.expose_secret();
        let mut uri: AMQPUri = url.parse().map_err(|_| SourceError::Address)?;
        if let Some(host) = ipv6_host(url) {
            host.clone_into(&mut uri.authority.host);
        }
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        uri.query.heartbeat = Some(u16::try_from(heartbeat.as_secs()).unwrap_or(u16::MAX).max(1));
        Ok(Self(uri))
    }

    /// Host, port and virtual host, for a person.
    pub(super) fn place(&self) -> String {
        let AMQPUri { authority, vhost, .. } = &self.0;
        format!("{}:{} (virtual host `{vhost}`)", authority.host, authority.port)
    }

    /// What the client library wants.
    pub(super) fn uri(&self) -> AMQPUri {
        self.0.clone()
    }
}

/// The client library's parser takes `localhost` for any bracketed address.
fn ipv6_host(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.strip_prefix('[')?.split_once(']').map(|(address, _)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, SourceError> {
        Address::parse(&SecretString::from(url), Duration::from_secs(10))
    }

    #[test]
    fn a_place_names_host_port_and_virtual_host_and_no_credentials() {
        let places = [
            ("amqp://reader:s3cret@broker/%2f", "broker:5672 (virtual host `/`)"),
            ("amqps://reader:s3cret@broker:5999/orders", "broker:5999 (virtual host `orders`)"),
            ("amqp://reader:s3cret@[::1]:5672/%2f", "::1:5672 (virtual host `/`)"),
            ("amqp://127.0.0.1", "127.0.0.1:5672 (virtual host `/`)"),
        ];
        for (url, place) in places {
            assert_eq!(parse(url).map(|address| address.place()).unwrap(), place);
        }
    }

    #[test]
    fn an_unreadable_address_is_refused_without_repeating_it() {
        for url in ["", "amqp:s3cret", "http://reader:s3cret@broker/", "amqp://reader:s3/cret@broker"] {
            let error = parse(url).err().unwrap_or_else(|| panic!("{url} was understood"));
            assert!(!error.report().contains("s3"), "{}", error.report());
        }
    }

    #[test]
    fn a_size_of_frames_is_asked_for_and_another_where_the_address_says_so() {
        for (url, size) in [("amqp://broker", FRAME_MAX), ("amqp://broker/%2f?frame_max=8192", 8_192)] {
            assert_eq!(parse(url).unwrap().uri().query.frame_max, Some(size), "{url}");
        }
    }

    #[test]
    fn the_address_cannot_turn_heartbeats_off() {
        let address = parse("amqp://broker/%2f?heartbeat=0").unwrap();
        assert_eq!(address.uri().query.heartbeat, Some(10));
    }
}
