//! The rules, asked for their answers: no database, no broker, no clock.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails at that very line")]

mod called;
mod collection;
mod completed;
#[path = "../support/declared.rs"]
#[expect(dead_code, reason = "the tests on real servers use the rest")]
mod declared;
mod difference;
mod embed;
mod entered;
mod epoch;
mod feed;
mod fold;
mod interpret;
mod laws;
mod memory;
mod merge;
mod patches;
mod protect;
mod protected;
mod read_models;
mod reading;
mod reference;
mod revise;
mod rules;
mod shape;
mod time;
