//! Bad inputs, each with what must become of it: put aside and why, refused and by which code, passed by, or taken as
//! it is. What needs a broker, a database or an owner to go wrong is in `tests/system`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails at that very line")]
#![expect(clippy::print_stdout, reason = "how many there are is told")]

mod answers;
mod cloudevents;
mod commands;
#[path = "../fuzz/targets/declared.rs"]
mod declared;
mod events;
mod fields;
mod manifests;
mod settings;

/// An input in two parts, and what must become of it.
type Case = (&'static str, &'static str, &'static str);
/// A table of them, and what says what does.
type Table = (&'static str, &'static [Case], fn(&str, &str) -> String);

const TABLES: [Table; 7] = [
    ("answers", answers::CASES, answers::became),
    ("cloudevents", cloudevents::CASES, cloudevents::became),
    ("commands", commands::CASES, commands::became),
    ("events", events::CASES, events::became),
    ("fields", fields::CASES, fields::became),
    ("manifests", manifests::CASES, manifests::became),
    ("settings", settings::CASES, settings::became),
];

/// D5, V3, V4, V6, V7, S1, S2, S3, S4, S5: every row of every table.
#[test]
fn of_every_bad_input_becomes_what_must() {
    let mut wrong = Vec::new();
    for (table, cases, became) in TABLES {
        println!("{table}: {}", cases.len());
        for (one, other, expected) in cases {
            let found = became(one, other);
            if found != *expected {
                wrong.push(format!("{table}: {one:.200} | {other:.200}: {found:.300}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The tables only grow, and no row stands in them twice.
#[test]
fn there_are_many_and_each_is_another() {
    let mut seen = std::collections::BTreeSet::new();
    for (table, cases, _) in TABLES {
        for (one, other, _) in cases {
            assert!(
                seen.insert((table, one, other)),
                "{table}: {one:.200} | {other:.200} stands there twice"
            );
        }
    }
    println!("{} bad inputs", seen.len());
    assert!(seen.len() >= 300, "only {} bad inputs", seen.len());
}
