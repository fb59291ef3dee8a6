//! Asking an owner over HTTP, whatever the owner does.

mod answers;
mod batch;
mod certificates;
mod owner;
mod peace;
