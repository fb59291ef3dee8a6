//! How tests have ended, for a person or a program.

use serde_json::{Map, Value as Json, json};

use super::Verdict;
use super::compare::{Difference, Wrong};
use super::play::Manner;
use crate::manifest::picture;

/// One line for each test, what was wrong beneath it, and a closing line.
pub(super) fn table(verdicts: &[Verdict], manner: Manner) -> String {
    let mut lines = Vec::new();
    for Verdict { file, name, wrong } in verdicts {
        let mark = if wrong.is_empty() { "ok" } else { "FAILED" };
        lines.push(format!("{mark:<6} {file}  {}", visible(name)));
        for wrong in wrong {
            match wrong {
                Wrong::Says(what) => lines.push(format!("         {}", visible(what))),
                Wrong::Differs(difference) => lines.extend(told(difference)),
            }
        }
    }
    lines.push(closing(verdicts, manner));
    lines.join("\n")
}

fn told(of: &Difference) -> [String; 3] {
    let place = if of.path.is_empty() { of.of.clone() } else { format!("{}: {}", of.of, of.path) };
    let value =
        |value: Option<&Json>| value.map_or("nothing".to_owned(), |value| visible(&value.to_string()));
    let why = of.why.map(|why| format!(" ({why})")).unwrap_or_default();
    [
        format!("         {}", visible(&place)),
        format!("           expected {}", value(of.expected.as_ref())),
        format!("           found    {}{why}", value(of.found.as_ref())),
    ]
}

fn closing(verdicts: &[Verdict], manner: Manner) -> String {
    let failed = verdicts.iter().filter(|verdict| !verdict.wrong.is_empty()).count();
    let tests = if verdicts.len() == 1 { "1 test".to_owned() } else { format!("{} tests", verdicts.len()) };
    let counted = if failed == 0 { format!("{tests}, all ok") } else { format!("{tests}, {failed} failed") };
    let how: Vec<String> = [
        (manner.repeat > 1).then(|| format!("each event {} times", manner.repeat)),
        manner.shuffle.then(|| "in random order".to_owned()),
        is_left_to_chance(manner).then(|| format!("seed {}", manner.seed)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if how.is_empty() { counted } else { format!("{counted}; {}", how.join(", ")) }
}

/// Whether anything was left to chance.
fn is_left_to_chance(manner: Manner) -> bool {
    manner.shuffle || manner.repeat > 1
}

/// The same as one object.
pub(super) fn json(verdicts: &[Verdict], manner: Manner) -> Json {
    let tests = verdicts.iter().map(|Verdict { file, name, wrong }| {
        let wrong = wrong.iter().map(|wrong| match wrong {
            Wrong::Says(what) => json!({ "text": what }),
            Wrong::Differs(difference) => difference_as_json(difference),
        });
        json!({ "file": file, "name": name, "wrong": wrong.collect::<Vec<_>>() })
    });
    let seed = is_left_to_chance(manner).then_some(manner.seed);
    json!({ "errors": [], "tests": tests.collect::<Vec<_>>(), "seed": seed })
}

/// What must not be there, or is not there, is left out: `null` is a value like any other.
fn difference_as_json(Difference { of, path, expected, found, why }: &Difference) -> Json {
    let parts = [
        ("of", Some(json!(of))),
        ("path", Some(json!(path))),
        ("expected", expected.clone()),
        ("found", found.clone()),
        ("text", why.map(Json::from)),
    ];
    parts.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?))).collect::<Map<_, _>>().into()
}

/// The same where nothing was played, because of these mistakes in the files.
pub(super) fn rejected(errors: &[Json]) -> Json {
    json!({ "errors": errors, "tests": [], "seed": null })
}

/// What files say is shown without codes that a terminal obeys.
fn visible(text: &str) -> String {
    text.chars().map(picture).collect()
}
