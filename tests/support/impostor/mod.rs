//! A server with a certificate that nobody vouches for: whoever stands in the way could show one.
//!
//! It is for `localhost`, signed by itself and good for a hundred years; its key is no secret.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

/// One that listens.
pub(crate) struct Impostor {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Impostor {
    /// Starts to listen on this machine.
    pub(crate) fn start() -> Self {
        let certificate = CertificateDer::from_pem_file(certificate()).unwrap();
        let key = PrivateKeyDer::from_pem_file(certificate_folder().join("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let (config, heard) = (Arc::new(config), Arc::<Mutex<Vec<u8>>>::default());
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (address, told) = (listener.local_addr().unwrap(), heard.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, told) = (config.clone(), told.clone());
                std::thread::spawn(move || listen(stream, config, &told));
            }
        });
        Self { address, heard }
    }

    /// All that it was told by those who believed it.
    pub(crate) fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }
}

/// The file with its certificate.
pub(crate) fn certificate() -> PathBuf {
    certificate_folder().join("certificate.pem")
}

fn certificate_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/impostor")
}

/// Takes what comes over one connection; whoever does not believe it ends that.
fn listen(mut stream: TcpStream, config: Arc<ServerConfig>, heard: &Mutex<Vec<u8>>) {
    let mut connection = ServerConnection::new(config).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut secured = rustls::Stream::new(&mut connection, &mut stream);
    let mut bytes = [0; 1024];
    while let Ok(count @ 1..) = secured.read(&mut bytes) {
        heard.lock().unwrap().extend(&bytes[..count]);
    }
}
