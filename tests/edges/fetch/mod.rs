//! Asking an owner over HTTP, whatever the owner does.

mod answers;
mod batch;
mod owner;
mod peace;
