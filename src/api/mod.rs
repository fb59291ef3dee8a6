//! What nearcopy serves to others: probes and metrics, on a listener of their own.

pub mod admin;
mod health;

pub use health::{Health, Report, Status};
