//! What is no manifest at all, by accident or by malice, is refused and harms nothing.

use std::path::PathBuf;

use nearcopy::manifest;

use super::{codes, manifests, root};

fn refused(text: &str) -> Vec<&'static str> {
    codes(&manifest::parse("x.yaml", text, &|_| None).unwrap_err())
}

#[test]
fn what_cannot_be_read_is_named() {
    let nowhere = manifest::load(&[root().join("no/such/file.yaml")]).unwrap_err();
    assert_eq!(codes(&nowhere), ["N001"]);
    assert!(nowhere.to_string().contains("no/such/file.yaml"));
    assert_eq!(codes(&manifest::load(&[]).unwrap_err()), ["N002"]);
    assert_eq!(codes(&manifest::load(&[root().join("src/manifest")]).unwrap_err()), ["N002"]);

    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (latin, large) = (scratch.join("latin.yaml"), scratch.join("large.yaml"));
    std::fs::write(&latin, b"service: caf\xe9\n").unwrap();
    std::fs::write(&large, "# x\n".repeat(300_000)).unwrap();
    assert_eq!(codes(&manifest::load(&[latin]).unwrap_err()), ["N004"]);
    assert_eq!(codes(&manifest::load(&[large]).unwrap_err()), ["N003"]);
}

#[test]
fn bombs_are_refused_in_little_time_and_memory() {
    let deep = format!("a: {}", "[".repeat(100_000));
    assert_eq!(refused(&deep), ["N104"]);
    assert_eq!(refused(&format!("a: {}", "{a: ".repeat(50_000))), ["N104"]);
    assert_eq!(refused(&"- ".repeat(100_000)), ["N104"]);
    assert_eq!(refused(&format!("a: [{}]", "x, ".repeat(100_000))), ["N105"]);
    assert_eq!(refused(&"x".repeat(2 << 20)), ["N003"]);
    let keys = (0..9_000).map(|number| format!("k{number}: 1")).collect::<Vec<_>>().join("\n");
    let diagnostics = manifest::parse("x.yaml", &keys, &|_| None).unwrap_err();
    assert!(diagnostics.len() >= 9_000);
    assert!(diagnostics.to_string().len() < 100_000, "only the first are shown");
}

#[test]
fn names_without_end_are_compared_with_nothing() {
    let (one, other) = ("a".repeat(400_000), "b".repeat(400_000));
    let text = format!(
        "service: shop\nreplicas: {{{one}: x}}\nembeds: {{e: {{in: c, ref: r, into: i, from: {other}}}}}\n"
    );
    let diagnostics = manifest::parse("x.yaml", &text, &|_| None).unwrap_err();
    assert!(codes(&diagnostics).contains(&"N402"));
    let line = format!("service: shop\nreplicas: {{{}}}\n", "a: 1, ".repeat(9_000));
    let diagnostics = manifest::parse("x.yaml", &line, &|_| None).unwrap_err();
    assert!(diagnostics.to_string().len() < 200_000, "a line without end is cut around the caret");
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let text = std::fs::read_to_string(root().join("tests/manifest/good/smallest.yaml")).unwrap();
    assert!(manifest::parse("x.yaml", &format!("\u{feff}{text}"), &|_| None).is_ok());
}

/// A small generator of its own, so that a failure repeats itself.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }
}

pub(super) fn mutate(text: &str, dice: &mut Dice) -> String {
    const PIECES: [&str; 24] = [
        "\t",
        "\n",
        ":",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "&a ",
        "*a",
        "!x ",
        "|\n",
        "${",
        "~",
        "#",
        "\0",
        "ü",
        "\u{feff}",
        "---\n",
        "99999999999999999999",
        "\r",
        "\u{2028}",
    ];
    let mut letters: Vec<char> = text.chars().collect();
    for _ in 0..=dice.below(4) {
        let at = dice.below(letters.len());
        match dice.below(4) {
            0 => drop(letters.drain(at..(at + dice.below(12)).min(letters.len()))),
            1 => drop(letters.splice(at..at, PIECES[dice.below(PIECES.len())].chars())),
            2 => letters.truncate(at.max(1)),
            _ => {
                let from = dice.below(letters.len());
                let piece: Vec<char> = letters[from..(from + dice.below(40)).min(letters.len())].to_vec();
                letters.splice(at..at, piece);
            }
        }
        if letters.is_empty() {
            letters.push('x');
        }
    }
    letters.into_iter().collect()
}

#[test]
fn no_mutilated_manifest_brings_the_reader_down() {
    let mut dice = Dice(0x5eed_0000_0000_0001);
    let mut seeds = manifests("config/examples");
    seeds.extend(manifests("tests/manifest/good"));
    seeds.extend(manifests("tests/manifest/bad").into_iter().step_by(7));
    let mut accepted = 0;
    for path in &seeds {
        let text = std::fs::read_to_string(path).unwrap();
        for _ in 0..40 {
            let mutated = mutate(&text, &mut dice);
            match manifest::parse("x.yaml", &mutated, &|_| Some("v".to_owned())) {
                Ok(_) => accepted += 1,
                Err(diagnostics) => {
                    assert!(diagnostics.len() > 0, "refused for no reason:\n{mutated}");
                    assert!(diagnostics.to_string().contains("error"));
                }
            }
        }
    }
    assert!(accepted > 0, "some mutations only touch comments");
}
