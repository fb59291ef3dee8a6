//! Opens a message: finds the event's type, id, time and data, whatever wire format it came in.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::excerpt::LEFT_OUT;
use super::extract::{Members, Slots, Wanted, broken, text};
use super::{
    DecodeError, EventId, FieldPath, Limits, Message, Reason, Selection, cloudevents, find_at,
    version::parse_time,
};

/// The attribute that is the routing key under which an event was published. No format has one of this name.
pub const ROUTING_KEY: &str = "routing_key";

/// How the events of a source are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireFormat {
    /// Plain JSON; the paths say where things are.
    Json {
        /// The event's own id.
        id: FieldPath,
        /// The event's type.
        kind: FieldPath,
        /// The owner's time of the change.
        time: FieldPath,
        /// What the type is about.
        data: FieldPath,
    },
    /// CloudEvents 1.0, structured or binary, told apart by the content type.
    CloudEvents,
    /// A change of a document in one of the consumer's own collections, as it is told here: all that stands beside `data`
    /// is an attribute, see [`WireFormat::OF_CHANGE`].
    Change,
    /// The declared parts of an event that was put aside, attributes beside `data` and `body`.
    Excerpt,
}

impl WireFormat {
    /// The attributes that a change of a document has. All but the one before are single values.
    pub const OF_CHANGE: [&str; 6] = ["id", "type", "time", "key", "version", "before"];
}

/// A wire format ready for use, with the bounds on what is accepted.
#[derive(Clone, Debug)]
pub struct Envelope {
    format: WireFormat,
    limits: Limits,
    wanted: Wanted,
    slots: [usize; 4],
    joined: Option<Joined>,
}

/// All that the envelope and the selections of its source want, found in one pass.
#[derive(Clone, Debug)]
struct Joined {
    wanted: Wanted,
    attributes: [usize; 3],
}

/// An opened message: its attributes, and its data still unread.
#[derive(Clone, Debug)]
pub struct Notice<'a> {
    /// The event's type, which the manifest maps to a reaction.
    pub kind: Cow<'a, str>,
    /// The bounds that values taken out of it must keep.
    pub limits: Limits,
    attributes: Vec<(Cow<'a, str>, Cow<'a, RawValue>)>,
    data: Data<'a>,
    body: Option<&'a str>,
    found: Option<Slots<'a>>,
    is_curtailed: bool,
}

/// The data of an event.
#[derive(Clone, Debug)]
enum Data<'a> {
    Read(Option<&'a RawValue>),
    /// Not looked for yet: what is wanted of it is found already.
    At(FieldPath),
}

impl Envelope {
    /// Prepares a wire format.
    pub fn new(format: WireFormat, limits: Limits) -> Self {
        let mut wanted = Wanted::default();
        let slots = match &format {
            WireFormat::Json { id, kind, time, data } => [id, kind, time, data].map(|path| wanted.add(path)),
            WireFormat::CloudEvents | WireFormat::Change | WireFormat::Excerpt => [0; 4],
        };
        Self { format, limits, wanted, slots, joined: None }
    }

    /// From now on what a selection wants of an event is found while it is opened. Only for selections of this source.
    pub fn join(&mut self, selection: &mut Selection) {
        let WireFormat::Json { id, kind, time, data } = &self.format else { return };
        let joined = self.joined.get_or_insert_with(|| {
            let mut wanted = Wanted::default();
            let attributes = [id, kind, time].map(|path| wanted.add(path));
            Joined { wanted, attributes }
        });
        selection.join(&mut joined.wanted, data);
    }

    /// The format that excerpts of parked events are kept in.
    pub fn excerpt(limits: Limits) -> Self {
        Self::new(WireFormat::Excerpt, limits)
    }

    /// The bounds on what is accepted.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Opens a message, or says why it is no event. Size is checked before anything is read.
    pub fn open<'a>(&self, message: &Message<'a>) -> Result<Notice<'a>, DecodeError> {
        if message.body.len() > self.limits.body {
            return Err(DecodeError::new(
                Reason::TooLarge,
                format!("{} bytes, at most {} are accepted", message.body.len(), self.limits.body),
            ));
        }
        let text = std::str::from_utf8(message.body).map_err(|error| {
            DecodeError::new(Reason::NotJson, format!("no UTF-8 from byte {} on", error.valid_up_to()))
        })?;
        match &self.format {
            WireFormat::Json { data, .. } => self.open_json(text, data),
            WireFormat::CloudEvents => cloudevents::open(message, text, self.limits),
            WireFormat::Change => open_change(text, self.limits),
            WireFormat::Excerpt => open_excerpt(text, self.limits),
        }
    }

    fn open_json<'a>(&self, text: &'a str, data_at: &FieldPath) -> Result<Notice<'a>, DecodeError> {
        // What is broken for one reader may not be for another: then each finds out for itself.
        if let Some(Joined { wanted, attributes }) = &self.joined
            && let Ok(found) = wanted.extract(text)
        {
            let attributes = named(attributes.map(|slot| found[slot]));
            let notice = Notice::new(attributes, None, Some(text), self.limits)?;
            return Ok(Notice { data: Data::At(data_at.clone()), found: Some(found), ..notice });
        }
        let found = self.wanted.extract(text)?;
        let [id, kind, time, data] = self.slots.map(|slot| found[slot]);
        Notice::new(named([id, kind, time]), data, Some(text), self.limits)
    }
}

fn named(attributes: [Option<&RawValue>; 3]) -> Vec<(Cow<'_, str>, Cow<'_, RawValue>)> {
    let known = ["id", "type", "time"].into_iter().zip(attributes);
    known.filter_map(|(name, raw)| Some((Cow::Borrowed(name), Cow::Borrowed(raw?)))).collect()
}

fn open_change(text: &str, limits: Limits) -> Result<Notice<'_>, DecodeError> {
    let (data, _, attributes) = members(text)?;
    Notice::new(attributes, data, Some(text), limits)
}

fn open_excerpt(text: &str, limits: Limits) -> Result<Notice<'_>, DecodeError> {
    let (data, body, attributes) = members(text)?;
    let is_curtailed = attributes.iter().any(|(name, _)| name == LEFT_OUT);
    let notice = Notice::new(attributes, data, body.map(RawValue::get), limits)?;
    Ok(Notice { is_curtailed, ..notice })
}

/// What stands in a message by name: `data`, `body`, and all of it as attributes.
fn members(text: &str) -> Result<Parts<'_>, DecodeError> {
    let Members(members) = serde_json::from_str(text).map_err(|error| broken(&error))?;
    let part = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, raw)| *raw);
    let (data, body) = (part("data"), part("body"));
    Ok((data, body, members.into_iter().map(|(name, raw)| (name, Cow::Borrowed(raw))).collect()))
}

/// Attributes by their names.
type Attributes<'a> = Vec<(Cow<'a, str>, Cow<'a, RawValue>)>;
/// `data`, `body`, and the attributes of a message.
type Parts<'a> = (Option<&'a RawValue>, Option<&'a RawValue>, Attributes<'a>);

impl<'a> Notice<'a> {
    /// Puts the parts of an opened message together; an event without a type is none.
    pub(super) fn new(
        attributes: Vec<(Cow<'a, str>, Cow<'a, RawValue>)>,
        data: Option<&'a RawValue>,
        body: Option<&'a str>,
        limits: Limits,
    ) -> Result<Self, DecodeError> {
        let kind = attributes
            .iter()
            .find(|(name, _)| name == "type")
            .and_then(|(_, raw)| match raw {
                Cow::Borrowed(raw) => text(raw.get()),
                Cow::Owned(raw) => text(raw.get()).map(|kind| Cow::Owned(kind.into_owned())),
            })
            .ok_or_else(|| DecodeError::new(Reason::NoType, "the event does not say its type in text"))?;
        let data = Data::Read(data);
        Ok(Self { kind, limits, attributes, data, body, found: None, is_curtailed: false })
    }

    /// Presents an owner's answer as if it were an event, so that one selection reads both.
    pub fn of_answer(answer: &'a RawValue, data: Option<&'a RawValue>, limits: Limits) -> Self {
        let (kind, data, body) = (Cow::Borrowed(""), Data::Read(data), Some(answer.get()));
        Self { kind, limits, attributes: Vec::new(), data, body, found: None, is_curtailed: false }
    }

    /// The same, where the routing key under which it was published is an attribute, too.
    #[must_use]
    pub fn under(mut self, routing_key: &str) -> Self {
        let raw = serde_json::value::to_raw_value(routing_key).ok();
        self.attributes.retain(|(name, _)| name != ROUTING_KEY);
        self.attributes.extend(raw.map(|raw| (Cow::Borrowed(ROUTING_KEY), Cow::Owned(raw))));
        self
    }

    /// An attribute by name: `id`, `type`, `time`, and with CloudEvents every extension.
    pub fn attribute(&self, name: &str) -> Option<&RawValue> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, raw)| raw.as_ref())
    }

    /// The part the type is about; to ask for it may cost a pass over the body.
    pub fn data(&self) -> Option<&'a RawValue> {
        match &self.data {
            Data::Read(data) => *data,
            Data::At(path) => find_at(self.body()?, path).ok().flatten(),
        }
    }

    /// Whether it was put aside, and something protected was left out of what is kept of it.
    pub fn is_curtailed(&self) -> bool {
        self.is_curtailed
    }

    /// What all selections of its source want, if that was found when it was opened.
    pub(super) fn found(&self) -> Option<&Slots<'a>> {
        self.found.as_ref()
    }

    /// The whole body, which few ask for: it costs a pass over all of it.
    pub fn body(&self) -> Option<&'a RawValue> {
        serde_json::from_str(self.body?).ok()
    }

    /// The whole body as text.
    pub(super) fn body_text(&self) -> Option<&'a str> {
        self.body
    }

    /// The publisher's id of the event, if it is text or a number.
    pub fn event_id(&self) -> Option<EventId> {
        let raw = self.attribute("id")?.get();
        if raw.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
            return Some(EventId::new(raw));
        }
        text(raw).map(|text| EventId::new(&text))
    }

    /// What tells the event from any other: its id, and with CloudEvents its source, within which alone ids are unique.
    pub fn identity(&self) -> Option<EventId> {
        let id = self.event_id().filter(|id| !id.as_str().is_empty())?;
        match self.attribute("source").map(RawValue::get).and_then(text) {
            Some(source) => Some(EventId::new(&format!("{source} {id}"))),
            None => Some(id),
        }
    }

    /// The owner's time of the change in microseconds since 1970; an unreadable one is no time.
    pub fn time(&self) -> Option<i64> {
        let raw = self.attribute("time")?;
        parse_time(raw).or_else(|| raw.get().parse::<i64>().ok()?.checked_mul(1000))
    }
}
