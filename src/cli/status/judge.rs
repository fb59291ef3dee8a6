//! What of all that was seen needs a person, and the command that helps.

use super::{Inbound, Looked, Seen};
use crate::replication::{Declaration, Inflow, Level, Standing};
use crate::store::{ReadModelOverview, ReplicaOverview};

/// How long a message may wait to be told to others, in milliseconds, before somebody should look why.
const TOLD_WITHIN: i64 = 60_000;
/// What finds out most.
const LOOK: &str = "nearcopy check --online";

/// Something that deserves a look, or needs a person.
pub(super) struct Need {
    pub(super) level: Level,
    pub(super) text: String,
    /// What to run.
    pub(super) command: Option<String>,
}

impl Need {
    fn wrong(text: impl Into<String>, command: impl Into<String>) -> Self {
        Self { level: Level::Wrong, text: text.into(), command: Some(command.into()) }
    }

    fn look(text: impl Into<String>, command: Option<String>) -> Self {
        Self { level: Level::Advice, text: text.into(), command }
    }
}

/// All needs, the broker's first; none, where all is well.
pub(super) fn needs(of: &Declaration, seen: &Seen) -> Vec<Need> {
    let overview = &seen.overview;
    let is_at_work = !overview.pods.is_empty();
    let mut needs = Vec::new();
    if !is_at_work {
        needs.push(Need::wrong("no pod is at work, so nothing is replicated", LOOK));
    }
    needs.extend(generation(overview.standing, overview.newest));
    needs.extend(seen.inbound.iter().flat_map(|inbound| of_inbound(inbound, is_at_work)));
    needs.extend(overview.replicas.iter().flat_map(|replica| of_replica(of, replica)));
    needs.extend(overview.read_models.iter().flat_map(|model| of_read_model(of, model)));
    if overview.parked_of_nobody > 0 {
        let text = format!("{} events are parked that nobody could read", overview.parked_of_nobody);
        needs.push(Need::wrong(text, "nearcopy parked list"));
    }
    if let Some(oldest) = overview.outbox.oldest.filter(|oldest| *oldest > TOLD_WITHIN) {
        let text = format!(
            "{} messages of rules wait to be told, the oldest for {} s: an exchange may not be declared",
            overview.outbox.waiting,
            oldest / 1000
        );
        needs.push(Need::wrong(text, LOOK));
    }
    needs
}

fn generation(standing: Standing, newest: i32) -> Option<Need> {
    let text = match standing {
        Standing::Newest(_) | Standing::New(1) => return None,
        Standing::New(number) => {
            format!(
                "no pod has run this manifest yet: it will be generation {number}, and records will follow"
            )
        }
        Standing::Older(number) => format!(
            "this manifest is generation {number}, and the newest is {newest}: what is of a newer one is left alone"
        ),
    };
    Some(Need::look(text, None))
}

fn of_inbound(inbound: &Inbound, is_at_work: bool) -> Vec<Need> {
    let what = if inbound.is_stream { "stream" } else { "queue" };
    let (source, name) = (&inbound.source, &inbound.name);
    let waiting = match &inbound.waiting {
        Looked::Unasked => return Vec::new(),
        Looked::Failed(reason) => return vec![Need::wrong(format!("`{source}`: {reason}"), LOOK)],
        Looked::Found(waiting) => waiting,
    };
    let mut needs = Vec::new();
    match waiting.depth {
        None if is_at_work => {
            needs.push(Need::wrong(format!("`{source}`: {what} `{name}` does not exist"), LOOK));
        }
        Some(depth) if depth.consumers == 0 && is_at_work && !inbound.is_stream => {
            needs.push(Need::wrong(format!("`{source}`: nobody reads queue `{name}`"), LOOK));
        }
        _ => {}
    }
    if let (Some(count @ 1..), Some(dead)) = (waiting.dead, &inbound.dead) {
        let text = format!(
            "`{source}`: {count} messages were dead-lettered into `{dead}`: they came back too often"
        );
        needs.push(Need::wrong(text, format!("rabbitmqadmin get queue={dead} count={count}")));
    }
    needs
}

fn of_replica(of: &Declaration, replica: &ReplicaOverview) -> Vec<Need> {
    let name = &replica.name;
    let mut needs = Vec::new();
    if replica.parked > 0 {
        let text = format!("`{name}`: {} events are parked", replica.parked);
        needs.push(Need::wrong(text, format!("nearcopy parked list --replica {name}")));
    }
    if replica.unanswered > 0 {
        let text = format!(
            "`{name}`: {} records are pending though the owner was asked for them again and again",
            replica.unanswered
        );
        needs.push(Need::wrong(text, LOOK));
    }
    let is_asked = of.replica(name.as_str()).is_ok_and(|declared| declared.fetch.is_some());
    if replica.backlog.lacking > 0 && !is_asked {
        let text = format!(
            "`{name}`: {} records get the fields that were added only with their next events, since there is no `fetch`",
            replica.backlog.lacking
        );
        needs.push(Need::look(text, None));
    }
    needs
}

fn of_read_model(of: &Declaration, model: &ReadModelOverview) -> Vec<Need> {
    let name = &model.name;
    let declared = of.read_models.iter().find(|declared| declared.name == *name);
    let is_stream = declared.is_some_and(|model| matches!(of.inflow(model), Ok(Inflow::Stream(_))));
    let mut needs = Vec::new();
    if model.parked > 0 || model.held > 0 {
        let text = format!("`{name}`: {} documents wait for {} parked events", model.held, model.parked);
        needs.push(Need::wrong(text, format!("nearcopy parked list --replica {name}")));
    }
    let is_frozen = model.at.iter().any(|at| at.frozen.is_some());
    if is_frozen && model.rebuilt.is_empty() {
        let text = format!(
            "`{name}` stands still, because its documents are about to be replaced; if nobody is at it, repeat what was \
             cut off"
        );
        needs.push(Need::look(text, Some(format!("nearcopy read-model rebuild {name}"))));
    }
    let other = declared.zip(model.folded_by.as_ref()).is_some_and(|(of, by)| *by != of.hash);
    if other && is_stream {
        let text = format!(
            "`{name}` was folded by another declaration: documents that nothing changes stay as they are"
        );
        needs.push(Need::look(text, Some(format!("nearcopy read-model rebuild {name}"))));
    }
    needs
}
