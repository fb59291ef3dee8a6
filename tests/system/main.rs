//! The promises against a real broker and a real database; `tests/services up` starts both.

mod bad_documents;
mod bad_input;
mod bad_owner;
mod bad_surroundings;
#[path = "../support/consumer.rs"]
mod consumer;
#[path = "../support/owner.rs"]
mod owner;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/rabbitmq.rs"]
mod rabbitmq;
#[path = "../support/reader.rs"]
mod reader;
#[path = "../support/sidecar.rs"]
mod sidecar;
mod source;
#[path = "../support/stage.rs"]
mod stage;
mod story;
mod topology;
