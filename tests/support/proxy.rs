//! A way to the broker that can be cut and frozen.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Listens on a port of its own and passes on what comes, for as long as it exists.
pub(crate) struct Proxy {
    address: SocketAddr,
    /// How many of those who came first are passed nothing on.
    frozen: watch::Sender<usize>,
    came: watch::Receiver<usize>,
    cuts: watch::Sender<u32>,
}

impl Proxy {
    /// Stands before the host and port given.
    pub(crate) async fn before(target: String) -> Self {
        Self::at("127.0.0.1:0", target).await
    }

    /// The same, at an address that was agreed upon before.
    pub(crate) async fn at(address: &str, target: String) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (frozen, cuts) = (watch::Sender::new(0), watch::Sender::new(0));
        let (coming, came) = watch::channel(0);
        let (freezing, cutting) = (frozen.subscribe(), cuts.subscribe());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&target).await else { continue };
                let mut cutting = cutting.clone();
                cutting.mark_unchanged();
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                let (there, back, number) = (freezing.clone(), freezing.clone(), *coming.borrow());
                coming.send_replace(number + 1);
                tokio::spawn(async move {
                    tokio::select! {
                        () = pump(near_read, far_write, number, there) => {}
                        () = pump(far_read, near_write, number, back) => {}
                        _ = cutting.changed() => {}
                    }
                });
            }
        });
        Self { address, frozen, came, cuts }
    }

    /// The host and port to connect to.
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Ends all connections of now.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Passes nothing on any more, and ends nothing either; or goes on.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(if frozen { usize::MAX } else { 0 });
    }

    /// Passes nothing on over the connections of now; those to come are as they should be.
    pub(crate) fn freeze_those_of_now(&self) {
        self.frozen.send_replace(*self.came.borrow());
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: usize,
    mut frozen: watch::Receiver<usize>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while frozen.wait_for(|frozen| number >= *frozen).await.is_ok() {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = frozen.changed() => if changed.is_ok() { continue } else { return },
        };
        match read {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
