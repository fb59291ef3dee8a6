//! ① Where events come from.
//!
//! The contract of every source whose deliveries are settled; that of the others is [`Log`]'s:
//!
//! * *At least once.* A delivery that was not settled comes again, after a restart or a lost connection. It
//!   may come again while its first copy is still being worked on.
//! * *No order is promised* between deliveries; what is behind this door does not rely on one.
//! * *Bounded.* No more deliveries are out than the source was opened with, so that bound times the largest
//!   message is the memory they take.
//! * *Settling* tells the broker that a delivery's effect is durable. It never fails towards the caller: where
//!   the connection is lost, the delivery simply comes again.

mod delivery;
mod log;
pub mod memory;
mod outlet;
mod queue;
pub mod rabbitmq;

pub use delivery::{Delivery, Inbox, Ledger};
pub use log::{Log, LogError, Start};
pub use outlet::Outlet;
pub use queue::{Former, Left, Opened, Queue};
