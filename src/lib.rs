#![doc = include_str!("ARCHITECTURE.md")]
//!
//! # The modules, in reading order
//!
//! The six numbered ones are the way of an event; read them in this order. What is pure stands before what does
//! things, and what decides knows nothing of what carries out.

// ① Where events come from: the contract of a source, RabbitMQ, and a broker in memory.
pub mod source;

// ② What an event says: bytes become a change event, or a reason why not. Pure.
pub mod event;

// ③ What must follow: records, keys, embeds, the closed list of writes. Pure.
pub mod replication;

// ④ Making it happen: the steps, and the one order that loses nothing.
pub mod pipeline;

// ⑤ Asking the owner for what is missing: single flight, breaker, HTTP; and owners in memory.
pub mod fetch;

// ⑥ Where copies live: the contract of a store, MongoDB, and a database in memory.
pub mod store;

// What a team writes: YAML in, a declaration out, or everything that is wrong with it.
pub mod manifest;

// Addresses, credentials and sizes.
pub mod settings;

// Probes and metrics, as they are served.
pub mod api;

// The commands, and where the parts are wired together.
pub mod cli;

// Signals, a soft stop, a hard stop, the exit code.
pub mod lifecycle;

// Logs, metrics, and the thread of a trace.
pub mod telemetry;

// The only reader of time.
pub mod clock;
