//! What connections of readers are encrypted with, and by which certificates readers are known.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// What is spoken, the best first.
const SPOKEN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Files in PEM.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The chain of our certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities of which readers must have a certificate, if they must.
    pub client_ca: Option<PathBuf>,
}

/// The files are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or has nothing of the kind.
    #[error("{} cannot be read as PEM; see `read.tls_*`", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A file has no certificate.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// Key and certificate do not belong together, or are of a kind that is not supported.
    #[error("`read.tls_certificate` and `read.tls_key` cannot be used together")]
    Unusable(#[from] rustls::Error),
    /// The authorities are none.
    #[error("nobody can be known by `read.tls_client_ca`")]
    Authorities(#[from] VerifierBuilderError),
}

/// Reads the files.
pub(super) fn acceptor(files: &Tls) -> Result<TlsAcceptor, TlsError> {
    let builder = ServerConfig::builder();
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut authorities = RootCertStore::empty();
            for authority in certificates(path)? {
                authorities.add(authority)?;
            }
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(authorities)).build()?)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unreadable(&files.key))?;
    let mut config = builder.with_single_cert(certificates(&files.certificate)?, key)?;
    config.alpn_protocols = SPOKEN.map(<[u8]>::to_vec).to_vec();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).map_err(unreadable(path))?;
    let certificates: Vec<_> = read.collect::<Result<_, _>>().map_err(unreadable(path))?;
    if certificates.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(certificates) }
}

fn unreadable(path: &Path) -> impl Fn(pem::Error) -> TlsError {
    move |source| TlsError::Unreadable { path: path.to_owned(), source }
}
