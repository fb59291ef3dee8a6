//! The oracle: it knows the owner's log and reads the database itself, and shares no rule with nearcopy.

pub(crate) mod leaks;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use mongodb::Database;
use mongodb::options::ReadConcern;

use crate::manifest::Fields;
use crate::world::owner::{Change, Owner, User};
use crate::world::shop::{ORDERS, PRODUCTS};

/// What is not as it must be at rest, each with its kind.
#[derive(Default)]
pub(crate) struct Findings(BTreeMap<&'static str, Vec<String>>);

impl Findings {
    pub(crate) fn add(&mut self, kind: &'static str, what: String) {
        self.0.entry(kind).or_default().push(what);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn count(&self, kind: &str) -> usize {
        self.0.get(kind).map_or(0, Vec::len)
    }

    /// Some of each kind, to begin a search with.
    pub(crate) fn examples(&self) -> Vec<String> {
        let some = |(kind, all): (&&str, &Vec<String>)| {
            all.iter().take(5).map(|one| format!("{kind} ({} in all): {one}", all.len())).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(some).collect()
    }
}

/// Compares everything that is held with everything that is true, where these fields are declared. It is exact only at rest.
pub(crate) async fn judge(database: &Database, owner: &Owner, fields: Fields) -> Result<Findings> {
    let mut findings = Findings::default();
    let records = all(database, "users").await?;
    let records: BTreeMap<String, Document> = records
        .into_iter()
        .filter_map(|record| Some((record.get_str("_id").ok()?.to_owned(), record)))
        .collect();
    let mut wanted = BTreeSet::new();
    for product in all(database, PRODUCTS).await? {
        judge_product(&product, owner, fields, &mut wanted, &mut findings);
    }
    for order in all(database, ORDERS).await? {
        judge_order(&order, owner, &mut wanted, &mut findings);
    }
    for id in &wanted {
        match records.get(id) {
            Some(record) => judge_record(id, record, owner.last(id).as_ref(), fields, &mut findings),
            None => findings.add("lost", format!("record {id} is referred to and not there")),
        }
    }
    for id in records.keys().filter(|id| !wanted.contains(*id)) {
        findings.add("kept", format!("record {id} is there and nobody refers to it"));
    }
    for parked in all(database, "nearcopy.parked").await? {
        if parked.get("entity").is_some_and(|entity| *entity != Bson::Null) {
            findings.add("parked", format!("event {:?} was not made good", parked.get("event")));
        }
    }
    Ok(findings)
}

/// I1, I2, I4 and I6 for one record: it is what the owner says, and owes nothing.
fn judge_record(id: &str, record: &Document, last: Option<&Change>, fields: Fields, findings: &mut Findings) {
    let meta = record.get_document("_nearcopy").cloned().unwrap_or_default();
    let state = meta.get_str("state").unwrap_or_default();
    let version = meta.get_document("key").ok().and_then(|key| key.get_i64("v").ok());
    if state == "pending" || meta.get_bool("owes").unwrap_or_default() || meta.contains_key("need") {
        findings.add("unfinished", format!("record {id}: {meta}"));
        return;
    }
    match last.map(|last| (last.version, last.user.as_ref())) {
        None | Some((_, None)) if state == "gone" => {}
        None | Some((_, None)) => findings.add("resurrected", format!("record {id} lives: {meta}")),
        Some((is, Some(_))) if state == "gone" || version.is_none_or(|version| version < is) => {
            findings.add(
                "lost",
                format!("record {id} is {state} at {version:?}, the owner's is at {is}: {meta}"),
            );
        }
        Some((is, Some(user))) => {
            let mut expected = told(user, fields);
            expected.insert("city", &user.city);
            let same = expected.iter().all(|(name, value)| record.get(name) == Some(value));
            let only = record.len() == expected.len() + 2;
            if version != Some(is) || !same || !only {
                findings.add("diverged", format!("record {record}, the owner has {user:?} at {is}"));
            }
        }
    }
}

/// I5 for a product: what it shows is what its users are.
fn judge_product(
    product: &Document,
    owner: &Owner,
    fields: Fields,
    wanted: &mut BTreeSet<String>,
    findings: &mut Findings,
) {
    let id = product.get("_id");
    let user = refers(product, "userId", owner, wanted);
    let shown = product.get_document("user").ok();
    let expected = user.as_ref().and_then(|(_, user)| user.as_ref());
    let expected = expected.map(|user| told(user, fields));
    // Where there is neither reference nor stamp, nothing is nearcopy's.
    let is_ours = user.is_some() || stamped(product, "product-user");
    if is_ours && shown != expected.as_ref() {
        let stamp = product.get("_nearcopy");
        findings.add(
            "diverged",
            format!("product {id:?} shows {shown:?} and not {expected:?}: {user:?}, {stamp:?}"),
        );
    }
    for contributor in product.get_array("contributors").into_iter().flatten().filter_map(Bson::as_document) {
        let user = refers(contributor, "userId", owner, wanted);
        let shown = contributor.get_document("user").ok().and_then(|user| user.get_str("username").ok());
        let is_right = match (&user, shown) {
            (None | Some((_, None)), None) => true,
            (None, Some(_)) => !stamped(contributor, "contributor"),
            (Some((_, Some(_))), None) => false,
            (Some((_, Some(user))), Some(shown)) => shown == user.name,
            // It may go on showing what the user was last, or what it was at some time.
            (Some((id, None)), Some(shown)) => owner.ever(id, |user| user.name == shown),
        };
        if !is_right {
            findings.add("diverged", format!("product {id:?}: contributor {contributor} and not {user:?}"));
        }
    }
}

/// I5 for an order: flat values, and a mark where the user is gone.
fn judge_order(order: &Document, owner: &Owner, wanted: &mut BTreeSet<String>, findings: &mut Findings) {
    let Some((id, user)) = refers(order, "customerId", owner, wanted) else { return };
    let (name, city) = (order.get_str("customer_name").ok(), order.get_str("customer_city").ok());
    let stamp = order.get_document("_nearcopy").and_then(|all| all.get_document("order-user"));
    let marked = stamp.and_then(|stamp| stamp.get_bool("deleted")).unwrap_or_default();
    let is_right = match &user {
        Some(user) => name == Some(&user.name) && city == Some(&user.city) && !marked,
        None => marked && name.is_none_or(|name| owner.ever(&id, |user| user.name == name)),
    };
    if !is_right {
        findings.add("diverged", format!("order {order} and not {user:?} of {id}"));
    }
}

/// What a product shows of a user.
fn told(user: &User, fields: Fields) -> Document {
    let mut told = doc! { "username": &user.name, "email": &user.email };
    if fields == Fields::Four {
        told.insert("language", user.language());
    }
    told
}

fn stamped(holder: &Document, embed: &str) -> bool {
    holder.get_document("_nearcopy").is_ok_and(|stamps| stamps.contains_key(embed))
}

/// Whom a document refers to, and what that user is now; the user is wanted by that.
fn refers(
    holder: &Document,
    reference: &str,
    owner: &Owner,
    wanted: &mut BTreeSet<String>,
) -> Option<(String, Option<User>)> {
    let id = holder.get_str(reference).ok()?.to_owned();
    wanted.insert(id.clone());
    let user = owner.last(&id).and_then(|last| last.user);
    Some((id, user))
}

/// All documents of a collection, as a majority has them.
pub(crate) async fn all(database: &Database, collection: &str) -> Result<Vec<Document>> {
    let collection = database.collection::<Document>(collection);
    Ok(collection.find(doc! {}).read_concern(ReadConcern::majority()).await?.try_collect().await?)
}
