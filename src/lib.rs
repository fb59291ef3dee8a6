//! nearcopy keeps a near copy of the data another service owns.

pub mod api;
pub mod cli;
pub mod clock;
pub mod event;
pub mod fetch;
pub mod lifecycle;
pub mod manifest;
pub mod pipeline;
pub mod replication;
pub mod settings;
pub mod source;
pub mod store;
pub mod telemetry;
