//! What owners answer: one entity, or a list of several.

use nearcopy::event::EntityId;

use super::declared::{DECLARED, TIME_OF_DAY};

/// The id that was asked for, an end of line, and the body of the answer.
pub(super) fn run(input: &[u8]) {
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (asked, body) = (&input[..at], &input[(at + 1).min(input.len())..]);
    let Ok(asked) = std::str::from_utf8(asked) else { return };
    for of in &DECLARED.replicas {
        let Some(spec) = &of.fetch else { continue };
        let Ok(asked) = EntityId::parse(asked, of.selection.id_kind()) else { continue };
        let one = spec.answers.read_one(body, &asked, of, TIME_OF_DAY);
        let listed = spec.answers.read_batch(body, std::slice::from_ref(&asked), of, TIME_OF_DAY);
        assert!(listed.into_iter().flatten().all(|(entity, _)| entity == asked), "of another");
        let Ok(answer) = one else { continue };
        let alone = [b"[", body, b"]"].concat();
        let alone = if of.name.as_str() == "users" {
            alone
        } else {
            [b"{\"page\":{\"items\":", &alone[..], b"}}"].concat()
        };
        let listed = spec.answers.read_batch(&alone, std::slice::from_ref(&asked), of, TIME_OF_DAY).unwrap();
        assert_eq!(listed, [(asked, answer)], "a list of one says something else");
    }
}
