//! A server that says yes to every command of MongoDB's protocol, and remembers nothing.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result};
use bson::{Document, doc};

/// How a message begins: its length, its number, the number that it answers, and its kind.
const HEADER: usize = 16;
/// The kind in which drivers may greet a server that they do not know, and the kind of answer to it.
const OLD_QUESTION: i32 = 2_004;
const OLD_ANSWER: i32 = 1;
const MESSAGE: i32 = 2_013;

/// It lives as long as the program.
pub(super) struct Server {
    pub(super) address: String,
}

impl Server {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A connection ends when its client does.
                std::thread::spawn(move || drop(serve(stream)));
            }
        });
        Ok(Self { address })
    }
}

fn serve(mut stream: TcpStream) -> Result<()> {
    let answer = yes()?;
    loop {
        let mut header = [0; HEADER];
        stream.read_exact(&mut header)?;
        let length = usize::try_from(number(&header, 0)?)?;
        let mut rest = vec![0; length.checked_sub(HEADER).context("a message shorter than its header")?];
        stream.read_exact(&mut rest)?;
        let (kind, before) = match number(&header, 12)? {
            // Flags, a cursor, where it starts, and how many documents follow.
            OLD_QUESTION => (OLD_ANSWER, [vec![8, 0, 0, 0], vec![0; 12], vec![1, 0, 0, 0]].concat()),
            // Flags, and the kind of section.
            _ => (MESSAGE, vec![0; 5]),
        };
        let length = i32::try_from(HEADER + before.len() + answer.len())?;
        let mut told = Vec::new();
        for part in [length, 1, number(&header, 4)?, kind] {
            told.extend(part.to_le_bytes());
        }
        told.extend(&before);
        told.extend(&answer);
        stream.write_all(&told)?;
    }
}

fn number(header: &[u8; HEADER], at: usize) -> Result<i32> {
    Ok(i32::from_le_bytes(header[at..at + 4].try_into()?))
}

/// What fits as an answer to anything: a greeting, and the result of a write that found all that it was for.
fn yes() -> Result<Vec<u8>> {
    let answer: Document = doc! {
        "ok": 1.0,
        "n": 1_000,
        "nModified": 0,
        "isWritablePrimary": true,
        "helloOk": true,
        "minWireVersion": 0,
        "maxWireVersion": 21,
        "maxBsonObjectSize": 16 << 20,
        "maxMessageSizeBytes": 48_000_000,
        "maxWriteBatchSize": 100_000,
        "readOnly": false,
    };
    Ok(answer.to_vec()?)
}
