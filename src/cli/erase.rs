//! `nearcopy erase`: one entity is removed from everything that nearcopy keeps, and a receipt is written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::table::{lines, visible};
use super::{Exit, Failure, Outcome, Output, print, wiring};
use crate::event::{EntityId, Version};
use crate::pipeline::{Erased, Holding};
use crate::replication::{Record, Subscription};
use crate::settings::Settings;

/// Where nobody but the operator can look.
const NOT_REACHED: [&str; 4] = [
    "the owner: it must erase first; a higher version, or an answer without one, brings the entity back",
    "the broker: what waits in the queue and the dead-letter queue is not inspected; an event of a higher version \
     brings the entity back",
    "what your service copied into fields of its own",
    "backups, oplogs and logs",
];

/// Which entity.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The replica it belongs to.
    replica: String,
    /// Its id.
    id: String,
    /// At least the version that its owner deleted it with; whatever is not above that never comes back.
    #[arg(long, value_name = "N")]
    version: Option<i64>,
    /// Only says what is held of it.
    #[arg(long)]
    dry_run: bool,
    /// Says that it is meant: nothing brings back what is erased but its owner.
    #[arg(long)]
    yes: bool,
    /// A file or a folder; where none is given, the setting manifest.paths names them.
    #[arg(long, value_name = "MANIFEST")]
    manifest: Vec<PathBuf>,
    /// The form of the receipt.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Runs the command.
pub(super) fn erase(settings: &Settings, arguments: &Arguments) -> Outcome {
    settings.mongodb.url()?;
    if !arguments.yes && !arguments.dry_run {
        return Err(Failure::saying(Exit::Failed, "what is erased cannot be brought back from here")
            .hint("look first with --dry-run, then say that it is meant with --yes"));
    }
    wiring::block_on(|_| carry_out(settings, arguments))?
}

async fn carry_out(settings: &Settings, arguments: &Arguments) -> Outcome {
    let declared = wiring::manifest(settings, &arguments.manifest)?;
    let failed = |error: &dyn std::error::Error| Failure::new(Exit::Failed, error);
    let of = declared.replica(&arguments.replica).map_err(|error| failed(&error))?;
    let id = EntityId::parse(&arguments.id, of.selection.id_kind()).map_err(|error| failed(&error))?;
    let store = wiring::mongodb(settings).await?;
    let declaration = Arc::new(store.placed(&declared).await?);
    let of = declaration.replica(&arguments.replica).map_err(|error| failed(&error))?.clone();
    let pipeline = wiring::pipeline(settings, declaration, store.into(), CancellationToken::new())?;
    if arguments.dry_run {
        let held = pipeline.holding(&of, &id).await.map_err(|halted| failed(&halted))?;
        return print(&plan(&of, &id, &held, arguments.output));
    }
    let version = arguments.version.map(Version::new);
    let erased = pipeline.erase(&of, &id, version).await.map_err(|halted| failed(&halted))?;
    print(&receipt(&of, &id, &erased, arguments.output))?;
    Ok(if erased.left.is_empty() { Exit::Done } else { Exit::Failed })
}

fn plan(of: &Subscription, id: &EntityId, held: &Holding, output: Output) -> String {
    let record = held.record.as_ref();
    let state = record.map_or("absent", |record| record.state.as_str());
    let value = || {
        json!({
            "replica": of.name.as_str(),
            "entity": id.to_string(),
            "state": state,
            "version": record.and_then(version),
            "documents": held.documents,
            "parked": held.parked,
            "unattributed": held.unattributed,
        })
    };
    let table = || {
        lines(&[
            ("entity", name(of, id)),
            ("held", record.map_or(state.into(), |record| format!("{state}{}", at(record)))),
            ("documents that show it", documents(&held.documents)),
            ("parked events", held.parked.to_string()),
            ("parked events that do not say whose", held.unattributed.to_string()),
        ])
    };
    output.say(table, value)
}

fn receipt(of: &Subscription, id: &EntityId, erased: &Erased, output: Output) -> String {
    let left = &erased.left;
    let record = left.record.as_ref();
    let when = record.and_then(|record| jiff::Timestamp::from_microsecond(record.rev).ok());
    let when = when.map(|when| when.to_string());
    let shown: u64 = left.documents.values().sum();
    let value = || {
        json!({
            "replica": of.name.as_str(),
            "entity": id.to_string(),
            "state": record.map_or("absent", |record| record.state.as_str()),
            "at": when,
            "version": record.and_then(version),
            "documents": erased.documents,
            "parked": erased.parked,
            "left": { "documents": shown, "parked": left.parked, "unattributed": left.unattributed },
            "notReached": NOT_REACHED.map(Value::from),
        })
    };
    let table = || {
        let is = |record: &Record| format!("{}{}", record.state.as_str(), at(record));
        let mut rows = vec![
            ("entity", name(of, id)),
            ("now", record.map_or("absent; no tombstone is left".into(), is)),
            ("at", when.clone().unwrap_or_else(|| "-".into())),
            ("documents cleared", documents(&erased.documents)),
            ("parked events removed", erased.parked.to_string()),
            ("left", format!("{} documents, {} parked events", shown, left.parked)),
            ("parked events that do not say whose", left.unattributed.to_string()),
        ];
        rows.extend(NOT_REACHED.map(|place| ("not reached", place.to_owned())));
        lines(&rows)
    };
    output.say(table, value)
}

fn name(of: &Subscription, id: &EntityId) -> String {
    visible(&format!("{} {id}", of.name))
}

fn documents(by_embed: &BTreeMap<String, u64>) -> String {
    if by_embed.is_empty() {
        return "none is embedded".into();
    }
    by_embed.iter().map(|(embed, count)| format!("{embed} {count}")).collect::<Vec<_>>().join(", ")
}

fn version(record: &Record) -> Option<i64> {
    record.key.as_ref().map(|key| key.version.get())
}

fn at(record: &Record) -> String {
    match &record.key {
        Some(key) if key.epoch > 0 => format!(", version {} of epoch {}", key.version, key.epoch),
        Some(key) => format!(", version {}", key.version),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;
    use crate::replication::{Key, State, Why};

    fn users() -> Subscription {
        let text = include_str!("../../tests/cli/good.yaml");
        let declared = manifest::parse("good.yaml", text, &|_| None).unwrap();
        Subscription::clone(declared.replica("users").unwrap())
    }

    fn erased(unattributed: usize) -> Erased {
        let key = Key::gone(Version::new(5), Why::Erased, 1);
        let record = Record {
            key: Some(key),
            rev: 1_700_000_000_000_000,
            ..Record::blank(EntityId::String("4\u{1b}[2J2".into()), State::Gone(Why::Erased))
        };
        let documents = |count: u64| BTreeMap::from([("order-user".to_owned(), count)]);
        let left = Holding { record: Some(record), documents: documents(0), parked: 0, unattributed };
        Erased { documents: documents(3), parked: 1, left }
    }

    #[test]
    fn a_receipt_has_columns_and_nothing_that_moves_the_cursor() {
        let id = EntityId::String("4\u{1b}[2J2".into());
        insta::assert_snapshot!(receipt(&users(), &id, &erased(2), Output::Table), @r"
        entity                               users 4␛[2J2
        now                                  gone, version 5
        at                                   2023-11-14T22:13:20Z
        documents cleared                    order-user 3
        parked events removed                1
        left                                 0 documents, 0 parked events
        parked events that do not say whose  2
        not reached                          the owner: it must erase first; a higher version, or an answer without one, brings the entity back
        not reached                          the broker: what waits in the queue and the dead-letter queue is not inspected; an event of a higher version brings the entity back
        not reached                          what your service copied into fields of its own
        not reached                          backups, oplogs and logs
        ");
        insta::assert_snapshot!(plan(&users(), &id, &erased(2).left, Output::Table), @r"
        entity                               users 4␛[2J2
        held                                 gone, version 5
        documents that show it               order-user 0
        parked events                        0
        parked events that do not say whose  2
        ");
    }

    #[test]
    fn a_program_gets_all_that_is_known() {
        let id = EntityId::String("42".into());
        insta::assert_snapshot!(receipt(&users(), &id, &erased(0), Output::Json), @r#"
        {
          "at": "2023-11-14T22:13:20Z",
          "documents": {
            "order-user": 3
          },
          "entity": "42",
          "left": {
            "documents": 0,
            "parked": 0,
            "unattributed": 0
          },
          "notReached": [
            "the owner: it must erase first; a higher version, or an answer without one, brings the entity back",
            "the broker: what waits in the queue and the dead-letter queue is not inspected; an event of a higher version brings the entity back",
            "what your service copied into fields of its own",
            "backups, oplogs and logs"
          ],
          "parked": 1,
          "replica": "users",
          "state": "gone",
          "version": 5
        }
        "#);
        insta::assert_snapshot!(plan(&users(), &id, &erased(0).left, Output::Json), @r#"
        {
          "documents": {
            "order-user": 0
          },
          "entity": "42",
          "parked": 0,
          "replica": "users",
          "state": "gone",
          "unattributed": 0,
          "version": 5
        }
        "#);
    }

    #[test]
    fn what_is_absent_is_said_to_be() {
        let id = EntityId::String("42".into());
        let held = Holding { record: None, ..erased(0).left };
        let nothing = Erased { left: held, ..erased(0) };
        assert!(receipt(&users(), &id, &nothing, Output::Table).contains("absent; no tombstone is left"));
        assert!(nothing.left.is_empty());
    }
}
