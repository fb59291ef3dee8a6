//! Those who ask for one user by its id, each over a connection of its own, or over the driver's.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use mongodb::Collection;
use mongodb::options::{CollectionOptions, ReadConcern};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::database::DATABASE;
use crate::manifest::USERS;

/// Asks for one user, and fails if there is none.
pub(super) trait Ask: Send + 'static {
    fn ask(&mut self, id: &str) -> impl Future<Output = Result<()>> + Send;
}

/// The driver that the consuming service has, which reads what the majority holds.
#[derive(Clone)]
pub(super) struct Driver(Collection<Document>);

impl Driver {
    pub(super) async fn new(url: &str) -> Result<Self> {
        let database = mongodb::Client::with_uri_str(url).await?.database(DATABASE);
        let options = CollectionOptions::builder().read_concern(ReadConcern::majority()).build();
        Ok(Self(database.collection_with_options(USERS, options)))
    }
}

impl Ask for Driver {
    async fn ask(&mut self, id: &str) -> Result<()> {
        let fields = doc! { "username": 1, "email": 1, "city": 1 };
        self.0.find_one(doc! { "_id": id }).projection(fields).await?.context("there is no such user")?;
        Ok(())
    }
}

/// A connection by HTTP/1.1 that is kept.
pub(super) struct Rest {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Rest {
    pub(super) async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, request: Vec::new(), answer: Vec::new() })
    }
}

impl Ask for Rest {
    async fn ask(&mut self, id: &str) -> Result<()> {
        self.request.clear();
        self.request.extend_from_slice(b"GET /v1/users/");
        self.request.extend_from_slice(id.as_bytes());
        self.request.extend_from_slice(b" HTTP/1.1\r\nhost: nearcopy\r\n\r\n");
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the connection has ended");
            if let Some(length) = length(&self.answer)?
                && self.answer.len() >= length
            {
                return Ok(());
            }
        }
    }
}

/// How long an answer is, once its head is there.
fn length(answer: &[u8]) -> Result<Option<usize>> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return Ok(None) };
    ensure!(head.starts_with("HTTP/1.1 200"), "{text}");
    let body = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    Ok(Some(head.len() + 4 + body.context("an answer without a length")?.parse::<usize>()?))
}

/// A connection to one who says nothing but that he was asked: what is left is the machine.
pub(super) struct Echo {
    stream: TcpStream,
    answer: [u8; ANSWER],
}

/// How long question and answer are: as those by gRPC.
const QUESTION: usize = 61;
const ANSWER: usize = 171;

impl Echo {
    pub(super) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: [0; ANSWER] })
    }

    /// Answers all who connect, upon a thread of its own, until this process ends.
    pub(super) fn serve() -> Result<SocketAddr> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || runtime.block_on(answer_all(listener)));
        Ok(address)
    }
}

async fn answer_all(listener: std::net::TcpListener) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // It ends with the one who asks.
        drop(tokio::spawn(echo(stream)));
    }
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut question = [0; QUESTION];
    loop {
        stream.read_exact(&mut question).await?;
        stream.write_all(&[0; ANSWER]).await?;
    }
}

impl Ask for Echo {
    async fn ask(&mut self, _: &str) -> Result<()> {
        self.stream.write_all(&[0; QUESTION]).await?;
        self.stream.read_exact(&mut self.answer).await?;
        Ok(())
    }
}

/// Waits until somebody listens there.
pub(super) async fn is_served(address: &str, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    while TcpStream::connect(address).await.is_err() {
        ensure!(Instant::now() < deadline, "nobody listens on {address}");
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
