//! The figures: each measures one thing, and says what it may be at most.

pub(crate) mod failover;
pub(crate) mod hot_entity;
pub(crate) mod lifecycle;
pub(crate) mod outage;
mod probe;
pub(crate) mod read_model;
