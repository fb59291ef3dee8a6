//! What must hold of any bytes whatsoever: one function each, for the fuzzer and for the replay of its seeds.

mod answer;
mod cloudevents;
mod declared;
mod event;
mod manifest;
mod path;
mod url;
mod value;

/// What is done with an input; it panics where something does not hold.
pub type Target = fn(&[u8]);

/// Every target: its name, which is also the folder of its seeds, and what it does with an input.
pub const ALL: [(&str, Target); 7] = [
    ("answer", answer::run),
    ("cloudevents", cloudevents::run),
    ("event", event::run),
    ("manifest", manifest::run),
    ("path", path::run),
    ("url", url::run),
    ("value", value::run),
];
