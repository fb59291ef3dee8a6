//! The promises against a real broker and a real database; `tests/services up` starts both.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails at that very line, and waits by the real clock"
)]

#[path = "../support/browser.rs"]
mod browser;
#[path = "../support/consumer.rs"]
mod consumer;
#[path = "../support/declared.rs"]
mod declared;
#[path = "../support/grpc.rs"]
mod grpc_client;
#[path = "../support/mongodb.rs"]
mod mongodb;
#[path = "../support/owner.rs"]
mod owner;
#[path = "../support/owner_service.rs"]
mod owner_service;
#[path = "../support/pod.rs"]
mod pod;
#[path = "../support/port.rs"]
mod port;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/rabbitmq.rs"]
mod rabbitmq;
#[path = "../support/read.rs"]
mod read;
#[path = "../support/reader.rs"]
mod reader;
#[path = "../support/replica_set.rs"]
mod replica_set;
#[path = "../support/sidecar.rs"]
mod sidecar;
#[path = "../support/stage.rs"]
mod stage;
#[path = "../support/writes.rs"]
mod writes;

mod access;
mod bad_documents;
mod bad_input;
mod bad_owner;
mod bad_surroundings;
mod canaries;
mod collections;
mod conformance;
mod console;
mod embeds;
mod epochs;
mod erase;
mod generations;
mod grpc;
mod grpc_own;
mod hydration;
mod life;
mod listing;
mod oncall;
mod parked;
mod partitions;
mod patches;
mod pipeline;
mod protect;
mod protocol;
mod read_models;
mod reads;
mod records;
mod rekeyed;
mod retire;
mod rollback;
mod rotation;
mod source;
mod story;
mod stream;
mod subset;
mod survey;
mod suspects;
mod topology;
mod usernames;
mod values;
mod watch;
