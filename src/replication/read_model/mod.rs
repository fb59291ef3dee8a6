//! Read models: documents folded from events, of a stream or of a queue.
//!
//! An event is read once ([`ReadModel::interpret`]), into [`Facts`]: which documents it touches, and what it does to each.
//! What that makes of the documents is folded in memory ([`Bench`]), one event after the other; whoever stores them stores
//! the position of the last event with them, and where wanted the ids of all ([`Memory`]), in one transaction. So each
//! event has its effect once.

mod bench;
mod deadline;
mod memory;
mod operation;
mod rule;
mod size;
mod template;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, DateTime};

use super::{Gaps, Keep, Lineage, ReadSpec, Subscription};
use crate::event::{
    DecodeError, EntityId, EntityType, Field, FieldPath, FieldType, Found, IdKind, Lookup, Notice,
    ROUTING_KEY, Reason, Selection, VersionRule,
};

pub use bench::{Bench, Held, Seen};
pub use deadline::take_over_deadlines;
pub use memory::Memory;
pub use operation::{How, Operation};
pub use rule::{Alert, Rule, STATES};
pub use template::Template;

/// Under which name a document has what is nearcopy's own.
const META: &str = "_nearcopy";

/// A read model as declared.
#[derive(Clone, Debug)]
pub struct ReadModel {
    /// Its name, and its collection's.
    pub name: EntityType,
    /// The source whose events are folded.
    pub source: String,
    /// What each type of event does; other types are passed by.
    pub reactions: BTreeMap<String, Vec<Effect>>,
    /// What every event does besides to each document that it changes.
    pub always: Vec<Declared>,
    /// Where a document has the time of the last event that changed it.
    pub stamp: Option<FieldPath>,
    /// How long the ids of events are remembered, lest one be folded twice; not at all, where each comes once.
    pub remember: Option<Duration>,
    /// What is told to others when a document has become so.
    pub rules: Vec<Rule>,
    /// A hash of what is declared: it tells whether documents were folded by another declaration.
    pub hash: String,
    /// The type of its keys.
    pub key: IdKind,
    /// The values that are read from an event.
    pub lookup: Lookup,
    /// How its documents are read: like the records of a replica that keeps all, and whose owner nobody can ask.
    pub view: Arc<Subscription>,
}

/// What an event does to some documents.
#[derive(Clone, Debug)]
pub struct Effect {
    /// To which.
    pub target: Target,
    /// What it does; nothing, where they are deleted.
    pub operations: Option<Vec<Declared>>,
}

/// Which documents an event is about.
#[derive(Clone, Debug)]
pub enum Target {
    /// The one with this key.
    Key(Template),
    /// All in which these fields have these values, or an array with them.
    Where(Vec<(FieldPath, Template)>),
}

/// A change as it is declared.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Where.
    pub at: FieldPath,
    /// What is done there.
    pub how: How,
    /// With what.
    pub value: Template,
}

/// What an event says to a read model.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The publisher's id of the event.
    pub event: Option<String>,
    /// What tells it from any other event.
    pub identity: Option<String>,
    /// When it happened, where that can be read.
    pub at: Option<DateTime>,
    /// What it does.
    pub moves: Vec<Move>,
}

/// What an event does to the documents that one of its effects is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    /// To which.
    pub aim: Aim,
    /// What, or why nobody can say.
    pub deed: Result<Deed, DecodeError>,
}

/// The documents of one event's effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Aim {
    /// The one with this key.
    Key(EntityId),
    /// All that match.
    Where(Vec<(FieldPath, Bson)>),
}

/// What becomes of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// It goes.
    Delete,
    /// It changes, and comes into being where there was none.
    Change(Vec<Operation>),
}

impl ReadModel {
    /// Reads what an event says; `None` if its type means nothing here. An event whose documents cannot be told is an
    /// error; where only what it does to one cannot be told, that stands in the [`Move`].
    pub fn interpret(&self, notice: &Notice<'_>) -> Result<Option<Facts>, DecodeError> {
        let Some(effects) = self.reactions.get(notice.kind.as_ref()) else { return Ok(None) };
        let event = self.lookup.find(notice)?;
        let moves = effects.iter().map(|effect| self.read(effect, &event)).collect::<Result<_, _>>()?;
        let [id, identity] = [notice.event_id(), notice.identity()].map(|id| id.map(|id| id.to_string()));
        Ok(Some(Facts { event: id, identity, at: template::time(&event).ok(), moves }))
    }

    /// Whether anything is made of the routing keys of events.
    pub fn reads_routing_key(&self) -> bool {
        self.lookup.paths().iter().any(|path| path.names() == [ROUTING_KEY])
    }

    fn read(&self, effect: &Effect, event: &Found<'_, '_>) -> Result<Move, DecodeError> {
        let aim = match &effect.target {
            Target::Key(template) => Aim::Key(key(template.fill(event)?, self.key)?),
            Target::Where(fields) => {
                let filled = fields.iter().map(|(path, value)| Ok((path.clone(), value.fill(event)?)));
                Aim::Where(filled.collect::<Result<_, _>>()?)
            }
        };
        let Some(operations) = &effect.operations else { return Ok(Move { aim, deed: Ok(Deed::Delete) }) };
        let declared = operations.iter().chain(&self.always);
        let mut filled: Result<Vec<Operation>, DecodeError> = declared
            .map(|of| Ok(Operation { at: of.at.clone(), how: of.how, value: of.value.fill(event)? }))
            .collect();
        if let (Ok(filled), Some(at)) = (&mut filled, &self.stamp) {
            match template::time(event) {
                Ok(time) => filled.push(Operation { at: at.clone(), how: How::Set, value: time.into() }),
                Err(error) => return Ok(Move { aim, deed: Err(error) }),
            }
        }
        Ok(Move { aim, deed: filled.map(Deed::Change) })
    }
}

/// A key is of the declared type, or none.
fn key(value: Bson, kind: IdKind) -> Result<EntityId, DecodeError> {
    match (value, kind) {
        (Bson::Int64(number), IdKind::Int) => Ok(EntityId::Int(number)),
        (Bson::String(text), kind) if kind != IdKind::Int => EntityId::parse(&text, kind),
        _ => Err(DecodeError::new(Reason::BadId, format!("the key is no {kind}"))),
    }
}

/// How the documents of a read model are read whose events do this to them.
pub fn view<'d>(
    name: &EntityType,
    source: &str,
    key: IdKind,
    declared: impl IntoIterator<Item = &'d Declared>,
    stamp: Option<&FieldPath>,
    reads: ReadSpec,
) -> Subscription {
    let mut kinds: BTreeMap<String, FieldType> = BTreeMap::new();
    let mut known = |at: &FieldPath, kind: FieldType| {
        let [name, deeper @ ..] = at.names() else { return };
        let kind = if deeper.is_empty() { kind } else { FieldType::Object };
        let held = kinds.entry(name.clone()).or_insert(kind);
        // What is said in two ways is known as neither.
        if *held != kind {
            *held = FieldType::Any;
        }
    };
    for Declared { at, how, value } in declared {
        match how {
            How::Set | How::Min | How::Max => known(at, value.kind()),
            How::Inc => known(at, FieldType::Any),
            How::Count | How::Uncount => known(at, FieldType::Int),
            How::AddToSet | How::Pull | How::Append(_) => known(at, FieldType::Array),
            How::Unset => {}
        }
    }
    if let Some(at) = stamp {
        known(at, FieldType::Date);
    }
    let whole = FieldPath::whole();
    let field = |(name, kind)| Field { name, from: whole.clone(), kind, default: None, protect: None };
    let fields = kinds.into_iter().map(field).collect();
    Subscription {
        name: name.clone(),
        owner: source.to_owned(),
        source: source.to_owned(),
        keep: Keep::All,
        selection: Selection::new(&whole, key, VersionRule::None, fields),
        reactions: BTreeMap::new(),
        fetch: None,
        embedded: false,
        shape: 1,
        gaps: Gaps::default(),
        lineage: Lineage::default(),
        reads,
        dropped: Vec::new(),
    }
}
