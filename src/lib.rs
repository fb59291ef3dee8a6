//! nearcopy keeps a near copy of the data another service owns.

pub mod event;
pub mod fetch;
pub mod manifest;
pub mod replication;
pub mod source;
