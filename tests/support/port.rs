//! Ports for what a test starts. One number is given once, to whichever test asks, for between the choice of a port and
//! the moment somebody listens there another test might choose the same.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::TcpListener;
use std::path::Path;

/// Below the range from which the kernel serves outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// An address nobody listens on, and which no other test is given.
pub(crate) fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// A port of the loopback nobody listens on, and which no other test is given.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = next();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The port after the one last given. The tests run as processes of their own: a file says which that was, and where
/// there is none yet, begins anywhere, so that two checkouts side by side seldom meet.
fn next() -> u16 {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("port");
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    file.lock().unwrap();
    let mut last = String::new();
    file.read_to_string(&mut last).unwrap();
    let anywhere = || PORTS.start + (uuid::Uuid::new_v4().as_u128() % 12_000) as u16;
    let port = last.trim().parse().map_or_else(|_| anywhere(), |last: u16| last + 1);
    let port = if PORTS.contains(&port) { port } else { PORTS.start };
    file.rewind().unwrap();
    writeln!(file, "{port}").unwrap();
    port
}

/// Two tests at once were given the same port about once in twenty runs of them all, and one of them failed.
#[test]
fn no_port_is_given_twice() {
    let given = || std::thread::spawn(|| (0..200).map(|_| free_port()).collect::<Vec<_>>());
    let threads = [given(), given(), given(), given()];
    let mut ports: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 800);
}
