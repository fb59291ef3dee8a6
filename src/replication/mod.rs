//! ③ What must follow from an event: the rules, and nothing that carries them out.
//!
//! Pure functions over plain data: no clock, no I/O, no randomness. The laws they serve:
//!
//! 1. *Settle last.* Nothing is acknowledged before its effect, and the work that follows from it, is durable.
//! 2. *The guard rides in the write.* What was read before may be old by the time the write arrives, so every
//!    write carries its own condition and may be repeated.
//! 3. *Two orders.* The owner's [`Key`] decides what may enter a record; the record's own `rev`, given by the
//!    database at every effective write, orders all that leaves it.
//! 4. *Weak knowledge is confirmed.* A first answer from the owner may be older than events already passed by,
//!    so it is asked for once more after the owner's declared read lag.
//! 5. *The debt is in the same write as the change.* A changed record `owes` its fan-out until it is done.

mod class;
mod collection;
mod contract;
mod declaration;
mod difference;
mod embed;
mod embed_write;
mod entered;
mod epoch;
mod expression;
mod feed;
mod fetch;
mod finding;
mod fold;
mod keep;
mod key;
mod leftover;
mod lineage;
mod listing;
mod merge;
mod plan;
mod query;
mod read_model;
mod reading;
mod record;
mod record_write;
mod revise;
mod settlement;
mod shape;
mod sight;
mod split;
mod subscription;

pub use class::Class;
pub use collection::{CollectionSpec, Position, whole};
pub use contract::{Asks, ConditionAsked, Contract, ContractMethod, Origin, Paging, RequestPath, Says};
pub use declaration::{
    Declaration, DeclarationError, Inflow, NoKey, Partition, QueueSpec, SourceSpec, StreamSpec, lets_through,
};
pub use difference::Difference;
pub use embed::{Embed, RefPath, Rendering, Shows, WhenDeleted};
pub use embed_write::{EmbedWrite, Scope};
pub use entered::{judge_by_others, tells_by_others};
pub use epoch::Timeline;
pub use feed::{FeedSpec, ListSpec, Page, Teller};
pub use fetch::{AnswerPaths, FetchSpec, UrlTemplate};
pub use finding::{Finding, Level};
pub use fold::{Folded, fold};
pub use keep::{Condition, Keep};
pub use key::{Key, Rank};
pub use leftover::Leftover;
pub use lineage::{Lineage, Step, upgrade};
pub use listing::{FixedUrl, Listing, ListingSpec, Sent, Way};
pub use merge::{Answer, back_off, has_gone_back, merge, merge_overtaken};
pub use plan::{EmbedChange, EmbedTurn, Plan, ReplicaChange};
pub use query::{Bound, Comparison, Place, Query, QueryError, Range};
pub use read_model::{
    Aim, Alert, Bench, Declared, Deed, Effect, Facts, Held, How, Memory, Move, Operation, ReadModel, Rule,
    STATES, Seen, Target, Template, take_over_deadlines, view,
};
pub use reading::{ReadSpec, Reading, Service, Wish};
pub use record::{Record, State, Why};
pub use record_write::{Content, Due, RecordWrite};
pub use revise::{Revised, Revision, revise};
pub use settlement::{Expected, Judgement, Outcome, judge};
pub use shape::{History, Shape, Standing};
pub use sight::{Noted, Sight, Spot, value_at};
pub use split::{HashedBy, Split};
pub use subscription::{Gaps, Misread, Reaction, Subscription};
