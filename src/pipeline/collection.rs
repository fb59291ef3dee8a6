//! Tells what stands in a collection of the consumer's own, and every change of it, as a feed.
//!
//! What stood there when it was first asked for is told as of one moment, in the order of `_id`; then the changes since that
//! moment. So nothing is left out between the two, and nothing told twice. Positions say all that is needed to go on: what
//! is open here only saves opening it again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bson::{Document, Timestamp};

use crate::clock::Stopwatch;
use crate::fetch::{Feed, FeedError};
use crate::replication::{Class, CollectionSpec, Page, Position, whole};
use crate::store::{CollectionStore, Moment, Since, StoreError, Tail};

/// How many documents are told together at most.
const PAGE: usize = 1_000;
/// How long a change is waited for.
const WAIT: Duration = Duration::from_secs(1);
/// How long it is looked whether there is more of a transaction.
const NO_TIME: Duration = Duration::from_millis(1);
/// How old a position becomes at most that nothing has come after: the log must still have it when somebody goes on from there.
const NOTED_EVERY: Duration = Duration::from_secs(10);

/// A collection as a feed, for one reader.
pub struct CollectionFeed {
    of: CollectionSpec,
    store: Arc<dyn CollectionStore>,
    with_before: bool,
    reader: CollectionReader,
    open: Mutex<Option<Open>>,
}

/// Who is told, which decides what is made of changes that cannot be told any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectionReader {
    /// Goes by versions: all that stands there may be told anew.
    ByVersion,
    /// Counts on being told each change once.
    Once,
}

/// A stream of changes that is open, and where it stands.
struct Open {
    tail: Box<dyn Tail>,
    /// The position that its reader was told last.
    told: String,
    /// Changes that he was not told yet.
    held: VecDeque<Document>,
    /// How long he has had that position; none, before the first.
    since: Option<Stopwatch>,
}

impl CollectionFeed {
    /// Prepares to follow a collection; with documents as they were before each change, if somebody reads that.
    pub fn new(
        of: &CollectionSpec,
        store: Arc<dyn CollectionStore>,
        with_before: bool,
        reader: CollectionReader,
    ) -> Self {
        Self { of: of.clone(), store, with_before, reader, open: Mutex::default() }
    }

    /// What stood there at a moment, after one of its documents.
    async fn scan(&self, at: Timestamp, after: Option<bson::Bson>) -> Result<Page, FeedError> {
        let (name, last) = (&self.of.name, after.as_ref());
        let standing =
            self.store.standing(name, Some(Moment(at)), last, PAGE).await.map_err(|error| trouble(&error))?;
        let documents = match (standing, self.reader) {
            (Some(documents), _) => documents,
            // Whatever has changed since that moment is told again, with a higher version.
            (None, CollectionReader::ByVersion) => self
                .store
                .standing(name, None, last, PAGE)
                .await
                .map_err(|error| trouble(&error))?
                .unwrap_or_default(),
            // It is begun with another moment.
            (None, CollectionReader::Once) if after.is_none() => return Err(disturbed(name)),
            (None, CollectionReader::Once) => return Err(FeedError::Lost(too_slow(name))),
        };
        let last = documents.last().and_then(|document| document.get("_id")).cloned();
        let next = last.map_or(Position::Since(at), |last| Position::Scan(at, last));
        let items = documents.iter().filter_map(|document| self.of.found(document, at)).collect();
        Ok(Page { items, next: next.to_string() })
    }

    /// The changes after a position, once there are any, or for a while there are none.
    async fn follow(&self, after: &str, since: &Since) -> Result<Page, FeedError> {
        let kept = self.open().take().filter(|open| open.told == after);
        let mut open = match kept {
            Some(open) => open,
            None => {
                let tail = self
                    .store
                    .tail(&self.of.name, since, self.with_before)
                    .await
                    .map_err(|error| trouble(&error))?;
                Open { tail, told: after.to_owned(), held: VecDeque::new(), since: None }
            }
        };
        let page = open.page(&self.of).await.map_err(|error| trouble(&error))?;
        *self.open() = Some(open);
        Ok(page)
    }

    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn go_on(&self, after: &str) -> Result<Page, FeedError> {
        match Position::parse(after).map_err(|error| FeedError::Lost(error.detail))? {
            Position::First => {
                let Moment(at) = self.store.moment().await.map_err(|error| trouble(&error))?;
                self.scan(at, None).await
            }
            Position::Scan(at, last) => self.scan(at, Some(last)).await,
            Position::Since(at) => self.follow(after, &Since::Moment(Moment(at))).await,
            Position::Token(token) => self.follow(after, &Since::Token(token)).await,
        }
    }

    /// What cannot be told any more is made good, where that is possible, by telling anew what stands there now.
    fn begin_anew(&self, why: &str) -> Page {
        tracing::warn!(
            event = "collection.anew",
            collection = self.of.name,
            "{why}; all that stands there now is read anew. Nobody tells of what was deleted meanwhile: such records stay"
        );
        Page { items: Vec::new(), next: Position::FIRST.to_owned() }
    }
}

#[async_trait]
impl Feed for CollectionFeed {
    async fn page(&self, after: &str) -> Result<Page, FeedError> {
        match self.go_on(after).await {
            Err(FeedError::Lost(why)) if self.reader == CollectionReader::ByVersion => {
                Ok(self.begin_anew(&why))
            }
            Err(FeedError::Lost(why)) => Err(FeedError::Lost(format!(
                "{why}; nothing more is folded. To go on, declare the read model under another name: it begins with all that \
                 stands there"
            ))),
            told => told,
        }
    }
}

impl Open {
    async fn page(&mut self, of: &CollectionSpec) -> Result<Page, StoreError> {
        let mut wait = if self.held.is_empty() { WAIT } else { NO_TIME };
        loop {
            let came = match self.tail.next(wait).await {
                // What came before the end is told first.
                Err(StoreError::Untold { .. }) if !self.held.is_empty() => Vec::new(),
                came => came?,
            };
            let is_end = came.is_empty();
            self.held.extend(came);
            let held = self.held.make_contiguous();
            let most = if is_end { held.len() } else { whole(held) };
            if most > 0 {
                return Ok(self.tell(most, of));
            }
            if is_end {
                return Ok(self.tell_nothing());
            }
            wait = NO_TIME;
        }
    }

    fn tell(&mut self, most: usize, of: &CollectionSpec) -> Page {
        let changes: Vec<Document> = self.held.drain(..most).collect();
        let last = changes.last().and_then(|change| change.get_document("_id").ok());
        let token = if self.held.is_empty() { self.tail.token().or(last) } else { last }.cloned();
        self.stand_at(token);
        Page { items: of.changed(&changes), next: self.told.clone() }
    }

    /// Moves on only now and then, since a position is stored each time.
    fn tell_nothing(&mut self) -> Page {
        let token = self.tail.token().cloned();
        if self.since.as_ref().is_none_or(|since| since.elapsed() > NOTED_EVERY) {
            self.stand_at(token);
        }
        Page { items: Vec::new(), next: self.told.clone() }
    }

    fn stand_at(&mut self, token: Option<Document>) {
        if let Some(token) = token {
            self.told = Position::Token(token).to_string();
        }
        self.since = Some(Stopwatch::start());
    }
}

fn disturbed(collection: &str) -> FeedError {
    let detail =
        format!("`{collection}`, or an index of it, was changed in the moment in which it was to be read");
    FeedError::Database { class: Class::Transient, detail }
}

fn too_slow(collection: &str) -> String {
    format!(
        "the database does not keep any more what stood in `{collection}` when it was first read, and it was not read to \
         its end: it takes longer than `minSnapshotHistoryWindowInSeconds`, or an index was made meanwhile"
    )
}

fn trouble(error: &StoreError) -> FeedError {
    let (class, detail) = (error.class(), error.to_string());
    match error {
        StoreError::Untold { .. } => FeedError::Lost(detail),
        StoreError::Unavailable { .. }
        | StoreError::Refused { .. }
        | StoreError::Unsuitable { .. }
        | StoreError::Conflict { .. }
        | StoreError::HistoryLost { .. } => FeedError::Database { class, detail },
    }
}
