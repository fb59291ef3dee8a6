//! One who asks by gRPC, without what a client of many servers needs: that would cost more than answering does, and the
//! processors are shared. It writes the frames of HTTP/2 as RFC 9113 has them, one question at a time.

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ask::Ask;
use crate::manifest::USERS;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What stands before each frame: how long it is, what it is, its flags, and of which stream.
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
/// Nothing more comes in this stream; of settings and pings, that it is the answer to one.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// How much may be answered without our saying each time that there is room for more: all that a connection is asked for.
const ROOM: u32 = 1 << 30;
/// The headers of a question once the server knows them: `POST`, `http`, and what the first question has put into its table.
const KNOWN: [u8; 6] = [0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe];

/// A connection by gRPC that is kept.
pub(super) struct Grpc {
    stream: TcpStream,
    /// What has come and is not read yet.
    came: BytesMut,
    /// What is to be sent.
    said: BytesMut,
    headers: Vec<u8>,
    /// The stream of the next question.
    next: u32,
}

#[derive(Clone, PartialEq, Message)]
struct GetRequest {
    #[prost(string, tag = "1")]
    replica: String,
    #[prost(string, tag = "2")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Entity {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bytes = "vec", tag = "2")]
    fields: Vec<u8>,
}

/// A frame that came.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    body: Bytes,
}

impl Grpc {
    pub(super) async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let headers = headers(address)?;
        let mut asker = Self { stream, came: BytesMut::new(), said: BytesMut::new(), headers, next: 1 };
        asker.said.put_slice(PREFACE);
        asker.say(SETTINGS, 0, 0, &[])?;
        asker.say(WINDOW_UPDATE, 0, 0, &ROOM.to_be_bytes())?;
        Ok(asker)
    }

    fn say(&mut self, kind: u8, flags: u8, stream: u32, body: &[u8]) -> Result<()> {
        self.said.put_uint(u64::try_from(body.len())?, 3);
        self.said.put_u8(kind);
        self.said.put_u8(flags);
        self.said.put_u32(stream);
        self.said.put_slice(body);
        Ok(())
    }

    async fn send(&mut self) -> Result<()> {
        self.stream.write_all(&self.said).await?;
        self.said.clear();
        Ok(())
    }

    /// The next frame that came.
    async fn hear(&mut self) -> Result<Frame> {
        loop {
            let length = self.came.get(..3).map_or(0, |mut length| length.get_uint(3));
            let whole = HEAD + usize::try_from(length)?;
            if self.came.len() >= whole {
                let mut frame = self.came.split_to(whole).freeze();
                frame.advance(3);
                let (kind, flags, stream) = (frame.get_u8(), frame.get_u8(), frame.get_u32());
                return Ok(Frame { kind, flags, stream, body: frame });
            }
            ensure!(self.stream.read_buf(&mut self.came).await? > 0, "the connection has ended");
        }
    }
}

impl Ask for Grpc {
    async fn ask(&mut self, id: &str) -> Result<()> {
        let (asked, headers) = (self.next, std::mem::replace(&mut self.headers, KNOWN.to_vec()));
        self.next += 2;
        self.say(HEADERS, END_HEADERS, asked, &headers)?;
        let question = framed(&GetRequest { replica: USERS.into(), id: id.into() })?;
        self.say(DATA, END_STREAM, asked, &question)?;
        self.send().await?;
        let mut message = BytesMut::new();
        loop {
            let Frame { kind, flags, stream, body } = self.hear().await?;
            match kind {
                DATA if stream == asked => message.put(body),
                HEADERS if stream == asked && flags & END_STREAM != 0 => break,
                HEADERS | WINDOW_UPDATE => {}
                SETTINGS | PING if flags & ACK != 0 => {}
                SETTINGS => self.say(SETTINGS, ACK, 0, &[])?,
                PING => self.say(PING, ACK, 0, &body)?,
                other => bail!("a frame of kind {other} instead of an answer"),
            }
        }
        // What is refused has a status alone, and no message.
        let entity = Entity::decode(message.get(5..).context("an answer without a message")?)?;
        ensure!(entity.id == id && !entity.fields.is_empty(), "{entity:?}");
        Ok(())
    }
}

/// The headers of the first question, which the server is told to remember: literals with indexing, as RFC 7541 has them.
/// It has them in its table after that, the last one first.
fn headers(authority: &str) -> Result<Vec<u8>> {
    let mut block = KNOWN[..2].to_vec();
    let mut add = |name: &[u8], value: &str| -> Result<()> {
        block.extend_from_slice(name);
        block.push(u8::try_from(value.len()).ok().filter(|length| *length < 127).context("too long")?);
        block.extend_from_slice(value.as_bytes());
        Ok(())
    };
    add(&[0x44], "/nearcopy.v1.Replicas/Get")?;
    add(&[0x41], authority)?;
    add(&[0x5f], "application/grpc")?;
    add(b"\x40\x02te", "trailers")?;
    Ok(block)
}

/// A message as gRPC sends it: whether it is compressed, how long it is, and what it says.
fn framed(message: &impl Message) -> Result<Bytes> {
    let mut framed = BytesMut::with_capacity(5 + message.encoded_len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.encoded_len())?);
    message.encode(&mut framed)?;
    Ok(framed.freeze())
}
