//! Every way to fail that is on the list is shown by a test that names it.

use std::collections::{BTreeMap, BTreeSet};

use crate::scan::{all, line, none, read};

const LIST: &str = "tests/failure-modes.md";

#[test]
fn every_failure_mode_is_named_by_a_test() {
    let text = read(LIST);
    let (covered, later) = text.split_once("## Not yet").unwrap();
    let (covered, later) = (ids(covered), ids(later));
    let named = named_by_tests();
    let unshown = covered.keys().filter(|id| !named.contains_key(**id));
    let unshown = unshown.map(|id| format!("{LIST}: no test names {id}"));
    let outdated = later.keys().filter(|id| named.contains_key(**id));
    let outdated =
        outdated.map(|id| format!("{LIST}: {id} stands under `Not yet`, and {} names it", named[*id]));
    let unknown =
        named.iter().filter(|(id, _)| !covered.contains_key(id.as_str()) && !later.contains_key(id.as_str()));
    let unknown = unknown.map(|(id, place)| format!("{place}: {id} is not on the list"));
    let broken: Vec<String> = unshown.chain(outdated).chain(unknown).collect();
    none(&broken, "a way to fail that nobody tests is one that users find");
}

#[test]
fn the_list_says_each_mode_once_and_why_it_is_not_covered() {
    let text = read(LIST);
    let mut seen = BTreeSet::new();
    let mut broken = Vec::new();
    for (number, item) in
        text.lines().enumerate().filter_map(|(at, line)| Some((at + 1, line.strip_prefix("- ")?)))
    {
        let said = item.split_once(": ").filter(|(id, said)| is_id(id) && said.split(". ").count() > 1);
        match said {
            Some((id, _)) if seen.insert(id) => {}
            Some((id, _)) => broken.push(format!("{LIST}:{number}: {id} stands there twice")),
            None => broken.push(format!("{LIST}:{number}: says no `id: what happens. What must hold.`")),
        }
    }
    none(&broken, "the list is read by people, too");
}

/// The modes of a part of the list, with what is said of them.
fn ids(part: &str) -> BTreeMap<&str, &str> {
    let items = part.lines().filter_map(|line| line.strip_prefix("- ")?.split_once(": "));
    items.filter(|(id, _)| is_id(id)).collect()
}

/// A letter of a known group, and a number.
fn is_id(word: &str) -> bool {
    let (group, number) = word.split_at(word.len().min(1));
    "DVFGNPMCS".contains(group)
        && !group.is_empty()
        && !number.starts_with('0')
        && number.parse::<u8>().is_ok_and(|number| number < 30)
}

/// The ids that stand in comments of tests, with one of the places.
fn named_by_tests() -> BTreeMap<String, String> {
    let mut named = BTreeMap::new();
    for file in all() {
        let is_test = file.path.starts_with("tests/") || file.text.contains("#[cfg(test)]");
        if !is_test || file.path.ends_with("failure_modes.rs") {
            continue;
        }
        for (at, comment) in comments(&file.text) {
            let words = comment.split(|character: char| !character.is_ascii_alphanumeric());
            for id in words.filter(|word| is_id(word)) {
                named
                    .entry(id.to_owned())
                    .or_insert_with(|| format!("{}:{}", file.path, line(&file.text, at)));
            }
        }
    }
    named
}

/// The comments that stand on lines of their own, with where they begin.
fn comments(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let start = text.as_ptr() as usize;
    text.lines().filter_map(move |line| {
        let comment = line.trim_start().strip_prefix("//")?;
        Some((comment.as_ptr() as usize - start, comment))
    })
}
