//! What nearcopy serves to others: probes and metrics on one listener, replicas for readers on another.

pub mod admin;
mod grpc;
mod health;
mod listener;
pub mod read;

pub use health::{Health, Report, Status};
