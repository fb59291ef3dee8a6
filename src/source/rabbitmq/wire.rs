//! One connection, from dialling to its certain end.

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::tcp::OwnedTLSConfig;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::timeout;
use tracing::debug;

use super::{Address, SourceError};

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Checks certificates in PEM form; the client library takes text without any for an empty list.
pub(super) fn check_certificates(pem: &str) -> Result<(), SourceError> {
    let mut found = CertificateDer::pem_slice_iter(pem.as_bytes()).peekable();
    if found.peek().is_some() && found.all(|certificate| certificate.is_ok()) {
        Ok(())
    } else {
        Err(SourceError::Certificates)
    }
}

/// A connection to the broker. When it is dropped its socket is shut, so that nothing of it remains: not the
/// client library's thread, not the descriptor, whatever the other side does or fails to do.
pub(super) struct Wire {
    connection: Connection,
    place: String,
    _grip: Grip,
}

impl Wire {
    /// Connects, within the time given for all of it. `name` is shown by the broker's tools; `ca` is a chain
    /// of certificates in PEM form, trusted besides those of the system.
    pub(super) async fn dial(
        address: &Address,
        name: &str,
        ca: Option<String>,
        within: Duration,
    ) -> Result<Self, SourceError> {
        let place = address.place();
        let failed = |cause| SourceError::Connect { place: address.place(), cause: Box::new(cause) };
        let grip = Grip::default();
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = runtime::default_runtime().map_err(failed)?;
        let tls = OwnedTLSConfig { identity: None, cert_chain: ca };
        let (held, ours) = (grip.clone_hold(), runtime.clone());
        // The I/O thread of the client library runs this. It is not ended by our giving up on the connection,
        // so it needs its own limit.
        let open = async move |uri: AMQPUri, _| {
            let stream = async {
                let host = (uri.authority.host.clone(), uri.authority.port);
                let stream = AsyncTcpStream::connect(&ours, ours.to_socket_addrs(host)).await?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    plain.get_ref().set_nodelay(true)?;
                    held.take(plain.get_ref().as_fd().try_clone_to_owned()?.into())?;
                }
                match uri.scheme {
                    AMQPScheme::AMQP => Ok(stream),
                    AMQPScheme::AMQPS => stream.into_tls(&uri.authority.host, tls.as_ref()).await,
                }
            };
            match timeout(within, stream).await {
                Ok(stream) => Ok(stream?),
                Err(late) => Err(std::io::Error::from(late).into()),
            }
        };
        match timeout(within, Connection::connector(address.uri(), runtime, open, properties)).await {
            Ok(Ok(connection)) => Ok(Self { connection, place, _grip: grip }),
            Ok(Err(cause)) => Err(failed(cause)),
            Err(_) => Err(SourceError::Silent { place, after: within }),
        }
    }

    /// A channel of its own for each use that may fail, because an error closes the channel.
    pub(super) async fn channel(&self) -> Result<Channel, SourceError> {
        let opened = self.connection.create_channel().await;
        opened.map_err(|cause| SourceError::Connect { place: self.place.clone(), cause: Box::new(cause) })
    }

    /// Where it leads, for a person.
    pub(super) fn place(&self) -> String {
        self.place.clone()
    }

    /// Takes leave of the broker, if there is still one that listens.
    pub(super) async fn close(self) {
        match timeout(FAREWELL, self.connection.close(200, "done".into())).await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => debug!(%cause, "the connection had ended before"),
            Err(_) => debug!("the broker did not answer to the farewell"),
        }
    }
}

/// A second hold on the socket of a connection. The client library waits without limit for a peer that
/// accepts a connection and then says nothing, in a thread of its own; shutting the socket ends that wait.
#[derive(Default)]
struct Grip(Arc<Hold>);

#[derive(Default)]
struct Hold(Mutex<Socket>);

#[derive(Default)]
enum Socket {
    #[default]
    NotYet,
    Open(TcpStream),
    LetGo,
}

impl Grip {
    fn clone_hold(&self) -> Arc<Hold> {
        Arc::clone(&self.0)
    }
}

impl Drop for Grip {
    fn drop(&mut self) {
        let mut socket = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Socket::Open(stream) = std::mem::replace(&mut *socket, Socket::LetGo)
            && let Err(error) = stream.shutdown(Shutdown::Both)
        {
            debug!(%error, "the socket had ended before");
        }
    }
}

impl Hold {
    /// Holds a socket, unless the connection was given up meanwhile.
    fn take(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*socket, Socket::LetGo) {
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        *socket = Socket::Open(stream);
        Ok(())
    }
}
