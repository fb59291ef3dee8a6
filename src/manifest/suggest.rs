//! Finds what a mistyped word was meant to be.

/// How many known words are compared and listed: names are the manifest's own, and may be many and long.
const COMPARED: usize = 200;
const LISTED: usize = 12;
const LONGEST: usize = 64;

/// The known word nearest to a mistyped one, if one is near enough to be meant.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_lowercase();
    let tolerated = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .take(COMPARED)
        .filter(|candidate| word.len().max(candidate.len()) <= LONGEST)
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= tolerated && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How far two words are apart; one that only goes on where the other ends is near.
fn distance(word: &str, candidate: &str) -> usize {
    let begun = word.len() >= 3 && (candidate.starts_with(word) || word.starts_with(candidate));
    if begun { 1 } else { strsim::osa_distance(word, candidate) }
}

/// Advice on an unknown word: the one that was meant, or else all there are.
pub(super) fn advice<'k>(word: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> String {
    if let Some(meant) = nearest(word, known.clone()) {
        return format!("did you mean `{meant}`?");
    }
    let more = if known.clone().into_iter().nth(LISTED).is_some() { " and more" } else { "" };
    let all: Vec<String> = known.into_iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    match all.as_slice() {
        [] => "there is none yet; declare it first".to_owned(),
        [only] => format!("there is only {only}"),
        _ => format!("there are {}{more}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_slip_is_understood_and_a_different_word_is_not() {
        let known = ["exchange", "queue", "bindings", "in"];
        assert_eq!(nearest("excahnge", known), Some("exchange"));
        assert_eq!(nearest("Queue", known), Some("queue"));
        assert_eq!(nearest("binding", known), Some("bindings"));
        assert_eq!(nearest("que", known), Some("queue"));
        assert_eq!(nearest("topic", known), None);
        assert_eq!(nearest("x", known), None, "one letter off of nothing is no suggestion");
    }
}
