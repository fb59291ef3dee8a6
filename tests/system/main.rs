//! The promises against a real broker and a real database; `tests/services up` starts both.

#[path = "../support/declared.rs"]
mod declared;
#[path = "../support/mongodb.rs"]
mod mongodb;
#[path = "../support/owner.rs"]
mod owner;
#[path = "../support/pod.rs"]
mod pod;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/rabbitmq.rs"]
mod rabbitmq;
#[path = "../support/reader.rs"]
mod reader;
#[path = "../support/replica_set.rs"]
mod replica_set;
#[path = "../support/writes.rs"]
mod writes;

mod embeds;
mod hydration;
mod protocol;
mod records;
mod source;
mod topology;
