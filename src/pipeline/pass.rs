//! One walk through all documents that show a record, and where it is taken up again.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, doc};

use crate::clock::Stopwatch;
use crate::replication::Embed;
use crate::store::{Pages, StoreError};

/// How often it is written down how far a walk has come.
const NOTED_EVERY: Duration = Duration::from_secs(1);

/// A walk for each embed in turn, the last one first.
pub struct Pass {
    /// The revision it began with. The record is shown everywhere once a whole pass ran under one.
    pub rev: i64,
    /// The walk under way.
    pub walk: Option<Walk>,
    /// The generation of the declaration, which says what is shown where.
    shape: i32,
    left: Vec<Arc<Embed>>,
    /// Beyond which document the next walk begins.
    after: Option<Bson>,
}

/// A walk through the documents of one embed.
pub struct Walk {
    /// Which one.
    pub embed: Arc<Embed>,
    /// What is left of it.
    pub pages: Box<dyn Pages>,
    /// The next pages, as far as they are taken already.
    pub ready: Vec<Vec<Bson>>,
    /// Whether it goes in the order of ids, and so can be taken up again.
    pub in_order: bool,
    noted: Stopwatch,
}

impl Pass {
    /// A pass from the beginning; or, where this is the position of one under the same revision, from there on.
    pub fn new(rev: i64, shape: i32, mut embeds: Vec<Arc<Embed>>, position: Option<&Document>) -> Self {
        let reached = position.and_then(|position| {
            let same = position.get_i64("rev").ok()? == rev && position.get_i32("s").ok()? == shape;
            let name = position.get_str("embed").ok().filter(|_| same)?;
            let at = embeds.iter().position(|embed| embed.name == name)?;
            Some((at, position.get("after")?.clone()))
        });
        let after = reached.map(|(at, after)| {
            embeds.truncate(at + 1);
            after
        });
        Self { rev, walk: None, shape, left: embeds, after }
    }

    /// What is to be walked through next, and from where.
    pub fn next(&mut self) -> Option<(Arc<Embed>, Option<Bson>)> {
        Some((self.left.pop()?, self.after.take()))
    }

    /// What is to be written down once all documents up to this one show the record; nothing, if that was done a
    /// moment ago, or would be of no use.
    pub fn position(&mut self, last: &Bson) -> Option<Document> {
        let walk = self.walk.as_mut().filter(|walk| walk.in_order && walk.noted.elapsed() > NOTED_EVERY)?;
        walk.noted = Stopwatch::start();
        Some(doc! { "rev": self.rev, "s": self.shape, "embed": &walk.embed.name, "after": last.clone() })
    }
}

impl Walk {
    /// Begins it.
    pub fn new(embed: Arc<Embed>, pages: Box<dyn Pages>, in_order: bool) -> Self {
        Self { embed, pages, ready: Vec::new(), in_order, noted: Stopwatch::start() }
    }

    /// The pages that are next, as far as there are any left.
    pub async fn take(&mut self, size: usize, most: usize) -> Result<Vec<Vec<Bson>>, StoreError> {
        match std::mem::take(&mut self.ready) {
            ready if ready.is_empty() => take(self.pages.as_mut(), size, most).await,
            ready => Ok(ready),
        }
    }
}

/// Takes so many pages, as far as there are any left.
pub async fn take(pages: &mut dyn Pages, size: usize, most: usize) -> Result<Vec<Vec<Bson>>, StoreError> {
    let mut taken = Vec::new();
    while taken.len() < most {
        let page = pages.next(size).await?;
        if page.is_empty() {
            break;
        }
        taken.push(page);
    }
    Ok(taken)
}
