//! One entity: what is held of it, what brought that, what is still owed or asked, and who shows it.

use serde_json::{Value, json};

use super::super::table::time_or_none;
use super::{Account, held, parked, parked_row, parked_value};
use crate::event::EntityId;
use crate::replication::{Declaration, Embed, Keep, Key, Reading, State, Subscription, Why};
use crate::store::mongo::Mongo;
use crate::store::{Embedding, Parked, ParkedStore, ReadStore, StoreError};

/// All that is known of an entity.
struct Known<'k> {
    of: &'k Subscription,
    id: &'k EntityId,
    reading: Option<Reading>,
    parked: (usize, Vec<Parked>),
    /// Parked events that may be about it, and do not say so.
    unattributed: usize,
    embeds: Vec<(&'k Embed, Embedding)>,
}

pub(super) async fn account(
    store: &Mongo,
    placed: &Declaration,
    of: &Subscription,
    id: &EntityId,
    path: Option<&str>,
    values: bool,
) -> Result<Account, StoreError> {
    let reading = store.look_up(of, std::slice::from_ref(id), None).await?.pop();
    let mut embeds = Vec::new();
    for embed in placed.embeds_of(&of.name) {
        let record = reading.as_ref().map(|reading| &*reading.record);
        embeds.push((&**embed, store.embedding(embed, id, record).await?));
    }
    let parked = parked(store, &of.name, id).await?;
    let unattributed = store.parked_about(&of.name, None).await?.len();
    Ok(Known { of, id, reading, parked, unattributed, embeds }.account(path, values))
}

impl Known<'_> {
    fn account(&self, path: Option<&str>, values: bool) -> Account {
        let mut why = self.why();
        why.extend(path.map(|path| where_from(self.of, path)));
        Account { rows: self.rows(values), why, value: self.value(values) }
    }

    fn rows(&self, values: bool) -> Vec<(&'static str, String)> {
        let mut rows = vec![("entity", format!("{} {}", self.of.name, self.id))];
        match &self.reading {
            None => rows.push(("held", "nothing".to_owned())),
            Some(reading) => rows.extend(held::rows(reading, values)),
        }
        for (embed, counts) in &self.embeds {
            let count = |count: Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
            rows.push((
                "shown by",
                format!(
                    "{}: of `{}`, {} documents refer to it, {} show it, {} something older or nothing yet",
                    embed.name,
                    embed.collection,
                    count(counts.referring),
                    count(counts.showing),
                    count(counts.outdated)
                ),
            ));
        }
        rows.extend(self.parked.1.iter().map(|parked| ("parked", parked_row(parked))));
        rows
    }

    fn value(&self, values: bool) -> Value {
        let embeds = self.embeds.iter().map(|(embed, counts)| {
            json!({
                "name": embed.name,
                "collection": embed.collection,
                "refer": counts.referring,
                "show": counts.showing,
                "older": counts.outdated,
            })
        });
        json!({
            "replica": self.of.name.as_str(),
            "entity": self.id.to_string(),
            "record": self.reading.as_ref().map(|reading| held::value(reading, values)),
            "embeds": embeds.collect::<Vec<_>>(),
            "parked": self.parked.1.iter().map(parked_value).collect::<Vec<_>>(),
            "parkedInAll": self.parked.0,
            "unattributed": self.unattributed,
        })
    }

    /// Why it is so, the nearest reason first.
    fn why(&self) -> Vec<String> {
        let mut why = match &self.reading {
            None => vec![self.why_absent()],
            Some(reading) => self.why_held(reading),
        };
        if self.parked.0 > 0 {
            why.push(format!(
                "{} events about it were put aside; mend what they complain of, then `nearcopy parked retry {}`",
                self.parked.0,
                self.parked.1.first().map(|parked| parked.id.to_string()).unwrap_or_default()
            ));
        }
        if self.unattributed > 0 {
            why.push(format!(
                "{} parked events may be about it, and do not say whose they are",
                self.unattributed
            ));
        }
        why
    }

    fn why_absent(&self) -> String {
        let referring: u64 = self.embeds.iter().filter_map(|(_, counts)| counts.referring).sum();
        match self.of.keep {
            Keep::Referenced if referring > 0 => format!(
                "{referring} documents refer to it, and no pod has seen them yet; `nearcopy status` says whether one is at \
                 work"
            ),
            Keep::Referenced => "only what documents refer to is kept, and none refers to it".to_owned(),
            Keep::Where(_) => {
                "no event of it has met the condition of `keep` since there is a queue".to_owned()
            }
            Keep::All => {
                let name = &self.of.name;
                let before = match &self.of.fetch {
                    None => "what happened before is not known".to_owned(),
                    Some(fetch) if fetch.list.is_some() => {
                        format!(
                            "and the owner had not listed it when it was asked for all; `nearcopy backfill {name} --all`"
                        )
                    }
                    Some(_) => format!("what happened before is not known; `nearcopy backfill {name} --ids`"),
                };
                format!("no event of it has come since there is a queue; {before}")
            }
        }
    }

    fn why_held(&self, reading: &Reading) -> Vec<String> {
        let record = &reading.record;
        let mut why = vec![self.why_in_state(reading)];
        if let Some(need) = record.need {
            why.push(format!(
                "an event has told of version {need}, which is not held: the owner is asked for it"
            ));
        }
        if record.claim.is_some() {
            why.push("a pod is asking the owner at this moment".to_owned());
        } else if let Some(due) = record.due {
            let again = if record.asked.is_some() { "again " } else { "" };
            why.push(format!("the owner is to be asked {again}at {}", time_or_none(Some(due))));
        }
        if record.tries > 0 {
            why.push(format!(
                "the owner was asked {} times in vain; `nearcopy check --online` asks it, too",
                record.tries
            ));
        }
        if record.owes {
            why.push(
                "it has changed, and documents that refer to it are still to be brought in line".to_owned(),
            );
        }
        if record.key.as_ref().is_some_and(|key| &*key.hash == Key::SETTLED) {
            why.push(
                "the owner, asked, has said what it is: no event of this version undoes that".to_owned(),
            );
        }
        if !record.patched.is_empty() {
            let fields: Vec<&str> = record.patched.keys().map(String::as_str).collect();
            why.push(format!("partial events have brought `{}` further than the rest", fields.join("`, `")));
        }
        if record.lacks {
            why.push("it has no values yet for fields that were added to the manifest".to_owned());
        }
        if record.shape < self.of.shape {
            why.push("it is still to be brought to what the manifest declares now".to_owned());
        } else if record.shape > self.of.shape {
            why.push(
                "it is of a newer generation of the manifest, and left alone by pods that have this one"
                    .to_owned(),
            );
        }
        if record.marked {
            why.push(
                "nobody referred to it when that was looked for: unless somebody does, it will be removed"
                    .to_owned(),
            );
        }
        why
    }

    fn why_in_state(&self, reading: &Reading) -> String {
        let event =
            reading.event.as_ref().map_or("an event without an id".to_owned(), |id| format!("event `{id}`"));
        match (reading.record.state, &*reading.origin) {
            (State::Live, "fetch") => "what is held is what the owner answered".to_owned(),
            (State::Live, _) => format!("what is held came with {event}"),
            (State::Pending, _) if self.of.fetch.is_none() => {
                "it is wanted and not known, and there is no `fetch`: it waits for an event with its full state".to_owned()
            }
            (State::Pending, _) => "it is wanted, and the owner has not said yet what it is".to_owned(),
            (State::Gone(Why::Deleted), _) => format!("the owner has deleted it: {event}"),
            (State::Gone(Why::Out), _) => format!("it does not meet the condition of `keep` any more: {event}"),
            (State::Gone(Why::NotFound), _) => "the owner, asked, does not know it".to_owned(),
            (State::Gone(Why::Erased), _) => {
                "a person had it erased: only a higher version brings it back".to_owned()
            }
        }
    }
}

/// Where a field's values come from.
fn where_from(of: &Subscription, path: &str) -> String {
    let name = path.split('.').next().unwrap_or(path);
    if of.dropped.iter().any(|field| field.name == name) {
        return format!("`{name}` is dropped, so it is never kept");
    }
    match of.selection.fields().find(|field| field.name == name) {
        Some(field) => {
            let how = field.protect.map(|how| format!(", and kept by `{how}`")).unwrap_or_default();
            format!("`{name}` is read from `{}` of events and answers{how}", field.from)
        }
        None => format!("`{name}` is not declared, so it is never kept"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bson::doc;

    use super::*;
    use crate::event::Version;
    use crate::manifest;
    use crate::replication::Record;

    fn declared() -> Declaration {
        let text = include_str!("../../../tests/cli/good.yaml");
        manifest::parse("good.yaml", text, &|_| None).unwrap()
    }

    fn reading() -> Reading {
        let record = Record {
            key: Some(Key::floor(0, Version::new(7))),
            rev: 1_700_000_000_000_000,
            batch: Some(5),
            fields: doc! { "name": "CANARY" },
            ..Record::blank(EntityId::String("42".into()), State::Live)
        };
        Reading {
            record: record.into(),
            origin: "event".into(),
            event: Some("e\u{1b}1".into()),
            at: Some(1_699_999_999_000),
            read: 1_700_000_000_500,
        }
    }

    fn account(reading: Option<Reading>, referring: u64, values: bool) -> Account {
        let (of, id) = (declared(), EntityId::String("42".into()));
        let counts = Embedding { referring: Some(referring), showing: Some(2), outdated: None };
        let embeds = of.embeds.iter().map(|embed| (&**embed, counts)).collect();
        let of = of.replica("users").unwrap();
        let known = Known { of, id: &id, reading, parked: (0, Vec::new()), unattributed: 0, embeds };
        known.account(Some("name"), values)
    }

    #[test]
    fn what_is_held_is_told_without_values_unless_they_are_asked_for() {
        let silent = account(Some(reading()), 3, false);
        insta::assert_snapshot!(silent.table(), @r"
        entity      users 42
        held        live, version 7, epoch 0
        written     2023-11-14T22:13:20Z
        brought by  event e␛1, of 2023-11-14T22:13:19Z
        fields      name
        shown by    order-user: of `orders`, 3 documents refer to it, 2 show it, ? something older or nothing yet
        why         what is held came with event `e␛1`
        why         `name` is read from `data.name` of events and answers
        ");
        let value = silent.into_value().to_string();
        assert!(value.contains("\"fields\":[\"name\"]") && !value.contains("CANARY"), "{value}");
        let open = account(Some(reading()), 3, true);
        assert!(open.table().contains("CANARY"));
        let value = open.into_value().to_string();
        assert!(value.contains("\"fields\":{\"name\":\"CANARY\"}"), "{value}");
    }

    #[test]
    fn whatever_is_still_to_come_is_a_reason() {
        let mut reading = reading();
        let record = Arc::make_mut(&mut reading.record);
        record.state = State::Pending;
        (record.need, record.due, record.tries) = (Some(Version::new(9)), Some(1_700_000_009_000), 3);
        (record.owes, record.lacks, record.marked) = (true, true, true);
        reading.origin = "".into();
        insta::assert_snapshot!(account(Some(reading), 3, false).table(), @r"
        entity      users 42
        held        pending, version 7, epoch 0
        written     2023-11-14T22:13:20Z
        brought by  nothing yet
        fields      name
        shown by    order-user: of `orders`, 3 documents refer to it, 2 show it, ? something older or nothing yet
        why         it is wanted, and the owner has not said yet what it is
        why         an event has told of version 9, which is not held: the owner is asked for it
        why         the owner is to be asked at 2023-11-14T22:13:29Z
        why         the owner was asked 3 times in vain; `nearcopy check --online` asks it, too
        why         it has changed, and documents that refer to it are still to be brought in line
        why         it has no values yet for fields that were added to the manifest
        why         nobody referred to it when that was looked for: unless somebody does, it will be removed
        why         `name` is read from `data.name` of events and answers
        ");
    }

    #[test]
    fn what_is_not_there_has_a_reason_too() {
        assert!(account(None, 0, false).why[0].contains("none refers to it"));
        assert!(account(None, 2, false).why[0].contains("no pod has seen them yet"));
    }
}
