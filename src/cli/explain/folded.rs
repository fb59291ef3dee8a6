//! A document of a read model: which event changed it last, what it waits for, and which events write at a path.

use bson::Document;
use serde_json::{Map, Value, json};

use super::super::table::{offsets, offsets_value, time, time_or_none};
use super::{Account, parked, parked_row, parked_value, shown};
use crate::event::{EntityId, FieldPath};
use crate::replication::{Declaration, How, Inflow, ReadModel};
use crate::store::mongo::Mongo;
use crate::store::{Checkpoint, Parked, ReadModelStore, StoreError};

/// All that is known of a document.
struct Known<'k> {
    of: &'k ReadModel,
    key: &'k EntityId,
    document: Option<Document>,
    at: Vec<Checkpoint>,
    is_stream: bool,
    parked: (usize, Vec<Parked>),
}

pub(super) async fn account(
    store: &Mongo,
    placed: &Declaration,
    of: &ReadModel,
    key: &EntityId,
    path: Option<&str>,
    values: bool,
) -> Result<Account, StoreError> {
    let stored = key.to_bson();
    let found = store.found_by_text(of.name.as_str(), &key.to_string()).await?;
    let document = found.into_iter().find(|document| document.get("_id") == Some(&stored));
    let known = Known {
        of,
        key,
        document,
        at: store.checkpoints(&of.name).await?,
        is_stream: matches!(placed.inflow(of), Ok(Inflow::Stream(_))),
        parked: parked(store, &of.name, key).await?,
    };
    Ok(known.account(path, values))
}

impl Known<'_> {
    fn account(&self, path: Option<&str>, values: bool) -> Account {
        let mut why = self.why();
        why.extend(path.map(|path| written_by(self.of, path)));
        Account { rows: self.rows(values), why, value: self.value(values) }
    }

    fn meta(&self) -> Option<&Document> {
        self.document.as_ref()?.get_document("_nearcopy").ok()
    }

    fn held(&self) -> i64 {
        self.meta().and_then(|meta| meta.get_i64("held").ok()).unwrap_or_default()
    }

    fn event(&self) -> Option<&str> {
        self.meta()?.get_str("event").ok()
    }

    fn millis(&self, name: &str) -> Option<i64> {
        Some(self.meta()?.get_datetime(name).ok()?.timestamp_millis())
    }

    fn folded(&self) -> Option<i64> {
        Some(self.meta()?.get_i64("rev").ok()? / 1000)
    }

    fn fields(&self) -> impl Iterator<Item = (&String, &bson::Bson)> {
        let own = |name: &str| name == "_id" || name == "_nearcopy";
        self.document.iter().flatten().filter(move |(name, _)| !own(name))
    }

    fn rows(&self, values: bool) -> Vec<(&'static str, String)> {
        let mut rows = vec![("document", format!("{} {}", self.of.name, self.key))];
        let event = self.event().unwrap_or("an event without an id");
        if self.document.is_some() {
            let last = format!("event {event}, of {}", time_or_none(self.millis("at")));
            rows.push(("last changed by", last));
            rows.push(("folded", time_or_none(self.folded())));
            let told = self
                .fields()
                .map(|(name, value)| if values { format!("{name}: {}", shown(value)) } else { name.clone() });
            rows.push(("fields", told.collect::<Vec<_>>().join(", ")));
        } else {
            rows.push(("held", "nothing".to_owned()));
        }
        rows.push(("the read model", self.stands()));
        rows.extend(self.parked.1.iter().map(|parked| ("parked", parked_row(parked))));
        rows
    }

    fn stands(&self) -> String {
        match self.at.first() {
            None => "nothing is folded yet".to_owned(),
            Some(_) if self.is_stream => format!("is folded up to {}", offsets(&self.at)),
            Some(at) if at.mark.is_empty() => "is folded as events come".to_owned(),
            Some(at) => format!("is folded up to {}", at.mark),
        }
    }

    fn stands_at(&self) -> Option<Value> {
        let first = self.at.first()?;
        Some(if self.is_stream { offsets_value(&self.at) } else { json!(first.mark) })
    }

    fn why(&self) -> Vec<String> {
        let mut why = Vec::new();
        match (&self.document, self.held()) {
            (None, _) => why.push(
                "of the events that are folded, none has made such a document, or a later one has deleted it".to_owned(),
            ),
            (Some(_), 0) => why.push("every event up to where the read model stands has had its effect".to_owned()),
            (Some(_), held) => why.push(format!(
                "it waits for {held} parked events: the first cannot be folded, and those that came later stay behind it"
            )),
        }
        if let Some(first) = self.parked.1.first() {
            why.push(format!("mend what it complains of, then `nearcopy parked retry {}`", first.id));
        }
        if self.at.iter().any(|at| at.frozen.is_some()) {
            why.push("nothing is folded at this moment: the documents are about to be replaced".to_owned());
        }
        why
    }

    fn value(&self, values: bool) -> Value {
        let fields: Value = if values {
            self.fields().map(|(name, value)| (name.clone(), shown(value))).collect::<Map<_, _>>().into()
        } else {
            self.fields().map(|(name, _)| name.as_str()).collect()
        };
        json!({
            "readModel": self.of.name.as_str(),
            "document": self.key.to_string(),
            "exists": self.document.is_some(),
            "event": self.event(),
            "changedAt": self.millis("at").and_then(time),
            "foldedAt": self.folded().and_then(time),
            "waitsFor": self.held(),
            "standsAt": self.stands_at(),
            "fields": fields,
            "parked": self.parked.1.iter().map(parked_value).collect::<Vec<_>>(),
            "parkedInAll": self.parked.0,
        })
    }
}

/// Which events write at a path.
fn written_by(of: &ReadModel, path: &str) -> String {
    let meets = |at: &FieldPath| {
        let at = at.names().join(".");
        at == path || path.starts_with(&format!("{at}.")) || at.starts_with(&format!("{path}."))
    };
    let mut types: Vec<String> = Vec::new();
    for (kind, effects) in &of.reactions {
        for declared in effects.iter().flat_map(|effect| effect.operations.iter().flatten()) {
            if meets(&declared.at) {
                types.push(format!("{kind} ({})", word(declared.how)));
            }
        }
    }
    let always = of.always.iter().filter(|declared| meets(&declared.at));
    types.extend(always.map(|declared| format!("every event ({})", word(declared.how))));
    if of.stamp.as_ref().is_some_and(&meets) {
        types.push("every event (its time)".to_owned());
    }
    if types.is_empty() {
        return format!("no event writes at `{path}`");
    }
    format!("`{path}` is written by {}", types.join(", "))
}

fn word(how: How) -> &'static str {
    match how {
        How::Set => "set",
        How::Unset => "unset",
        How::Inc => "inc",
        How::Min => "min",
        How::Max => "max",
        How::AddToSet => "add_to_set",
        How::Pull => "pull",
        How::Append(_) => "append",
        How::Count => "count",
        How::Uncount => "uncount",
    }
}
