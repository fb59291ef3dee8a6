//! The edges of the program, each by its public face: what it is told, what it asks, what it shows, how it ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at that very line")]

mod admin;
mod fetch;
#[path = "../support/impostor/mod.rs"]
mod impostor;
mod lifecycle;
mod settings;
