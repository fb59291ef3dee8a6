//! The world around nearcopy: the owner with its log, its API and its publisher; the consumer's shop; a reader.

pub(crate) mod api;
pub(crate) mod owner;
pub(crate) mod publisher;
pub(crate) mod reader;
pub(crate) mod shop;
