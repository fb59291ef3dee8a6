//! As much of AMQP 0-9-1 as it takes to read from one queue: frames are read in place, and nothing is copied twice.

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::batch::Batch;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const FRAME_END: u8 = 0xCE;
const DELIVER: (u16, u16) = (60, 60);
/// What a frame is besides its payload.
const AROUND: usize = 8;
/// How much is read from the socket at once.
const READ: usize = 256 * 1024;

/// A connection with one channel that reads from one queue.
pub(super) struct Amqp {
    stream: TcpStream,
    buffer: BytesMut,
    /// The delivery that is under way: its tag, how long its body is, and what there is of it if it comes in parts.
    tag: u64,
    length: usize,
    parts: Vec<u8>,
}

impl Amqp {
    /// Connects to `amqp://user:password@host:port/vhost` and begins to consume.
    pub(super) async fn open(url: &str, queue: &str, prefetch: u16) -> Result<Self> {
        let url = reqwest::Url::parse(url)?;
        let host = url.host_str().context("no host")?;
        let stream = TcpStream::connect((host, url.port().unwrap_or(5672))).await?;
        stream.set_nodelay(true)?;
        let mut amqp =
            Self { stream, buffer: BytesMut::with_capacity(READ), tag: 0, length: 0, parts: Vec::new() };
        amqp.shake_hands(&url).await?;
        amqp.consume(queue, prefetch).await?;
        Ok(amqp)
    }

    async fn shake_hands(&mut self, url: &reqwest::Url) -> Result<()> {
        self.stream.write_all(b"AMQP\0\0\x09\x01").await?;
        self.expect((10, 10)).await?;
        let who = format!("\0{}\0{}", url.username(), url.password().unwrap_or_default());
        let mut start = table();
        start.extend(short("PLAIN"));
        start.extend(long(who.as_bytes()));
        start.extend(short("en_US"));
        self.call(0, (10, 11), &start).await?;
        // What the broker proposes is taken, but without heartbeats.
        let mut tune = self.expect((10, 30)).await?;
        let heartbeat = tune.len().checked_sub(2).context("a short tune")?;
        tune[heartbeat..].fill(0);
        self.call(0, (10, 31), &tune).await?;
        let mut open = short(url.path().trim_start_matches('/'));
        open.extend([0, 0]);
        self.call(0, (10, 40), &open).await?;
        self.expect((10, 41)).await?;
        self.call(1, (20, 10), &[0]).await?;
        self.expect((20, 11)).await?;
        Ok(())
    }

    async fn consume(&mut self, queue: &str, prefetch: u16) -> Result<()> {
        let mut bound = vec![0; 4];
        bound.extend(prefetch.to_be_bytes());
        bound.push(0);
        self.call(1, (60, 10), &bound).await?;
        self.expect((60, 11)).await?;
        let mut consume = vec![0, 0];
        consume.extend(short(queue));
        consume.extend(short("raw"));
        consume.push(0);
        consume.extend(table());
        self.call(1, (60, 20), &consume).await?;
        self.expect((60, 21)).await?;
        Ok(())
    }

    /// Waits for events, and takes those that are there, as far as they fit. Nothing is lost if nobody waits to the end.
    pub(super) async fn fill(&mut self, batch: &mut Batch) -> Result<()> {
        if !self.take_all(batch)? {
            self.read().await?;
            self.take_all(batch)?;
        }
        Ok(())
    }

    /// Acknowledges all up to this one.
    pub(super) async fn acknowledge(&mut self, tag: u64) -> Result<()> {
        let mut ack = tag.to_be_bytes().to_vec();
        ack.push(1);
        self.call(1, (60, 80), &ack).await
    }

    /// Takes the frames that are there in full, as far as their events fit; whether there was any.
    fn take_all(&mut self, batch: &mut Batch) -> Result<bool> {
        let mut any = false;
        while !batch.is_full() {
            let Some((kind, size)) = self.frame()? else { break };
            let payload = &self.buffer[AROUND - 1..AROUND - 1 + size];
            match kind {
                METHOD if method(payload) == DELIVER => {
                    let name = usize::from(payload[4]);
                    self.tag = (&payload[5 + name..]).get_u64();
                }
                METHOD => bail!("the broker says {:?} instead of delivering", method(payload)),
                HEADER => self.length = usize::try_from((&payload[4..]).get_u64())?,
                BODY if size == self.length => batch.push(self.tag, payload)?,
                BODY => {
                    self.parts.extend(payload);
                    if self.parts.len() == self.length {
                        batch.push(self.tag, &self.parts)?;
                        self.parts.clear();
                    }
                }
                _ => {}
            }
            self.buffer.advance(AROUND + size);
            any = true;
        }
        Ok(any)
    }

    /// The kind and size of the frame that the buffer begins with, if it is there in full.
    fn frame(&self) -> Result<Option<(u8, usize)>> {
        if self.buffer.len() < AROUND {
            return Ok(None);
        }
        let size = usize::try_from((&self.buffer[3..]).get_u32())?;
        if self.buffer.len() < AROUND + size {
            return Ok(None);
        }
        ensure!(self.buffer[AROUND - 1 + size] == FRAME_END, "a frame without its end");
        Ok(Some((self.buffer[0], size)))
    }

    async fn read(&mut self) -> Result<()> {
        self.buffer.reserve(READ);
        ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the broker has hung up");
        Ok(())
    }

    /// Waits for a method, and gives its arguments.
    async fn expect(&mut self, wanted: (u16, u16)) -> Result<Vec<u8>> {
        loop {
            if let Some((_, size)) = self.frame()? {
                let payload = self.buffer[AROUND - 1..AROUND - 1 + size].to_vec();
                self.buffer.advance(AROUND + size);
                let told = method(&payload);
                ensure!(told == wanted, "the broker says {told:?}, not {wanted:?}");
                return Ok(payload[4..].to_vec());
            }
            self.read().await?;
        }
    }

    async fn call(&mut self, channel: u16, (class, method): (u16, u16), arguments: &[u8]) -> Result<()> {
        let mut frame = vec![METHOD];
        frame.extend(channel.to_be_bytes());
        frame.extend(u32::try_from(arguments.len() + 4)?.to_be_bytes());
        frame.extend(class.to_be_bytes());
        frame.extend(method.to_be_bytes());
        frame.extend(arguments);
        frame.push(FRAME_END);
        Ok(self.stream.write_all(&frame).await?)
    }
}

/// The class and the number of a method.
fn method(payload: &[u8]) -> (u16, u16) {
    let mut payload = payload;
    (payload.get_u16(), payload.get_u16())
}

/// An empty table.
fn table() -> Vec<u8> {
    vec![0; 4]
}

fn short(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap_or(u8::MAX)];
    bytes.extend(text.as_bytes());
    bytes
}

fn long(text: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    bytes.extend(text);
    bytes
}
