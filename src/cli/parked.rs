//! `nearcopy parked`: events that were put aside.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::table::{columns, time, time_or_none, visible};
use super::{Exit, Failure, Outcome, Output, complain, print, wiring};
use crate::event::EntityId;
use crate::pipeline::{Pipeline, Release, Released, Retry};
use crate::replication::{Declaration, ReadModel};
use crate::settings::Settings;
use crate::store::mongo::Mongo;
use crate::store::{Parked, ParkedStore};

/// Why what names no document cannot be folded any more.
const PLACELESS: &str = "it names no document, so its place among the others is gone; rebuild the read model, or have the \
                         event published again, and drop it here";

/// What to do with parked events.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Lists parked events, the oldest first.
    List {
        /// Only those of this replica.
        #[arg(long)]
        replica: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// The form of the list.
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Shows one parked event with everything that was kept of it.
    Show {
        /// Its id, as the list shows it.
        id: uuid::Uuid,
    },
    /// Takes parked events up again, as the manifest reads them now.
    Retry {
        /// Their ids; where none is given, all that are parked.
        #[arg(value_name = "ID")]
        ids: Vec<uuid::Uuid>,
        /// A file or a folder; where none is given, the setting manifest.paths names them.
        #[arg(long, value_name = "MANIFEST")]
        manifest: Vec<PathBuf>,
        /// Only says what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Forgets parked events for good.
    Drop {
        /// Their ids.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<uuid::Uuid>,
        /// Only says what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs the command.
pub(super) fn parked(settings: &Settings, command: &Command) -> Outcome {
    settings.mongodb.url()?;
    wiring::block_on(|_| carry_out(settings, command))?
}

async fn carry_out(settings: &Settings, command: &Command) -> Outcome {
    let store = wiring::mongodb(settings).await?;
    match command {
        Command::List { replica, limit, output } => {
            let listed = store.parked(replica.as_deref(), *limit).await?;
            print(&output.say(|| table(&listed), || listed.iter().map(object).collect()))
        }
        Command::Show { id } => print(&format!("{:#}", object(&one(&store, *id).await?))),
        Command::Retry { ids, manifest, dry_run } => retry(settings, store, ids, manifest, *dry_run).await,
        Command::Drop { ids, dry_run } => {
            let mut known = Vec::new();
            for id in ids {
                known.push(one(&store, *id).await?);
            }
            if *dry_run {
                return print(&format!("would be dropped: {}", known.len()));
            }
            for parked in &known {
                Release { parked: &store, store: &store }.drop(parked).await?;
            }
            print(&format!("dropped: {}", known.len()))
        }
    }
}

/// The event that is parked under an id.
pub(super) async fn one(store: &impl ParkedStore, id: uuid::Uuid) -> Result<Parked, Failure> {
    let found = store.parked_one(id).await?;
    found.ok_or_else(|| {
        Failure::saying(Exit::Failed, format!("no event is parked under {id}"))
            .hint("`nearcopy parked list` shows those that are")
    })
}

async fn retry(
    settings: &Settings,
    store: Mongo,
    ids: &[uuid::Uuid],
    manifest: &[PathBuf],
    dry_run: bool,
) -> Outcome {
    let mut chosen = Vec::new();
    for id in ids {
        chosen.push(one(&store, *id).await?);
    }
    if ids.is_empty() {
        chosen = store.parked(None, 10_000).await?;
    }
    if chosen.is_empty() {
        return print(&table(&chosen));
    }
    if dry_run {
        return print(&format!("would be retried: {}\n{}", chosen.len(), table(&chosen)));
    }
    let declaration = wiring::manifest(settings, manifest)?;
    let declaration = Arc::new(store.placed(&declaration).await?);
    let store = Arc::new(store);
    let pipeline = wiring::pipeline(settings, declaration.clone(), store.clone(), CancellationToken::new())?;
    let (mut left, mut seen) = (0, BTreeSet::new());
    for event in &chosen {
        // What a document waits for goes together.
        if seen.contains(&event.id) {
            continue;
        }
        let fate = take_up(&declaration, &store, &pipeline, event).await?;
        for (id, outcome) in &fate.done {
            print(&format!("{id}  {outcome}"))?;
        }
        seen.extend(fate.done.iter().map(|(id, _)| *id).chain(fate.with));
        if let Some(why) = &fate.still {
            left += 1;
            complain(&format!("{}  still parked: {why}", event.id));
        }
    }
    Ok(if left == 0 { Exit::Done } else { Exit::Failed })
}

/// What became of a parked event that was taken up again, and of those that wait with it.
#[derive(Default)]
pub(super) struct Fate {
    /// Those that are parked no more, with what came of them.
    pub(super) done: Vec<(uuid::Uuid, &'static str)>,
    /// Why it is still parked.
    pub(super) still: Option<String>,
    /// Those of the same document, which would fare alike.
    with: Vec<uuid::Uuid>,
}

/// Takes a parked event up again. All that a document of a read model waits for goes together, in its order.
pub(super) async fn take_up(
    declaration: &Declaration,
    store: &Mongo,
    pipeline: &Pipeline,
    event: &Parked,
) -> Result<Fate, Failure> {
    let Some(model) = model(declaration, event) else {
        let retried = pipeline.retry(event).await.map_err(|halted| Failure::new(Exit::Failed, &halted))?;
        return Ok(match retried {
            Retry::Done(outcome) => Fate { done: vec![(event.id, outcome.as_str())], ..Fate::default() },
            Retry::Still(error) => Fate { still: Some(error.to_string()), ..Fate::default() },
        });
    };
    let Some(key) = &event.entity else {
        return Ok(Fate { still: Some(PLACELESS.to_owned()), ..Fate::default() });
    };
    let Released { done, forgotten, still } = Release { parked: store, store }.retry(model, key).await?;
    let applied = done.into_iter().map(|id| (id, "applied"));
    let known = forgotten.into_iter().map(|id| (id, "in the document already: it was rebuilt since"));
    Ok(Fate {
        done: applied.chain(known).collect(),
        with: if still.is_some() { store.parked_about(&model.name, Some(key)).await? } else { Vec::new() },
        still: still.map(|(waiting, error)| format!("{error}; {waiting} events in all wait for that")),
    })
}

/// Whether a parked event could be taken up: why not, as far as that can be said without doing it.
pub(super) fn rehearse(declaration: &Declaration, pipeline: &Pipeline, event: &Parked) -> Option<String> {
    let read = match model(declaration, event) {
        Some(_) if event.entity.is_none() => return Some(PLACELESS.to_owned()),
        Some(model) => Release::read_again(model, event),
        None => pipeline.read_again(event).map(|_| ()),
    };
    read.err().map(|error| error.to_string())
}

/// The read model that an event was parked by, if it was one.
fn model<'d>(declaration: &'d Declaration, event: &Parked) -> Option<&'d Arc<ReadModel>> {
    let name = event.replica.as_ref()?;
    declaration.read_models.iter().find(|model| model.name == *name)
}

fn table(parked: &[Parked]) -> String {
    if parked.is_empty() {
        return "nothing is parked".into();
    }
    let head = ["ID", "PARKED AT", "REPLICA", "ENTITY", "REASON", "DETAIL"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(parked.iter().map(row)).collect();
    columns(&rows)
}

/// Much in it was written by others, and must not reach a terminal as a command.
fn row(parked: &Parked) -> [String; 6] {
    [
        parked.id.to_string(),
        time_or_none(parked.at),
        parked.replica.as_ref().map_or("-".into(), ToString::to_string),
        parked.entity.as_ref().map_or("-".into(), ToString::to_string),
        parked.reason.clone(),
        parked.detail.clone(),
    ]
    .map(|cell| visible(&cell))
}

/// All that is known but what the event says.
pub(super) fn outline(parked: &Parked) -> Value {
    let mut outline = object(parked);
    if let Some(members) = outline.as_object_mut() {
        members.remove("excerpt");
    }
    outline
}

fn object(parked: &Parked) -> Value {
    let excerpt = parked.excerpt.as_deref().map(serde_json::from_str::<Value>);
    json!({
        "id": parked.id.to_string(),
        "parkedAt": parked.at.and_then(time),
        "source": parked.source,
        "replica": parked.replica.as_ref().map(ToString::to_string),
        "entity": parked.entity.as_ref().map(EntityId::to_string),
        "version": parked.version,
        "type": parked.kind,
        "event": parked.event,
        "reason": parked.reason,
        "detail": parked.detail,
        "headers": parked.headers,
        "excerpt": excerpt.and_then(Result::ok),
        "bytes": parked.size,
        "hash": parked.hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EntityType;

    fn parked() -> Parked {
        Parked {
            id: uuid::Uuid::from_u128(7),
            source: "users".into(),
            replica: Some(EntityType::new("users")),
            entity: Some(EntityId::String("\u{1b}[2J42\n".into())),
            version: Some(3),
            kind: Some("user.changed".into()),
            event: None,
            reason: "not_json".into(),
            detail: "the body is no JSON".into(),
            headers: [("content-type".to_owned(), "text/plain".to_owned())].into(),
            excerpt: Some(r#"{"id":"42"}"#.into()),
            size: 11,
            hash: "0f".into(),
            at: Some(1_700_000_000_000),
        }
    }

    #[test]
    fn a_list_has_columns_and_nothing_that_moves_the_cursor() {
        let unknown = Parked { replica: None, entity: None, at: None, ..parked() };
        insta::assert_snapshot!(table(&[parked(), unknown]), @r"
        ID                                    PARKED AT             REPLICA  ENTITY   REASON    DETAIL
        00000000-0000-0000-0000-000000000007  2023-11-14T22:13:20Z  users    ␛[2J42␊  not_json  the body is no JSON
        00000000-0000-0000-0000-000000000007  -                     -        -        not_json  the body is no JSON
        ");
        assert_eq!(table(&[]), "nothing is parked");
    }

    #[test]
    fn a_program_gets_all_that_is_known() {
        insta::assert_snapshot!(format!("{:#}", object(&parked())), @r#"
        {
          "bytes": 11,
          "detail": "the body is no JSON",
          "entity": "\u001b[2J42\n",
          "event": null,
          "excerpt": {
            "id": "42"
          },
          "hash": "0f",
          "headers": {
            "content-type": "text/plain"
          },
          "id": "00000000-0000-0000-0000-000000000007",
          "parkedAt": "2023-11-14T22:13:20Z",
          "reason": "not_json",
          "replica": "users",
          "source": "users",
          "type": "user.changed",
          "version": 3
        }
        "#);
    }
}
