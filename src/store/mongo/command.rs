//! Runs commands: explicit concerns, a deadline, and errors told apart.

use std::time::Duration;

use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::Database;
use mongodb::error::{Error, ErrorKind};

use super::writer::Writer;
use super::{Mongo, Topology};
use crate::store::{Moment, Refusal, StoreError, Written};

/// How long a command may take before its outcome counts as unknown.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How long the server waits for the majority.
const MAJORITY_WAIT_MS: i32 = 10_000;
/// How many bytes of statements go into one command: below the 16 MB that the server accepts, concern and all.
const LARGEST_COMMAND: usize = (16 << 20) - (16 << 10);
/// The server's code for a document that is too large.
const TOO_LARGE: i32 = 10_334;
/// What stands beside a statement in a command: its type and its place.
const BESIDE_A_STATEMENT: usize = 8;
/// Room for all else that a command of statements says.
const AROUND_STATEMENTS: usize = 256;
/// How many statements go into one command.
const MOST_STATEMENTS: usize = 1_000;
/// Two pods inserted the same `_id` at once; the write goes round again.
const DUPLICATE_KEY: i32 = 11_000;
/// Codes of requests that are not allowed to us, or not possible on this server.
const UNSUITABLE: [i32; 6] = [13, 18, 20, 26, 263, 8000];
/// Codes of trouble that passes: elections, shutdowns, conflicts, time limits, lost cursors, killed operations; no room
/// on the disk or in the cache, and writes that somebody has blocked, which are no fault of what is to be written.
const PASSING: [i32; 30] = [
    6, 7, 24, 43, 50, 64, 89, 91, 112, 133, 134, 175, 189, 202, 237, 251, 262, 365, 371, 388, 9001, 10_058,
    10_107, 11_600, 11_601, 11_602, 13_388, 13_435, 13_436, 14_031,
];
/// The change stream's position is no longer in the log, or never was.
const HISTORY_LOST: [i32; 3] = [286, 280, 260];

impl Mongo {
    /// Runs a command. The driver's futures must not be dropped half-way, so it runs on a task of its own and
    /// only the waiting for it ends at the deadline.
    pub(super) async fn run(&self, action: &str, command: Document) -> Result<Document, StoreError> {
        run_on(self.database.clone(), action, command).await
    }

    /// Runs a `find` or `aggregate` and takes all that it finds.
    pub(super) async fn fetch_all(
        &self,
        action: &str,
        command: Document,
    ) -> Result<Vec<Document>, StoreError> {
        self.fetch_all_within(PATIENCE, action, command).await
    }

    /// The same for what may take long.
    pub(super) async fn fetch_all_within(
        &self,
        patience: Duration,
        action: &str,
        command: Document,
    ) -> Result<Vec<Document>, StoreError> {
        self.fetch_raw(patience, action, command, |raw| raw.try_into().map(Some)).await
    }

    /// The same, each read from its bytes in a way of one's own, or left out.
    ///
    /// What is found is read raw: the driver's own way takes an object such as `{"$date": …}` for a date written in
    /// JSON, makes one of it, or finds it broken and with it the whole answer.
    pub(super) async fn fetch_raw<T>(
        &self,
        patience: Duration,
        action: &str,
        mut command: Document,
        read: impl Fn(&RawDocument) -> Result<Option<T>, bson::error::Error>,
    ) -> Result<Vec<T>, StoreError> {
        if command.contains_key("find") {
            // All in one reply, as far as it has room; else the first has 101, and the rest is asked for.
            command.insert("batchSize", i32::MAX);
        }
        let database = self.database.clone();
        let running = tokio::spawn(async move {
            use futures::TryStreamExt;
            let cursor = database.run_cursor_command(command).await?.with_type::<RawDocumentBuf>();
            cursor.try_collect::<Vec<_>>().await
        });
        let found = finish_within(patience, action, running).await?;
        let found = found.iter().filter_map(|raw| read(raw).transpose()).collect::<Result<_, _>>();
        found.map_err(|error| classify(action, &Error::from(error)))
    }

    /// The same for a command that is encoded already.
    pub(super) async fn run_raw(
        &self,
        action: &str,
        command: RawDocumentBuf,
    ) -> Result<Document, StoreError> {
        let database = self.database.clone();
        let running = tokio::spawn(async move { database.run_raw_command(command).await });
        finish(action, running).await
    }

    /// Runs many guarded statements, in as few commands as the server's limits allow.
    pub(super) async fn update(
        &self,
        collection: &str,
        statements: Vec<Document>,
        ordered: bool,
    ) -> Result<Written, StoreError> {
        let encoded = statements.iter().map(RawDocumentBuf::try_from).collect();
        self.send(collection, encoded, ordered).await.map(|sent| sent.written)
    }

    /// The same for statements that are encoded already, as far as they can be.
    pub(super) async fn send(
        &self,
        collection: &str,
        statements: Vec<Result<RawDocumentBuf, bson::error::Error>>,
        ordered: bool,
    ) -> Result<Sent, StoreError> {
        let action = format!("writing to `{collection}`");
        let mut total = Sent::default();
        total.written.statements = statements.len();
        for chunk in chunks(statements) {
            let (first, updates) = match chunk {
                Chunk::Fitting { first, statements } => (first, statements),
                Chunk::Unsendable(refusal) => {
                    total.written.refused.push(refusal);
                    continue;
                }
            };
            let concern = RawDocumentBuf::try_from(&write_concern()).unwrap_or_default();
            let command = many(("update", collection), ordered, Some(&concern), ("updates", &updates));
            drop(updates);
            let done = sent(&action, &self.run_raw(&action, command).await?)?;
            total.add(done, |at| Some(first + at));
        }
        Ok(total)
    }

    /// A read of what the majority holds, at or after a moment.
    pub(super) fn read_concern(&self, after: Option<Moment>) -> Document {
        match (self.topology, after) {
            (Topology::Standalone, _) => doc! { "level": "local" },
            (Topology::ReplicaSet, None) => doc! { "level": "majority" },
            (Topology::ReplicaSet, Some(Moment(time))) => {
                doc! { "level": "majority", "afterClusterTime": time }
            }
        }
    }
}

/// Runs a command on whichever database.
pub(super) async fn run_on(
    database: Database,
    action: &str,
    command: Document,
) -> Result<Document, StoreError> {
    let running = tokio::spawn(async move { database.run_command(command).await });
    finish(action, running).await
}

/// Majority and journal, with an end to the waiting.
pub(super) fn write_concern() -> Document {
    doc! { "w": "majority", "j": true, "wtimeout": MAJORITY_WAIT_MS }
}

async fn finish<T>(
    action: &str,
    running: tokio::task::JoinHandle<Result<T, Error>>,
) -> Result<T, StoreError> {
    finish_within(PATIENCE, action, running).await
}

async fn finish_within<T>(
    patience: Duration,
    action: &str,
    running: tokio::task::JoinHandle<Result<T, Error>>,
) -> Result<T, StoreError> {
    let unavailable = |detail: String| StoreError::Unavailable { action: action.to_owned(), detail };
    match tokio::time::timeout(patience, running).await {
        Ok(Ok(result)) => result.map_err(|error| classify(action, &error)),
        Ok(Err(_)) => Err(unavailable("the task that asked it was stopped".into())),
        Err(_) => Err(unavailable(format!("no answer within {} s", patience.as_secs()))),
    }
}

/// A command of many statements, in bytes that need not grow: there may be megabytes of them.
pub(super) fn many(
    (command, collection): (&str, &str),
    ordered: bool,
    concern: Option<&RawDocument>,
    (name, statements): (&str, &[RawDocumentBuf]),
) -> RawDocumentBuf {
    let size: usize =
        statements.iter().map(|statement| statement.as_bytes().len() + BESIDE_A_STATEMENT).sum();
    let mut said = Writer::with_room(size + collection.len() + AROUND_STATEMENTS);
    said.text(command, collection);
    said.truth("ordered", ordered);
    if let Some(concern) = concern {
        said.document("writeConcern", concern);
    }
    said.array(name, statements, |all, place, statement| all.document(place, statement));
    said.finish()
}

/// Statements that go to the server together, or one that cannot go at all.
pub(super) enum Chunk {
    Fitting { first: usize, statements: Vec<RawDocumentBuf> },
    Unsendable(Refusal),
}

/// Groups statements so that no command exceeds the server's limit of 16 MB, which counts all of them together.
pub(super) fn chunks(statements: Vec<Result<RawDocumentBuf, bson::error::Error>>) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let (mut first, mut bytes, mut count, mut group) = (0, 0, 0, Vec::new());
    for (at, statement) in statements.into_iter().enumerate() {
        let sendable = sendable(statement);
        let size = sendable.as_ref().map_or(usize::MAX, |encoded| encoded.as_bytes().len());
        if count > 0 && (size > LARGEST_COMMAND - bytes || count == MOST_STATEMENTS) {
            chunks.push(Chunk::Fitting { first, statements: std::mem::take(&mut group) });
            (bytes, count) = (0, 0);
        }
        match sendable {
            Ok(encoded) => {
                first = if count == 0 { at } else { first };
                group.push(encoded);
                (bytes, count) = (bytes + size, count + 1);
            }
            Err(reason) => chunks.push(Chunk::Unsendable(Refusal { index: at, code: TOO_LARGE, reason })),
        }
    }
    if count > 0 {
        chunks.push(Chunk::Fitting { first, statements: group });
    }
    chunks
}

/// A statement as it is sent, or why it cannot be.
fn sendable(statement: Result<RawDocumentBuf, bson::error::Error>) -> Result<RawDocumentBuf, String> {
    match statement {
        Err(_) => Err("the document cannot be encoded".into()),
        Ok(encoded) if encoded.as_bytes().len() > LARGEST_COMMAND => {
            Err("the document would exceed 16 MB".into())
        }
        Ok(encoded) => Ok(encoded),
    }
}

/// What statements did that were sent.
#[derive(Default)]
pub(super) struct Sent {
    /// What they changed.
    pub(super) written: Written,
    /// How many documents there were for them, changed or not.
    pub(super) matched: u64,
}

impl Sent {
    /// Adds what other statements did; `place` says which of ours each of them stands for.
    pub(super) fn add(&mut self, other: Self, place: impl Fn(usize) -> Option<usize>) {
        let Written { changed, moment, refused, idle, .. } = other.written;
        let placed = |refusal: Refusal| Some(Refusal { index: place(refusal.index)?, ..refusal });
        self.written.refused.extend(refused.into_iter().filter_map(placed));
        self.written.changed += changed;
        self.written.idle |= idle;
        self.written.moment = self.written.moment.max(moment);
        self.matched += other.matched;
    }
}

/// Reads the reply to an `update` or `delete` command. A majority that did not confirm is an unknown outcome.
fn sent(action: &str, reply: &Document) -> Result<Sent, StoreError> {
    if let Ok(doubt) = reply.get_document("writeConcernError") {
        let detail = format!("the majority did not confirm ({})", doubt.get_i32("code").unwrap_or_default());
        return Err(StoreError::Unavailable { action: action.to_owned(), detail });
    }
    let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
    let mut refused = Vec::new();
    for error in errors.iter().filter_map(Bson::as_document) {
        let code = error.get_i32("code").unwrap_or_default();
        if code == DUPLICATE_KEY && is_race(error) {
            continue;
        }
        if PASSING.contains(&code) {
            return Err(StoreError::Unavailable {
                action: action.to_owned(),
                detail: format!("code {code}"),
            });
        }
        let index = usize::try_from(error.get_i32("index").unwrap_or_default()).unwrap_or_default();
        refused.push(Refusal { index, code, reason: reason(code, error) });
    }
    let changed = count(reply, "nModified") + upserted(reply);
    let written = Written { changed, moment: moment(reply), refused, statements: 0, idle: changed == 0 };
    Ok(Sent { written, matched: count(reply, "n") })
}

/// A duplicate `_id` means that another pod inserted it at the same moment. Any other unique index is not ours.
fn is_race(error: &Document) -> bool {
    error.get_document("keyPattern").is_ok_and(|pattern| pattern.len() == 1 && pattern.contains_key("_id"))
}

/// The name of an error, without the values that the server's message quotes.
fn reason(code: i32, error: &Document) -> String {
    match code {
        DUPLICATE_KEY => {
            let index = error
                .get_document("keyPattern")
                .map(|keys| keys.keys().cloned().collect::<Vec<_>>().join(", "));
            format!("a unique index on {} is in the way", index.unwrap_or_default())
        }
        121 => "the collection's validator refused the document".into(),
        TOO_LARGE | 17_419 | 17_420 | 5_107_201 => "the document would exceed 16 MB".into(),
        28 => "a parent of the path is no object".into(),
        2 | 16_836 | 40_091 => "the path is of another type than declared".into(),
        _ => format!("the database refused the document (code {code})"),
    }
}

fn upserted(reply: &Document) -> u64 {
    reply.get_array("upserted").map_or(0, |list| list.len() as u64)
}

/// A count in a reply, whichever integer type the server chose.
pub(super) fn count(reply: &Document, name: &str) -> u64 {
    let number = match reply.get(name) {
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        #[expect(clippy::cast_possible_truncation, reason = "counts are whole numbers far below 2^53")]
        Some(Bson::Double(number)) => *number as i64,
        _ => 0,
    };
    u64::try_from(number).unwrap_or_default()
}

/// When what a reply speaks of was durable.
pub(super) fn moment(reply: &Document) -> Option<Moment> {
    reply.get_timestamp("operationTime").ok().map(Moment)
}

/// Tells passing trouble from refusals and from a server that is not as it must be.
pub(super) fn classify(action: &str, error: &Error) -> StoreError {
    let (action, detail) = (action.to_owned(), describe(error));
    match error.kind.as_ref() {
        ErrorKind::Command(command)
            if PASSING.contains(&command.code) || error.contains_label("RetryableWriteError") =>
        {
            StoreError::Unavailable { action, detail }
        }
        ErrorKind::Command(command) if HISTORY_LOST.contains(&command.code) => {
            StoreError::HistoryLost { collection: action }
        }
        ErrorKind::Command(command) if UNSUITABLE.contains(&command.code) => {
            StoreError::Unsuitable { action, detail }
        }
        ErrorKind::Command(command) => StoreError::Refused { action, code: command.code, detail },
        ErrorKind::Authentication { .. }
        | ErrorKind::InvalidTlsConfig { .. }
        | ErrorKind::IncompatibleServer { .. }
        | ErrorKind::InvalidArgument { .. } => StoreError::Unsuitable { action, detail },
        ErrorKind::BsonSerialization(_) | ErrorKind::Bson(_) => {
            StoreError::Refused { action, code: 0, detail }
        }
        _ => StoreError::Unavailable { action, detail },
    }
}

/// Says what went wrong without quoting values: a server's message may contain them, so only its name is used.
pub(super) fn describe(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => format!("{} ({})", command.code_name, command.code),
        ErrorKind::Authentication { .. } => "the credentials were not accepted".into(),
        ErrorKind::ServerSelection { .. } => "no suitable server was found in time".into(),
        ErrorKind::Io(error) => error.kind().to_string(),
        ErrorKind::InvalidArgument { message, .. } => message.clone(),
        ErrorKind::DnsResolve { .. } => "a host name could not be resolved".into(),
        _ => "the connection failed".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// M4: what a full disk, a killed operation or a lost primary refuses is no fault of the document, or every event
    /// would be put aside while a disk is full: all of it is repeated.
    #[test]
    fn what_passes_is_not_held_against_a_document() {
        let reply = |code: i32| doc! { "ok": 1, "n": 0, "nModified": 0, "writeErrors": [{ "index": 0, "code": code }] };
        for code in [14_031, 11_601, 10_107, 91, 365, 371, 388, 112] {
            let outcome = sent("writing", &reply(code)).map(|sent| sent.written);
            assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{code}: {outcome:?}");
        }
        for code in [121, 10_334, 28, 2] {
            assert_eq!(sent("writing", &reply(code)).unwrap().written.refused[0].code, code);
        }
    }
}
