//! The promises against a real broker and a real database; `tests/services up` starts both.

#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/rabbitmq.rs"]
mod rabbitmq;
#[path = "../support/reader.rs"]
mod reader;
mod source;
mod topology;
