//! ② What an event says: bytes of a message become a [`ChangeEvent`], or a reason why not.
//!
//! Everything here is pure: no clock, no I/O, no logging. Size, depth and type limits apply at this
//! door, so what is behind it may trust every value it sees.

mod change;
mod cloudevents;
mod entity;
mod envelope;
mod error;
mod excerpt;
mod extract;
mod fields;
mod limit;
mod lookup;
mod message;
mod path;
mod plain;
mod protect;
mod selection;
mod value;
mod version;

pub use change::{Change, ChangeEvent, EventId, Stamp};
pub use cloudevents::is_context_header;
pub use entity::{EntityId, EntityType, IdKind};
pub use envelope::{Envelope, Notice, ROUTING_KEY, WireFormat};
pub use error::{DecodeError, Reason};
pub use excerpt::{excerpt, tells};
pub use extract::{Wanted, find_at};
pub use fields::Fields;
pub use limit::Limits;
pub use lookup::{Found, Lookup};
pub use message::{Headers, Message};
pub use path::{FieldPath, PathError};
pub use plain::{Plain, PlainDocument, plain_time};
pub use protect::{Guard, Keys, Protection};
pub use selection::{Field, Selection, Values, VersionRule};
pub use value::FieldType;
pub use version::Version;
