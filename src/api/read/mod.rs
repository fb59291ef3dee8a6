//! Replicas for whoever does not read the database itself: by REST, and on the same listener by gRPC.

mod access;
mod answer;
mod exists;
mod openapi;
mod page;
mod problem;
mod route;
mod shown;
mod tls;
mod watch;
mod wish;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware;
use secrecy::ExposeSecret;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::grpc::{self, GrpcError};
use super::listener::{Limits, Listener};
use crate::pipeline::Reader;
use crate::replication::Declaration;

pub(in crate::api) use access::guarded;
pub use access::{Access, Grant};
pub(in crate::api) use answer::{Answers, Batch, MOST, Page};
pub(in crate::api) use exists::Exists;
pub use openapi::document as openapi;
pub(in crate::api) use problem::Problem;
pub use shown::value as json;
pub(in crate::api) use shown::{Absent, Entity, One};
#[cfg(test)]
pub(in crate::api) use shown::{Freshness, Id, Known, Shown};
pub use tls::{Tls, TlsError};
pub(in crate::api) use watch::{News, Watched};
pub(in crate::api) use wish::Asked;

/// What a reader may take of us.
const LIMITS: Limits = Limits {
    connections: 4_096,
    headers_within: Duration::from_secs(10),
    keep_alive: true,
    http2: true,
    lasts: Duration::from_secs(300),
    ends_within: Duration::from_secs(35),
};

/// The listener for readers.
pub struct Reads {
    listener: Listener,
    router: axum::Router,
}

/// Readers cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ReadsError {
    /// The address is taken, or is none of this machine.
    #[error("replicas cannot be read on {address}; set `read.listen` to a free address")]
    Address {
        /// Where it was tried.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The gRPC service is not what it should be.
    #[error(transparent)]
    Grpc(#[from] GrpcError),
    /// Connections cannot be encrypted.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A token is for a replica that there is not.
    #[error("a token of `read.token` is for the replica `{0}`, and there is none of that name")]
    UnknownReplica(String),
}

impl Reads {
    /// Opens the listener. Whoever reads must have the token, where there is one.
    pub async fn bind(
        address: SocketAddr,
        access: &Access,
        declaration: &Declaration,
        readers: Vec<Reader>,
        stop: &CancellationToken,
    ) -> Result<Self, ReadsError> {
        let tls = admitted(access, declaration)?;
        let listener = Listener::bind(address, LIMITS, tls).await;
        let listener = listener.map_err(|source| ReadsError::Address { address, source })?;
        let token = access.grants.first().map_or("", |grant| grant.token.expose_secret());
        let (service, contract) = (declaration.service.as_str(), declaration.contract.clone());
        let answers = Arc::new(Answers::new(readers, contract, &format!("{service}/{token}")));
        let router = route::router(answers.clone(), service, stop.clone());
        let router = router.merge(grpc::router(answers, stop).await?);
        let router = if token.is_empty() { router } else { guarded(router, &access.grants, "read.token") };
        Ok(Self { listener, router: router.layer(middleware::from_fn(grpc::as_status)) })
    }

    /// Whether readers could be let in like this, as the files of certificates are now.
    pub fn check(access: &Access, declaration: &Declaration) -> Result<(), ReadsError> {
        admitted(access, declaration).map(drop)
    }

    /// Where it listens, which matters if the port was left to the system.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.address()
    }

    /// Serves until stopped.
    pub async fn serve(self, stop: CancellationToken) {
        self.listener.serve(self.router, &stop).await;
    }
}

/// By what connections are encrypted, where all that readers are known by makes sense.
fn admitted(access: &Access, declaration: &Declaration) -> Result<Option<TlsAcceptor>, ReadsError> {
    let named = access.grants.iter().flat_map(|grant| &grant.replicas);
    if let Some(unknown) = named.into_iter().find(|name| declaration.replica(name).is_err()) {
        return Err(ReadsError::UnknownReplica(unknown.clone()));
    }
    Ok(access.tls.as_ref().map(tls::acceptor).transpose()?)
}
