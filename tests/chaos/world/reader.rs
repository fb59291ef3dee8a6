//! Somebody who reads all the time, and notices whatever goes back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use mongodb::options::ReadConcern;
use mongodb::{ClientSession, Database};
use tokio::time::sleep;

use super::owner::{Owner, User};
use super::shop::{ANCHORS, PRODUCTS, anchor, anchor_user, connect};

/// How often it looks.
const EVERY: Duration = Duration::from_millis(50);

/// What it has seen so far of one thing: its revision, its version, and of which version it was deleted.
#[derive(Clone, Copy, Default)]
struct Seen {
    rev: i64,
    version: i64,
    deleted: Option<i64>,
}

/// What it has noticed.
#[derive(Clone, Default)]
pub(crate) struct Noticed {
    /// How many records and embeds it has looked at.
    pub(crate) looks: u64,
    /// What went back.
    pub(crate) regressed: Vec<String>,
    /// What came back to life without a higher version.
    pub(crate) resurrected: Vec<String>,
    /// What showed something its owner never was at that version.
    pub(crate) torn: Vec<String>,
}

/// Reads what stays referred to, by majority, each read after the one before.
pub(crate) struct Reader {
    owner: Arc<Owner>,
    seen: BTreeMap<String, Seen>,
    noticed: Arc<Mutex<Noticed>>,
}

impl Reader {
    /// Reads for as long as the program runs.
    pub(crate) async fn start(url: &str, owner: Arc<Owner>) -> Result<Arc<Mutex<Noticed>>> {
        let database = connect(url).await?;
        let noticed = Arc::new(Mutex::new(Noticed::default()));
        let mut reader = Self { owner, seen: BTreeMap::new(), noticed: noticed.clone() };
        let mut session = database.client().start_session().causal_consistency(true).await?;
        tokio::spawn(async move {
            loop {
                // What fails says nothing: there may be no primary.
                let _failed = reader.look(&database, &mut session).await;
                sleep(EVERY).await;
            }
        });
        Ok(noticed)
    }

    async fn look(&mut self, database: &Database, session: &mut ClientSession) -> Result<()> {
        let users: Vec<String> = (0..ANCHORS).map(anchor_user).collect();
        for record in find(database, "users", users, session).await? {
            self.look_at_record(&record);
        }
        let products: Vec<String> = (0..ANCHORS).map(anchor).collect();
        for product in find(database, PRODUCTS, products, session).await? {
            self.look_at_embeds(&product);
        }
        Ok(())
    }

    fn look_at_record(&mut self, record: &Document) {
        let Ok(id) = record.get_str("_id") else { return };
        let Ok(meta) = record.get_document("_nearcopy") else { return };
        let (state, why) =
            (meta.get_str("state").unwrap_or_default(), meta.get_str("why").unwrap_or_default());
        let version = meta.get_document("key").ok().and_then(|key| key.get_i64("v").ok());
        let rev = meta.get_i64("rev").unwrap_or_default();
        self.compare(
            &format!("record {id}"),
            rev,
            version,
            (state == "live").then_some(()),
            why == "deleted",
        );
        if let (Some(version), "live") = (version, state) {
            let shows = |user: &User| {
                record.get_str("username").ok() == Some(&user.name)
                    && record.get_str("city").ok() == Some(&user.city)
            };
            self.check_content(id, version, "record", shows);
        }
    }

    fn look_at_embeds(&mut self, product: &Document) {
        let contributor =
            product.get_array("contributors").ok().and_then(|all| all.first()?.as_document().cloned());
        let embeds = [
            (product, "userId", "product-user"),
            (&contributor.unwrap_or_default(), "userId", "contributor"),
        ];
        for (holder, reference, embed) in embeds {
            let Ok(id) = holder.get_str(reference) else { continue };
            let stamp = holder.get_document("_nearcopy").and_then(|all| all.get_document(embed));
            let Ok(stamp) = stamp else { continue };
            let version = stamp.get("version").and_then(Bson::as_i64);
            let rev = stamp.get_i64("rev").unwrap_or_default();
            self.compare(&format!("{embed} of {id}"), rev, version, None, false);
            let shown = holder.get_document("user").and_then(|user| user.get_str("username"));
            if let (Ok(shown), Some(version)) = (shown, version)
                && self.owner.at(id, version).is_none_or(|change| change.user.is_some())
                && !(embed == "contributor" && self.is_left(id, shown))
            {
                self.check_content(id, version, embed, |user| user.name == shown);
            }
        }
    }

    /// Whether this is what was shown of somebody before he was deleted. An embed that keeps it keeps what it showed last,
    /// which may be older than what the owner said last before that; a deletion that only the owner's answer told of
    /// has the version of that.
    fn is_left(&self, id: &str, shown: &str) -> bool {
        let version = shown.split(' ').nth(1).and_then(|version| version.parse().ok());
        version.is_some_and(|version| {
            let said = self.owner.at(id, version).and_then(|change| change.user);
            said.is_some_and(|user| user.name == shown) && self.owner.deletes_after(id, version)
        })
    }

    fn compare(&mut self, what: &str, rev: i64, version: Option<i64>, lives: Option<()>, is_deleted: bool) {
        let seen = self.seen.entry(what.to_owned()).or_default();
        let version = version.unwrap_or_default();
        let mut noticed = self.noticed.lock().unwrap_or_else(PoisonError::into_inner);
        noticed.looks += 1;
        if rev < seen.rev || version < seen.version {
            let (before, now) = ((seen.rev, seen.version), (rev, version));
            noticed.regressed.push(format!("{what} went from (rev, version) {before:?} to {now:?}"));
        }
        if lives.is_some() && seen.deleted.is_some_and(|deleted| version <= deleted) {
            noticed
                .resurrected
                .push(format!("{what} was deleted at {:?} and lives at {version}", seen.deleted));
        }
        let deleted = if is_deleted { Some(version) } else { seen.deleted };
        *seen = Seen { rev: seen.rev.max(rev), version: seen.version.max(version), deleted };
    }

    fn check_content(&self, id: &str, version: i64, what: &str, shows: impl Fn(&User) -> bool) {
        let said = self.owner.at(id, version).and_then(|change| change.user);
        if said.as_ref().is_none_or(|user| !shows(user)) {
            let mut noticed = self.noticed.lock().unwrap_or_else(PoisonError::into_inner);
            noticed
                .torn
                .push(format!("{what} of {id} shows at version {version} what was never so: {said:?}"));
        }
    }
}

async fn find(
    database: &Database,
    collection: &str,
    ids: Vec<String>,
    session: &mut ClientSession,
) -> Result<Vec<Document>> {
    let collection = database.collection::<Document>(collection);
    let finding = collection.find(doc! { "_id": { "$in": ids } }).read_concern(ReadConcern::majority());
    let mut cursor = finding.session(&mut *session).await?;
    Ok(cursor.stream(session).try_collect().await?)
}
