//! How it is shown, to a person or a program.

use bson::Bson;
use serde_json::{Value, json};

use super::super::table::{columns, offsets, offsets_value, time, time_or_none, visible};
use super::judge::Need;
use super::{Inbound, Looked, Seen};
use crate::replication::{Declaration, Inflow, Level, Standing, Teller};
use crate::store::{Overview, Position, ReadModelOverview, ReplicaOverview};

/// One screen.
pub(super) fn table(of: &Declaration, seen: &Seen, needs: &[Need]) -> String {
    let overview = &seen.overview;
    let pods = overview.pods.iter().map(|pod| format!("{} ({})", visible(&pod.host), visible(&pod.version)));
    let pods = pods.collect::<Vec<_>>().join(", ");
    let (Standing::Newest(number) | Standing::Older(number) | Standing::New(number)) = overview.standing;
    let mut sections = vec![format!(
        "{}, generation {number}\npods at work: {}",
        of.service,
        if pods.is_empty() { "none".to_owned() } else { pods }
    )];
    sections.extend(section(
        &["REPLICA", "RECORDS", "LIVE", "PENDING", "GONE", "OWING", "OUTDATED", "LACKING", "PARKED", "EPOCH"],
        overview.replicas.iter().map(replica_row),
    ));
    sections.extend(section(
        &["SOURCE", "QUEUE OR STREAM", "WAITING", "READERS", "DEAD LETTERS"],
        seen.inbound.iter().map(inbound_row),
    ));
    sections.extend(section(
        &["READ MODEL", "STANDS AT", "LAST TURN", "DOCUMENTS", "WAITING", "PARKED", "NOW"],
        overview.read_models.iter().map(|model| model_row(of, overview, model)),
    ));
    sections.extend(section(
        &["AT WORK ON", "POD"],
        overview
            .leases
            .iter()
            .map(|lease| vec![visible(&lease.name), visible(&host(overview, &lease.holder))]),
    ));
    sections.extend(section(
        &["HAS COME", "AS OF", "TO"],
        overview.positions.iter().map(|of| {
            vec![visible(&of.name), time_or_none(of.at), place(of).map_or("-".into(), |at| visible(&at))]
        }),
    ));
    sections.push(verdict(needs));
    sections.join("\n\n")
}

/// A table with its head; nothing, where it would have no row.
fn section(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Option<String> {
    let head = head.iter().map(|name| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    (rows.len() > 1).then(|| columns(&rows))
}

fn replica_row(of: &ReplicaOverview) -> Vec<String> {
    let counted = |count: Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
    let mut row = vec![of.name.to_string(), of.records.to_string(), counted(of.states.map(|of| of.live))];
    row.extend([of.backlog.pending.to_string(), counted(of.states.map(|of| of.gone))]);
    row.extend(
        [of.backlog.owing, of.backlog.outdated, of.backlog.lacking, of.parked].map(|of| of.to_string()),
    );
    row.push(of.epoch.to_string());
    row
}

fn inbound_row(of: &Inbound) -> Vec<String> {
    let (mut row, unknown) = (vec![of.source.clone(), of.name.clone()], || "?".to_owned());
    row.extend(match &of.waiting {
        Looked::Found(found) => {
            let depth = |count: Option<u32>| count.map_or("missing".to_owned(), |count| count.to_string());
            [
                depth(found.depth.map(|depth| depth.messages)),
                depth(found.depth.map(|depth| depth.consumers)),
                found.dead.map_or("-".to_owned(), |dead| dead.to_string()),
            ]
        }
        Looked::Failed(_) => [unknown(), unknown(), unknown()],
        Looked::Unasked => ["? (rabbitmq.url is not set)".to_owned(), unknown(), unknown()],
    });
    row
}

fn model_row(of: &Declaration, overview: &Overview, model: &ReadModelOverview) -> Vec<String> {
    let is_frozen = model.at.iter().any(|at| at.frozen.is_some());
    let now = match (model.rebuilt.is_empty(), is_frozen) {
        (false, true) => format!("frozen, being rebuilt, at {}", offsets(&model.rebuilt)),
        (false, false) => format!("being rebuilt, at {}", offsets(&model.rebuilt)),
        (true, true) => "frozen".to_owned(),
        (true, false) if overview.pods.is_empty() => "-".to_owned(),
        (true, false) => "folded".to_owned(),
    };
    vec![
        model.name.to_string(),
        visible(&stands(of, model)),
        time_or_none(model.turned),
        model.documents.to_string(),
        model.held.to_string(),
        model.parked.to_string(),
        now,
    ]
}

/// Where a read model stands: a queue has no places, a feed's position is its owner's.
fn stands(of: &Declaration, model: &ReadModelOverview) -> String {
    let Some(at) = model.at.first() else { return "nothing is folded".to_owned() };
    let declared = of.read_models.iter().find(|declared| declared.name == model.name);
    match declared.and_then(|model| of.inflow(model).ok()) {
        Some(Inflow::Queue(_)) => "as events come".to_owned(),
        Some(Inflow::Feed(feed)) if matches!(feed.teller, Teller::Collection(_)) => {
            "as changes come".to_owned()
        }
        Some(Inflow::Feed(_)) => at.mark.clone(),
        Some(Inflow::Stream(_)) | None => offsets(&model.at),
    }
}

/// Whether it is folded from a stream, whose offsets are numbers.
fn is_stream(of: &Declaration, model: &ReadModelOverview) -> bool {
    let declared = of.read_models.iter().find(|declared| declared.name == model.name);
    declared.is_some_and(|model| matches!(of.inflow(model), Ok(Inflow::Stream(_)))) && !model.at.is_empty()
}

/// The pod that holds a lease, by its host where it is known to be at work.
fn host(overview: &Overview, holder: &str) -> String {
    let pod = overview.pods.iter().find(|pod| pod.id == holder);
    pod.map_or_else(|| format!("another ({holder})"), |pod| pod.host.clone())
}

/// The place beyond which a walk or a feed goes on. That of a change stream says nothing to a person.
fn place(of: &Position) -> Option<String> {
    let after = of.position.get("after")?;
    let after = if let Bson::String(text) = after { text.clone() } else { after.to_string() };
    Some(match of.position.get_str("embed") {
        Ok(embed) => format!("{after} ({embed})"),
        Err(_) => after,
    })
}

fn verdict(needs: &[Need]) -> String {
    if needs.is_empty() {
        return "all is well".to_owned();
    }
    let line = |need: &Need| {
        let mark = if need.level == Level::Wrong { "WRONG" } else { "look" };
        let command = need.command.as_ref().map(|command| format!("; `{command}`")).unwrap_or_default();
        format!("{mark:<6} {}{command}", visible(&need.text))
    };
    needs.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The same for a program.
pub(super) fn value(of: &Declaration, seen: &Seen, needs: &[Need]) -> Value {
    let overview = &seen.overview;
    let (Standing::Newest(number) | Standing::Older(number) | Standing::New(number)) = overview.standing;
    let array = |values: Vec<Value>| Value::Array(values);
    json!({
        "service": of.service,
        "generation": { "manifest": number, "newest": overview.newest },
        "pods": array(overview.pods.iter().map(|pod| json!({ "id": pod.id, "host": pod.host, "version": pod.version })).collect()),
        "replicas": array(overview.replicas.iter().map(replica_value).collect()),
        "sources": array(seen.inbound.iter().map(inbound_value).collect()),
        "readModels": array(overview.read_models.iter().map(|model| model_value(of, model)).collect()),
        "leases": array(overview.leases.iter().map(|lease| json!({ "name": lease.name, "pod": lease.holder })).collect()),
        "positions": array(overview.positions.iter().map(|of| json!({ "name": of.name, "at": of.at.and_then(time), "after": place(of) })).collect()),
        "parkedOfNobody": overview.parked_of_nobody,
        "outbox": { "waiting": overview.outbox.waiting, "oldestMs": overview.outbox.oldest },
        "needs": array(needs.iter().map(need_value).collect()),
    })
}

fn replica_value(of: &ReplicaOverview) -> Value {
    json!({
        "name": of.name.as_str(),
        "records": of.records,
        "live": of.states.map(|of| of.live),
        "pending": of.backlog.pending,
        "gone": of.states.map(|of| of.gone),
        "owing": of.backlog.owing,
        "outdated": of.backlog.outdated,
        "lacking": of.backlog.lacking,
        "unanswered": of.unanswered,
        "parked": of.parked,
        "epoch": of.epoch,
    })
}

fn inbound_value(of: &Inbound) -> Value {
    let (depth, dead, error) = match &of.waiting {
        Looked::Found(found) => (found.depth, found.dead, None),
        Looked::Failed(error) => (None, None, Some(error.as_str())),
        Looked::Unasked => (None, None, Some("rabbitmq.url is not set")),
    };
    json!({
        "source": of.source,
        "kind": if of.is_stream { "stream" } else { "queue" },
        "name": of.name,
        "messages": depth.map(|depth| depth.messages),
        "readers": depth.map(|depth| depth.consumers),
        "deadLetters": dead,
        "error": error,
    })
}

fn model_value(of: &Declaration, model: &ReadModelOverview) -> Value {
    json!({
        "name": model.name.as_str(),
        "standsAt": stands(of, model),
        "foldedTo": is_stream(of, model).then(|| offsets_value(&model.at)),
        "lastTurn": model.turned.and_then(time),
        "documents": model.documents,
        "waiting": model.held,
        "parked": model.parked,
        "frozen": model.at.iter().any(|at| at.frozen.is_some()),
        "rebuiltTo": (!model.rebuilt.is_empty()).then(|| offsets_value(&model.rebuilt)),
    })
}

fn need_value(need: &Need) -> Value {
    let level = if need.level == Level::Wrong { "wrong" } else { "look" };
    json!({ "level": level, "text": need.text, "command": need.command })
}
