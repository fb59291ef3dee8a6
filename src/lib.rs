//! nearcopy keeps a near copy of the data another service owns.

pub mod event;
pub mod fetch;
pub mod replication;
pub mod source;
pub mod store;
