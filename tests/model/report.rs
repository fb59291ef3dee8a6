//! The tables, for a person to read.

use super::check::{Found, explore};
use super::guards::{Removal, removals};
use super::scenarios::{self, Scenario};

/// Explores everything, or only what is named like this, and prints what was found; whether all is as it should be.
pub(crate) fn print(only: Option<&str>) -> bool {
    let (mut fine, mut states) = (true, 0);
    println!("{:<78} {:>10} {:>6} {:>8}  holds", "scenario", "states", "depth", "seconds");
    for Scenario { name, setting } in scenarios::interleavings().into_iter().chain(scenarios::wide()) {
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let found = explore(&setting, None, 2);
        states += found.states;
        fine &= found.broken.is_none() && found.complete;
        print_scenario(name, &found);
    }
    println!("\n{:<52} {:>5} {:>8}  what breaks without it", "rule", "steps", "states");
    let (mut shown, mut rules) = (0, 0);
    for removal in removals() {
        if only.is_some_and(|only| only != "rules" && !format!("{:?}", removal.guard).contains(only)) {
            continue;
        }
        let found = explore(&removal.setting, Some(removal.guard), 1);
        rules += 1;
        shown += usize::from(found.broken.is_some());
        fine &= found.broken.is_some() != removal.stands_in.is_some();
        print_removal(&removal, &found);
    }
    println!(
        "\n{states} states; {shown} of {rules} rules shown to be needed; {}",
        if fine { "all as it should be" } else { "NOT as it should be" }
    );
    fine
}

fn print_scenario(name: &str, found: &Found) {
    let holds = match (&found.broken, found.complete) {
        (Some(_), _) => "NO",
        (None, true) => "yes",
        (None, false) => "as far as was seen",
    };
    let Found { states, depth, took, .. } = found;
    println!("{name:<78} {states:>10} {depth:>6} {:>8.1}  {holds}", took.as_secs_f64());
    print_steps(found);
}

fn print_removal(removal: &Removal, found: &Found) {
    let (steps, what) = match (&found.broken, removal.stands_in) {
        (Some((property, steps)), _) => (steps.len().to_string(), format!("not: {property}")),
        (None, Some(other)) => ("-".into(), format!("not shown: {other}")),
        (None, None) => ("-".into(), "NOTHING".into()),
    };
    println!("{:<52} {steps:>5} {:>8}  {what}", removal.rule, found.states);
    print_steps(found);
}

fn print_steps(found: &Found) {
    let Some((_, steps)) = &found.broken else { return };
    for (at, step) in steps.iter().enumerate() {
        println!("    {:>2}. {step}", at + 1);
    }
}
