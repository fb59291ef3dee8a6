//! What a comparison with the owner calls different.

use nearcopy::replication::Difference;

use crate::merge::{answers, record, states};

/// Every cell of the table, for a person to read: `-` where both say the same.
#[test]
fn every_record_is_compared_with_every_answer() {
    let mut table = String::new();
    for (held, state, key) in states() {
        table += &format!("\n{held}\n");
        for (said, answer) in answers() {
            let record = record(state, key.clone(), None, true);
            let found = Difference::between(&record, &answer, 0);
            let word = match &found {
                None => "-".to_owned(),
                Some(Difference::Fields(names)) => format!("other fields: {}", names.join(", ")),
                Some(difference) => difference.as_str().to_owned(),
            };
            table += &format!("  {said:<26} {word}\n");
        }
    }
    insta::assert_snapshot!(table);
}

/// An owner that was restored is ahead with any version of its new epoch.
#[test]
fn what_is_held_from_an_epoch_that_is_over_is_behind() {
    let (_, state, key) = states().remove(2);
    let (_, answer) = answers().remove(0);
    let held = record(state, key, None, true);
    assert_eq!(Difference::between(&held, &answer, 0), Some(Difference::Ahead));
    assert_eq!(Difference::between(&held, &answer, 1), Some(Difference::Behind));
}
