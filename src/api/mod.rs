//! What nearcopy serves to others: probes, metrics and the console on one listener, replicas for readers on another.

pub mod admin;
pub mod console;
mod grpc;
mod health;
mod listener;
pub mod read;
pub mod timeline;

pub use health::{Health, Report, Status};
